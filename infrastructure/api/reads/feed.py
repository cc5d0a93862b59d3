"""/v1/feed: the events of the asker's log as they are committed, as server-sent events (HTML standard, 9.2).

Invariants:
- Each event once, in leaf order, without a hole; its id is its leaf index, so a client goes on with Last-Event-ID.
- Before events are sent it is looked up whether the asker still may have them. A feed ends with its token's time.
- A client that waits costs a place, and no thread; there are so many places, and each principal has a share.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from anyio import to_thread
from fastapi import APIRouter
from fastapi.params import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import LedgerError, MalformedError
from infrastructure.api.askers import Principal
from infrastructure.api.asking import token
from infrastructure.api.problems import busy
from infrastructure.api.reads.answers import apart
from infrastructure.api.reads.queries import Index, Query
from infrastructure.api.reads.streams import Streamed
from infrastructure.api.state import Parts, Serving, asker, serving
from infrastructure.feed.asynchronous import AsyncSubscription
from infrastructure.feed.source import BEFORE_FIRST_LEAF, Page, Source
from infrastructure.feed.telling import told
from infrastructure.ledger import Ledger

QUIET_S: Final = 10.0
"""After so long without an event a comment is sent: a client that is gone is noticed by it."""
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_EVENTS_BYTES: Final = 32_768
"""Events that are there together are sent together, up to about so much."""

router = APIRouter()


class FeedQuery(Query):
    """`after`: the leaf index of the last event that is known; a Last-Event-ID stands above it."""

    after: Index | None = None


@router.get("/v1/feed", response_class=Response)
async def feed(request: Request, query: Annotated[FeedQuery, InQuery()]) -> Response:
    """Send the log's events, from after a leaf index, and go on live."""
    serves, (who, log_id) = serving(request), asker(request)
    parts, after = serves.need(), _after(request, query)
    size = (await apart(request, parts.ledger.as_tenant(log_id).head)).size
    if after >= size:
        raise MalformedError(f"there is nothing at {after} yet: the log has {size} entries")
    if not serves.feeds.enter(who.share):
        raise busy("too many feeds are open: try again")
    left_s = parts.access.left_s(token(request.scope) or "")
    events = _events(serves, parts, who, log_id, after, left_s)
    return Streamed(events, partial(serves.feeds.leave, who.share), "text/event-stream", {"X-Accel-Buffering": "no"})


def _after(request: Request, query: FeedQuery) -> int:
    given = request.headers.get("last-event-id")
    if given is None:
        return BEFORE_FIRST_LEAF if query.after is None else query.after
    if not _INDEX.fullmatch(given):
        raise MalformedError("Last-Event-ID is the id of an event of this feed")
    return int(given)


async def _events(
    serves: Serving, parts: Parts, who: Principal, log_id: UUID, after: int, left_s: float
) -> AsyncGenerator[bytes, None]:
    until_s = time.monotonic() + left_s
    async with parts.feeds.subscribe_async(_source(parts.ledger, log_id), after=after) as subscription:
        yield b"retry: 1000\n\n"
        following = asyncio.ensure_future(_following(subscription))
        ended = asyncio.ensure_future(serves.ended.wait())
        try:
            while (remaining_s := until_s - time.monotonic()) > 0:
                quiet_s = min(QUIET_S, remaining_s)
                await asyncio.wait({following, ended}, timeout=quiet_s, return_when=asyncio.FIRST_COMPLETED)
                if ended.done() or not await _still(parts, who):
                    return
                piece = following.result() if following.done() else b":\n\n"
                if not piece:
                    return
                yield piece
                if following.done():
                    following = asyncio.ensure_future(_following(subscription))
        finally:
            for task in (following, ended):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, LedgerError):
                    await task


async def _still(parts: Parts, who: Principal) -> bool:
    """Tell whether the asker still may have what comes."""
    try:
        await to_thread.run_sync(parts.access.require_in_force, who)
    except LedgerError:
        return False
    return True


async def _following(subscription: AsyncSubscription[bytes]) -> bytes:
    """Return what comes next, with what is at hand after it; empty at the end."""
    parts: list[bytes] = []
    size = 0
    async for one in subscription:
        parts.append(one)
        size += len(one)
        if size >= _EVENTS_BYTES or not subscription.at_hand():
            break
    return b"".join(parts)


def _source(ledger: Ledger, log_id: UUID) -> Source[bytes]:
    """Return a log's events as they are sent, read bound to that log."""
    reader = ledger.as_tenant(log_id)

    def read(after: int) -> Page[bytes]:
        return [(one.leaf_index, _event(told(ledger, one))) for one in reader.page(after + 1)]

    return Source(log_id, BEFORE_FIRST_LEAF, lambda: reader.head().size - 1, read)


def _event(members: dict[str, Any]) -> bytes:
    head = f"id: {members['leaf_index']}\nevent: {members['topic']}\ndata: "
    return head.encode() + orjson.dumps(members) + b"\n\n"
