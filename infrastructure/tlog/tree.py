"""A log's tree at one size, read from its tiles: nodes, roots, proofs, entries. No database.

Invariants:
- A tile is read when it is needed, and what is hashed of it is kept with it; memory does not grow with the log.
- Reading believes nothing and proves nothing: who needs a true answer compares the root with one that is signed.
- The tiles of a proof are asked for together, before the first is read: on a disk that is one wait instead of several.
- A full tile may stand in for the partial one of the size (tlog-tiles, Partial Tiles).
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import HASH_BYTES, node_hash
from domain.transparency.proofs import consistency_proof, inclusion_proof
from domain.transparency.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    TileStream,
    split_hashes,
    top_level,
)
from infrastructure.tlog.files import read_file
from infrastructure.tlog.reader import read_bundle, stored_tile

_LEVEL_BITS = 8
_KEPT_TILES = 32
_TILE_BYTES = TILE_WIDTH * HASH_BYTES


class TileTree:
    """The tree of a log's first `size` entries.

    Args:
        directory: where its tiles are.
        size: a count; tiles for it, or for more, are there.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self.size = size
        self._tiles: OrderedDict[Tile, tuple[list[bytes], ...]] = OrderedDict()

    def node(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree over leaves `[index << height, (index + 1) << height)`.

        Raises:
            MalformedError: when it is not in the tree.
            VerificationError: when its tile is missing or damaged.
        """
        level, within = divmod(height, _LEVEL_BITS)
        first, count = index << within, 1 << within
        place, start = divmod(first, TILE_WIDTH)
        width = min((self.size >> _LEVEL_BITS * level) - place * TILE_WIDTH, TILE_WIDTH)
        if index < 0 or start + count > width:
            raise MalformedError(f"a tree of size {self.size} has no node {index} of height {height}")
        return self._levels(Tile(level, place, width), within)[within][start >> within]

    def frontier(self, size: int | None = None) -> Frontier:
        """Return the frontier of the tree, or of its first `size` entries. Raises as `node` does."""
        end, at, roots = self.size if size is None else size, 0, []
        for height in range(end.bit_length() - 1, -1, -1):
            if end >> height & 1:
                roots.append(self.node(height, at >> height))
                at += 1 << height
        return Frontier(end, tuple(roots))

    def checkpoint(self, origin: str, size: int | None = None) -> Checkpoint:
        """Return what a checkpoint of this tree, or of its first `size` entries, says. Raises as `node` does."""
        frontier = self.frontier(size)
        return Checkpoint(origin, frontier.size, frontier.root())

    def inclusion(self, index: int) -> tuple[bytes, ...]:
        """Return the proof that the leaf at an index is in this tree, lowest node first. Raises as `node` does."""
        for tile in self.proof_tiles(index):
            _ask_for(self._directory / tile.path)
        return inclusion_proof(self.node, index, self.size)

    def proof_tiles(self, index: int) -> Iterator[Tile]:
        """Yield the tiles that the inclusion proof of a leaf reads: those above it, and those at the right edge."""
        level, hashes = 0, self.size
        while hashes:
            for place in {index // TILE_WIDTH, (hashes - 1) // TILE_WIDTH}:
                if place * TILE_WIDTH < hashes:
                    yield Tile(level, place, min(hashes - place * TILE_WIDTH, TILE_WIDTH))
            level, hashes, index = level + 1, hashes // TILE_WIDTH, index // TILE_WIDTH

    def consistency(self, old_size: int) -> tuple[bytes, ...]:
        """Return the proof that this tree extends the one of `old_size`. Raises as `node` does."""
        return consistency_proof(self.node, old_size, self.size)

    def leaf_hash(self, index: int) -> bytes:
        """Return the leaf hash at an index. Raises as `node` does."""
        return self.node(0, index)

    def stream(self) -> TileStream:
        """Return a tile stream that goes on from this tree. Raises as `node` does."""
        partials = {}
        for level in range(top_level(self.size) + 1):
            place, width = divmod(self.size >> _LEVEL_BITS * level, TILE_WIDTH)
            if width:
                partials[level] = self._levels(Tile(level, place, width), 0)[0]
        return TileStream.resume(self.size, partials)

    def entries(self, first: int = 0) -> Iterator[bytes]:
        """Yield the entries from an index to the tree's size.

        Raises:
            VerificationError: when a bundle is missing or damaged; entries before it were yielded.
        """
        for place in range(first // TILE_WIDTH, -(-self.size // TILE_WIDTH)):
            start = place * TILE_WIDTH
            tile = Tile(ENTRIES, place, min(self.size - start, TILE_WIDTH))
            yield from read_bundle(self._directory, tile, prefix=True)[max(first - start, 0) :]

    def entry(self, index: int) -> bytes:
        """Return the entry at an index. Raises as `entries` does, and MalformedError when it is not in the tree."""
        if not 0 <= index < self.size:
            raise MalformedError(f"leaf {index} is not in a tree of size {self.size}")
        place, start = divmod(index, TILE_WIDTH)
        tile = Tile(ENTRIES, place, min(self.size - place * TILE_WIDTH, TILE_WIDTH))
        return read_bundle(self._directory, tile, prefix=True)[start]

    def _levels(self, tile: Tile, height: int) -> tuple[list[bytes], ...]:
        """Return a tile's hashes, and the roots of its perfect subtrees by height: up to this one at least.

        Threads share a tree: what is kept is replaced as a whole, never changed.
        """
        levels = known = self._tiles.get(tile) or (self._read(tile),)
        while len(levels) <= height:
            levels = (*levels, list(map(node_hash, levels[-1][::2], levels[-1][1::2])))
        if levels is not known or tile not in self._tiles:
            self._tiles[tile] = levels
            if len(self._tiles) > _KEPT_TILES:
                self._tiles.popitem(last=False)
        return levels

    def _read(self, tile: Tile) -> list[bytes]:
        stored = stored_tile(self._directory, tile)
        data = read_file(self._directory, stored.path, _TILE_BYTES)
        if len(data) != stored.width * HASH_BYTES:
            raise VerificationError(f"{stored.path}: {len(data)} bytes where {stored.width * HASH_BYTES} are due")
        return split_hashes(data)[: tile.width]


def _ask_for(path: Path) -> None:
    """Let the kernel begin to read a file. What can't be asked for is read later, or is missing then."""
    if not hasattr(os, "posix_fadvise"):
        return
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(descriptor)
