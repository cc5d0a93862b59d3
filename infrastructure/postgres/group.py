"""Group commit: what arrives while one transaction commits goes into the next one, together.

Invariants:
- A caller's batch is stored whole or not at all, and its answer comes after the commit is on disk.
- A batch that is refused fails its own caller: the group is halved until the refused one stands alone.
- The queue is bounded: a caller waits for room, then is told to try again. Nothing that was taken in is dropped.
- Batches of different deciders' epochs never share a transaction: a deposed decider fails alone.
"""

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from eventsourcing.persistence import IntegrityError

from domain.errors import RefusedError, UnavailableError
from infrastructure.postgres.batch import Batch, merge
from infrastructure.postgres.records import Appended

_MOST_EVENTS = 2000
"""Events in one transaction, unless one batch alone has more."""
_MOST_WAITING = 8192
"""Events that may wait before callers are held back."""
_PATIENCE_S = 10.0


class Committer(Protocol):
    """Writes one batch in one transaction."""

    def commit(self, batch: Batch, epoch: int | None) -> list[Appended]:
        """Write a batch, durably."""
        ...


@dataclass
class _Waiting:
    batch: Batch
    epoch: int | None
    done: Future[list[Appended]] = field(default_factory=Future)

    @property
    def weight(self) -> int:
        return max(1, len(self.batch.events))


class GroupCommit:
    """Collects batches of all threads of this process and commits them together.

    Args:
        committer: the recorder.
        most_waiting: events that may wait before callers are held back.
    """

    def __init__(self, committer: Committer, *, most_waiting: int = _MOST_WAITING) -> None:
        self._committer = committer
        self._most_waiting = most_waiting
        self._queue: deque[_Waiting] = deque()
        self._weight = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="ledger-group-commit", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, epoch: int | None = None) -> Future[list[Appended]]:
        """Take a batch in; the future holds the places of its events, or why it was refused.

        Raises:
            UnavailableError: when there was no room for 10 s, or this is closed. Nothing was taken in.
        """
        waiting = _Waiting(batch, epoch)
        with self._changed:
            room = self._changed.wait_for(
                lambda: self._closed or not self._queue or self._weight + waiting.weight <= self._most_waiting,
                _PATIENCE_S,
            )
            if self._closed or not room:
                raise UnavailableError("the ledger takes no more at the moment: try again")
            self._queue.append(waiting)
            self._weight += waiting.weight
            self._changed.notify_all()
        return waiting.done

    def append(self, batch: Batch, epoch: int | None = None) -> list[Appended]:
        """Take a batch in and wait until it is durable. Raises what the recorder raises."""
        return self.submit(batch, epoch).result()

    def close(self) -> None:
        """Commit what was taken in, then end. Safe to repeat."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        while group := self._next():
            self._commit(group)

    def _next(self) -> list[_Waiting]:
        """Take what waits: one epoch, nothing twice or both guarded and written, at most _MOST_EVENTS events."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            group: list[_Waiting] = []
            keys: set[object] = set()
            guarded: set[object] = set()
            weight = 0
            while self._queue:
                waiting = self._queue[0]
                own, reads = waiting.batch.keys(), waiting.batch.guarded()
                full = weight + waiting.weight > _MOST_EVENTS
                meets = not (keys.isdisjoint(own) and keys.isdisjoint(reads) and guarded.isdisjoint(own))
                if group and (full or meets or waiting.epoch != group[0].epoch):
                    break
                group.append(self._queue.popleft())
                keys |= own
                guarded |= reads
                weight += waiting.weight
            self._weight -= weight
            self._changed.notify_all()
            return group

    def _commit(self, group: Sequence[_Waiting]) -> None:
        try:
            places = self._committer.commit(merge([waiting.batch for waiting in group]), group[0].epoch)
        except (IntegrityError, RefusedError) as error:
            if len(group) == 1:
                group[0].done.set_exception(error)
                return
            half = len(group) // 2
            self._commit(group[:half])
            self._commit(group[half:])
        except BaseException as error:  # noqa: BLE001 - it belongs to the callers, whatever it is; this thread goes on
            for waiting in group:
                waiting.done.set_exception(error)
        else:
            for waiting in group:
                count = len(waiting.batch.events)
                waiting.done.set_result(places[:count])
                places = places[count:]
