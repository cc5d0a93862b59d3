"""Reads a bundle's entries for the history's audit: opened in order, by this process or by workers.

Invariants:
- Chunks come in leaf order, each of whole entry bundles; memory holds a few of them.
- Workers also verify the signatures inside whose keys the entries tell, or the audit knows already: most of the work.
  They decide nothing: what they could not verify is verified again where it is judged.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from uuid import UUID

import orjson

from domain.errors import LedgerError
from domain.transparency.tiles import ENTRIES, TILE_WIDTH, Tile
from infrastructure.audit.key_index import KeyIndex
from infrastructure.audit.opening import CONTENT_ERRORS, Item, Opened, Opener, named
from infrastructure.audit.signatures import verified_in
from infrastructure.tlog.reader import read_bundle
from infrastructure.workers import Workers

_BUNDLES = 4
"""Of one task: about a thousand entries."""

Keys = Mapping[str, bytes]
"""Public keys by thumbprint."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where entries and keys are: the bundle, its size and origin, and the index of its disclosed keys."""

    directory: Path
    size: int
    origin: str
    index: Path


@dataclass(frozen=True, slots=True)
class Chunk:
    """Entries in order, the names of the signatures inside that hold, and the first error behind them."""

    items: list[Item]
    verified: frozenset[bytes] = frozenset()
    error: str | None = None


def read_chunks(source: Source, first: int, workers: Workers, keys: Callable[[], Keys]) -> Iterator[Chunk]:
    """Yield a bundle's entries from a leaf index on.

    Args:
        source: the bundle.
        first: a multiple of 256, or the size.
        workers: who opens them.
        keys: gives the keys that the audit knows of by now; those that it doesn't name cost time, nothing else.

    Raises:
        UnavailableError: when a worker died.
    """
    bundles = -(-source.size // TILE_WIDTH)
    ranges = (range(at, min(at + _BUNDLES, bundles)) for at in range(-(-first // TILE_WIDTH), bundles, _BUNDLES))
    if workers.jobs == 1:
        with KeyIndex(source.directory, source.index) as index:
            yield from map(partial(_open, source, Opener(index, source.origin)), ranges)
        return
    tasks = ((source, one, dict(keys())) for one in ranges)
    for packed, verified, error in workers.ordered(_open_and_verify, tasks):
        yield Chunk([_unpacked(item) for item in packed], verified, error)


def read_items(source: Source, places: Sequence[int]) -> Iterator[tuple[int, Item]]:
    """Yield the entries at some leaf indices, in ascending order.

    Raises:
        LedgerError: when one of them can't be opened.
    """
    with KeyIndex(source.directory, source.index) as index:
        opener, bundle, entries = Opener(index, source.origin), -1, list[bytes]()
        for place in places:
            if place // TILE_WIDTH != bundle:
                bundle = place // TILE_WIDTH
                entries = read_bundle(source.directory, _tile(source, bundle))
            yield place, opener.open(entries[place % TILE_WIDTH])


def _open(source: Source, opener: Opener, bundles: range) -> Chunk:
    items: list[Item] = []
    for bundle in bundles:
        try:
            entries = read_bundle(source.directory, _tile(source, bundle))
        except LedgerError as error:
            return Chunk(items, error=str(error))
        for entry in entries:
            try:
                items.append(opener.open(entry))
            except CONTENT_ERRORS as error:
                return Chunk(items, error=str(named(bundles[0] * TILE_WIDTH + len(items), error)))
    return Chunk(items)


def _tile(source: Source, bundle: int) -> Tile:
    return Tile(ENTRIES, bundle, min(source.size - bundle * TILE_WIDTH, TILE_WIDTH))


# What workers do

_Packed = tuple[bytes, int, int, int, str, bytes, bytes] | int


@lru_cache(maxsize=1)
def _opener(source: Source) -> Opener:
    """Return this worker's opener: it stays open for the worker's life."""
    return Opener(KeyIndex(source.directory, source.index), source.origin)


def _open_and_verify(task: tuple[Source, range, Keys]) -> tuple[list[_Packed], frozenset[bytes], str | None]:
    source, bundles, keys = task
    try:
        chunk = _open(source, _opener(source), bundles)
    except LedgerError as error:
        return [], frozenset(), str(error)
    verified: set[bytes] = set()
    for item in chunk.items:
        if not isinstance(item, int):
            verified.update(verified_in(item.topic, orjson.loads(item.event), keys))
    return [_packed(item) for item in chunk.items], frozenset(verified), chunk.error


def _packed(item: Item) -> _Packed:
    """Return an item as it travels: UUIDs take long to pickle."""
    return item if isinstance(item, int) else (item.stream_id.bytes, *item[1:])


def _unpacked(item: _Packed) -> Item:
    return item if isinstance(item, int) else Opened(UUID(bytes=item[0]), *item[1:])
