"""What auditors' commands ask of the anchor log: expectations from outside, and fork proofs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.errors import MalformedError, UnavailableError
from domain.time import SECOND_MS
from domain.transparency.note import VerifierKey
from domain.transparency.tlog_policy import MAX_POLICY_BYTES, TlogPolicy, parse_policy
from infrastructure.audit.anchored import Anchored, Expected
from infrastructure.audit.forks import NotComparableError, check_fork_proof, compare
from infrastructure.audit.trust import read_trust
from infrastructure.cli.output import GOOD, WARNING, WRONG, result
from infrastructure.clock import SystemClock


def expectations(policy: Path | None, log_keys: Sequence[str], max_age_s: int | None = None) -> Expected:
    """Return what the auditor knows from outside. Beside a policy FILE, FILE.json is read where there is one.

    Raises:
        MalformedError: when a file or key is not of its format.
    """
    keys = tuple(VerifierKey.parse(text) for text in log_keys)
    now_unix_s = SystemClock().now_ms() // SECOND_MS
    if policy is None:
        return Expected(keys=keys, now_unix_s=now_unix_s, max_age_s=max_age_s)
    return Expected(_read_policy(policy), keys, read_trust(policy), now_unix_s, max_age_s)


def keys_from_outside(expected: Expected) -> list[str]:
    """Return every verifier key that came from outside."""
    return [
        str(key) for key in (*(log.key for log in (expected.policy.logs if expected.policy else ())), *expected.keys)
    ]


def anchored_members(anchored: Anchored | None) -> dict[str, Any]:
    """Return what the verdict's JSON says of the anchor log; nothing where it was not looked at."""
    if anchored is None:
        return {}
    return {
        "history": anchored.history,
        "covered": anchored.covered,
        "witnessed": anchored.witnessed,
        "witnessed_size": anchored.witnessed_size,
        "witnessed_at": anchored.witnessing.since_unix_s,
        "fork": None if anchored.fork is None else anchored.fork.reason.value,
    }


def fork_proof(
    one: Path, other: Path | None, out: Path | None, policy: Path | None, log_keys: Sequence[str], *, as_json: bool
) -> int:
    """Hold bundles against each other; return the exit code: 1 for a fork, 3 where nothing follows."""
    expected = expectations(policy, log_keys)
    try:
        found = compare(one, other or one, expected)
    except NotComparableError as error:
        result(
            {"fork": None, "finding": f"not comparable: {error}"}, as_json=as_json, lines=[f"not comparable: {error}"]
        )
        return WARNING
    lines = [found.finding]
    if found.fork is not None and out is not None:
        _write(out, found.fork.to_bytes())
        lines.append(f"proof in {out}; it convinces whoever has the keys: audit fork-proof --check {out} --policy FILE")
    if not found.authentic:
        lines.append("the keys came with the bundles: only with --policy or --log-key is this said of the true log")
    members = {
        "origin": found.origin,
        "fork": None if found.fork is None else found.fork.reason.value,
        "finding": found.finding,
        "authentic": found.authentic,
        "proof": None if found.fork is None or out is None else str(out),
    }
    result(members, as_json=as_json, lines=lines)
    return GOOD if found.fork is None else WRONG


def check_proof(path: Path, policy: Path | None, log_keys: Sequence[str], *, as_json: bool) -> int:
    """Check a fork proof with keys from outside; return the exit code: 0 when it holds."""
    proof, reason = check_fork_proof(path, expectations(policy, log_keys))
    members = {"origin": proof.origin, "proven": True, "fork": reason.value, "finding": str(proof)}
    result(members, as_json=as_json, lines=[f"proven: {proof}"])
    return GOOD


def _read_policy(path: Path) -> TlogPolicy:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_POLICY_BYTES + 1)
    except OSError as error:
        raise MalformedError(f"cannot read the policy {path}: {error.strerror}") from None
    try:
        return parse_policy(data)
    except MalformedError as error:
        raise MalformedError(f"{path}: {error}") from None


def _write(out: Path, data: bytes) -> None:
    try:
        with out.open("xb") as file:
            file.write(data)
    except OSError as error:
        raise UnavailableError(f"cannot write {out}: {error.strerror or error}") from None
