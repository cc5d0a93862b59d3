"""Group commit: what arrives while one transaction commits goes into the next one, together.

Invariants:
- A caller's batch is stored whole or not at all, and its answer comes after the commit is on disk.
- A batch that is refused fails its own caller: the group is halved until the refused one stands alone.
- The queue is bounded: a caller waits for room, then is told to try again. Nothing that was taken in is dropped.
- Batches of different deciders' epochs never share a transaction: a deposed decider fails alone.
- An event loop is never blocked, and is woken once for each commit, however many of its tasks are answered: waking it
  for each costs more than sealing the event (35 us against 8 us for each, measured).
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from eventsourcing.persistence import IntegrityError

from domain.errors import RefusedError, UnavailableError
from infrastructure.closing import Closing
from infrastructure.postgres.batch import Batch, merge
from infrastructure.postgres.room import Room

_MOST_EVENTS = 2000
"""Events in one transaction, unless one batch alone has more."""
_MOST_WAITING = 8192
"""Events that may wait before callers are held back."""
_PATIENCE_S = 10.0
_PACE_S = 0.002
"""How soon after a commit that several callers shared the next one begins, unless enough wait for it."""
_ENOUGH = 64

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Committer(Protocol[T_co]):
    """Writes one batch in one transaction."""

    def commit(self, batch: Batch, epoch: int | None) -> Sequence[T_co]:
        """Write a batch, durably; return what is answered for each event, in order."""
        ...


@dataclass(slots=True)
class _Waiting(Generic[T]):
    """A batch that was taken in, and who waits for its answers: a thread or a task."""

    batch: Batch
    epoch: int | None
    done: Future[Sequence[T]] | asyncio.Future[Sequence[T]]

    @property
    def weight(self) -> int:
        return max(1, len(self.batch.events))


class GroupCommit(Closing, Generic[T]):
    """Collects batches of all threads and tasks of this process and commits them together.

    Args:
        committer: the recorder.
        most_waiting: events that may wait before callers are held back.
        patience_s: how long a caller waits for room.
    """

    def __init__(
        self, committer: Committer[T], *, most_waiting: int = _MOST_WAITING, patience_s: float = _PATIENCE_S
    ) -> None:
        self._committer = committer
        self._room = Room(most_waiting, patience_s=patience_s)
        self._queue: deque[_Waiting[T]] = deque()  # only the commit thread takes out
        self._changed = threading.Condition(threading.Lock())
        self._closed = False
        self._shared, self._began_s = False, 0.0
        self._thread = threading.Thread(target=self._run, name="ledger-group-commit", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, epoch: int | None = None) -> Future[Sequence[T]]:
        """Take a batch in; the future holds what is answered for its events, or why it was refused.

        It may hold this thread back.

        Raises:
            UnavailableError: when there was no room in time, or this is closed. Nothing was taken in.
        """
        done: Future[Sequence[T]] = Future()
        waiting = _Waiting(batch, epoch, done)
        self._room.take(waiting.weight)
        self._enter(waiting)
        self._wake()
        return done

    def append(self, batch: Batch, epoch: int | None = None) -> Sequence[T]:
        """Take a batch in and wait until it is durable. Raises what the recorder raises, or as `submit`."""
        return self.submit(batch, epoch).result()

    async def append_async(self, batch: Batch, epoch: int | None = None) -> Sequence[T]:
        """Do what `append` does, as a task. Cancelling it doesn't take the batch back."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Sequence[T]] = loop.create_future()
        waiting = _Waiting(batch, epoch, done)
        await self._room.take_async(waiting.weight)
        self._enter(waiting)
        loop.call_soon(self._wake)  # at the end of this turn: what the loop's other tasks bring in it goes along
        return await done

    def close(self) -> None:
        """Commit what was taken in, then end. Safe to repeat."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _enter(self, waiting: _Waiting[T]) -> None:
        with self._changed:
            if not self._closed:
                self._queue.append(waiting)
                return
        self._room.give_back(waiting.weight)
        raise UnavailableError("this ledger is closed: open it again")

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify()

    def _run(self) -> None:
        while group := self._next():
            self._commit(group)

    def _next(self) -> list[_Waiting[T]]:
        """Take what waits: one epoch, nothing twice or both guarded and written, at most _MOST_EVENTS events."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
        self._pace()
        group: list[_Waiting[T]] = []
        keys: set[object] = set()
        guarded: set[object] = set()
        weight = 0
        while self._queue:
            waiting = self._queue[0]
            if not group and len(self._queue) == 1:  # alone: whom should it meet?
                group.append(self._queue.popleft())
                weight += waiting.weight
                break
            own, reads = waiting.batch.keys(), waiting.batch.guarded()
            full = weight + waiting.weight > _MOST_EVENTS
            meets = not (keys.isdisjoint(own) and keys.isdisjoint(reads) and guarded.isdisjoint(own))
            if group and (full or meets or waiting.epoch != group[0].epoch):
                break
            group.append(self._queue.popleft())
            keys |= own
            guarded |= reads
            weight += waiting.weight
        self._room.give_back(weight)
        self._shared, self._began_s = len(group) > 1, time.monotonic()
        return group

    def _pace(self) -> None:
        """Let more come along: a commit costs a millisecond of processor time, with one event or with twenty.

        A caller that is alone is never held up.
        """
        if self._shared and len(self._queue) < _ENOUGH and not self._closed:
            time.sleep(max(0.0, self._began_s + _PACE_S - time.monotonic()))

    def _commit(self, group: Sequence[_Waiting[T]]) -> None:
        try:
            answered = self._committer.commit(merge([waiting.batch for waiting in group]), group[0].epoch)
        except (IntegrityError, RefusedError) as error:
            if len(group) == 1:
                _answer([(group[0].done, error)])
                return
            half = len(group) // 2
            self._commit(group[:half])
            self._commit(group[half:])
        except BaseException as error:  # noqa: BLE001 - it belongs to the callers, whatever it is; this thread goes on
            _answer((waiting.done, error) for waiting in group)
        else:
            first = 0
            answers: list[_Answer[T]] = []
            for waiting in group:
                end = first + len(waiting.batch.events)
                answers.append((waiting.done, answered[first:end]))
                first = end
            _answer(answers)


_Answer = tuple[Future[Sequence[T]] | asyncio.Future[Sequence[T]], Sequence[T] | BaseException]


def _answer(answers: Iterable[_Answer[T]]) -> None:
    """Tell each caller: threads at once, the tasks of a loop together."""
    loops: dict[asyncio.AbstractEventLoop, list[_Answer[T]]] = {}
    for done, outcome in answers:
        if isinstance(done, Future):
            _tell([(done, outcome)])
        else:
            loops.setdefault(done.get_loop(), []).append((done, outcome))
    for loop, its in loops.items():
        with contextlib.suppress(RuntimeError):  # a loop that was closed waits for nothing
            loop.call_soon_threadsafe(_tell, its)


def _tell(answers: Iterable[_Answer[T]]) -> None:
    for done, outcome in answers:
        if done.done():  # a task that was cancelled
            continue
        if isinstance(outcome, BaseException):
            done.set_exception(outcome)
        else:
            done.set_result(outcome)
