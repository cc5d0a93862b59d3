"""Transferable proof that an operator told two stories (wire formats 3).

Invariants:
- A fork proof convinces whoever has the anchor log's keys (and the log's own, where one side is its checkpoint) with
  nothing but itself: no bundle, no slot key, no trust in the auditor who made it.
- It never accuses an honest operator: each reason contradicts a rule that one append-only log can't break.
- `ForkProof.parse` accepts exactly what `to_bytes` prints.
"""

import base64
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, CheckNote, Evidence, SignedCheckpoint
from domain.transparency.anchors import MIN_SLOTS, parse_checkpoint
from domain.transparency.checkpoint import Checkpoint, check_origin
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.note import decode_base64
from domain.transparency.proofs import verify_consistency
from domain.transparency.tlog_proof import MAX_PATH

MAX_FORK_PROOF_BYTES = 8 << 20
_FORMAT = "ledger-fork-proof/v1"
_MEMBERS = {"consistency", "first", "format", "origin", "prefix_root", "second"}


class ForkReason(StrEnum):
    """Which rule the two sides break."""

    ROUND_TWICE = "the anchor log holds two entries for one round"
    SIZE_FELL = "a later round has a smaller tree"
    SLOTS_FELL = "a later round has fewer slots"
    TWO_ROOTS = "one size has two roots"
    NOT_A_PREFIX = "the smaller tree is no prefix of the larger one"


class HistoryTree(Protocol):
    """A tree whose entries somebody holds."""

    def root_at(self, size: int) -> bytes:
        """Return the root (32 bytes) of the first `size` leaves."""
        ...

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the consistency proof between two sizes."""
        ...


@dataclass(frozen=True)
class ForkProof:
    """Two statements about the log with this origin that can't both be true.

    Two signed checkpoints may be of the anchor log itself.

    `prefix_root` and `consistency` are set where the reason needs them: the root that the larger side's tree has at the
    smaller side's size, and the proof that it has. `reason` is the rule that is broken if both sides verify.

    Raises:
        MalformedError: when the sides do not contradict each other.
    """

    origin: str
    first: Evidence
    second: Evidence
    prefix_root: bytes | None = None
    consistency: tuple[bytes, ...] = ()
    reason: ForkReason = field(init=False, compare=False)

    def __post_init__(self) -> None:
        check_origin(self.origin)
        if len(self.consistency) > MAX_PATH or (self.prefix_root is None and self.consistency):
            raise MalformedError("a fork proof has a consistency proof only with the root that it proves")
        try:
            reason = self._reason()
        except VerificationError as error:
            raise MalformedError(f"not a fork proof: {error}") from None
        if reason is None or (reason is ForkReason.NOT_A_PREFIX) != (self.prefix_root is not None):
            raise MalformedError("not a fork proof: its two sides can both be true, or it holds more than they need")
        object.__setattr__(self, "reason", reason)

    def verify(self, check_note: CheckNote, *, minimum_slots: int = MIN_SLOTS) -> ForkReason:
        """Check both sides and that they contradict each other.

        Args:
            check_note: judges signatures by the keys that the reader has for the anchor log, and for the log itself
                where one side is its signed checkpoint. Cosignatures are not needed: the log's signature convicts.
            minimum_slots: lower only for the published vector.

        Raises:
            VerificationError: when a side is not authentic; then nothing is proven.
        """
        for side in (self.first, self.second):
            if isinstance(side, AnchoredOpening):
                side.verify(self.origin, check_note, minimum_slots=minimum_slots)
            else:
                side.verify(self.origin, check_note)
        return self.reason

    @classmethod
    def parse(cls, data: bytes) -> "ForkProof":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else, or contradicts nothing.
        """
        if len(data) > MAX_FORK_PROOF_BYTES:
            raise MalformedError(f"a fork proof of {len(data)} bytes is over the limit of {MAX_FORK_PROOF_BYTES}")
        document = parse_canonical(data)
        if not isinstance(document, dict) or set(document) != _MEMBERS or document["format"] != _FORMAT:
            raise MalformedError(f"not a fork proof of the format {_FORMAT}")
        hashes, root = document["consistency"], document["prefix_root"]
        if not isinstance(hashes, list):
            raise MalformedError("a fork proof's consistency proof is a list")
        return cls(
            _text(document["origin"]),
            _parse_side(document["first"]),
            _parse_side(document["second"]),
            None if root is None else _hash(root),
            tuple(_hash(digest) for digest in hashes),
        )

    def to_bytes(self) -> bytes:
        """Return the proof as canonical JSON; the sides are inside as the files that they were."""
        return canonical(
            {
                "format": _FORMAT,
                "origin": self.origin,
                "first": _print_side(self.first),
                "second": _print_side(self.second),
                "prefix_root": None if self.prefix_root is None else base64.b64encode(self.prefix_root).decode(),
                "consistency": [base64.b64encode(digest).decode() for digest in self.consistency],
            }
        )

    def _reason(self) -> ForkReason | None:
        sides = _sides(self.origin, self.first, self.second)
        reason = _plain_reason(self.first, self.second, *sides)
        if reason is not None or self.prefix_root is None or sides[0] is None or sides[1] is None:
            return reason
        small, large = sorted((sides[0], sides[1]), key=_size)
        if small.size == large.size or small.root == self.prefix_root:
            return None
        verify_consistency(small.size, large.size, self.consistency, self.prefix_root, large.root)
        return ForkReason.NOT_A_PREFIX

    def __str__(self) -> str:
        return f"fork of {self.origin}: {self.reason} ({describe(self.first)}; {describe(self.second)})"


def contradiction(origin: str, first: Evidence, second: Evidence, tree: HistoryTree | None = None) -> ForkProof | None:
    """Return the proof that two verified pieces of evidence contradict each other, or None if both can be true.

    Args:
        origin: the log's.
        first: one side.
        second: the other.
        tree: the entries behind the side with the larger tree, where they are at hand: without them only
            contradictions between the numbers themselves show.
    """
    sides = _sides(origin, first, second)
    if _plain_reason(first, second, *sides) is not None:
        return ForkProof(origin, first, second)
    if tree is None or sides[0] is None or sides[1] is None:
        return None
    small, large = sorted((sides[0], sides[1]), key=_size)
    root = tree.root_at(small.size)
    if small.size == large.size or small.root == root or large.root != tree.root_at(large.size):
        return None
    return ForkProof(origin, first, second, root, tree.consistency(small.size, large.size))


def describe(side: Evidence) -> str:
    """Return in a few words what one side says."""
    if isinstance(side, AnchoredOpening):
        text = side.opening.text
        what = _shown(parse_checkpoint(text)) if text else "nothing published"
        return f"round {side.round_index}: {what}"
    return f"signed checkpoint: {_shown(parse_checkpoint(side.note.text))}"


def _plain_reason(
    first: Evidence, second: Evidence, first_says: Checkpoint | None, second_says: Checkpoint | None
) -> ForkReason | None:
    """Return the rule that the numbers break by themselves."""
    if isinstance(first, AnchoredOpening) and isinstance(second, AnchoredOpening):
        reason = _reason_of_rounds(first, second, first_says, second_says)
        if reason is not None:
            return reason
    if first_says is None or second_says is None or first_says.size != second_says.size:
        return None
    return ForkReason.TWO_ROOTS if first_says.root != second_says.root else None


def _reason_of_rounds(
    first: AnchoredOpening, second: AnchoredOpening, first_says: Checkpoint | None, second_says: Checkpoint | None
) -> ForkReason | None:
    if first.round_index == second.round_index:
        same = first.opening.entry(first.round_index) == second.opening.entry(second.round_index)
        return None if same else ForkReason.ROUND_TWICE
    pair = ((first, first_says), (second, second_says))
    (older, older_says), (newer, newer_says) = pair if first.round_index < second.round_index else pair[::-1]
    if newer.opening.slots < older.opening.slots:
        return ForkReason.SLOTS_FELL
    return ForkReason.SIZE_FELL if _size(newer_says) < _size(older_says) else None


def _size(checkpoint: Checkpoint | None) -> int:
    """Return the tree size; -1 where nothing was published, which nothing that was published may become again."""
    return -1 if checkpoint is None else checkpoint.size


def _sides(origin: str, first: Evidence, second: Evidence) -> tuple[Checkpoint | None, Checkpoint | None]:
    return _checkpoint(first, origin), _checkpoint(second, origin)


def _checkpoint(side: Evidence, origin: str) -> Checkpoint | None:
    if isinstance(side, AnchoredOpening):
        return side.opening.checkpoint(origin)
    checkpoint = parse_checkpoint(side.note.text)
    if checkpoint.origin != origin:
        raise MalformedError(f"a checkpoint of {checkpoint.origin!a}, not of {origin!a}")
    return checkpoint


def _print_side(side: Evidence) -> dict[str, str]:
    return {"opening" if isinstance(side, AnchoredOpening) else "checkpoint": side.to_bytes().decode()}


def _parse_side(value: Any) -> Evidence:
    match value:
        case {"opening": str(text), **rest} if not rest:
            return AnchoredOpening.parse(text.encode())
        case {"checkpoint": str(text), **rest} if not rest:
            return SignedCheckpoint.parse(text.encode())
        case _:
            raise MalformedError("a side of a fork proof is an opening or a checkpoint")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise MalformedError("a fork proof's origin and hashes are strings")
    return value


def _hash(value: Any) -> bytes:
    digest = decode_base64(_text(value))
    if len(digest) != HASH_BYTES:
        raise MalformedError(f"a hash of a fork proof is not {HASH_BYTES} bytes")
    return digest


def _shown(checkpoint: Checkpoint) -> str:
    return f"size {checkpoint.size}, root {checkpoint.root.hex()}"
