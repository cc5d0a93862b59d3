"""Hashes of perfect subtrees, read from the tiles of a directory that others wrote.

Invariants:
- Memory is constant: few tiles are held, and a tile is bounded.
- Nothing here is believed: whoever proves with these hashes compares with a signed root.
"""

from functools import lru_cache
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.tiles import TILE_WIDTH, Tile, perfect_root, split_hashes
from infrastructure.tlog.files import read_file

_LEVEL_BITS = 8
_HELD = 64


class TileNodes:
    """A node getter (`domain.transparency.proofs.NodeGetter`) over the tiles of a log with `size` leaves.

    Args:
        directory: the log's directory.
        size: the tree size whose tiles it holds.
    """

    def __init__(self, directory: Path, size: int) -> None:
        self._directory = directory
        self._size = size
        self._tile = lru_cache(maxsize=_HELD)(self._read)

    def __call__(self, height: int, index: int) -> bytes:
        """Return the root (32 bytes) over the leaves `[index << height, (index + 1) << height)`.

        Raises:
            VerificationError: when they are not all in the tree, or a tile is missing or malformed.
        """
        level, within = divmod(height, _LEVEL_BITS)
        place, offset = divmod(index << within, TILE_WIDTH)
        if index < 0 or (index + 1) << height > self._size:
            raise VerificationError(f"leaves {index << height} and on are not in a tree of size {self._size}")
        return perfect_root(self._tile(level, place)[offset : offset + (1 << within)])

    def _read(self, level: int, index: int) -> list[bytes]:
        width = min((self._size >> _LEVEL_BITS * level) - index * TILE_WIDTH, TILE_WIDTH)
        tile = Tile(level, index, width)
        data = read_file(self._directory, tile.path, TILE_WIDTH * HASH_BYTES)
        try:
            hashes = split_hashes(data)
        except MalformedError as error:
            raise VerificationError(f"{tile.path}: {error}") from None
        if len(hashes) != width:
            raise VerificationError(f"{tile.path}: {len(hashes)} hashes where {width} are due")
        return hashes
