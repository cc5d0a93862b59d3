"""Commands of auditors: export, verify, replay."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.errors import MalformedError
from domain.transparency.note import MAX_NOTE_BYTES, VerifierKey
from infrastructure.anchors.exporting import bundle_files
from infrastructure.audit.acks import hold_acks
from infrastructure.audit.anchored import Anchored, Expected, verify_anchored
from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.audit.replay import Replay, replay_bundle, replay_log
from infrastructure.audit.revoked import hold_revocations
from infrastructure.audit.verify import verify_bundle
from infrastructure.cli.anchored_auditing import anchored_members, expectations, keys_from_outside
from infrastructure.cli.anchoring import chosen
from infrastructure.cli.output import GOOD, WRONG, progress, result, say
from infrastructure.cli.resuming import audit_state, jobs_for, stated_size, work_of
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import read_bounded
from infrastructure.commands.loading import find_log
from infrastructure.projector import Projector
from infrastructure.tlog.building import partial_of
from infrastructure.tlog.revocation import Recovery
from infrastructure.tlog.second_opinion import with_second_opinion
from infrastructure.tlog.verdict import Verification

_MAX_KEY_FILE_BYTES = 65_536


def export(
    data_dir: Path, tenant: str, out: Path, with_keys: str | None, rounds: tuple[int, int] | None, *, as_json: bool
) -> None:
    """Export a log as a bundle."""
    with ledger_at(data_dir) as ledger:
        log = find_log(ledger, tenant)
        files = bundle_files(ledger, log, chosen(rounds))
        with (
            _taken_up_later(out),
            progress("exporting", ledger.head(log.log_id).size) as told,
        ):
            checkpoint = export_bundle(ledger, log.log_id, out, with_keys=with_keys, further=files, progress=told)
        vkeys = [str(key) for key in log_signer(ledger, log.log_id).verifier_keys()]
        Projector(ledger).catch_up()
    root = base64.b64encode(checkpoint.root).decode()
    members = {"origin": checkpoint.origin, "size": checkpoint.size, "root": root, "out": str(out), "log_keys": vkeys}
    lines = [f"{checkpoint.origin} at size {checkpoint.size} in {out}", f"root     {root}", f"log key  {vkeys[0]}"]
    result(members, as_json=as_json, lines=lines)


@contextmanager
def _taken_up_later(out: Path) -> Iterator[None]:
    """After an interruption say that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted; the same command goes on with what is in {partial_of(out)}")
        raise


@dataclass(frozen=True, slots=True)
class Revocations:
    """Revocations of a log's keys, and the recovery keys that may sign them, as an auditor names them."""

    recovery_keys: tuple[str, ...] = ()
    threshold: int = 1
    files: tuple[Path, ...] = ()

    def hold(
        self, directory: Path, verdict: Verification, expected: Expected, anchored: Anchored | None
    ) -> Verification:
        """Hold the verdict of a directory against them."""
        keys = tuple(VerifierKey.parse(key) for key in self.recovery_keys)
        recovery = Recovery(keys, self.threshold) if keys else None
        notes = [read_bounded(file, MAX_NOTE_BYTES) for file in self.files]
        outside = [VerifierKey.parse(key) for key in keys_from_outside(expected)]
        return hold_revocations(directory, verdict, recovery, notes, outside=outside, anchored=anchored)


@dataclass(frozen=True, slots=True)
class How:
    """How an auditor wants it done: processes (None: as many as are worth it), state, a second implementation."""

    jobs: int | None = None
    state: Path | None = None
    second_opinion: bool = False


def verify(
    directory: Path,
    log_keys: Sequence[str],
    revocations: Revocations,
    policy: Path | None,
    max_age_s: int | None,
    *,
    how: How,
    acks: Path | None = None,
    as_json: bool,
) -> int:
    """Verify a directory; return the exit code."""
    expected = expectations(policy, verifier_keys(log_keys), max_age_s)
    verdict = _verified(directory, keys_from_outside(expected), how)
    verdict, anchored = verify_anchored(directory, verdict, expected)
    verdict = revocations.hold(directory, verdict, expected, anchored)
    opinion = verdict.ok and how.second_opinion
    if opinion:
        with progress("second opinion", verdict.size) as told:
            verdict = with_second_opinion(directory, verdict, told)
    report = None
    if acks is not None:
        key = expected.acknowledgement_key(verdict.origin)
        covered_round = None if anchored is None else anchored.covered_round
        verdict, report = hold_acks(directory, verdict, acks, key=key, covered_round=covered_round)
    root = None if verdict.root_hex is None else base64.b64encode(bytes.fromhex(verdict.root_hex)).decode()
    members = {
        "ok": verdict.ok,
        "trust": verdict.trust,
        "origin": verdict.origin,
        "size": verdict.size,
        "root": root,
        "first_error": verdict.first_error,
        "checked": list(verdict.checked),
        "not_checked": list(verdict.not_checked),
        "fingerprints": list(verdict.fingerprints),
        **anchored_members(anchored),
        **({"second_opinion": "merkletools" if opinion and verdict.ok else None} if how.second_opinion else {}),
        **({} if report is None else {"acks": report.to_json()}),
    }
    lines = _verdict_lines(verdict, root)
    if report is not None:
        lines += [
            *(f"  LOST         {one}" for one in report.lost),
            *(f"  refused      {one}" for one in report.refused),
        ]
    result(members, as_json=as_json, lines=lines)
    return GOOD if verdict.ok else WRONG


def _verified(directory: Path, log_keys: Sequence[str], how: How) -> Verification:
    size = stated_size(directory)
    with (
        audit_state(directory, size, how.state) as state,
        progress("verifying", work_of(directory, size)) as told,
    ):
        jobs = jobs_for(size, how.jobs)
        return verify_bundle(directory, log_keys=log_keys, progress=told, jobs=jobs, state=state)


def replay(
    directory: Path | None,
    data_dir: Path,
    tenant: str | None,
    *,
    size: int | None,
    at_ms: int | None,
    as_json: bool,
) -> int:
    """Fold a history again, from a bundle or from the database; return the exit code."""
    live = None
    if directory is not None:
        found = replay_bundle(directory, size=size, at_ms=at_ms)
    else:
        with ledger_at(data_dir) as ledger:
            log = find_log(ledger, tenant or "")
            projector = Projector(ledger)
            projector.catch_up()
            found = replay_log(ledger, log.log_id, size=size, at_ms=at_ms)
            live = projector.digest(log.log_id) if found.size == ledger.head(log.log_id).size else None
    members = {
        "origin": found.origin,
        "size": found.size,
        "at_ms": found.at_ms,
        "state_digest": found.digest,
        "topics": dict(found.topics),
    }
    if live is not None:
        members |= {"live_digest": live, "equals_live": live == found.digest}
    result(members, as_json=as_json, lines=_replay_lines(found, live))
    return WRONG if live is not None and live != found.digest else GOOD


def _verdict_lines(verdict: Verification, root: str | None) -> list[str]:
    lines = [f"{'ok' if verdict.ok else 'NOT OK'}: {verdict.trust}"]
    if verdict.origin is not None:
        lines.append(f"{verdict.origin}  size {verdict.size}  root {root}")
    if verdict.first_error is not None:
        lines.append(f"first error: {verdict.first_error}")
    lines.extend(f"  checked      {item}" for item in verdict.checked)
    lines.extend(f"  not checked  {item}" for item in verdict.not_checked)
    lines.extend(f"  key          {item}" for item in verdict.fingerprints)
    return lines


def _replay_lines(found: Replay, live: str | None) -> list[str]:
    lines = [f"{found.origin} at size {found.size}", f"state digest {found.digest}"]
    if live is not None:
        lines.append("equal to the live projections" if live == found.digest else f"DIFFERS from live {live}")
    return [*lines, *(f"  {count:>7}  {topic}" for topic, count in found.topics.items())]


def verifier_keys(given: Sequence[str]) -> list[str]:
    """Return the verifier keys that options name: each a key, or a file of them."""
    return [key for one in given for key in _vkeys(one)]


def _vkeys(given: str) -> list[str]:
    """Return verifier keys: the string itself, or the lines of the file that it names."""
    if "+" in given and not Path(given).is_file():
        return [given]
    try:
        with Path(given).open("rb") as file:
            data = file.read(_MAX_KEY_FILE_BYTES + 1)
        lines = data.decode("ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        raise MalformedError("--log-key takes a verifier key (name+id+base64) or a file of them, one a line") from None
    if len(data) > _MAX_KEY_FILE_BYTES or not lines:
        raise MalformedError("--log-key: the file holds no verifier keys")
    return lines
