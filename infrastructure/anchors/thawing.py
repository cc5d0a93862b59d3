"""Gives a frozen anchor log back its rounds, after a restore from an older backup (wire formats 2, "Floor").

Invariants:
- Missing rounds come back byte for byte from tiles, or not at all: each is proven to be in the floor's tree before it
  is stored, and that tree extends the rounds that are there.
- A database that holds other rounds than those that were signed is never mended: that is a second history.
- The mark goes only when database and floor agree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domain.errors import VerificationError
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.anchors import AnchorEntry
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import leaf_hash
from domain.transparency.proofs import verify_inclusion
from infrastructure.anchors.journal import Journal
from infrastructure.anchors.rounds import Draft, Round, Rounds
from infrastructure.publish.floors import Floors
from infrastructure.publish.publishing import contradiction
from infrastructure.publish.tile_directory import TileDirectory


@dataclass(frozen=True, slots=True)
class Thawed:
    """How many rounds came back, and which of them can't be opened: the journal did not know what they commit to."""

    restored: int
    closed: tuple[int, ...]


def thaw(
    rounds: Rounds, floors: Floors, tiles: TileDirectory, journal: Journal, keys: SlotKeys, origin: str, *, at_ms: int
) -> Thawed:
    """Bring back the rounds up to the floor, then take the mark away. The caller holds the anchors' lock.

    Args:
        rounds: the database's.
        floors: where the floor lies.
        tiles: a published directory of the anchor log, ours or a mirror's.
        journal: what the rounds commit to.
        keys: of all slots.
        origin: the anchor log's.
        at_ms: noted with rounds that the journal doesn't know.

    Raises:
        VerificationError: when tiles, floor and database are not of one history, or rounds are still missing.
    """
    floor = floors.read(origin)
    there = rounds.frontier()
    closed: list[int] = []
    restored = 0
    if floor is not None and there.size < floor.size:
        _check_source(tiles, floor, Checkpoint(origin, there.size, there.root()))
        entries = _proven(tiles, floor, there.size)
        for restored, opened in enumerate(_restore(rounds, keys, entries, journal.read(there.size), at_ms), 1):  # noqa: B007
            if opened is not None:
                closed.append(opened)
    if floor is not None:
        back = rounds.frontier_at(floor.size)
        if back is None or Checkpoint(origin, back.size, back.root()) != floor:
            found = rounds.frontier()
            raise VerificationError(contradiction(floor, Checkpoint(origin, found.size, found.root())))
    floors.thaw(origin)
    return Thawed(restored, tuple(closed))


def _check_source(tiles: TileDirectory, floor: Checkpoint, there: Checkpoint) -> None:
    tree = tiles.tree(floor.size)
    if tree.checkpoint(floor.origin) != floor:
        raise VerificationError(f"the tiles in {tiles.path} are not those of the floor's tree: name a true mirror")
    if tree.checkpoint(floor.origin, there.size) != there:
        raise VerificationError(contradiction(floor, there))


def _proven(tiles: TileDirectory, floor: Checkpoint, first: int) -> Iterator[bytes]:
    tree = tiles.tree(floor.size)
    for index, entry in enumerate(tree.entries(first), first):
        verify_inclusion(leaf_hash(entry), index, floor.size, tree.inclusion(index), floor.root)
        yield entry


def _restore(
    rounds: Rounds,
    keys: SlotKeys,
    entries: Iterable[bytes],
    lines: Iterable[tuple[int, int, dict[int, bytes]]],
    at_ms: int,
) -> Iterator[int | None]:
    """Store one entry after the other; yield the round where what it commits to is not known, else None."""
    known: dict[int, list[tuple[int, dict[int, bytes]]]] = {}
    for index, noted_ms, texts in lines:
        known.setdefault(index, []).append((noted_ms, texts))
    for entry in entries:
        parsed = AnchorEntry.parse(entry)
        opened = _Restored(keys, entry, parsed, known.pop(parsed.round_index, []), at_ms)
        rounds.append(opened.draft, opened.noted_ms)
        yield None if opened.known else parsed.round_index


class _Restored:
    """One round that comes back: its entry, and of the journal's lines the one that gives it."""

    def __init__(
        self,
        keys: SlotKeys,
        entry: bytes,
        parsed: AnchorEntry,
        lines: list[tuple[int, dict[int, bytes]]],
        at_ms: int,
    ) -> None:
        self._keys = keys
        self._entry = entry
        self._parsed = parsed
        self._lines = lines
        self.noted_ms = lines[-1][0] if lines else at_ms
        self.known = False

    def draft(self, newest: Round | None, committed: Mapping[int, bytes], _traced: int) -> Draft:
        if self._parsed.round_index != (0 if newest is None else newest.index + 1):
            raise VerificationError("somebody else writes rounds just now; stop it, then thaw again")
        for _, changed in [*self._lines, (0, {})]:
            made = AnchorRound(
                self._keys,
                self._parsed.round_index,
                {**committed, **changed},
                slots=self._parsed.slots,
                trace_root=self._parsed.trace_root,
            )
            if made.entry == self._parsed:
                self.known = True
                return Draft(self._entry, changed)
        return Draft(self._entry, {})
