"""Tells subscriptions: once, or for as long as a process lives."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from domain.message import Recorded
from infrastructure.feed.hub import Hub
from infrastructure.ledger import Ledger
from infrastructure.postgres.leases import Leases
from infrastructure.posting.deliverer import Deliverer
from infrastructure.posting.exchange import DEFAULT_TIMEOUT_S
from infrastructure.posting.targets import Network, parse_networks
from infrastructure.subscriptions.outbox import ResultsOutbox

NETWORKS: Final = "LEDGER_WEBHOOK_NETWORKS"
THREADS: Final = 16
LEASE: Final = "webhooks of results"
_PATIENCE_S: Final = 0.2
_LOOK_S: Final = 1.0
_CHECK_S: Final = 5.0

Tell = Callable[[str], None]


def allowed_networks(environ: Mapping[str, str]) -> tuple[Network, ...]:
    """Return the networks that the setting allows. Raises as `parse_networks` does."""
    return parse_networks(environ.get(NETWORKS, ""))


def deliverer_of(
    ledger: Ledger,
    tell: Tell | None,
    networks: Sequence[Network],
    *,
    threads: int | None = THREADS,
    timeout_s: float = DEFAULT_TIMEOUT_S,
) -> Deliverer[Recorded]:
    """Return what delivers to a cell's subscriptions."""
    outbox = ResultsOutbox(ledger, networks, timeout_s)
    return Deliverer(outbox, ledger.clock.now_ms, tell, threads=threads, stop_at_first=True)


def keep_delivering(ledger: Ledger, hub: Hub, stop: threading.Event, tell: Tell, networks: Sequence[Network]) -> None:
    """Deliver until asked to stop, if no other process does; return where one does.

    Raises:
        LedgerError: when the ledger can't be read, or the lease was lost. It may be called again.
    """
    with Leases(ledger.datastore) as leases:
        if not leases.take(LEASE):
            return
        deliverer, rung = deliverer_of(ledger, tell, networks), threading.Event()
        watch, checked_s = hub.watch(rung.set), time.monotonic()
        try:
            while not stop.is_set():
                deliverer.step(_PATIENCE_S)
                if time.monotonic() > checked_s + _CHECK_S:
                    leases.check(LEASE)
                    checked_s = time.monotonic()
                if not deliverer.more and not deliverer.busy:
                    rung.wait(_LOOK_S)
                    rung.clear()  # before the look: what is committed after it rings
                    watch.take()
        finally:
            watch.close()
