"""Revoked generations of a log's keys (wire formats 2, "Key rotation").

Invariants:
- A revocation counts with signatures of a threshold of recovery-key holders, whose keys the auditor has from outside.
  A holder is a key name; who has two keys under one name signs with both, and counts once.
- Checkpoints of a revoked generation count only if the anchor log committed to them by the last good round. Where that
  is not known they don't count. Where the chain isn't shown, any generation that was revoked may have signed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import MalformedError, VerificationError
from domain.transparency.key_notes import RevokedNote
from domain.transparency.note import Note, SignatureType, VerifierKey, parse_note
from infrastructure.tlog.key_chain import Chain
from infrastructure.tlog.signing import verify_note_signature


@dataclass(frozen=True, slots=True)
class Recovery:
    """Recovery keys that an auditor has from outside, and how many of their holders must sign.

    Raises:
        MalformedError: when the threshold can't be met, or a key is a witness's.
    """

    keys: tuple[VerifierKey, ...]
    threshold: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= len(self.holders):
            raise MalformedError(f"the recovery threshold is from 1 to {len(self.holders)}, the number of key holders")
        if any(key.type is SignatureType.ED25519_COSIGNATURE for key in self.keys):
            raise MalformedError("a recovery key is an Ed25519 or ML-DSA-44 key, not a witness's")

    @property
    def holders(self) -> dict[str, tuple[VerifierKey, ...]]:
        """Return the keys of each holder, by name."""
        return {name: tuple(key for key in self.keys if key.name == name) for name in {key.name for key in self.keys}}

    def read(self, data: bytes) -> RevokedNote:
        """Verify a revocation and return it.

        Raises:
            MalformedError: when it is none.
            VerificationError: when fewer holders than the threshold signed, or a known key's signature is wrong.
        """
        signed = parse_note(data)
        revoked = RevokedNote.parse(signed.text)
        count = sum(_signed(signed, keys) for keys in self.holders.values())
        if count < self.threshold:
            raise VerificationError(
                f"the revocation has signatures of {count} recovery holders; {self.threshold} are due"
            )
        return revoked


def revoked_generations(notes: Sequence[RevokedNote], origin: str) -> Mapping[int, RevokedNote]:
    """Return what is revoked of a log, by generation; of several for one generation the strictest."""
    found: dict[int, RevokedNote] = {}
    for note in sorted(notes, key=lambda one: -one.last_good_round):
        if note.last_good.origin == origin:
            found[note.generation] = note
    return found


def require_in_force(chain: Chain, revoked: Mapping[int, RevokedNote], anchored_round: int | None) -> None:
    """Refuse a checkpoint whose keys were revoked, unless it was anchored in time.

    Args:
        chain: the generations of the log's keys, the last of which signed it.
        revoked: what is revoked of this log.
        anchored_round: the first round of the anchor log that commits to this checkpoint; None where none is known.

    Raises:
        VerificationError: when it doesn't count.
    """
    generations = [chain[-1].generation] if chain else list(revoked)
    for note in (revoked[generation] for generation in generations if generation in revoked):
        if not note.admits(anchored_round):
            known = "none is known" if anchored_round is None else f"round {anchored_round} is the first"
            raise VerificationError(
                f"keys of generation {note.generation} were revoked: their checkpoints count where round "
                f"{note.last_good_round} or one before it holds them; {known}"
            )


def _signed(note: Note, keys: Sequence[VerifierKey]) -> bool:
    present = [key for key in keys if any(line.by(key) for line in note.signatures)]
    for key in present:
        verify_note_signature(note, key)
    return len(present) == len(keys)
