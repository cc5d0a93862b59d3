"""An audit that was interrupted goes on where it was; it believes its own state, and of the bundle nothing."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from domain.errors import ConflictError, RefusedError
from infrastructure.audit import journal
from infrastructure.audit.disclosure import KEYS, keys_document
from infrastructure.audit.journal import Journal
from infrastructure.audit.verify import verify_bundle
from infrastructure.keys.plaintext import encode_record
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.reader import read_entries
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from scripts.bench.audit.long_log import LongLog, demo_mix
from scripts.bench.audit.tenant import ORIGIN
from tests.audit.past import Past, refused

SIZE = 5_000
CHUNK = 1_024
AT_S = 1_700_000_100


@pytest.fixture(scope="module")
def log() -> LongLog:
    return LongLog(demo_mix)


@pytest.fixture(scope="module")
def entries(log: LongLog) -> list[bytes]:
    return list(log.entries(SIZE))


@pytest.fixture(scope="module")
def bundle(log: LongLog, entries: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(log, entries, tmp_path_factory.mktemp("long") / "b")


def written(log: LongLog, entries: list[bytes], out: Path) -> Path:
    signer = LogSigner.from_seeds(ORIGIN, b"e" * 32, b"m" * 32)
    keys = keys_document(ORIGIN, log.keys())
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=AT_S, out=out, extra=[(KEYS, keys)])
    return out


@pytest.fixture(autouse=True)
def _saves_at_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "_EVERY_S", 0.0)
    monkeypatch.setattr(journal, "_SHARE", 0)


class StopError(KeyboardInterrupt):
    """Somebody pressed Ctrl-C."""


def interrupted(bundle: Path, state: Path, after: int) -> None:
    """Interrupt an audit when so many entries were opened."""
    size = sum(1 for _ in read_entries(bundle))

    def progress(done: int) -> None:
        if done >= size + after:
            raise StopError

    with pytest.raises(StopError):
        verify_bundle(bundle, state=state, progress=progress)


def resumed(bundle: Path, state: Path, jobs: int = 1) -> tuple[Verification, int]:
    """Resume; return the verdict, and how many entries were opened already."""
    told: list[int] = []
    verdict = verify_bundle(bundle, state=state, progress=told.append, jobs=jobs)
    opened = [done - (verdict.size or 0) for done in told if done > (verdict.size or 0)]
    return verdict, (opened[0] - 1) // CHUNK * CHUNK if opened else verdict.size or 0


@pytest.mark.parametrize("after", [1, 1_025, 2_049, 4_097])
def test_the_verdict_is_that_of_an_audit_in_one_go(bundle: Path, tmp_path: Path, after: int) -> None:
    interrupted(bundle, tmp_path / "state", after)
    verdict, first = resumed(bundle, tmp_path / "state")
    assert first == min((after // CHUNK + 1) * CHUNK, SIZE)
    assert verdict == verify_bundle(bundle)
    assert verdict.ok
    assert list((tmp_path / "state").iterdir()) == []  # the verdict stands: nothing is left to resume


def test_it_may_be_interrupted_at_every_step(bundle: Path, tmp_path: Path) -> None:
    for after in range(1, SIZE, CHUNK):
        interrupted(bundle, tmp_path / "state", after)
    verdict, first = resumed(bundle, tmp_path / "state")
    assert first == SIZE
    assert verdict == verify_bundle(bundle)


def test_workers_and_resumption_go_together(bundle: Path, tmp_path: Path) -> None:
    interrupted(bundle, tmp_path / "state", 2_000)
    verdict, first = resumed(bundle, tmp_path / "state", jobs=2)
    assert first == 2 * CHUNK
    assert verdict == verify_bundle(bundle)


@pytest.mark.parametrize("place", [1_500, 3_500])
def test_a_fault_is_found_the_same_before_and_after_the_interruption(
    log: LongLog, entries: list[bytes], tmp_path: Path, place: int
) -> None:
    doubled = [*entries[:place], entries[30], *entries[place + 1 :]]
    forged = written(log, doubled, tmp_path / "b")
    plain = verify_bundle(forged)
    assert not plain.ok
    if place > 2 * CHUNK:
        interrupted(forged, tmp_path / "state", 2_000)
    assert verify_bundle(forged, state=tmp_path / "state") == plain


def test_a_statement_used_before_the_interruption_is_still_used(
    log: LongLog, entries: list[bytes], tmp_path: Path
) -> None:
    """A submission of the first chunk again, in a stream of its own, after three chunks."""
    opened = [log.opened(entry) for entry in entries[:200]]
    record = next(one for one in opened if one.topic == "workload.submitted.v1")
    stream = UUID(int=record.stream_id.int ^ 1)
    event = {**record.event, "workload_id": f"wl-0x{stream.hex}"}
    again = log.sealed(stream, encode_record(replace(record, stream_id=stream, event=event)))
    forged = written(log, [*entries[:4_000], again], tmp_path / "b")
    interrupted(forged, tmp_path / "state", 3_000)
    refused(verify_bundle(forged, state=tmp_path / "state"), "was used in entry", entry=4_000)


KILLED = """
import os, signal, sys
from pathlib import Path
from infrastructure.audit import journal
from infrastructure.audit.verify import verify_bundle
journal._EVERY_S, journal._SHARE = 0.0, 0
def progress(done):
    if done >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
verify_bundle(Path(sys.argv[1]), state=Path(sys.argv[2]), progress=progress)
"""


def test_a_killed_audit_is_resumed(bundle: Path, tmp_path: Path) -> None:
    for after in (1_025, 3_073):
        command = [sys.executable, "-c", KILLED, str(bundle), str(tmp_path / "state"), str(SIZE + after)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    verdict, first = resumed(bundle, tmp_path / "state")
    assert first == 4 * CHUNK
    assert verdict == verify_bundle(bundle)


# The state


def test_the_state_of_another_bundle_is_set_aside(
    log: LongLog, entries: list[bytes], bundle: Path, tmp_path: Path
) -> None:
    other = written(log, entries[:3_000], tmp_path / "other")
    interrupted(bundle, tmp_path / "state", 3_000)
    verdict, first = resumed(other, tmp_path / "state")
    assert (verdict.ok, first) == (True, 0)


def test_the_state_of_another_program_is_set_aside(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(bundle, tmp_path / "state", 3_000)
    monkeypatch.setattr(journal, "_program", lambda: "a newer one")
    assert resumed(bundle, tmp_path / "state")[1] == 0


@pytest.mark.parametrize("spoilt", ["places", "ended", "position", "longer", "shorter", "gone"])
def test_a_state_that_is_damaged_is_set_aside(bundle: Path, tmp_path: Path, spoilt: str) -> None:
    state = tmp_path / "state"
    interrupted(bundle, state, 3_000)
    if spoilt == "longer":  # what a crash leaves after the position was written
        with (state / "places").open("ab") as file:
            file.write(b"x" * 100)
    elif spoilt == "shorter":
        os.truncate(state / "ended", 40)
    elif spoilt == "gone":
        (state / "places").unlink()
    else:
        data = bytearray((state / spoilt).read_bytes())
        data[len(data) // 2] ^= 1
        (state / spoilt).write_bytes(data)
    verdict, first = resumed(bundle, state)
    assert first in ({3 * CHUNK} if spoilt == "longer" else {0})
    assert verdict == verify_bundle(bundle)


def test_no_state_lets_a_changed_bundle_pass(bundle: Path, log: LongLog, entries: list[bytes], tmp_path: Path) -> None:
    """Whatever the state says was seen: entries, tiles and signatures of the checkpoint are verified by every run."""
    copy = written(log, entries, tmp_path / "b")
    interrupted(copy, tmp_path / "state", 4_000)
    path = copy / "tile/entries/001"
    data = bytearray(path.read_bytes())
    data[500] ^= 1
    path.write_bytes(data)
    verdict = verify_bundle(copy, state=tmp_path / "state")
    assert not verdict.ok
    assert "tile/entries/001" in (verdict.first_error or "")


def test_a_state_that_claims_more_than_was_seen_fails_where_it_is_checked_again(bundle: Path, tmp_path: Path) -> None:
    """A position moved on by hand: what was open then has other versions now."""
    interrupted(bundle, tmp_path / "state", 2_000)
    path = tmp_path / "state" / "position"
    state = json.loads(path.read_text().partition("\n")[2])
    state["position"]["size"] = 4 * CHUNK
    body = json.dumps(state)
    path.write_text(f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")
    assert not verify_bundle(bundle, state=tmp_path / "state").ok


def test_the_state_is_its_owners_alone(bundle: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    interrupted(bundle, state, 3_000)
    assert state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state.iterdir()} == {0o600}
    state.chmod(0o750)
    with pytest.raises(RefusedError, match="open to others"):
        verify_bundle(bundle, state=state)


def test_a_directory_with_something_else_in_it_is_not_used(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "thesis.tex").touch()
    with pytest.raises(RefusedError, match=r"thesis\.tex"):
        verify_bundle(bundle, state=tmp_path / "state")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(RefusedError, match="not a directory of this user's"):
        verify_bundle(bundle, state=tmp_path / "link")


def test_two_audits_do_not_share_a_state(bundle: Path, tmp_path: Path) -> None:
    with Journal(tmp_path / "state", "x"), pytest.raises(ConflictError, match="just now"):
        verify_bundle(bundle, state=tmp_path / "state")


# Histories with everything in them, interrupted after every entry


def test_a_history_with_everything_in_it_is_resumed_after_any_entry(past: Past, tmp_path: Path) -> None:
    from infrastructure.audit.history import HistoryAudit  # noqa: PLC0415 - only here by itself
    from infrastructure.audit.opening import Opener  # noqa: PLC0415

    keys = [past.sealer.stream_key(stream) for stream in past.streams()]
    opener = Opener({key.tag: key for key in keys}, past.tenant.origin)
    generations = {key.stream_id: frozenset({key.generation}) for key in keys}.get
    items = [opener.open(entry) for entry in past.entries]
    whole = HistoryAudit(past.tenant.origin, lambda stream: generations(stream, frozenset()))
    for item in items:
        whole.follow(item)
    for cut in range(1, len(items)):
        with Journal(tmp_path / f"{cut}", "b") as written_down:
            first = HistoryAudit(past.tenant.origin, lambda s: generations(s, frozenset()), written_down)
            for item in items[:cut]:
                first.follow(item)
            written_down.save(first.position())
        with Journal(tmp_path / f"{cut}", "b") as read_back:
            assert read_back.position is not None
            second = HistoryAudit(past.tenant.origin, lambda s: generations(s, frozenset()), read_back)
            second.resume(read_back.position, [(at, items[at]) for at in read_back.position.leaves])
            for item in items[cut:]:
                second.follow(item)
        assert (second.checked(), second.not_checked()) == (whole.checked(), whole.not_checked()), cut
        assert second.position() == whole.position(), cut
