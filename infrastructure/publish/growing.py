"""Lets a published tree grow: new tiles and entry bundles from a source's entries, written aside first.

Invariants:
- Memory does not grow with the log: entries stream through, 256 at a time.
- Nothing is placed here. The caller compares the root, then places the whole batch or nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Protocol

from domain.errors import VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from domain.transparency.tiles import ENTRIES, MAX_ENTRY_BYTES, TILE_WIDTH, Tile, TileStream, encode_entries
from infrastructure.publish.files import FileBatch
from infrastructure.publish.tile_directory import TileDirectory


class TreeSource(Protocol):
    """A log as whoever stores it has it at one moment: size and root don't change while it is used."""

    @property
    def origin(self) -> str:
        """Return the log's origin."""
        ...

    def size(self) -> int:
        """Return how many entries it has."""
        ...

    def root(self) -> bytes:
        """Return the root of their tree."""
        ...

    def entries(self, first: int, last: int) -> Iterator[bytes]:
        """Yield the entries from one leaf index up to, not including, another."""
        ...


@dataclass
class Growth:
    """A tree on its way to a larger size: its tiles' stream, and the entries of the bundle that is not full yet."""

    stream: TileStream = field(default_factory=TileStream)
    bundle: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, tiles: TileDirectory, size: int) -> "Growth":
        """Go on from the published tree of a size.

        Raises:
            VerificationError: when a tile or bundle that this needs is missing or damaged.
        """
        tree = tiles.tree(size)
        growth = cls(tree.stream(), tiles.open_bundle(size))
        first = size - len(growth.bundle)
        for index, entry in enumerate(growth.bundle, first):
            if leaf_hash(entry) != tree.leaf_hash(index):
                raise VerificationError(f"{Tile(ENTRIES, first // TILE_WIDTH).path}: entry {index} is damaged")
        return growth

    @property
    def frontier(self) -> Frontier:
        """Return the frontier of the tree as it is now."""
        return self.stream.frontier()

    def take(self, source: TreeSource, size: int, batch: FileBatch) -> None:
        """Take a source's entries up to a size; write what becomes full aside.

        Raises:
            VerificationError: when the source has fewer, or one that no bundle can hold.
        """
        entries = source.entries(self.stream.size, size)
        while self.stream.size < size:
            room = min(TILE_WIDTH - len(self.bundle), size - self.stream.size)
            taken = list(islice(entries, room))
            if len(taken) < room:
                raise VerificationError(f"{source.origin} has an entry {self.stream.size + len(taken)} no more")
            _check(taken, self.stream.size)
            self.bundle += taken
            full = self.stream.push([leaf_hash(entry) for entry in taken])
            if len(self.bundle) == TILE_WIDTH:
                batch.add(Tile(ENTRIES, self.stream.size // TILE_WIDTH - 1).path, encode_entries(self.bundle))
                self.bundle.clear()
            for tile, data in full:
                batch.add(tile.path, data)

    def finish(self, batch: FileBatch) -> None:
        """Write the partial tiles and the partial bundle of the tree as it is now aside."""
        if self.bundle:
            place, width = divmod(self.stream.size, TILE_WIDTH)
            batch.add(Tile(ENTRIES, place, width).path, encode_entries(self.bundle))
        for tile, data in self.stream.partials():
            batch.add(tile.path, data)


def _check(entries: list[bytes], first: int) -> None:
    for index, entry in enumerate(entries, first):
        if not 1 <= len(entry) <= MAX_ENTRY_BYTES:
            raise VerificationError(f"entry {index} has {len(entry)} bytes; 1 to {MAX_ENTRY_BYTES} are allowed")
