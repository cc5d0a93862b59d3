"""Revoked keys: what a thief of them can still sign is refused, what was anchored in time stands."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.errors import VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.key_notes import KeyNote, RevokedNote
from infrastructure.audit.revoked import hold_revocations
from infrastructure.tlog.bundle import write_bundle
from infrastructure.tlog.key_chain import sign_key_note
from infrastructure.tlog.layout import key_note_path
from infrastructure.tlog.revocation import Recovery, Standing, require_in_force
from infrastructure.tlog.signing import LogSigner
from infrastructure.tlog.verdict import Verification
from infrastructure.tlog.verify import verify_directory
from tests.publish.trees import ORIGIN, entry, root_of

OLD, NEW, THIEF = (LogSigner.from_seeds(ORIGIN, bytes([n] * 32), bytes([n + 1] * 32)) for n in (1, 3, 5))
HOLDER = LogSigner.from_seeds("anna", b"r" * 32, b"s" * 32)
RECOVERY = Recovery(HOLDER.verifier_keys(), 1)
GOOD = [entry(index) for index in range(10)]


def bundle(out: Path, entries: Sequence[bytes], chain: Sequence[tuple[int, LogSigner]]) -> Path:
    """Write a bundle whose keys changed at these sizes; the last ones sign it."""
    files = []
    for generation, (size, signer) in enumerate(chain):
        root = root_of(entries[:size]) if size else EMPTY_ROOT
        note = KeyNote(generation, Checkpoint(ORIGIN, size, root), signer.verifier_keys())
        signers = [before for _, before in chain[max(generation - 1, 0) : generation + 1]]
        files.append((key_note_path(generation), sign_key_note(note, signers, 1)))
    signer = chain[-1][1]
    extra = files if len(files) > 1 else ()
    write_bundle(entries, size=len(entries), signer=signer, at_unix_s=1, out=out, extra=extra)
    return out


def held(path: Path, revoked: RevokedNote, *known: LogSigner) -> Verification:
    """Verify with the keys of these generations, and hold the verdict against a revocation."""
    outside = [key for signer in known for key in signer.verifier_keys()]
    verdict = verify_directory(path, log_keys=[str(key) for key in outside])
    assert verdict.ok, verdict.first_error
    return hold_revocations(path, verdict, RECOVERY, [HOLDER.sign_note(revoked.to_text(), 1)], outside=outside)


def revoked(generation: int, size: int = 5) -> RevokedNote:
    return RevokedNote(generation, 3, Checkpoint(ORIGIN, size, root_of(GOOD[:size])))


FORGED = [*GOOD[:5], *(entry(index, "forged") for index in range(5, 20))]
THEFTS: dict[str, tuple[int, list[tuple[int, LogSigner]], list[LogSigner]]] = {
    "the thief signs himself in": (0, [(0, OLD), (6, THIEF)], [OLD]),
    "the thief signs himself in where the tree was good": (0, [(0, OLD), (4, THIEF)], [OLD]),
    "the thief signs himself in after good keys": (1, [(0, OLD), (3, NEW), (7, THIEF)], [OLD]),
    "the keys that are known are the stolen ones": (1, [(0, OLD), (3, NEW), (7, THIEF)], [NEW]),
    "the stolen keys call themselves a later generation": (0, [(0, THIEF), (3, OLD)], [OLD]),
    "the stolen keys call themselves an earlier generation": (1, [(0, NEW), (6, THIEF)], [NEW]),
    "the stolen keys sign": (1, [(0, OLD), (3, NEW)], [OLD, NEW]),
    "the stolen keys hide their chain": (1, [(0, NEW)], [NEW]),
}


@pytest.mark.parametrize("theft", THEFTS)
def test_whoever_holds_revoked_keys_forges_nothing(tmp_path: Path, theft: str) -> None:
    generation, chain, known = THEFTS[theft]
    verdict = held(bundle(tmp_path / "bundle", FORGED, chain), revoked(generation), *known)
    assert (verdict.ok, verdict.trust, verdict.checked) == (False, "not verified", ())
    assert f"keys of generation {generation} were revoked" in (verdict.first_error or "")


def test_keys_that_came_after_the_revoked_ones_count_where_both_are_known(tmp_path: Path) -> None:
    rotated = bundle(tmp_path / "bundle", GOOD, [(0, OLD), (6, NEW)])
    assert held(rotated, revoked(0), OLD, NEW).trust == "verified"
    alone = held(rotated, revoked(0), NEW)
    assert "name keys of generation 0 and of a later one" in (alone.first_error or "")


START = [KeyNote(n, Checkpoint(ORIGIN, n * 3, EMPTY_ROOT), key.verifier_keys()) for n, key in enumerate((OLD, NEW))]


@pytest.mark.parametrize(("told", "stands"), [({1: 2}, True), ({1: 3}, True), ({1: 4}, False), ({}, False)])
def test_a_rotation_by_revoked_keys_stands_where_the_last_good_round_holds_it(
    told: dict[int, int], *, stands: bool
) -> None:
    for known in (frozenset[int](), frozenset({0})):
        standing = Standing(known=known, rotation_rounds=told)
        if stands:
            require_in_force(tuple(START), {0: revoked(0)}, standing)
        else:
            with pytest.raises(VerificationError, match="generation 0 were revoked"):
                require_in_force(tuple(START), {0: revoked(0)}, standing)


def test_a_revocation_of_another_logs_keys_is_no_concern(tmp_path: Path) -> None:
    other = RevokedNote(0, 3, Checkpoint("ledger.example/t/8", 5, bytes(32)))
    assert held(bundle(tmp_path / "bundle", GOOD, [(0, OLD)]), other, OLD).trust == "verified"


@pytest.mark.parametrize("size", [5, 20])
def test_a_last_good_tree_that_is_not_this_logs_is_a_fork_by_name(tmp_path: Path, size: int) -> None:
    note = RevokedNote(7, 3, Checkpoint(ORIGIN, size, bytes(32)))
    verdict = held(bundle(tmp_path / "bundle", FORGED, [(0, OLD), (6, NEW)]), note, OLD)
    assert not verdict.ok
    assert f"fork: the last good tree of size {size}" in (verdict.first_error or "")


def test_a_last_good_tree_that_is_larger_than_the_bundle_is_not_compared_and_said_so(tmp_path: Path) -> None:
    note = RevokedNote(7, 3, Checkpoint(ORIGIN, 21, bytes(32)))
    verdict = held(bundle(tmp_path / "bundle", FORGED, [(0, OLD), (6, NEW)]), note, OLD)
    assert verdict.ok
    assert any("of size 21" in line and "ends before it" in line for line in verdict.not_checked)


def test_without_recovery_keys_it_is_said_that_revocations_were_not_looked_at(tmp_path: Path) -> None:
    path = bundle(tmp_path / "bundle", GOOD, [(0, OLD)])
    verdict = hold_revocations(path, verify_directory(path), None, ())
    assert any(line.startswith("revocations of the log's keys") for line in verdict.not_checked)
