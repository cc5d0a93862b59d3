"""Derives a log again from its entries, and compares every stored tile on the way.

Invariants:
- Every tile of the checkpoint's size is read and compared, and the root last of all: entries that pass are the log's.
- Memory does not grow with the log, whatever the directory holds.
- The first difference raises a `VerificationError` that names file and index.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import HASH_BYTES, leaf_hash
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile, TileStream, required_tiles, split_hashes
from infrastructure.tlog.files import read_file
from infrastructure.tlog.layout import CHECKPOINT
from infrastructure.tlog.reader import read_bundle, stored_tile

CheckEntry = Callable[[int, bytes, str], None]
"""`check(leaf_index, entry, origin)` raises a LedgerError where an entry of ours has not the form that it must have."""

_TILE_BYTES = TILE_WIDTH * HASH_BYTES


@dataclass(frozen=True, slots=True)
class LogFiles:
    """A log's directory and what its checkpoint says.

    `ours` logs hold exact partial tiles and no empty entry; of others a full tile may stand in for a partial one.
    """

    root: Path
    checkpoint: Checkpoint
    ours: bool


def derive_from_entries(
    log: LogFiles, check_entry: CheckEntry | None = None, progress: Callable[[int], None] | None = None
) -> None:
    """Hash every entry, rebuild every tile and the root, and compare.

    Raises:
        VerificationError: at the first difference, naming file and index.
    """
    stream = TileStream()
    for tile in required_tiles(log.checkpoint.size, ENTRIES):
        entries = read_bundle(log.root, tile, prefix=not log.ours)
        _check_entries(log, tile, entries, check_entry)
        _push(log, stream, tile, [leaf_hash(entry) for entry in entries])
        if progress is not None:
            progress(stream.size)
    _finish(log, stream)


def derive_from_leaf_hashes(log: LogFiles, progress: Callable[[int], None] | None = None) -> None:
    """Rebuild all but the entries: for logs of others that serve these in a format of their own.

    Raises:
        VerificationError: at the first difference, naming file and index.
    """
    stream = TileStream()
    for tile in required_tiles(log.checkpoint.size, 0):
        for upper, data in stream.push(split_hashes(_read_tile(log, tile))):
            _compare(log, upper, data)
        if progress is not None:
            progress(stream.size)
    _finish(log, stream)


def _check_entries(log: LogFiles, tile: Tile, entries: list[bytes], check_entry: CheckEntry | None) -> None:
    if not log.ours:
        return  # the entries of others are theirs: an empty one is legal in tlog-tiles
    for index, entry in enumerate(entries, tile.index * TILE_WIDTH):
        if not entry:
            raise VerificationError(f"{tile.path}: entry {index} is empty")
        if check_entry is not None:
            try:
                check_entry(index, entry, log.checkpoint.origin)
            except (LedgerError, ValueError) as error:
                raise VerificationError(f"{tile.path}: entry {index}: {error}") from None


def _push(log: LogFiles, stream: TileStream, bundle: Tile, hashes: list[bytes]) -> None:
    leaves = Tile(0, bundle.index, bundle.width)
    place = _difference(b"".join(hashes), _read_tile(log, leaves))
    if place is not None:
        index = bundle.index * TILE_WIDTH + place
        raise VerificationError(f"{bundle.path}: entry {index} does not give its leaf hash in {leaves.path}")
    for tile, data in stream.push(hashes):
        if tile.level:
            _compare(log, tile, data)


def _finish(log: LogFiles, stream: TileStream) -> None:
    for tile, data in stream.partials():
        if tile.level:
            _compare(log, tile, data)
    if stream.frontier().root() != log.checkpoint.root:
        raise VerificationError(f"{CHECKPOINT}: its root is not that of the {stream.size} entries")


def _compare(log: LogFiles, tile: Tile, derived: bytes) -> None:
    place = _difference(derived, _read_tile(log, tile))
    if place is not None:
        below = Tile(tile.level - 1, tile.index * TILE_WIDTH + place)
        raise VerificationError(f"{tile.path}: hash {place} is not the root of {below.path}")


def _difference(derived: bytes, stored: bytes) -> int | None:
    """Return the place of the first 32-byte hash that differs."""
    if derived == stored:
        return None
    pairs: Iterator[tuple[bytes, bytes]] = zip(split_hashes(derived), split_hashes(stored), strict=True)
    return next(place for place, (left, right) in enumerate(pairs) if left != right)


def _read_tile(log: LogFiles, tile: Tile) -> bytes:
    """Return the tile's hashes as stored: exactly as many as its width says."""
    stored = tile if log.ours else stored_tile(log.root, tile)
    data = read_file(log.root, stored.path, _TILE_BYTES)
    if len(data) != stored.width * HASH_BYTES:
        raise VerificationError(f"{stored.path}: {len(data)} bytes where {stored.width * HASH_BYTES} are due")
    return data[: tile.width * HASH_BYTES]
