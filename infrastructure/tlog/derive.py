"""Derives a log again from its entries, and compares every stored tile on the way.

Invariants:
- Every tile of the checkpoint's size is read and compared, and the root last of all: entries that pass are the log's.
- Memory does not grow with the log, whatever the directory holds.
- The first difference raises a `VerificationError` that names file and index: the same one with any number of workers.
  These take entry bundles and their leaf tiles, and give back roots; what lies above is derived here, in order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from domain.errors import LedgerError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import HASH_BYTES, leaf_hash
from domain.transparency.tiles import (
    ENTRIES,
    TILE_WIDTH,
    Tile,
    TileStream,
    perfect_root,
    split_hashes,
)
from infrastructure.tlog.files import read_file
from infrastructure.tlog.layout import CHECKPOINT
from infrastructure.tlog.reader import read_bundle, stored_tile
from infrastructure.workers import Workers

CheckEntry = Callable[[int, bytes, str], None]
"""`check(leaf_index, entry, origin)` raises a LedgerError where an entry of ours has not the form that it must have."""

_TILE_BYTES = TILE_WIDTH * HASH_BYTES
_MOST_BUNDLES = 64
"""Of one task: some 10 MB of entries at most in a worker's hands, for entries of usual length."""

_TASKS_FOR_EACH = 4


@dataclass(frozen=True, slots=True)
class LogFiles:
    """A log's directory and what its checkpoint says.

    `ours` logs hold exact partial tiles and no empty entry; of others a full tile may stand in for a partial one.
    """

    root: Path
    checkpoint: Checkpoint
    ours: bool


@dataclass(frozen=True, slots=True)
class _Derived:
    """What a task found: roots of full leaf tiles, hashes of a partial one, and the first error behind them."""

    roots: tuple[bytes, ...]
    rest: tuple[bytes, ...] = ()
    error: str | None = None


def derive_from_entries(
    log: LogFiles,
    check_entry: CheckEntry | None = None,
    progress: Callable[[int], None] | None = None,
    workers: Workers | None = None,
) -> None:
    """Hash every entry, rebuild every tile and the root, and compare.

    Args:
        log: the log.
        check_entry: of our own logs called for each entry; importable where workers are given.
        progress: called with the number of entries done.
        workers: who shares in it; None for this process alone.

    Raises:
        VerificationError: at the first difference, naming file and index.
    """
    _derive(log, partial(_from_entries, log, check_entry), progress, workers)


def derive_from_leaf_hashes(
    log: LogFiles, progress: Callable[[int], None] | None = None, workers: Workers | None = None
) -> None:
    """Rebuild all but the entries: for logs of others that serve these in a format of their own.

    Raises:
        VerificationError: at the first difference, naming file and index.
    """
    _derive(log, partial(_from_leaf_hashes, log), progress, workers)


def _derive(
    log: LogFiles,
    do: Callable[[range], _Derived],
    progress: Callable[[int], None] | None,
    workers: Workers | None,
) -> None:
    stream = TileStream()
    for found in (workers or Workers(1)).ordered(do, _tasks(log.checkpoint.size, workers)):
        for root in found.roots:
            _compare_all(log, stream.push_roots((root,)))
        if found.rest:
            stream.push(found.rest)
        if found.error is not None:
            raise VerificationError(found.error)
        if progress is not None:
            progress(stream.size)
    _compare_all(log, stream.partials())
    if stream.frontier().root() != log.checkpoint.root:
        raise VerificationError(f"{CHECKPOINT}: its root is not that of the {stream.size} entries")


def _tasks(size: int, workers: Workers | None) -> Iterator[range]:
    """Yield ranges of entry bundles, by index."""
    bundles = -(-size // TILE_WIDTH)
    jobs = workers.jobs if workers else 1
    each = 1 if jobs == 1 else min(max(bundles // (jobs * _TASKS_FOR_EACH), 1), _MOST_BUNDLES)
    return (range(first, min(first + each, bundles)) for first in range(0, bundles, each))


def _from_entries(log: LogFiles, check_entry: CheckEntry | None, bundles: range) -> _Derived:
    """Check entry bundles and their leaf tiles."""
    return _each(log, bundles, partial(_leaves_of_entries, log, check_entry))


def _from_leaf_hashes(log: LogFiles, bundles: range) -> _Derived:
    """Read leaf tiles."""
    return _each(log, bundles, lambda tile: split_hashes(_read_tile(log, Tile(0, tile.index, tile.width))))


def _each(log: LogFiles, bundles: range, leaves: Callable[[Tile], list[bytes]]) -> _Derived:
    roots: list[bytes] = []
    for index in bundles:
        tile = Tile(ENTRIES, index, min(log.checkpoint.size - index * TILE_WIDTH, TILE_WIDTH))
        try:
            hashes = leaves(tile)
        except LedgerError as error:
            return _Derived(tuple(roots), error=str(error))
        if tile.width < TILE_WIDTH:
            return _Derived(tuple(roots), tuple(hashes))
        roots.append(perfect_root(hashes))
    return _Derived(tuple(roots))


def _leaves_of_entries(log: LogFiles, check_entry: CheckEntry | None, bundle: Tile) -> list[bytes]:
    """Return the leaf hashes of an entry bundle, which are those of its leaf tile."""
    entries = read_bundle(log.root, bundle, prefix=not log.ours)
    _check_entries(log, bundle, entries, check_entry)
    hashes = list(map(leaf_hash, entries))
    leaves = Tile(0, bundle.index, bundle.width)
    place = _difference(b"".join(hashes), _read_tile(log, leaves))
    if place is not None:
        index = bundle.index * TILE_WIDTH + place
        raise VerificationError(f"{bundle.path}: entry {index} does not give its leaf hash in {leaves.path}")
    return hashes


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


def _compare_all(log: LogFiles, tiles: list[tuple[Tile, bytes]]) -> None:
    """Compare tiles above the leaves, which were compared with the entries."""
    for tile, derived in tiles:
        place = _difference(derived, _read_tile(log, tile)) if tile.level else None
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
