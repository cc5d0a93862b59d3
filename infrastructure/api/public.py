"""What everybody may ask: health, readiness, numbers, and the document of this API. Nothing of a tenant is in it."""

from functools import cache

import orjson
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from infrastructure.api.openapi import document
from infrastructure.api.problems import busy
from infrastructure.api.reads.answers import apart, current
from infrastructure.api.state import serving
from infrastructure.measuring import MEDIA_TYPE

router = APIRouter()


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> Response:
    """Say that this process answers."""
    return PlainTextResponse("ok\n")


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(request: Request) -> Response:
    """Say whether requests are served, or the roles of this process are at work."""
    if not serving(request).ready():
        return busy("not ready").response()
    return PlainTextResponse("ready\n")


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Give the numbers of this process and its cell, in the text format of Prometheus."""
    known = serving(request).metrics
    if known is None:
        raise busy("not ready yet: try again")
    data = await apart(request, known.text)
    return Response(data, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})


@router.get("/openapi.json")
async def openapi(request: Request) -> Response:
    """Give the document of this API (OpenAPI 3.1)."""
    return await current(request, lambda: _document(request.app), "application/json")


@cache
def _document(app: FastAPI) -> bytes:
    return orjson.dumps(document(app))
