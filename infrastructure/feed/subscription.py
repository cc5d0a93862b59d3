"""A subscription: from any cursor to the newest item, then live, each item once and in order.

Invariants:
- Items come without a hole and without a duplicate. `position` is the cursor of the last one that was handed out: who
  keeps it with his work and subscribes after it goes on exactly there, in another process too.
- A page is read when the one before it is used up: the reader's pace decides, memory holds one page, and nobody waits
  for the reader.
- A database that does not answer is asked again, with pauses up to 5 s, until it does; the position stays.
- A cursor beyond the end is refused [after a restore the same cursors come again, for other items].
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

from domain.errors import UnavailableError, VerificationError
from infrastructure.backoff import Backoff
from infrastructure.closing import Closing
from infrastructure.feed.hub import Hub
from infrastructure.feed.source import Page, Source

T = TypeVar("T")

Trouble = Callable[[str], None]
"""Is told, in words, why nothing can be read at the moment."""


class Cursor(Generic[T]):
    """Where a subscriber is, and how it reads on. Used by one reader at a time.

    Args:
        source: what is read.
        after: the cursor after which to begin; None: from the start.
        trouble: told of each attempt that failed.
    """

    def __init__(self, source: Source[T], after: int | None, trouble: Trouble | None) -> None:
        self._source = source
        self.position = source.begin if after is None else max(after, source.begin)
        self._checked = False
        self._trouble = trouble
        self._backoff = Backoff()
        self._page: deque[tuple[int, T]] = deque()

    def has_next(self) -> bool:
        """Tell whether an item is at hand."""
        return bool(self._page)

    def next(self) -> T:
        """Hand out the next item."""
        self.position, item = self._page.popleft()
        return item

    def fill(self) -> float | None:
        """Read the next page; return None, or how long to wait (s) before it is tried again.

        Raises:
            VerificationError: when an item is missing, or the source ends before the cursor.
        """
        try:
            page = self._read()
        except UnavailableError as error:
            self._checked = False
            if self._trouble is not None:
                self._trouble(str(error))
            return self._backoff.next_s()
        self._backoff.reset()
        self._page.extend(page)
        return None

    def _read(self) -> Page[T]:
        if not self._checked:
            last = self._source.last()
            if last < self.position:
                raise VerificationError(
                    f"there is nothing at {self.position} yet, the last is {last}: a cursor of another log, or was an "
                    "older backup restored?"
                )
            self._checked = True
        return self._source.read(self.position)


class Subscription(Closing, Generic[T]):
    """An iterator over a source. It blocks where nothing follows yet; `close` from another thread ends it.

    Args:
        hub: this process's.
        source: what to read.
        after: the cursor after which to begin; None: from the start.
        follow: go on live; otherwise it ends where nothing follows.
        trouble: told of each attempt to read that failed; it goes on by itself.
    """

    def __init__(
        self,
        hub: Hub,
        source: Source[T],
        *,
        after: int | None = None,
        follow: bool = True,
        trouble: Trouble | None = None,
    ) -> None:
        self._hub = hub
        self._cursor = Cursor(source, after, trouble)
        self._closed = threading.Event()
        self._rung = threading.Event()
        self._watch = hub.watch(self._rung.set, source.log_id) if follow else None

    @property
    def position(self) -> int:
        """The cursor of the last item that was handed out."""
        return self._cursor.position

    def close(self) -> None:
        """End it. Safe to repeat."""
        self._closed.set()
        self._rung.set()
        if self._watch is not None:
            self._watch.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._ended():
            if self._cursor.has_next():
                return self._cursor.next()
            self._advance()
        raise StopIteration

    def _ended(self) -> bool:
        return self._closed.is_set() or (self._watch is not None and self._hub.closed)

    def _advance(self) -> None:
        """Read on; wait where nothing follows, or nothing can be read."""
        self._rung.clear()  # before the look: what is committed after it rings
        if self._watch is not None:
            self._watch.take()
        if self._ended():
            return
        pause_s = self._cursor.fill()
        if pause_s is not None:
            self._closed.wait(pause_s)
        elif not self._cursor.has_next():
            if self._watch is None:
                self._closed.set()
            else:
                self._rung.wait()
