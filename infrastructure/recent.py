"""The newest events of all logs by their places, opened: several followers of one process read them once.

Invariants:
- What is known of a place is what was stored there: events are put in once they are, and a restored database or changed
  keys let go of all.
- Memory is bounded in events.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from domain.message import Recorded, Sealed

_MOST_EVENTS: Final = 4096


class Recent:
    """Events that were stored, or read, last. Safe to use from several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[UUID, int], Recorded] = OrderedDict()
        self._epoch = 0
        self._lock = threading.Lock()

    @property
    def epoch(self) -> int:
        """Return how often all was let go of."""
        return self._epoch

    def put(self, events: Iterable[Recorded], epoch: int) -> None:
        """Take events up with their places, unless all was let go of since `epoch`, when they were read."""
        with self._lock:
            if epoch != self._epoch:
                return
            for one in events:
                if not isinstance(one.event, Sealed):
                    self._known[one.log_id, one.leaf_index] = one
            while len(self._known) > _MOST_EVENTS:
                self._known.popitem(last=False)

    def run(self, log_id: UUID, first: int, end: int) -> list[Recorded]:
        """Return the events from leaf index `first` on, up to `end` or the first one that is not known."""
        found: list[Recorded] = []
        with self._lock:
            for index in range(first, end):
                one = self._known.get((log_id, index))
                if one is None:
                    break
                found.append(one)
        return found

    def forget(self) -> None:
        """Let go of all."""
        with self._lock:
            self._epoch += 1
            self._known.clear()
