"""Answers that go on: sent as fast as the client takes them, and no slower than it must.

Invariants:
- Nothing is held for a client but the piece that is being sent: what comes after it waits.
- A client that does not take a piece in time is dropped: it asks again, from where it was.
- However an answer ends, what it was made from is closed.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

SLOW_S: Final = 15.0
"""So long may a client take for a piece."""


class CutError(TimeoutError):
    """An answer breaks off before its end: its connection is closed, so nobody takes it for whole."""


class Streamed(Response):
    """An answer in pieces.

    Args:
        pieces: gives them, or raises a CutError; closed at the end, whatever that is.
        ended: called after that, once.
        media_type: of the whole.
        headers: further headers.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes, None],
        ended: Callable[[], object],
        media_type: str,
        headers: dict[str, str],
    ) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "private, no-store", **headers})
        del self.headers["content-length"]
        self._pieces = pieces
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI has it
        """Send the pieces until they end, or the client is gone or too slow."""
        sending = asyncio.ensure_future(self._send(send))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            try:
                with contextlib.suppress(asyncio.CancelledError, OSError, TimeoutError):
                    await sending
                await self._pieces.aclose()
            finally:
                self._ended()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        async for piece in self._pieces:
            async with asyncio.timeout(SLOW_S):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
