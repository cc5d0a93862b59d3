"""Holds a verdict against revocations of the log's keys that the auditor has from outside.

Invariants:
- The last good tree of each revocation, as far as the bundle reaches, is a part of this one; else the log was forked.
- A change of keys counts as recorded only where the log's own stream was disclosed, and read.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from domain.errors import VerificationError
from domain.transparency.key_notes import RevokedNote
from domain.transparency.note import VerifierKey
from infrastructure.audit.anchored import Anchored
from infrastructure.tlog.key_chain import generation_of
from infrastructure.tlog.own import RECORDED_ROTATIONS
from infrastructure.tlog.revocation import Recovery, Standing, require_in_force, revoked_generations
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import REFUSED, Verification
from infrastructure.tlog.verify import is_ours

NOT_LOOKED_AT = "revocations of the log's keys: no recovery key of its tenant was given"


def hold_revocations(
    path: Path,
    verdict: Verification,
    recovery: Recovery | None,
    revocations: Sequence[bytes],
    *,
    outside: Sequence[VerifierKey] = (),
    anchored: Anchored | None = None,
) -> Verification:
    """Refuse what was verified if it rests on keys of the log that were revoked, and was not anchored in time.

    Args:
        path: the directory.
        verdict: what its verification found.
        recovery: the recovery keys of this log's tenant, from outside; None where the auditor has none.
        revocations: signed notes.
        outside: the verifier keys that the auditor has from outside.
        anchored: what the anchor log says of it; None where that was not looked at.

    Raises:
        MalformedError: when a revocation is none.
        VerificationError: when one is not signed at the threshold.
    """
    if recovery is None:
        told = verdict.ok and verdict.origin is not None and is_ours(path, verdict.origin)
        return replace(verdict, not_checked=(*verdict.not_checked, NOT_LOOKED_AT)) if told else verdict
    notes = [recovery.read(data) for data in revocations]
    if not verdict.ok or verdict.origin is None or verdict.size is None:
        return verdict
    own = [note for note in notes if note.last_good.origin == verdict.origin]
    try:
        require_in_force(
            verdict.key_notes, revoked_generations(own, verdict.origin), _standing(verdict, outside, anchored)
        )
        larger = _require_one_history(TileTree(path, verdict.size), own)
    except VerificationError as error:
        return replace(verdict, ok=False, trust=REFUSED, first_error=str(error), checked=())
    checked = f"no revocation among the {len(notes)} that were given stands against the keys that sign it"
    return replace(verdict, checked=(*verdict.checked, checked), not_checked=(*verdict.not_checked, *larger))


def _standing(verdict: Verification, outside: Sequence[VerifierKey], anchored: Anchored | None) -> Standing:
    generations = (generation_of(verdict.key_notes, key) for key in outside)
    known = frozenset(generation for generation in generations if generation is not None)
    if anchored is None:
        return Standing(known)
    recorded = RECORDED_ROTATIONS not in verdict.not_checked
    return Standing(known, anchored.head_round, anchored.rotation_rounds if recorded else {})


def _require_one_history(tree: TileTree, notes: Sequence[RevokedNote]) -> tuple[str, ...]:
    """Compare the last good trees with this one; return what could not be compared.

    Raises:
        VerificationError: when one is of another history.
    """
    for note in (note for note in notes if note.last_good.size <= tree.size):
        good = note.last_good
        if tree.checkpoint(good.origin, good.size) != good:
            raise VerificationError(
                f"fork: the last good tree of size {good.size}, which the revocation of generation {note.generation} "
                "states, is no part of this one"
            )
    larger = (note.last_good.size for note in notes if note.last_good.size > tree.size)
    return tuple(f"the last good tree of a revocation, of size {size}: the bundle ends before it" for size in larger)
