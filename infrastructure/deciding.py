"""A standing decider: decides what comes, or stands by until the one that does is gone.

Invariants:
- The lease says who works; the epoch in the database decides: whoever takes it deposes the one before, whose batches
  fail from then on.
- A standby follows the feed, so that it has nothing to read when it takes over. A process that dies gives its lease
  back at once; it is asked for every half second.
"""

import threading
from collections.abc import Callable
from typing import Final

from domain.errors import UnavailableError
from infrastructure.decider import MOST_S, Decider
from infrastructure.ledger import Ledger
from infrastructure.postgres.leases import Leases
from infrastructure.postgres.records import FencedError

LEASE: Final = "decider"
_EVERY_S: Final = 0.02
_STANDBY_S: Final = 0.5

Told = Callable[[str], None]


def keep_deciding(
    ledger: Ledger,
    *,
    stop: threading.Event,
    told: Told = lambda _line: None,
    settled: Callable[[Decider], object] = lambda _decider: None,
    decider: Decider | None = None,
    rest: Callable[[], object] | None = None,
) -> None:
    """Decide until stopped; while another process decides, stand by.

    What is unavailable is told and tried again.

    Args:
        ledger: the cell.
        stop: ends it between two batches.
        told: is told when this begins or ceases to decide, and what goes wrong.
        settled: is called each time that nothing is left to decide.
        decider: the one to use; None: one of its own.
        rest: is called where nothing is left to decide, and returns when there may be; None: a fiftieth of a second.

    Raises:
        DifferenceError: when stored decisions are not those that this engine makes: then nobody may go on.
    """
    decider, leases = decider or Decider(ledger, most_s=MOST_S), Leases(ledger.datastore)
    with leases:
        leading = False
        while not stop.is_set():
            try:
                if not leading and leases.take(LEASE):
                    decider.retire()
                    leading = True
                    told("this process decides")
                if leading:
                    leases.check(LEASE)
                    decider.settle()
                    settled(decider)
                else:
                    decider.follow()
            except FencedError:
                leases.end(LEASE)
                decider.retire()
                leading = False
                told("another process decides: this one stands by")
                stop.wait(_STANDBY_S)
            except UnavailableError as error:
                leading = False
                told(str(error))
                stop.wait(_STANDBY_S)
            if leading and rest is not None:
                rest()
            else:
                stop.wait(_EVERY_S if leading else _STANDBY_S)
