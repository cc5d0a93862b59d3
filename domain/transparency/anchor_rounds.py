"""The auditor's check of the rounds since the last audit (wire formats 3).

Invariants:
- Each opening is in a signed anchor tree, at the slot that the origin fixes, and is empty or a checkpoint of exactly
  this log; from round to round sizes and slots never fall; each root is that of the auditor's own tree at that size.
- The outcome is "one history" for the rounds looked at, or a transferable proof of a fork. What lies between the
  rounds that were given, or beyond the auditor's tree, is never vouched for, and said.
- Memory is constant: rounds come in order and are not kept.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_evidence import AnchoredOpening, CheckNote, SignedCheckpoint
from domain.transparency.anchor_forks import ForkProof, contradiction
from domain.transparency.anchors import MIN_SLOTS, anchor_origin
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.note import Note
from domain.transparency.proofs import NodeGetter, consistency_proof

_RECENT = 64
"""How many anchor trees are kept to be compared: openings rest on few, or on one a round in the order of the rounds."""


class AuditedTree:
    """The tree of the bundle that the auditor verified: its signed checkpoint and the hashes behind it.

    Args:
        note: the bundle's checkpoint with its signatures.
        node: hashes of perfect subtrees, as `proofs.nodes_of` or tiles give them.

    Raises:
        MalformedError: when the note is no checkpoint.
        VerificationError: when the hashes do not lead to the checkpoint's root.
    """

    __slots__ = ("_last", "_node", "checkpoint", "note")

    def __init__(self, note: Note, node: NodeGetter) -> None:
        self.note = note
        self.checkpoint = Checkpoint.parse(note.text)
        self._node = node
        self._last = (0, EMPTY_ROOT)
        if self.root_at(self.checkpoint.size) != self.checkpoint.root:
            raise VerificationError("the tree's hashes lead to another root than its checkpoint's")

    def root_at(self, size: int) -> bytes:
        """Return the root (32 bytes) of the first `size` leaves, at most the checkpoint's."""
        if size != self._last[0]:  # rounds in which nothing happened ask for the same size again
            self._last = (size, self._frontier(size).root())
        return self._last[1]

    def consistency(self, old_size: int, new_size: int) -> tuple[bytes, ...]:
        """Return the consistency proof between two sizes, at most the checkpoint's."""
        return consistency_proof(self._node, old_size, new_size)

    def _frontier(self, size: int) -> Frontier:
        heights = [height for height in reversed(range(size.bit_length())) if size >> height & 1]
        return Frontier(size, tuple(self._node(height, (size >> height) - 1) for height in heights))


@dataclass(frozen=True, slots=True)
class Rounds:
    """What was found in order.

    `runs` are the first and last round of each gapless run whose roots are the tree's. `covered_size` is how many
    entries the last of them vouches for. `beyond` counts rounds whose checkpoint is larger than the tree: their sizes
    were compared with each other, their roots with nothing. `anchor_trees` counts the anchor trees that openings rest
    on; that several of them are one history rests on the witnesses.
    """

    runs: tuple[tuple[int, int], ...]
    covered_size: int
    beyond: int
    anchor_trees: int

    @property
    def verdict(self) -> str:
        """Return the finding as the auditor prints it."""
        if not self.runs:
            return "no round checked"
        parts = [
            f"one history in rounds {first}..{last}" if first < last else f"only round {first} checked"
            for first, last in self.runs
        ]
        return "; ".join(parts)

    def __str__(self) -> str:
        beyond = f"; {self.beyond} rounds hold more entries than this tree, their roots are not checked"
        return self.verdict + (beyond if self.beyond else "")


def verify_rounds(
    openings: Iterable[AnchoredOpening],
    *,
    origin: str,
    tree: AuditedTree,
    check_note: CheckNote,
    slot_key: bytes | None = None,
    minimum_slots: int = MIN_SLOTS,
) -> Rounds | ForkProof:
    """Check openings, in the order of their rounds, against the auditor's tree.

    Args:
        openings: one or more for each round; repetitions must say the same. To continue an audit, begin with the last
            round of the one before.
        origin: the log's.
        tree: what the auditor's bundle holds.
        check_note: judges the anchor log's signatures; called once for each distinct note. A fork against the bundle's
            own checkpoint asks it for that one's, too.
        slot_key: `k_slot`, where the auditor has it.
        minimum_slots: lower only for the published vector.

    Returns:
        The rounds that hold one history, or the proof of a fork.

    Raises:
        MalformedError: when the rounds are not in order, or the tree is another log's.
        VerificationError: when an opening does not verify, or contradicts a bundle that its log's keys have not signed.
    """
    if tree.checkpoint.origin != origin:
        raise MalformedError(f"the tree is of {tree.checkpoint.origin!a}, not of {origin!a}")
    scan = _Scan(origin, tree, _Once(check_note), slot_key, minimum_slots)
    for anchored in openings:
        fork = scan.take(anchored)
        if fork is not None:
            return fork
    return scan.finish()


class _Once:
    """Judges each distinct note once: many proofs rest on one checkpoint. Notices two roots of the anchor log."""

    __slots__ = ("_good", "_recent", "clash", "judge", "trees")

    def __init__(self, judge: CheckNote) -> None:
        self.judge = judge
        self._good: Note | None = None
        self._recent: dict[int, tuple[bytes, Note]] = {}
        self.trees = 0
        self.clash: tuple[Note, Note] | None = None

    def __call__(self, note: Note, checkpoint: Checkpoint) -> None:
        if note == self._good:  # rounds that rest on one note come one after the other
            return
        self.judge(note, checkpoint)
        self._good = note
        root, known = self._recent.setdefault(checkpoint.size, (checkpoint.root, note))
        self.trees += known is note
        if root != checkpoint.root:
            self.clash = (known, note)
        if len(self._recent) > _RECENT:
            del self._recent[next(iter(self._recent))]


@dataclass(slots=True)
class _Scan:
    """Walks the rounds; keeps the last one, and the first whose root is not the tree's."""

    origin: str
    tree: AuditedTree
    check_note: _Once
    slot_key: bytes | None
    minimum_slots: int
    previous: AnchoredOpening | None = None
    stray: tuple[AnchoredOpening, int] | None = None
    runs: list[tuple[int, int]] = field(default_factory=list)
    covered_size: int = 0
    beyond: int = 0

    def take(self, anchored: AnchoredOpening) -> ForkProof | None:
        checkpoint = anchored.verify(
            self.origin, self.check_note, slot_key=self.slot_key, minimum_slots=self.minimum_slots
        )
        fork = self._against_previous(anchored) or self._of_anchors()
        if fork is not None:
            return fork
        repeated = self.previous is not None and self.previous.round_index == anchored.round_index
        self.previous = anchored
        return None if repeated else self._against_tree(anchored, checkpoint)

    def finish(self) -> Rounds | ForkProof:
        if self.stray is None:
            return Rounds(tuple(self.runs), self.covered_size, self.beyond, self.check_note.trees)
        stray, size = self.stray
        signed = SignedCheckpoint(self.tree.note)
        try:
            signed.verify(self.origin, self.check_note.judge)
        except VerificationError as error:
            raise VerificationError(
                f"round {stray.round_index} contradicts the bundle, which is not authentic: {error}"
            ) from None
        return self._fork(stray, size, signed, self.tree.checkpoint.size)

    def _against_previous(self, anchored: AnchoredOpening) -> ForkProof | None:
        if self.previous is None:
            return None
        if anchored.round_index < self.previous.round_index:
            raise MalformedError(f"round {anchored.round_index} comes after round {self.previous.round_index}")
        return contradiction(self.origin, self.previous, anchored)

    def _of_anchors(self) -> ForkProof | None:
        if self.check_note.clash is None:
            return None
        one, other = self.check_note.clash
        return ForkProof(anchor_origin(self.origin), SignedCheckpoint(one), SignedCheckpoint(other))

    def _against_tree(self, anchored: AnchoredOpening, checkpoint: Checkpoint | None) -> ForkProof | None:
        size = 0 if checkpoint is None else checkpoint.size
        if size > self.tree.checkpoint.size:
            self.beyond += 1
        elif checkpoint is not None and self.tree.root_at(size) != checkpoint.root:
            self.stray = self.stray or (anchored, size)
        elif self.stray is not None:  # sizes never fall, so this round's tree has the stray's size behind it
            return self._fork(*self.stray, anchored, size)
        else:
            self._cover(anchored.round_index, size)
        return None

    def _cover(self, round_index: int, size: int) -> None:
        if self.runs and self.runs[-1][1] == round_index - 1:
            self.runs[-1] = (self.runs[-1][0], round_index)
        else:
            self.runs.append((round_index, round_index))
        self.covered_size = size

    def _fork(
        self, stray: AnchoredOpening, size: int, other: AnchoredOpening | SignedCheckpoint, other_size: int
    ) -> ForkProof:
        """Return the proof that the stray's tree is none of the trees that lead to the other side's root."""
        if size == other_size:
            return ForkProof(self.origin, stray, other)
        path = self.tree.consistency(size, other_size)
        return ForkProof(self.origin, stray, other, self.tree.root_at(size), path)
