"""What can be held against a log's operator: signed statements about one log's size and root.

Invariants:
- A piece of evidence stands on its own: it carries the signed note that it rests on, and verifies with the keys of the
  anchor log (or of the log itself) and nothing else.
- An opening counts only for the log whose origin fixes its slot, in the anchor log of that origin's host.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchors import MIN_SLOTS, Opening, anchor_origin, blind, check_slots, parse_checkpoint
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.note import Note, parse_note
from domain.transparency.proofs import verify_inclusion
from domain.transparency.tlog_proof import TlogProof

CheckNote = Callable[[Note, Checkpoint], None]
"""Raises VerificationError unless the note is signed as its reader demands for the checkpoint's origin."""


@dataclass(frozen=True)
class AnchoredOpening:
    """An opening in its tlog-proof: what one round says of one log."""

    proof: TlogProof

    @classmethod
    def parse(cls, data: bytes) -> "AnchoredOpening":
        """Read a tlog-proof whose extra data is an opening.

        Raises:
            MalformedError: when it is anything else.
        """
        anchored = cls(TlogProof.parse(data))
        _ = anchored.opening
        return anchored

    def to_bytes(self) -> bytes:
        """Return the tlog-proof file."""
        return self.proof.to_bytes()

    @property
    def round_index(self) -> int:
        """Return the round: the entry's index in the anchor log."""
        return self.proof.index

    @cached_property
    def opening(self) -> Opening:
        """Return what the proof carries.

        Raises:
            MalformedError: when that is no opening.
        """
        if self.proof.extra is None:
            raise MalformedError("the proof carries no opening")
        return Opening.parse(self.proof.extra)

    def verify(
        self, origin: str, check_note: CheckNote, *, slot_key: bytes | None = None, minimum_slots: int = MIN_SLOTS
    ) -> Checkpoint | None:
        """Check everything that the opening says of the log with this origin.

        Args:
            origin: the log's.
            check_note: judges the signatures on the anchor log's checkpoint.
            slot_key: `k_slot`, where the reader has it: then the blind must be its own.
            minimum_slots: lower only for the published vector.

        Returns:
            The log's newest checkpoint as of the round; None if it had published none.

        Raises:
            VerificationError: when any of it is wrong, naming the round.
        """
        try:
            return self._verify(origin, check_note, slot_key, minimum_slots)
        except (MalformedError, VerificationError) as error:
            raise VerificationError(f"round {self.round_index}: {error}") from None

    def _verify(
        self, origin: str, check_note: CheckNote, slot_key: bytes | None, minimum_slots: int
    ) -> Checkpoint | None:
        check_slots(self.opening.slots, minimum=minimum_slots)
        checkpoint = self.opening.checkpoint(origin)
        if slot_key is not None and blind(slot_key, self.round_index) != self.opening.blinding:
            raise VerificationError("the blind is not that of the slot's key")
        anchors = parse_checkpoint(self.proof.note.text)
        if anchors.origin != anchor_origin(origin):
            raise VerificationError(f"anchored in {anchors.origin!a}, not in {anchor_origin(origin)!a}")
        leaf = self.opening.entry(self.round_index).leaf_hash()
        verify_inclusion(leaf, self.round_index, anchors.size, self.proof.path, anchors.root)
        check_note(self.proof.note, anchors)
        return checkpoint


@dataclass(frozen=True)
class SignedCheckpoint:
    """A checkpoint with its log's own signatures, as a bundle has it."""

    note: Note

    @classmethod
    def parse(cls, data: bytes) -> "SignedCheckpoint":
        """Read a signed note whose text is a checkpoint.

        Raises:
            MalformedError: when it is anything else.
        """
        signed = cls(parse_note(data))
        parse_checkpoint(signed.note.text)
        return signed

    def to_bytes(self) -> bytes:
        """Return the signed note."""
        return self.note.to_bytes()

    def verify(self, origin: str, check_note: CheckNote) -> Checkpoint:
        """Check that the log with this origin signed, and return what.

        Raises:
            VerificationError: when it did not.
        """
        try:
            checkpoint = parse_checkpoint(self.note.text)
        except MalformedError as error:
            raise VerificationError(f"the checkpoint of {origin!a}: {error}") from None
        if checkpoint.origin != origin:
            raise VerificationError(f"a checkpoint of {checkpoint.origin!a}, not of {origin!a}")
        check_note(self.note, checkpoint)
        return checkpoint


Evidence = AnchoredOpening | SignedCheckpoint
"""One side of a contradiction."""
