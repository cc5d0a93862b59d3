"""Room in a bounded queue, given out in the order of asking.

Invariants:
- Never more than `most` is out, but for one holder that asks for more than that: it is let in alone.
- Who asked first gets room first: a large batch is not overtaken for ever by small ones.
- Asking ends: with room, or with UnavailableError after the patience; then nothing is held.
- An event loop is never blocked: its tasks wait as tasks.
"""

import asyncio
import threading
from collections import deque
from concurrent.futures import Future

from domain.errors import UnavailableError


class Room:
    """Room for so many events.

    Args:
        most: events that may be inside.
        patience_s: how long one asks before it is told to try again.
    """

    def __init__(self, most: int, *, patience_s: float) -> None:
        self._most = most
        self._free = most
        self._patience_s = patience_s
        self._asking: deque[tuple[int, Future[None]]] = deque()
        self._lock = threading.Lock()

    def take(self, events: int) -> None:
        """Wait for room, on this thread.

        Raises:
            UnavailableError: when there was none in time.
        """
        asked = self._ask(events)
        if asked is None:
            return
        try:
            asked.result(self._patience_s)
        except TimeoutError:
            self._give_up(asked)

    async def take_async(self, events: int) -> None:
        """Wait for room, as a task. Raises as `take` does; a cancelled task holds nothing."""
        asked = self._ask(events)
        if asked is None:
            return
        granted = asyncio.wrap_future(asked)
        try:
            await asyncio.wait([granted], timeout=self._patience_s)
        except asyncio.CancelledError:
            self._withdraw(events, asked)
            raise
        if not granted.done():
            self._give_up(asked)

    def give_back(self, events: int) -> None:
        """Give room back; whoever asked first and fits now gets it."""
        with self._lock:
            self._free += min(events, self._most)
            while self._asking and self._asking[0][0] <= self._free:
                wanted, asked = self._asking.popleft()
                self._free -= wanted
                asked.set_result(None)

    def _ask(self, events: int) -> Future[None] | None:
        """Take room at once, or queue up for it: then return what will be granted."""
        wanted = min(events, self._most)
        with self._lock:
            if not self._asking and wanted <= self._free:
                self._free -= wanted
                return None
            asked: Future[None] = Future()
            self._asking.append((wanted, asked))
            return asked

    def _give_up(self, asked: Future[None]) -> None:
        """Stop asking, unless room was granted at the last moment."""
        if not self._stop_asking(asked):
            return
        self.give_back(0)  # who stood behind may fit
        raise UnavailableError("the ledger takes no more at the moment: try again")

    def _withdraw(self, events: int, asked: Future[None]) -> None:
        self.give_back(0 if self._stop_asking(asked) else events)

    def _stop_asking(self, asked: Future[None]) -> bool:
        """Tell whether it was still asking; then it does no longer."""
        with self._lock:
            for place in self._asking:
                if place[1] is asked:
                    self._asking.remove(place)
                    return True
        return False
