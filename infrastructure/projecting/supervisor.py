"""Runs every projection, each by one process of all: takes leases, starts runners, and starts them again.

Invariants:
- A projection that fails is tried again, with pauses that grow to 30 s; the others don't notice.
- A lease that another process holds is asked for every second: when that process dies, this one goes on within seconds,
  from where the rows are.
"""

import math
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from domain.errors import LedgerError, UnavailableError
from infrastructure.backoff import Backoff
from infrastructure.feed.hub import Hub
from infrastructure.ledger import Ledger
from infrastructure.postgres.editions import family_of
from infrastructure.postgres.leases import Leases
from infrastructure.projecting.follower import Follower, Project
from infrastructure.projecting.runner import Runner

_ASK_S = 1.0
_LONGEST_PAUSE_S = 30.0

Trouble = Callable[[str, str], None]
"""Is told a projection's name and, in words, why it does not run at the moment."""


def lease_of(projection: str) -> str:
    """Return the name of the lease of a projection: one for all its versions."""
    return f"projection/{family_of(projection)}"


class Supervisor:
    """The runners of one process. `start` them, `close` them.

    Args:
        ledger: the ledger.
        hub: this process's.
        projections: what to run, folds by stored name.
        trouble: told whenever one fails.
        breath_s: how long a runner waits after each round, so that busy times cost fewer and larger steps.
    """

    def __init__(
        self, ledger: Ledger, hub: Hub, projections: Mapping[str, Project], *, trouble: Trouble | None = None,
        breath_s: float = 0.0,
    ) -> None:  # fmt: skip
        self._breath_s = breath_s
        self._ledger = ledger
        self._hub = hub
        self._leases = Leases(ledger.datastore)
        self._trouble = trouble
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._runners: dict[str, Runner] = {}
        self._threads = [
            threading.Thread(target=self._keep, args=one, name=f"ledger-{one[0]}", daemon=True)
            for one in projections.items()
        ]

    def start(self) -> None:
        """Start all."""
        for thread in self._threads:
            thread.start()

    def running(self) -> frozenset[str]:
        """Return the projections that run in this process now."""
        with self._lock:
            return frozenset(self._runners)

    def close(self, within_s: float | None = None) -> None:
        """Stop all, and let others have the leases. Safe to repeat.

        Args:
            within_s: so long is waited for what is under way; None: until it is done.
        """
        until_s = math.inf if within_s is None else time.monotonic() + within_s
        self._ended.set()
        with self._lock:
            for runner in self._runners.values():
                runner.stop()
        for thread in self._threads:
            if thread.ident is not None:
                left_s = until_s - time.monotonic()
                thread.join(None if math.isinf(left_s) else max(0.0, left_s))
        self._leases.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self, name: str, project: Project) -> None:
        """Run a projection whenever the lease is ours, until the end."""
        backoff = Backoff(most_s=_LONGEST_PAUSE_S)
        while not self._ended.is_set():
            pause_s = _ASK_S
            try:
                if self._leases.take(lease_of(name)):
                    self._run(name, project, backoff)
            except Exception as error:  # noqa: BLE001 - whatever one projection meets, it is tried again
                pause_s = backoff.next_s()
                self._tell(name, error)
            finally:
                self._leases.end(lease_of(name))
            self._ended.wait(pause_s)

    def _run(self, name: str, project: Project, backoff: Backoff) -> None:
        def check() -> None:
            self._leases.check(lease_of(name))
            backoff.reset()  # it has run for a second at least

        runner = Runner(Follower(self._ledger, name, project), self._hub, check, breath_s=self._breath_s)
        with self._lock:
            if self._ended.is_set():
                return
            self._runners[name] = runner
        try:
            runner.run()
        finally:
            with self._lock:
                del self._runners[name]
        if self._hub.closed and not self._ended.is_set():
            raise UnavailableError("the feed's hub is closed")

    def _tell(self, name: str, error: Exception) -> None:
        if self._trouble is not None:
            known = str(error) if isinstance(error, LedgerError) else f"a fault of the program ({type(error).__name__})"
            self._trouble(name, known)
