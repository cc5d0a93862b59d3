"""Answers of reads: tags, caching, compression; made in threads of their own.

Invariants:
- What is answered is one principal's: no shared cache may keep it. What never changes may be kept for ever by its own.
- Reads have threads of their own, so many: they take none from appends, however long they last. Of these one log's
  principals have a share; what folds a history has threads apart, so that it holds up no other read.
- A compressed answer has a weak tag, for it is equivalent to the plain one and not the same bytes.
"""

import gzip
import hashlib
import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from infrastructure.api.threads import Threads

T = TypeVar("T")

FOREVER: Final = "private, max-age=31536000, immutable"
ANEW: Final = "private, no-cache"
READS: Final = Threads(8, 4)
REPLAYS: Final = Threads(2, 1)
"""What folds a log's past for one request: a second of a processor and more."""
EXPORTS: Final = Threads(2, 1)
_WORTH_BYTES: Final = 1_024
_LEVEL: Final = 3
_TAG_DIGITS: Final = 32
_TAG: Final = re.compile(r'(?:W/)?("[^"]*")')


async def apart(request: Request, make: Callable[[], T], threads: Threads = READS) -> T:
    """Return what a read gives, made in a thread of the asker's share; everybody without a token has one share."""
    who = getattr(request.state, "principal", None)
    return await threads.run("" if who is None else who.share, make)


async def shown(request: Request, make: Callable[[], dict[str, Any]], threads: Threads = READS) -> Response:
    """Answer with a JSON object that may be another one the next time."""
    return await apart(request, lambda: reply(request, orjson.dumps(make()), "application/json", ANEW), threads)


async def kept(request: Request, make: Callable[[], dict[str, Any]]) -> Response:
    """Answer with a JSON object that never changes."""
    return await apart(request, lambda: reply(request, orjson.dumps(make()), "application/json", FOREVER))


async def fixed(request: Request, make: Callable[[], bytes], media_type: str) -> Response:
    """Answer with bytes that never change."""
    return await apart(request, lambda: reply(request, make(), media_type, FOREVER))


async def current(request: Request, make: Callable[[], bytes], media_type: str) -> Response:
    """Answer with bytes that may be others the next time."""
    return await apart(request, lambda: reply(request, make(), media_type, ANEW))


def reply(request: Request, data: bytes, media_type: str, caching: str) -> Response:
    """Answer with bytes.

    Args:
        request: what it answers.
        data: the bytes.
        media_type: theirs.
        caching: FOREVER or ANEW.
    """
    tag = f'"{hashlib.sha256(data).hexdigest()[:_TAG_DIGITS]}"'
    text = media_type.startswith(("application/json", "text/"))
    headers = {"ETag": f"W/{tag}" if text else tag, "Cache-Control": caching, "Vary": "Authorization, Accept-Encoding"}
    if _known(request, tag):
        return Response(status_code=304, headers=headers)
    if text and len(data) >= _WORTH_BYTES and _takes_gzip(request):
        data, headers["Content-Encoding"] = gzip.compress(data, _LEVEL, mtime=0), "gzip"
    return Response(data, media_type=media_type, headers=headers)


def _known(request: Request, tag: str) -> bool:
    """Tell whether the client has it (RFC 9110 13.1.2: weak comparison)."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in _TAG.findall(given)


def _takes_gzip(request: Request) -> bool:
    """Tell whether the client takes gzip (RFC 9110 12.5.3)."""
    for part in request.headers.get("accept-encoding", "").lower().split(","):
        coding, _, weight = part.partition(";")
        if coding.strip() in {"gzip", "*"}:
            return re.fullmatch(r"\s*(?:q=0(?:\.0{0,3})?)\s*", weight) is None
    return False
