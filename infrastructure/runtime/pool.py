"""The keeps of a node: for each tenant's log one process, and more while several of its executions are under way.

Invariants:
- A keep, and so a process, serves one log in its whole life; no lane is ever given to another.
- An execution has one lane from `lane` to its end, and an id is given a lane once.
- Of a log there are at most `lanes` keeps, and `MOST_EXTRA` beyond the first ones of all logs. One that is not needed
  any more ends with its process.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from domain.errors import ConflictError, LedgerError, UnavailableError
from infrastructure.closing import Closing
from infrastructure.runtime.keep import DEFAULT_MEMORY_LIMIT_BYTES, Keep
from infrastructure.workers import usable_cores

MOST_EXTRA: Final = 16
"""Keeps beyond the first one of each log."""
_IDLE_S: Final = 30.0


@dataclass(slots=True)
class _Lane:
    """A keep with the executions that it has in hand, and since when it has none."""

    keep: Keep
    in_hand: int = 0
    idle_s: float = field(default_factory=time.monotonic)


class KeepPool(Closing):
    """Gives each origin keeps of its own, and so processes of its own. Safe to call from several threads.

    Args:
        memory_limit_bytes: greatest memory bound of a clause.
        lanes: keeps of one origin that may run side by side; None: one for each core.
    """

    def __init__(self, *, memory_limit_bytes: int = DEFAULT_MEMORY_LIMIT_BYTES, lanes: int | None = None) -> None:
        self._memory_limit_bytes = memory_limit_bytes
        self._most = lanes or usable_cores()
        self._lock = threading.Lock()
        self._lanes: dict[str, list[_Lane]] = {}
        self._starting: dict[str, int] = {}
        self._given: set[str] = set()
        self._closed = False

    def keep(self, origin: str) -> Keep:
        """Return the first keep of a log, starting it if there is none.

        Raises:
            UnavailableError: when the pool is closed, or the keep doesn't start.
        """
        with self._lock:
            self._check_open()
            if not self._lanes.get(origin):
                self._lanes[origin] = [_Lane(self._started(origin))]
            return self._lanes[origin][0].keep

    @contextmanager
    def lane(self, origin: str, execution_id: str) -> Iterator[Keep]:
        """Give an execution the keep of its log that has least in hand, or one more where each has something.

        Raises:
            ConflictError: when this id was given one before.
            UnavailableError: when the pool is closed, or the log's first keep doesn't start.
        """
        lane = self._take(origin, execution_id)
        try:
            yield lane.keep
        finally:
            with self._lock:
                lane.in_hand -= 1
                lane.idle_s = time.monotonic()
                leaving = self._idle()
            for one in leaving:
                one.keep.close()

    def close(self) -> None:
        """End every keep. Safe to repeat."""
        with self._lock:
            self._closed = True
            ending = [lane for lanes in self._lanes.values() for lane in lanes]
            self._lanes.clear()
        for lane in ending:
            lane.keep.close()

    def _take(self, origin: str, execution_id: str) -> _Lane:
        self.keep(origin)
        with self._lock:
            self._check_open()
            if execution_id in self._given:
                raise ConflictError("an execution id is given a keep once")
            self._given.add(execution_id)
            least = min(self._lanes[origin], key=lambda one: one.in_hand)
            least.in_hand += 1
            if least.in_hand == 1 or not self._has_room(origin):
                return least
            self._starting[origin] = self._starting.get(origin, 0) + 1
        return self._another(origin, least)

    def _another(self, origin: str, otherwise: _Lane) -> _Lane:
        """Start one more keep, outside of the lock: nobody else waits for it. Return it, or what there was."""
        made: _Lane | None = None
        try:
            made = _Lane(self._started(origin), in_hand=1)
        except LedgerError:
            return otherwise  # no process to be had: the execution waits its turn
        finally:
            with self._lock:
                self._starting[origin] -= 1
                kept = made is not None and not self._closed
                if made is not None and kept:
                    self._lanes[origin].append(made)
                    otherwise.in_hand -= 1
        if not kept:
            made.keep.close()
            return otherwise
        return made

    def _started(self, origin: str) -> Keep:
        return Keep(origin, memory_limit_bytes=self._memory_limit_bytes)

    def _has_room(self, origin: str) -> bool:
        under_way = sum(self._starting.values())
        extra = sum(len(lanes) - 1 for lanes in self._lanes.values()) + under_way
        return len(self._lanes[origin]) + self._starting.get(origin, 0) < self._most and extra < MOST_EXTRA

    def _idle(self) -> list[_Lane]:
        """Take out the lanes, but the first one of each log, that had nothing in hand for a while."""
        now_s, leaving = time.monotonic(), list[_Lane]()
        for lanes in self._lanes.values():
            for lane in lanes[:0:-1]:
                if lane.in_hand == 0 and now_s - lane.idle_s >= _IDLE_S:
                    lanes.remove(lane)
                    leaving.append(lane)
        return leaving

    def _check_open(self) -> None:
        if self._closed:
            raise UnavailableError("the keeps are closed")
