"""The roles that work beside the API in one process: decider, projector, publisher (with anchors, rotation, webhooks).

Invariants:
- One process has all of them, or those that it is told (`ROLES`); what another process does too is shared out by leases
  and locks, so any number of each may run. A process that answers and doesn't decide follows.
- A role that fails is told and tried again, with pauses that grow; the others don't notice.
- All end soon after they are asked to; who does not is left behind when the process ends: every step is a transaction.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from domain.errors import LedgerError
from domain.time import SECOND_MS
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.running import keep_cadence
from infrastructure.anchors.witnesses import read_witnesses
from infrastructure.audit.replay import PROJECTIONS
from infrastructure.backoff import Backoff
from infrastructure.cell import LiveCell
from infrastructure.feed.hub import Hub
from infrastructure.ledger import Ledger
from infrastructure.posting.targets import Network
from infrastructure.projecting.supervisor import Supervisor
from infrastructure.rotation import rotate_what_is_due
from infrastructure.settings import from_environment
from infrastructure.subscriptions.delivering import keep_delivering

Tell = Callable[[str], None]

ROUND_EVERY_S: Final = 60
"""Cadence of the anchor log's rounds, where LEDGER_ROUND_INTERVAL_S says no other."""
_ROTATE_EVERY_S: Final = 600.0
_LONGEST_PAUSE_S: Final = 30.0
API: Final = "api"
ROLES: Final = (API, "decider", "publisher", "projector")
_PATIENCE_S: Final = 3.0
_LOOK_S: Final = 0.1
_BREATH_S: Final = 1.0
"""Read models may be so far behind: folding each commit by itself took a third of a busy process."""


class Roles:
    """Everything of one process that works without being asked. A `with` block is their time.

    Args:
        ledger: the cell.
        cell: decides, or follows. None where this process neither decides nor answers.
        tell: is told what goes wrong.
        roles: those of ROLES that are this process's.
        networks: to which webhooks may lead beside the public internet.
    """

    def __init__(
        self,
        ledger: Ledger,
        cell: LiveCell | None,
        tell: Tell,
        roles: frozenset[str] = frozenset(ROLES),
        networks: Sequence[Network] = (),
    ) -> None:
        self._ledger = ledger
        self._networks = networks
        self._tell = tell
        self._stop = threading.Event()
        self._hub = Hub(ledger.datastore)
        self._projector = Supervisor(
            ledger, self._hub, PROJECTIONS, trouble=lambda name, why: tell(f"{name}: {why}"), breath_s=_BREATH_S
        )
        self._projects = "projector" in roles
        named: dict[str, Callable[[], object]] = {}
        if cell is not None:
            works = cell.keep if "decider" in roles else cell.follow
            named["decider" if "decider" in roles else "follower"] = lambda: self._decide(works)
        if "publisher" in roles:
            named |= {"publisher": self._publish, "rotation": self._rotate, "webhooks": self._deliver}
        self._threads = [
            threading.Thread(target=self._keep, args=one, name=f"ledger-{one[0]}", daemon=True) for one in named.items()
        ]

    def __enter__(self) -> Self:
        """Start all."""
        if self._projects:
            self._projector.start()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all, and wait for them a while."""
        self._stop.set()
        until_s = time.monotonic() + _PATIENCE_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        self._projector.close(max(0.0, until_s - time.monotonic()))
        self._hub.close()

    def _keep(self, name: str, work: Callable[[], object]) -> None:
        backoff = Backoff(most_s=_LONGEST_PAUSE_S)
        while not self._stop.is_set():
            try:
                work()
            except LedgerError as error:
                self._tell(f"{name}: {error}")
            except Exception as error:  # noqa: BLE001 - whatever one role meets, it is tried again
                self._tell(f"{name}: a fault of the program ({type(error).__name__})")
            self._stop.wait(backoff.next_s())

    def _decide(self, works: Callable[[threading.Event, Tell, Callable[[], None]], None]) -> None:
        """Decide or follow as soon as something was committed, and look at what comes due a few times a second."""
        rung = threading.Event()
        watch = self._hub.watch(rung.set)

        def rest() -> None:
            rung.wait(_LOOK_S)
            rung.clear()  # before the look: what is committed after it rings
            watch.take()

        try:
            works(self._stop, self._tell, rest)
        finally:
            watch.close()

    def _publish(self) -> None:
        data_dir = self._ledger.data_dir
        if data_dir is not None:
            publisher = AnchorPublisher(self._ledger, read_witnesses(data_dir), tell=self._tell)
            every_s = from_environment(os.environ).round_interval_s or ROUND_EVERY_S
            keep_cadence(publisher, round(every_s * SECOND_MS), stop=self._stop)

    def _deliver(self) -> None:
        """Tell subscriptions, in one process of all that may; the others look again now and then."""
        keep_delivering(self._ledger, self._hub, self._stop, self._tell, self._networks)

    def _rotate(self) -> None:
        while not self._stop.wait(_ROTATE_EVERY_S):
            rotate_what_is_due(self._ledger)
