"""Revoked generations of a log's keys (wire formats 2, "Key rotation").

Invariants:
- A revocation counts with signatures of a threshold of recovery-key holders, whose keys the auditor has from outside.
  A holder is a key name; who has two keys under one name signs with both, and counts once.
- Checkpoints of a revoked generation count only if the anchor log committed to them by the last good round. Where that
  is not known they don't count. Where the chain isn't shown, any generation that was revoked may have signed.
- Nor does a generation that was signed in by a revoked one, unless the last good round holds the log's own entry about
  it [a thief signs in keys of his own]. An auditor who has keys of both from outside needs no such link.
- A note about keys is signed by these keys themselves, so a thief gives them any number: whoever has keys of a later
  generation only doesn't know which ones the revoked generation had.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Standing:
    """What speaks for a checkpoint and its chain of keys. Rounds count where independent witnesses vouch for them.

    Args:
        known: the generations of which the auditor has a key from outside.
        head_round: the first round of the anchor log that commits to the checkpoint; None where none is known.
        rotation_rounds: by generation, the first round that holds the log's own entry about it, where that was read.
    """

    known: frozenset[int] = frozenset()
    head_round: int | None = None
    rotation_rounds: Mapping[int, int] = field(default_factory=dict)


def require_in_force(chain: Chain, revoked: Mapping[int, RevokedNote], standing: Standing) -> None:
    """Refuse a checkpoint that rests on revoked keys, unless what they signed was anchored in time.

    Args:
        chain: the generations of the log's keys, the last of which signed it.
        revoked: what is revoked of this log.
        standing: what speaks for it.

    Raises:
        VerificationError: when it doesn't count.
    """
    signing = chain[-1].generation if chain else None
    newest = max(standing.known, default=-1)
    for generation, note in revoked.items():
        if signing is None or generation == signing:
            _require_head(note, standing.head_round)
        elif generation < signing and not (generation in standing.known and generation < newest):
            _require_link(note, standing.rotation_rounds.get(generation + 1))


def _require_head(note: RevokedNote, head_round: int | None) -> None:
    if not note.admits(head_round):
        raise VerificationError(
            f"keys of generation {note.generation} were revoked: their checkpoints count where round "
            f"{note.last_good_round} or one before it holds them; {_first(head_round)}"
        )


def _require_link(note: RevokedNote, rotation_round: int | None) -> None:
    if not note.admits(rotation_round):
        raise VerificationError(
            f"keys of generation {note.generation} were revoked: those that they signed in count where round "
            f"{note.last_good_round} or one before it holds the log's disclosed entry about it; "
            f"{_first(rotation_round)}: name keys of generation {note.generation} and of a later one, from outside"
        )


def _first(anchored_round: int | None) -> str:
    return "none is known" if anchored_round is None else f"round {anchored_round} is the first"


def _signed(note: Note, keys: Sequence[VerifierKey]) -> bool:
    present = [key for key in keys if any(line.by(key) for line in note.signatures)]
    for key in present:
        verify_note_signature(note, key)
    return len(present) == len(keys)
