"""Holds a verdict against revocations of the log's keys that the auditor has from outside."""

from collections.abc import Sequence
from dataclasses import replace

from domain.errors import VerificationError
from infrastructure.tlog.revocation import Recovery, require_in_force, revoked_generations
from infrastructure.tlog.verdict import REFUSED, Verification


def hold_revocations(
    verdict: Verification, recovery: Recovery, revocations: Sequence[bytes], anchored_round: int | None = None
) -> Verification:
    """Refuse what was verified if the generation of keys that signed it is revoked and it was not anchored in time.

    Args:
        verdict: what verification of a directory found.
        recovery: the recovery keys of this log's tenant, from outside.
        revocations: signed notes.
        anchored_round: the first round of the anchor log that commits to this checkpoint; None where none is known.

    Raises:
        MalformedError: when a revocation is none.
        VerificationError: when one is not signed at the threshold.
    """
    notes = [recovery.read(data) for data in revocations]
    if not verdict.ok:
        return verdict
    try:
        require_in_force(verdict.key_notes, revoked_generations(notes, verdict.origin or ""), anchored_round)
    except VerificationError as error:
        return replace(verdict, ok=False, trust=REFUSED, first_error=str(error), checked=())
    checked = f"no revocation among the {len(notes)} that were given stands against the keys that sign it"
    return replace(verdict, checked=(*verdict.checked, checked))
