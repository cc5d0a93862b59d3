"""Worker processes that share one large job: tasks in order, answers in the same order.

Invariants:
- Answers come in the order of their tasks, whatever the number of workers: what is made of them doesn't depend on it.
- A bounded number of tasks is under way, so memory doesn't grow with the job.
- A worker that dies ends the job with an UnavailableError; nothing waits for it. Workers don't outlive their parent,
  however it ends, and leave an interrupt from the keyboard to it.
- With one worker everything runs in this process.
- While the job lasts garbage is looked for seldom, here and in the workers.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from types import TracebackType
from typing import Self, TypeVar

from domain.errors import UnavailableError
from infrastructure.pauses import collect_seldom, seldom_collecting

TaskT = TypeVar("TaskT")
AnswerT = TypeVar("AnswerT")

_AHEAD = 2
"""Tasks that wait for each worker, beyond the one that it does."""


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """A number of processes for one job. Use it as a context manager.

    Args:
        jobs: how many; 1 for none beside this one.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._pauses = seldom_collecting()

    def ordered(self, do: Callable[[TaskT], AnswerT], tasks: Iterable[TaskT]) -> Iterator[AnswerT]:
        """Yield what a function makes of each task, in order. Tasks are drawn only a few ahead.

        Args:
            do: an importable function; with more than one worker, tasks and answers are pickled.
            tasks: what to do.

        Raises:
            UnavailableError: when a worker died.
        """
        if self._pool is None:
            yield from map(do, tasks)
            return
        source, waiting = iter(tasks), deque[Future[AnswerT]]()
        try:
            while True:
                while len(waiting) < self.jobs * (1 + _AHEAD):
                    task = next(source, waiting)
                    if task is waiting:
                        break
                    waiting.append(self._pool.submit(do, task))  # type: ignore[arg-type]  # not the sentinel
                if not waiting:
                    return
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise UnavailableError(
                "a worker process died, for want of memory perhaps; nothing was concluded: repeat with --jobs 1"
            ) from None

    def __enter__(self) -> Self:
        self._pauses.__enter__()
        if self.jobs > 1:
            self._pool = ProcessPoolExecutor(self.jobs, get_context("spawn"), initializer=_begin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pauses.__exit__(None, None, None)
        if self._pool is None:
            return
        processes = list(getattr(self._pool, "_processes", None) or {})
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        if kind is not None:
            for pid in processes:  # whatever they do, nobody waits for it any more
                _end(pid)


def _begin() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _end(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
