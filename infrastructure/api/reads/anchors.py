"""/v1/anchors: the anchor log in the C2SP layout, for everybody who may ask anything. It names no log.

`https://HOST/v1/anchors` is the prefix of a tile log (c2sp.org/tlog-tiles): `checkpoint`, `tile/<L>/<N>`,
`tile/entries/<N>`. A client of tiles needs nothing but an Authorization header.

Invariants:
- What is answered is the same for all: rounds commit to blinded digests, so nobody learns of another's log here.
"""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from infrastructure.anchors.keys import anchor_log_origin
from infrastructure.anchors.places import anchor_tiles
from infrastructure.api.reads.answers import current, fixed
from infrastructure.api.reads.audit import BYTES, TEXT
from infrastructure.api.state import Parts, serving
from infrastructure.publish.tile_directory import TileDirectory

router = APIRouter()


@router.get("/v1/anchors/checkpoint", response_class=Response)
async def checkpoint(request: Request) -> Response:
    """Give the newest published checkpoint of the anchor log, with its cosignatures (c2sp.org/tlog-checkpoint)."""
    parts = serving(request).need()
    return await current(request, lambda: parts.published.note(_tiles(parts)), TEXT)


@router.get("/v1/anchors/tile/{path:path}", response_class=Response)
async def tile(request: Request, path: str) -> Response:
    """Give a tile or entry bundle of the anchor log (c2sp.org/tlog-tiles)."""
    parts = serving(request).need()
    return await fixed(request, lambda: parts.published.tile(_tiles(parts), f"tile/{path}"), BYTES)


def _tiles(parts: Parts) -> TileDirectory:
    return anchor_tiles(parts.ledger, anchor_log_origin(parts.ledger))
