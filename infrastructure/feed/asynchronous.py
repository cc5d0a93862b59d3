"""The same subscription for asyncio: thousands of them share the hub's connection and a few threads that read.

Invariants: those of infrastructure.feed.subscription, and
- a subscriber that waits holds no thread and no connection; one that reads holds one of each for the length of a page.
"""

import asyncio
import contextlib
from concurrent.futures import Executor
from types import TracebackType
from typing import Generic, Self, TypeVar

from domain.errors import UnavailableError
from infrastructure.feed.hub import Hub, Watch
from infrastructure.feed.source import Source
from infrastructure.feed.subscription import Cursor, Trouble

T = TypeVar("T")


class AsyncSubscription(Generic[T]):
    """An asynchronous iterator over a source, for one task. Made in any thread, used in one event loop.

    Args:
        hub: this process's.
        source: what to read.
        readers: the threads that read pages, for all subscriptions together.
        after: the cursor after which to begin; None: from the start.
        follow: go on live; otherwise it ends where nothing follows.
        trouble: told of each attempt to read that failed; it goes on by itself.
    """

    def __init__(
        self,
        hub: Hub,
        source: Source[T],
        readers: Executor,
        *,
        after: int | None = None,
        follow: bool = True,
        trouble: Trouble | None = None,
    ) -> None:
        self._hub = hub
        self._source = source
        self._cursor = Cursor(source, after, trouble)
        self._readers = readers
        self._follow = follow
        self._closed = False
        self._rung = asyncio.Event()
        self._watch: Watch | None = None
        self._filling: asyncio.Future[float | None] | None = None

    @property
    def position(self) -> int:
        """The cursor of the last item that was handed out."""
        return self._cursor.position

    def at_hand(self) -> bool:
        """Tell whether the next item is there without a wait."""
        return self._cursor.has_next()

    async def close(self) -> None:
        """End it; a task that waits for the next item gets none. Safe to repeat."""
        self._closed = True
        self._rung.set()
        if self._watch is not None:
            self._watch.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ended():
            if self._cursor.has_next():
                return self._cursor.next()
            await self._advance()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _ended(self) -> bool:
        return self._closed or (self._watch is not None and self._hub.closed)

    async def _advance(self) -> None:
        self._rung.clear()  # before the look: what is committed after it rings
        if self._follow:
            self._watching().take()
        if self._ended():
            return
        try:
            pause_s = await self._filled()
        except UnavailableError:
            if not self._ended():
                raise
            return
        if pause_s is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended_event(), pause_s)
        elif not self._cursor.has_next():
            if self._follow:
                await self._rung.wait()
            else:
                self._closed = True

    async def _filled(self) -> float | None:
        """Read on in a thread. A task that is cancelled leaves the read to the next call: its page is nobody else's."""
        if self._filling is None:
            try:
                self._filling = asyncio.get_running_loop().run_in_executor(self._readers, self._cursor.fill)
            except RuntimeError:
                raise UnavailableError("the subscriptions of this process are closed") from None
        try:
            pause_s = await asyncio.shield(self._filling)
        finally:
            if self._filling.done():
                self._filling = None
        return pause_s

    async def _ended_event(self) -> None:
        while not self._ended():
            await self._rung.wait()
            self._rung.clear()

    def _watching(self) -> Watch:
        if self._watch is None:
            loop = asyncio.get_running_loop()

            def ring() -> None:
                with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there
                    loop.call_soon_threadsafe(self._rung.set)

            self._watch = self._hub.watch(ring, self._source.log_id)
        return self._watch
