"""The entries of a verified bundle that bear on one CAC, read in one pass.

Invariants:
- The bundle was verified before (infrastructure.audit.verify); nothing of it is verified again here.
- Memory holds the entries of four streams (the log's own, workload, execution, CAC) and what names the CAC's nonce, key
  or execution elsewhere; never the log.
"""

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

from domain.attestation.events import PlatformEvidenceAppraised
from domain.cacs.claims import CacClaims
from domain.cacs.events import CacIssued, CacRejected
from domain.executions.events import ExecutionChallenged, SoftwareEvidenceAppraised
from domain.identifiers import stream_of
from domain.message import Event, event_from_json
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.tiles import TILE_WIDTH, Tile
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.key_index import DisclosedStreams, build_index
from infrastructure.audit.opening import Item, Opened
from infrastructure.audit.reading import Source, read_chunks
from infrastructure.tlog.reader import read_leaf_tile
from infrastructure.workers import Workers

_EventT = TypeVar("_EventT", bound=Event)
_NONCES = frozenset(one.TOPIC for one in (ExecutionChallenged, SoftwareEvidenceAppraised, PlatformEvidenceAppraised))
_VERDICTS = frozenset({CacIssued.TOPIC, CacRejected.TOPIC})


class Found(NamedTuple):
    """An opened entry with its place (leaf index, zero-based), its instant (ms) and its leaf hash (hex)."""

    leaf_index: int
    at_ms: int
    stream: UUID
    event: Event
    leaf_hash: str


@dataclass
class Trail:
    """What a bundle holds of one CAC.

    `disclosed` has the generations of the keys that came along, by stream; `sealed` counts entries that could not be
    opened, and `hidden` are the generations of their keys; `places` are the leaf indices of leaf hashes (hex) that were
    asked for.
    """

    found: list[Found] = field(default_factory=list)
    disclosed: dict[UUID, frozenset[int]] = field(default_factory=dict)
    sealed: int = 0
    hidden: set[int] = field(default_factory=set)
    places: Mapping[str, int] = field(default_factory=dict)

    def of(self, kind: type[_EventT]) -> list[tuple[int, _EventT]]:
        """Return leaf index and event of each entry of a type, in leaf order."""
        return [(one.leaf_index, one.event) for one in self.found if isinstance(one.event, kind)]

    def at(self, leaf_hash: str) -> Found | None:
        """Return the opened entry with a leaf hash (hex), or None."""
        return next((one for one in self.found if one.leaf_hash == leaf_hash), None)

    def told(self, stream: UUID) -> bool:
        """Tell whether everything of a stream can be read."""
        return self.hidden <= self.disclosed.get(stream, frozenset())


def read_trail(directory: Path, *, size: int, origin: str, claims: CacClaims, at_ms: int | None) -> Trail:
    """Read what a verified bundle says of a CAC.

    Args:
        directory: the bundle.
        size: of its checkpoint.
        origin: of its log.
        claims: the CAC's.
        at_ms: entries after this instant are passed over; None reads all.

    Raises:
        LedgerError: when the bundle is not what it was when it was verified.
    """
    trail = Trail(places=_places(directory, size, {claims.evidence_entry, claims.release_entry}))
    if not (directory / KEYS).is_file():
        trail.sealed, trail.hidden = size, {0}
        return trail
    with tempfile.TemporaryDirectory(prefix="cac-") as folder, Workers(1) as workers:
        source = Source(directory, size, origin, Path(folder) / "keys.index")
        _, rows = build_index(directory, source.index)
        streams = tuple(stream_of(name) for name in (claims.workload, claims.execution_id, claims.cac_id))
        with DisclosedStreams(directory, rows) as keys:
            trail.disclosed = {one: keys.generations(one) for one in streams}
        index, own = 0, None
        for chunk in read_chunks(source, 0, workers, dict):
            for item in chunk.items:
                if index == 0 and isinstance(item, Opened):
                    own = item.stream_id
                if isinstance(item, int):
                    trail.sealed += 1
                    trail.hidden.add(item)
                _take(trail, index, item, claims, {*streams, own}, at_ms)
                index += 1
    return trail


def _take(
    trail: Trail, index: int, item: Item, claims: CacClaims, streams: Collection[UUID | None], at_ms: int | None
) -> None:
    if isinstance(item, int) or (at_ms is not None and item.at_ms > at_ms):
        return
    named = partial(_names, item)
    if not (
        item.stream_id in streams
        or (item.topic in _NONCES and (named(claims.nonce) or named(claims.cac_key)))
        or (item.topic in _VERDICTS and named(claims.execution_id))
    ):
        return
    event = event_from_json(item.topic, item.event)
    trail.found.append(Found(index, item.at_ms, item.stream_id, event, item.leaf_hash.hex()))


def _names(item: Opened, text: str) -> bool:
    return text.encode() in item.event


def _places(directory: Path, size: int, wanted: Collection[str]) -> dict[str, int]:
    """Return the leaf indices of leaf hashes (hex), as far as the tree holds them."""
    hashes, places = {bytes.fromhex(one): one for one in wanted}, dict[str, int]()
    for place in range(-(-size // TILE_WIDTH)):
        leaves = read_leaf_tile(directory, Tile(0, place, min(size - place * TILE_WIDTH, TILE_WIDTH)))
        for within in range(0, len(leaves), HASH_BYTES):
            known = hashes.get(leaves[within : within + HASH_BYTES])
            if known is not None:
                places.setdefault(known, place * TILE_WIDTH + within // HASH_BYTES)
    return places
