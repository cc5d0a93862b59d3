"""Whether this process alone answers requests of its ledger, or others do too.

A process that is started without roles is alone: it keeps tokens and what is used up in its memory, and asks the
database for neither. One that is given roles shares them (infrastructure.api.shared).

Invariants:
- One that is alone never answers beside another one: a lease that each holds in its way says so, from before it gives
  out tokens. Who comes second is refused.
- With the session the lease is lost. It is taken again within about a second; where another kind was quicker, this
  process ends.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from domain.errors import UnavailableError
from infrastructure.api.proofs import Proofs
from infrastructure.api.shared import Shared
from infrastructure.closing import Closing
from infrastructure.ledger import Ledger
from infrastructure.postgres.leases import Leases

LEASE: Final = "answers requests"
_EVERY_S: Final = 1.0
_AGAIN_S: Final = 0.2
_PATIENCE_S: Final = 25.0
"""A machine that is gone is noticed by the database within some 20 s."""
_JOIN_S: Final = 2.0


class Company(Closing):
    """Holds the lease for a time. Makes `proofs` share what they know where that is needed.

    Args:
        ledger: the ledger.
        proofs: this process's.
        alone: whether no other process answers.
        lost: is told, on another thread, that others answer now in the other way: this process must end.
        stopping: ends the wait for the lease.

    Raises:
        UnavailableError: when others answer in the other way.
    """

    def __init__(
        self,
        ledger: Ledger,
        proofs: Proofs,
        *,
        alone: bool,
        lost: Callable[[UnavailableError], object],
        stopping: threading.Event,
    ) -> None:
        self._leases = Leases(ledger.datastore)
        self._together = not alone
        self._lost = lost
        self._stop = threading.Event()
        until_s = time.monotonic() + _PATIENCE_S
        while not self._leases.take(LEASE, together=self._together):
            if time.monotonic() > until_s or stopping.wait(_AGAIN_S):
                self._leases.close()
                raise self._refusal()
        self._shared = None if alone else Shared(ledger.datastore, ledger.clock.now_ms)
        proofs.shared = self._shared
        self._thread = threading.Thread(target=self._watch, name="ledger-company", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Let others answer."""
        self._stop.set()
        self._thread.join(_JOIN_S)
        self._leases.close()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            try:
                self._leases.check(LEASE)
                self._prune()
            except UnavailableError:
                if not self._regained():
                    self._lost(self._refusal())
                    return

    def _prune(self) -> None:
        if self._shared is not None:
            with contextlib.suppress(UnavailableError):  # again in a moment
                self._shared.prune()

    def _regained(self) -> bool:
        """Take the lease again as soon as the database answers; tell whether it could be had."""
        while not self._stop.is_set():
            try:
                return self._leases.take(LEASE, together=self._together)
            except UnavailableError:
                self._stop.wait(_EVERY_S)
        return True

    def _refusal(self) -> UnavailableError:
        if self._together:
            return UnavailableError(
                "a process without --role answers this ledger alone: end it, and start each with --role"
            )
        return UnavailableError("other processes answer this ledger: end them, or start this one with --role too")
