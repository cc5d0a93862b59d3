"""The wall-clock deadline of a running clause.

Invariants:
- One thread, started once: a process that may start no more threads (RLIMIT_NPROC) still has its deadline.
- It fires at most once per `armed`, and never after `armed` was left: a late tick would interrupt the next execution.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Deadline:
    """Calls `fire` from its own thread when an armed time is over."""

    def __init__(self, fire: Callable[[], None]) -> None:
        self._fire = fire
        self._changed = threading.Condition()
        self._due = math.inf
        self._wakes = math.inf  # when the thread looks again by itself
        self._closed = False
        self._thread = threading.Thread(target=self._watch, name="deadline", daemon=True)
        self._thread.start()

    @contextmanager
    def armed(self, wall_ms: int) -> Iterator[None]:
        """Fire once if the block takes longer than `wall_ms` milliseconds."""
        with self._changed:
            self._due = time.monotonic() + wall_ms / 1000
            if self._due < self._wakes:  # else it looks in time: most executions wake nobody
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due = math.inf

    def close(self) -> None:
        """Stop the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _watch(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                if self._due <= now:
                    self._due = math.inf
                    self._fire()
                self._wakes = self._due
                self._changed.wait(None if self._due == math.inf else max(self._due - now, 0))
