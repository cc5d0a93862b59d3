"""A log of millions of leaves, as its tiles alone: hashes that stand for entries that nobody needs here.

Invariants:
- Leaf `i` is SHA-256(i as eight bytes): whoever measures can check any proof without the entries.
- Tiles lie in the published layout, so the very reader of the program is measured.
"""

import hashlib
import os
from pathlib import Path

from domain.transparency.tiles import TILE_WIDTH, Tile, TileStream


def leaf(index: int) -> bytes:
    """Return the hash that stands for the leaf at an index."""
    return hashlib.sha256(index.to_bytes(8)).digest()


def build(directory: Path, size: int) -> bytes:
    """Write every tile of a log of `size` leaves; return its root."""
    stream = TileStream()
    for first in range(0, size, TILE_WIDTH):
        hashes = [leaf(index) for index in range(first, min(first + TILE_WIDTH, size))]
        for tile, data in stream.push(hashes):
            _write(directory, tile, data)
    for tile, data in stream.partials():
        _write(directory, tile, data)
    os.sync()  # what is still to be written can't be dropped
    return stream.frontier().root()


def drop(directory: Path, tile: Tile) -> None:
    """Have the kernel forget a tile's pages (POSIX_FADV_DONTNEED). Directory entries and inodes stay known."""
    descriptor = os.open(directory / tile.path, os.O_RDONLY)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)


def _write(directory: Path, tile: Tile, data: bytes) -> None:
    path = directory / tile.path
    try:
        path.write_bytes(data)
    except FileNotFoundError:
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
