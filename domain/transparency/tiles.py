"""Tiles and entry bundles (c2sp.org/tlog-tiles).

Invariants:
- A tree of one size has one set of tiles: at level l, `size >> 8l` hashes in full tiles of 256 and, where 256 does not
  divide them, one partial tile; never an empty one. Entry bundles follow level 0. Size 0 has none.
- A hash of level l+1 is the root of a full tile of level l; a partial tile is hashed into nothing.
- Encoders and decoders, paths included, are exact inverses.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import MalformedError
from domain.transparency.frontier import MAX_TREE_SIZE, Frontier
from domain.transparency.hashing import HASH_BYTES, node_hash

TILE_WIDTH = 256
MAX_ENTRY_BYTES = 65_535
"""What the two-byte length before an entry can say."""

ENTRIES = -1
"""The level of an entry bundle, whose path says `entries`."""

_LENGTH_BYTES = 2
_LEVEL_BITS = 8
_MAX_LEVEL = 63
_PATH = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Tile:
    """Place of one tile: level (0 to 63, or `ENTRIES`), index within the level, width (1 to 256)."""

    level: int
    index: int
    width: int = TILE_WIDTH

    def __post_init__(self) -> None:
        if not ENTRIES <= self.level <= _MAX_LEVEL:
            raise MalformedError(f"no tile has level {self.level}")
        if not 0 <= self.index <= MAX_TREE_SIZE or not 1 <= self.width <= TILE_WIDTH:
            raise MalformedError("a tile's index or width is out of range")

    @classmethod
    def parse(cls, path: str) -> "Tile":
        """Read a path such as `tile/0/x001/x234/067` or `tile/entries/000.p/5`.

        Raises:
            MalformedError: for any other spelling.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise MalformedError("not the path of a tile")
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        tile = cls(level, index, int(match["width"] or TILE_WIDTH))
        if tile.path != path:  # such as a needless x000/ or the width 256
            raise MalformedError("not the canonical path of a tile")
        return tile

    @property
    def path(self) -> str:
        """Return the path relative to the log's prefix."""
        index, rest = f"{self.index % 1000:03}", self.index // 1000
        while rest:
            index, rest = f"x{rest % 1000:03}/{index}", rest // 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{index}" + (f".p/{self.width}" if self.width < TILE_WIDTH else "")

    @property
    def full(self) -> "Tile":
        """Return the full tile at the same place, whose first hashes a partial tile's are."""
        return Tile(self.level, self.index)

    def belongs_to(self, size: int) -> bool:
        """Tell whether a tree of this size has exactly this tile."""
        hashes = size >> _LEVEL_BITS * max(self.level, 0)
        return min(hashes - self.index * TILE_WIDTH, TILE_WIDTH) == self.width


def required_tiles(size: int, level: int) -> Iterator[Tile]:
    """Yield the tiles of one level (or `ENTRIES`) for a tree of this size, by index; the partial one comes last."""
    hashes = size >> _LEVEL_BITS * max(level, 0)
    full, width = divmod(hashes, TILE_WIDTH)
    for index in range(full):
        yield Tile(level, index)
    if width:
        yield Tile(level, full, width)


def required_paths(size: int) -> Iterator[str]:
    """Yield the path of every tile and entry bundle of a tree of this size."""
    for level in (ENTRIES, *range(top_level(size) + 1)):
        for tile in required_tiles(size, level):
            yield tile.path


def top_level(size: int) -> int:
    """Return the highest level that has a tile; -1 for the empty tree."""
    return (size.bit_length() - 1) // _LEVEL_BITS if size else -1


def encode_entries(entries: Iterable[bytes]) -> bytes:
    """Return an entry bundle: each entry behind its two-byte big-endian length.

    Raises:
        MalformedError: when an entry is longer than 65,535 bytes.
    """
    parts: list[bytes] = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedError(f"an entry of {len(entry)} bytes is over the limit of {MAX_ENTRY_BYTES}")
        parts += (len(entry).to_bytes(_LENGTH_BYTES), entry)
    return b"".join(parts)


def decode_entries(data: bytes, width: int) -> tuple[list[bytes], int]:
    """Return the first `width` entries of a bundle, and how many bytes they take.

    Raises:
        MalformedError: when the data ends before them, naming the entry's place in the bundle.
    """
    entries: list[bytes] = []
    at, end = 0, len(data)
    for place in range(width):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start])
        if start > end or at > end:
            raise MalformedError(f"the bundle ends within entry {place} of {width}")
        entries.append(data[start:at])
    return entries, at


class TileStream:
    """Builds every tile of a tree from its leaf hashes in order, holding at most 255 hashes for each level."""

    __slots__ = ("_counts", "_levels", "size")

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[list[bytes]] = []
        self._counts: list[int] = []

    @classmethod
    def resume(cls, size: int, partials: Mapping[int, Sequence[bytes]]) -> "TileStream":
        """Go on from a tree of `size` leaves.

        Args:
            size: leaves that were pushed before.
            partials: the hashes of that tree's partial tiles by level; a level without one may be left out.

        Raises:
            MalformedError: when a level's hashes are not as many as the size says.
        """
        stream = cls()
        stream.size = size
        for level in range(top_level(size) + 1):
            count, width = divmod(size >> _LEVEL_BITS * level, TILE_WIDTH)
            hashes = list(partials.get(level, ()))
            if len(hashes) != width:
                raise MalformedError(f"level {level} of a tree of size {size} ends in {width} hashes")
            stream._counts.append(count)
            stream._levels.append(hashes)
        return stream

    def push(self, leaf_hashes: Sequence[bytes]) -> list[tuple[Tile, bytes]]:
        """Take more leaf hashes (32 bytes each); return the full tiles that they complete, lower levels first."""
        self.size += len(leaf_hashes)
        done: list[tuple[Tile, bytes]] = []
        self._push(0, leaf_hashes, done)
        return done

    def push_roots(self, roots: Sequence[bytes]) -> list[tuple[Tile, bytes]]:
        """Take the roots of further full tiles of level 0 (32 bytes each), whoever hashed those; return as `push` does.

        Raises:
            MalformedError: when leaf hashes wait for the end of their tile.
        """
        if self.size % TILE_WIDTH:
            raise MalformedError("the roots of tiles follow full tiles only")
        if not self._levels:
            self._levels.append([])
            self._counts.append(0)
        self.size += TILE_WIDTH * len(roots)
        self._counts[0] += len(roots)
        done: list[tuple[Tile, bytes]] = []
        self._push(1, roots, done)
        return done

    def partials(self) -> list[tuple[Tile, bytes]]:
        """Return the partial tiles of the tree as it is now, lowest level first."""
        return [
            (Tile(level, self._counts[level], len(hashes)), b"".join(hashes))
            for level, hashes in enumerate(self._levels)
            if hashes
        ]

    def frontier(self) -> Frontier:
        """Return the frontier of the tree as it is now."""
        roots: list[bytes] = []
        for hashes in reversed(self._levels):
            at = 0
            for bit in range(_LEVEL_BITS - 1, -1, -1):
                if len(hashes) >> bit & 1:
                    roots.append(perfect_root(hashes[at : at + (1 << bit)]))
                    at += 1 << bit
        return Frontier(self.size, tuple(roots))

    def _push(self, level: int, hashes: Sequence[bytes], done: list[tuple[Tile, bytes]]) -> None:
        if level == len(self._levels):
            self._levels.append([])
            self._counts.append(0)
        waiting = self._levels[level]
        waiting.extend(hashes)
        while len(waiting) >= TILE_WIDTH:
            tile = waiting[:TILE_WIDTH]
            del waiting[:TILE_WIDTH]
            done.append((Tile(level, self._counts[level]), b"".join(tile)))
            self._counts[level] += 1
            self._push(level + 1, (perfect_root(tile),), done)


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes (32 bytes each).

    Raises:
        MalformedError: when they are of another number.
    """
    if len(hashes).bit_count() != 1:
        raise MalformedError(f"{len(hashes)} hashes are no perfect tree")
    while len(hashes) > 1:
        hashes = list(map(node_hash, hashes[::2], hashes[1::2]))
    return hashes[0]


def split_hashes(tile: bytes) -> list[bytes]:
    """Return the 32-byte hashes of a tile's data.

    Raises:
        MalformedError: when the data is not a whole number of them.
    """
    if len(tile) % HASH_BYTES:
        raise MalformedError(f"a tile is not a whole number of {HASH_BYTES}-byte hashes")
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]
