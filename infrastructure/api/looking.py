"""One look for several requests: each shares a look that begins after it came, so what it is told held after it came.

Invariants:
- Of one thing there is one look under way, and at most one that is about to begin: who comes meanwhile joins that one.
- What a look raises is raised for everybody who shared it. Who goes away takes the look from nobody.
"""

import asyncio
import time
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from anyio import to_thread

K = TypeVar("K", bound=Hashable)

PACE_S: Final = 0.005
"""Where several ask at the same time, looks begin so far apart: each costs a thread's turn and a question to the
database. Who asks alone never waits."""


class SharedLooks(Generic[K]):
    """Looks of one event loop.

    Args:
        look: looks at a thing; run in a thread. Raises what is to be told.
    """

    def __init__(self, look: Callable[[K], None]) -> None:
        self._look = look
        self._coming: dict[K, asyncio.Task[None]] = {}
        self._running: dict[K, asyncio.Task[None]] = {}
        self._began_s: dict[K, float] = {}

    async def look(self, at: K) -> None:
        """Wait for a look that begins from now on. Raises as it does."""
        coming = self._coming.get(at)
        if coming is None:
            coming = self._coming[at] = asyncio.ensure_future(self._run(at))
            coming.add_done_callback(_heard)
        await asyncio.shield(coming)

    async def _run(self, at: K) -> None:
        before = self._running.get(at)
        if before is not None:
            earliest_s = self._began_s[at] + PACE_S
            await asyncio.wait([before])
            await asyncio.sleep(earliest_s - time.monotonic())
        own = self._running[at] = self._coming.pop(at)
        self._began_s[at] = time.monotonic()
        try:
            await to_thread.run_sync(self._look, at)
        finally:
            if self._running.get(at) is own:
                del self._running[at], self._began_s[at]


def _heard(task: "asyncio.Task[None]") -> None:
    """Take note of what a look raised, also where nobody waits for it any more."""
    if not task.cancelled():
        task.exception()
