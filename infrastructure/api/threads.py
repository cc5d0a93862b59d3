"""Threads for what would hold up the event loop: so many at once, of which each name has a share.

Invariants:
- Who has its share in hand waits for itself: the threads beyond it are for others, however much it asks.
- Who goes away while it waits takes no thread.
"""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

T = TypeVar("T")


class Threads:
    """Threads of one event loop.

    Args:
        most: at once, all together.
        share: of one name, at once.
    """

    def __init__(self, most: int, share: int) -> None:
        self._most = most
        self._share = share
        self._all: CapacityLimiter | None = None
        self._names: dict[str, tuple[CapacityLimiter, list[None]]] = {}

    async def run(self, name: str, make: Callable[[], T]) -> T:
        """Return what a function gives, run in one of the threads.

        Args:
            name: whose share it takes.
            make: the function. It is not interrupted.
        """
        if self._all is None:
            self._all = CapacityLimiter(self._most)
        own, users = self._names.setdefault(name, (CapacityLimiter(self._share), []))
        users.append(None)
        try:
            async with own:
                return await to_thread.run_sync(make, limiter=self._all)
        finally:
            users.pop()
            if not users:
                del self._names[name]
