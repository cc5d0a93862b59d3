"""Keeps one projection live: follows the feed's hub, and takes step after step for the logs that have something to do.

Invariants:
- Logs take turns, a bounded step each: one that has much to catch up on does not keep the others waiting.
- A log that is stopped by an event is tried again after pauses that grow to a minute; the others go on meanwhile.
- Which logs there is something to do for is looked up at the start, when the hub has begun, and every 30 s, and in
  between told by the hub: a build that another process began, or left, is found.
- It works while it holds its lease, and ends with an error when that is lost.
"""

import threading
import time
from collections.abc import Callable
from uuid import UUID

from domain.errors import ConflictError
from infrastructure.backoff import Backoff
from infrastructure.feed.hub import Hub
from infrastructure.projecting.follower import Follower

PATIENCE_S = 1.0
"""How often the lease is looked at."""
_LOOK_S = 30.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0


class Runner:
    """Runs one projection. Used by one thread; `stop` may be called from any.

    Args:
        follower: the projection.
        hub: rings when logs move.
        check: raises when the lease was lost.
        breath_s: how long to wait after each round of turns: what comes meanwhile is folded together.
    """

    def __init__(self, follower: Follower, hub: Hub, check: Callable[[], None], *, breath_s: float = 0.0) -> None:
        self._breath_s = breath_s
        self._follower = follower
        self._hub = hub
        self._check = check
        self._rung = threading.Event()
        self._ended = threading.Event()
        self._todo: dict[UUID, None] = {}
        self._stopped: dict[UUID, tuple[float, Backoff]] = {}

    def stop(self) -> None:
        """End `run` soon. Safe to repeat."""
        self._ended.set()
        self._rung.set()

    def run(self) -> None:
        """Work until `stop`, or until the hub is closed.

        Raises:
            UnavailableError: when the database does not answer, or the lease was lost.
            VerificationError: when the feed cannot be followed.
        """
        with self._hub.watch(self._rung.set) as watch:
            looked, checked = -_LOOK_S, time.monotonic()
            while not self._ended.is_set() and not self._hub.closed:
                self._rung.clear()  # before the look: what is committed after it rings
                self._todo.update(dict.fromkeys(watch.take()))
                now = time.monotonic()
                if now - checked >= PATIENCE_S:
                    self._check()
                    checked = now
                if watch.take_unnamed() or now - looked >= _LOOK_S:
                    self._todo.update(dict.fromkeys(self._follower.behind()))
                    looked = now
                self._take_turns(now)
                if self._breath_s:
                    self._ended.wait(self._breath_s)
                if not self._todo:
                    self._rung.wait(PATIENCE_S)

    def _take_turns(self, now: float) -> None:
        """Take one step for each log that has something to do and isn't to be left alone for a while."""
        due = [log_id for log_id, (again, _) in self._stopped.items() if again <= now]
        self._todo.update(dict.fromkeys(due))
        for log_id in list(self._todo):
            if self._ended.is_set():
                return
            if log_id in self._stopped and log_id not in due:
                del self._todo[log_id]
                continue
            self._turn(log_id)

    def _turn(self, log_id: UUID) -> None:
        try:
            step = self._follower.step(log_id)
        except ConflictError:
            return  # another process was quicker: it stays on the list, and is looked at again
        if step.stopped:
            backoff = self._stopped.get(log_id, (0.0, Backoff(_FIRST_PAUSE_S, _LONGEST_PAUSE_S)))[1]
            self._stopped[log_id] = (time.monotonic() + backoff.next_s(), backoff)
        else:
            self._stopped.pop(log_id, None)
        if not step.more:
            self._todo.pop(log_id, None)
