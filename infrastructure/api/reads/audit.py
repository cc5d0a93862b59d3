"""/v1/audit: the log of the asker's token: pages of its history, entries, proofs, and the C2SP layout of its tiles.

`https://HOST/v1/audit` is the prefix of a tile log (c2sp.org/tlog-tiles): `checkpoint`, `tile/<L>/<N>`,
`tile/entries/<N>`. A client of tiles needs nothing but an Authorization header. Beside them lie, as in a bundle,
`payload/<digest>` and `keys/<generation>.note`.

Invariants:
- Entries, tiles and proofs at a size never change, and say so.
- Reading what tells of reading is not recorded.
"""

import base64
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Path as InPath
from fastapi.params import Query as InQuery
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.access.events import AccessSummarised
from domain.errors import UnknownError
from infrastructure.api.problems import NOTHING
from infrastructure.api.published import readable
from infrastructure.api.reads.answers import current, fixed, kept, shown
from infrastructure.api.reads.cursors import print_cursor, read_index
from infrastructure.api.reads.queries import DECIMAL, Cursor, Index, Query
from infrastructure.api.reads.shapes import Consistency, History, Inclusion, LogStanding
from infrastructure.api.state import Parts, asker, serving
from infrastructure.feed.telling import told
from infrastructure.publish.logs import log_signer
from infrastructure.publish.places import tiles_of
from infrastructure.publish.tile_directory import TileDirectory

MOST_ENTRIES: Final = 256
ENTRY: Final = "application/ledger-entry+cose"
TEXT: Final = "text/plain; charset=utf-8"
BYTES: Final = "application/octet-stream"
_KIND: Final = "leaf"

router = APIRouter()


class HistoryQuery(Query):
    """So many entries at most, after a cursor, or from a leaf index on."""

    limit: Annotated[int, Field(ge=1, le=MOST_ENTRIES), DECIMAL] = 100
    cursor: Cursor | None = None
    first: Index | None = None


class ProofQuery(Query):
    """`size`: of which tree; without it, of the newest published checkpoint, which comes along."""

    size: Index | None = None


class ConsistencyQuery(Query):
    """Sizes of two trees, the older one first."""

    old: Index
    size: Index


InIndex = Annotated[Index, InPath()]


@router.get("/v1/audit", response_model=LogStanding)
async def standing(request: Request) -> Response:
    """Say how the log stands: its size, what of it is published, which keys sign it now."""
    parts, (_, log_id) = serving(request).need(), asker(request)

    def made() -> dict[str, Any]:
        with readable():
            published = _tiles(parts, log_id).checkpoint()
        return {
            "origin": parts.ledger.log(log_id).origin,
            "size": parts.ledger.as_tenant(log_id).head().size,
            "published": None if published is None else published.size,
            "log_keys": [str(key) for key in log_signer(parts.ledger, log_id).verifier_keys()],
        }

    return await shown(request, made)


@router.get("/v1/audit/history", response_model=History)
async def history(request: Request, query: Annotated[HistoryQuery, InQuery()]) -> Response:
    """Give the log's events, opened, a page at a time; `next` is always there: more may come."""
    parts, (_, log_id) = serving(request).need(), asker(request)

    def made() -> dict[str, Any]:
        first = query.first or 0
        if query.cursor is not None:
            first = read_index(_KIND, query.cursor)
        reader = parts.ledger.as_tenant(log_id)
        size = reader.head().size
        page = reader.page(first, query.limit) if first < size else []
        entries = [told(parts.ledger, one) for one in page]
        if entries and all(one["topic"] == AccessSummarised.TOPIC for one in entries):
            request.state.unrecorded = True
        following = print_cursor(_KIND, str(min(first, size) + len(entries)))
        return {"origin": parts.ledger.log(log_id).origin, "size": size, "entries": entries, "next": following}

    return await shown(request, made)


@router.get("/v1/audit/entries/{index}", response_class=Response)
async def entry(request: Request, index: InIndex) -> Response:
    """Give an entry, sealed, byte for byte as it is hashed and exported."""
    parts, (_, log_id) = serving(request).need(), asker(request)

    def made() -> bytes:
        found = parts.published.entry(_tiles(parts, log_id), index)
        if found is not None:
            return found
        for stored in parts.ledger.as_tenant(log_id).entries(index, 1):
            return stored.entry
        raise UnknownError(NOTHING)

    return await fixed(request, made, ENTRY)


@router.get("/v1/audit/proofs/{index}", response_model=Inclusion)
async def proof(request: Request, index: InIndex, query: Annotated[ProofQuery, InQuery()]) -> Response:
    """Prove that an entry is in the published log: as c2sp.org/tlog-proof@v1; for a `size` as JSON, not signed."""
    parts, (_, log_id) = serving(request).need(), asker(request)
    tiles = _tiles(parts, log_id)
    if query.size is None:
        return await current(request, lambda: parts.published.signed_proof(tiles, index), TEXT)
    origin, size = parts.ledger.log(log_id).origin, query.size
    return await kept(request, lambda: inclusion_row(parts, origin, tiles, index, size))


@router.get("/v1/audit/consistency", response_model=Consistency)
async def consistency(request: Request, query: Annotated[ConsistencyQuery, InQuery()]) -> Response:
    """Prove that the published tree of one size extends that of another."""
    parts, (_, log_id) = serving(request).need(), asker(request)

    def made() -> dict[str, Any]:
        old_root, root, path = parts.published.consistency(_tiles(parts, log_id), query.old, query.size)
        return {
            "origin": parts.ledger.log(log_id).origin,
            "old": query.old,
            "size": query.size,
            "old_root": _base64(old_root),
            "root": _base64(root),
            "path": [_base64(one) for one in path],
        }

    return await kept(request, made)


@router.get("/v1/audit/checkpoint", response_class=Response)
async def checkpoint(request: Request) -> Response:
    """Give the newest published checkpoint, signed (c2sp.org/tlog-checkpoint)."""
    parts, (_, log_id) = serving(request).need(), asker(request)
    return await current(request, lambda: parts.published.note(_tiles(parts, log_id)), TEXT)


@router.get("/v1/audit/tile/{path:path}", response_class=Response)
async def tile(request: Request, path: str) -> Response:
    """Give a tile or entry bundle (c2sp.org/tlog-tiles)."""
    parts, (_, log_id) = serving(request).need(), asker(request)
    return await fixed(request, lambda: parts.published.tile(_tiles(parts, log_id), f"tile/{path}"), BYTES)


@router.get("/v1/audit/payload/{digest}", response_class=Response)
async def payload(request: Request, digest: str) -> Response:
    """Give a published payload, sealed, by the SHA-256 of its bytes, which entries name (wire formats 1)."""
    parts, (_, log_id) = serving(request).need(), asker(request)
    return await fixed(request, lambda: parts.published.payload(_tiles(parts, log_id), digest), BYTES)


@router.get("/v1/audit/keys/{note}", response_class=Response)
async def key_note(request: Request, note: str) -> Response:
    """Give the note by which the log's old and new keys signed a generation of them (wire formats 2): `1.note`."""
    parts, (_, log_id) = serving(request).need(), asker(request)
    return await fixed(request, lambda: parts.published.key_note(_tiles(parts, log_id), note), TEXT)


def _tiles(parts: Parts, log_id: UUID) -> TileDirectory:
    return tiles_of(parts.ledger, parts.ledger.log(log_id))


def inclusion_row(parts: Parts, origin: str, tiles: TileDirectory, index: int, size: int) -> dict[str, Any]:
    """Return the proof that an entry is in the published tree of a size, as it is answered.

    Raises:
        UnknownError: when the tree is not published, or has no such entry.
        UnavailableError: when its tiles can't be read.
    """
    leaf, root, path = parts.published.inclusion(tiles, index, size)
    return {
        "origin": origin,
        "index": index,
        "size": size,
        "leaf_hash": leaf.hex(),
        "root": _base64(root),
        "path": [_base64(one) for one in path],
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
