"""Reads the entries of a bundle, in order and with flat memory.

Invariants:
- Reading believes nothing and proves nothing: `verify_directory` comes first where that matters.
- Every file is bounded, and is read exactly as long as the checkpoint's size needs it.
"""

from collections.abc import Iterator
from pathlib import Path

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.note import MAX_NOTE_BYTES, parse_note
from domain.transparency.tiles import ENTRIES, MAX_ENTRY_BYTES, TILE_WIDTH, Tile, decode_entries, required_tiles
from infrastructure.tlog.files import exists, read_file, shown
from infrastructure.tlog.layout import CHECKPOINT

MAX_BUNDLE_BYTES = TILE_WIDTH * (MAX_ENTRY_BYTES + 2)
"""Longest legal entry bundle: 256 entries of 65,535 bytes, each behind two bytes of length."""


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint that a directory states, its signatures unchecked.

    Raises:
        VerificationError: when there is none or it is malformed.
    """
    try:
        return Checkpoint.parse_extended(parse_note(read_file(path, CHECKPOINT, MAX_NOTE_BYTES)).text)
    except MalformedError as error:
        raise VerificationError(f"{CHECKPOINT}: {error}") from None


def read_entries(path: Path, *, prefix: bool = False) -> Iterator[bytes]:
    """Yield the entries of a bundle by leaf index, up to the size that its checkpoint states.

    Args:
        path: the log's directory.
        prefix: as for `read_bundle`.

    Raises:
        VerificationError: when a file is missing or malformed; entries before it were yielded.
    """
    for tile in required_tiles(read_checkpoint(path).size, ENTRIES):
        yield from read_bundle(path, tile, prefix=prefix)


def read_bundle(root: Path, tile: Tile, *, prefix: bool = False) -> list[bytes]:
    """Return the entries of one entry bundle.

    Args:
        root: the log's directory.
        tile: which bundle, with its width in entries.
        prefix: take a full bundle's first entries where the partial bundle is missing (tlog-tiles, Partial Tiles).

    Raises:
        VerificationError: when the file is missing, malformed or holds more.
    """
    stored = stored_tile(root, tile) if prefix else tile
    data = read_file(root, stored.path, MAX_BUNDLE_BYTES)
    try:
        entries, used = decode_entries(data, stored.width)
    except MalformedError as error:
        raise VerificationError(f"{shown(stored.path)}: {error}") from None
    if used != len(data):
        raise VerificationError(f"{shown(stored.path)}: {len(data) - used} bytes follow the last entry")
    return entries[: tile.width]


def read_leaf_tile(root: Path, tile: Tile) -> bytes:
    """Return the leaf hashes of a tile, one after the other; a full tile may stand in for a partial one.

    Raises:
        VerificationError: when the file is missing, or not as long as its width says.
    """
    stored = stored_tile(root, tile)
    data = read_file(root, stored.path, TILE_WIDTH * HASH_BYTES)
    if len(data) != stored.width * HASH_BYTES:
        raise VerificationError(f"{stored.path}: {len(data)} bytes where {stored.width * HASH_BYTES} are due")
    return data[: tile.width * HASH_BYTES]


def stored_tile(root: Path, tile: Tile) -> Tile:
    """Return the tile itself, or the full one where only that is kept."""
    return tile.full if not exists(root, tile.path) and exists(root, tile.full.path) else tile
