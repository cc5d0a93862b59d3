"""Tries what is open, again and again until it is taken: whoever is due, in turns, and who fails with longer pauses.

Invariants:
- First handed out, then recorded: at least once.
- A step is bounded, however much is open: it looks at a page of the feed and tries so many parcels.
- A recipient that does not answer is left alone for a while, longer each time; the others are not held up by it. One
  recipient's parcels are tried one after the other.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from domain.errors import LedgerError, UnavailableError
from infrastructure.backoff import Backoff

FIRST_PAUSE_S: Final = 1.0
MOST_PAUSE_S: Final = 300.0
MOST_TRIES: Final = 64
"""So many parcels are tried in one step, shared between the recipients that can be."""
MOST_OF_ONE: Final = 2
"""Recipients of one group that are served at once, where several are."""

P = TypeVar("P")

Trouble = Callable[[str], None]
"""Is told, in words, what could not be delivered; it is tried again."""


class Outgoing(Protocol[P]):
    """What is open, and for whom. With several threads its methods are called from them, of one recipient from one."""

    def look(self) -> bool:
        """Look at some of what was committed since. Tells whether there is more."""
        ...

    def recipients(self) -> Sequence[str]:
        """Return who is told."""
        ...

    def group(self, recipient: str) -> str:
        """Return what shares its bounds with others."""
        ...

    def waits(self, recipients: Collection[str]) -> bool:
        """Tell whether anything is open for one of these recipients."""
        ...

    def next_of(self, recipient: str, most: int) -> Iterator[P]:
        """Yield what is open for a recipient, in the order in which it is tried, at most so many."""
        ...

    def send(self, recipient: str, parcel: P) -> bool:
        """Hand it out, then record that it was taken; tell whether that was not recorded before."""
        ...

    def failed(self, recipient: str, parcel: P, error: LedgerError) -> str:
        """Count a try that failed; return how it is told."""
        ...

    def save(self) -> None:
        """Write down what has changed."""
        ...


@dataclass
class _Patience:
    """When a recipient is tried again."""

    backoff: Backoff = field(default_factory=lambda: Backoff(FIRST_PAUSE_S, MOST_PAUSE_S))
    due_ms: int = 0


class Deliverer(Generic[P]):
    """Delivers what an outbox holds. `more` tells whether the last step left some for now.

    Args:
        outbox: what is open.
        now_ms: tells the instant.
        trouble: told of each try that failed.
        threads: recipients that are served at once; None: one after the other, in this thread.
        stop_at_first: a recipient's parcels are kept in order: after any failure the others wait as well.
    """

    def __init__(
        self,
        outbox: Outgoing[P],
        now_ms: Callable[[], int],
        trouble: Trouble | None = None,
        *,
        threads: int | None = None,
        stop_at_first: bool = False,
    ) -> None:
        self._outbox = outbox
        self._now_ms = now_ms
        self._trouble = trouble
        self._stop_at_first = stop_at_first
        self._first = -1
        self.more = False
        self._patience: dict[str, _Patience] = {}
        self._threads = threads
        self._under_way: dict[str, Future[tuple[int, int]]] = {}

    def step(self, patience_s: float = 0.0) -> int:
        """Try some of what is open and due, MOST_TRIES at most. Returns how many parcels were delivered.

        Args:
            patience_s: so long it waits for one that is under way in another thread.
        """
        self.more = self._outbox.look()
        delivered = self._ended(0.0)
        due = [name for name in self._turn() if self._may(name)]
        left, share = MOST_TRIES, max(1, MOST_TRIES // max(1, len(due)))
        for name in due:
            if left <= 0:
                break
            if self._threads is None:
                tried, taken = self._serve(name, min(share, left))
                left, delivered = left - tried, delivered + taken
            elif len(self._under_way) < self._threads and self._room(name):
                self._under_way[name] = self._begun(name, share)
        delivered += self._ended(patience_s)
        if due:
            self._outbox.save()
        self.more = self.more or (delivered > 0 and self.waits())
        return delivered

    def due_ms(self) -> int | None:
        """Return the next instant at which a recipient that failed is tried again; None where none did."""
        return min((one.due_ms for one in self._patience.values() if one.due_ms > self._now_ms()), default=None)

    @property
    def busy(self) -> bool:
        """Whether recipients are being served in other threads."""
        return bool(self._under_way)

    def waits(self) -> bool:
        """Tell whether anything is open for a recipient, as far as was looked."""
        return self._outbox.waits(self._outbox.recipients())

    def _turn(self) -> list[str]:
        """Return the recipients, another one first each time: they may be more than a step can serve."""
        names = list(self._outbox.recipients())
        for gone in self._patience.keys() - set(names) - self._under_way.keys():
            del self._patience[gone]
        self._first = (self._first + 1) % max(1, len(names))
        return names[self._first :] + names[: self._first]

    def _may(self, name: str) -> bool:
        return name not in self._under_way and self._is_due(name) and self._outbox.waits((name,))

    def _room(self, name: str) -> bool:
        group = self._outbox.group(name)
        return sum(self._outbox.group(other) == group for other in self._under_way) < MOST_OF_ONE

    def _is_due(self, name: str) -> bool:
        return self._patience.setdefault(name, _Patience()).due_ms <= self._now_ms()

    def _ended(self, patience_s: float) -> int:
        """Return what those delivered that have ended, after waiting a while for one."""
        if self._under_way and patience_s:
            wait(self._under_way.values(), patience_s, FIRST_COMPLETED)
        delivered = 0
        for name in [name for name, future in self._under_way.items() if future.done()]:
            future = self._under_way.pop(name)
            fault = future.exception()
            if fault is None:
                delivered += future.result()[1]
            else:
                self._failed(name, UnavailableError("a fault of the program"), f"{name}: {type(fault).__name__}")
        return delivered

    def _begun(self, name: str, most: int) -> "Future[tuple[int, int]]":
        """Serve a recipient in a thread of its own, which keeps no process from ending."""
        future: Future[tuple[int, int]] = Future()

        def serve() -> None:
            try:
                future.set_result(self._serve(name, most))
            except BaseException as error:  # noqa: BLE001 - whatever it is, who waits is told
                future.set_exception(error)

        threading.Thread(target=serve, name="ledger-webhook", daemon=True).start()
        return future

    def _serve(self, name: str, most: int) -> tuple[int, int]:
        """Try what is open for a recipient, until it fails; return how many were tried and how many delivered."""
        tried = delivered = 0
        parcels = self._outbox.next_of(name, most)
        while self._is_due(name):
            try:
                parcel = next(parcels, None)
            except LedgerError as error:
                self._failed(name, error, str(error))
                break
            if parcel is None:
                break
            tried += 1
            try:
                delivered += self._outbox.send(name, parcel)
            except LedgerError as error:
                self._failed(name, error, self._outbox.failed(name, parcel, error))
            else:
                self._patience[name].backoff.reset()
        return tried, delivered

    def _failed(self, name: str, error: LedgerError, words: str) -> None:
        patience = self._patience[name]
        if self._stop_at_first or isinstance(error, UnavailableError):
            patience.due_ms = self._now_ms() + int(1000 * patience.backoff.next_s())
        if self._trouble is not None:
            self._trouble(words)
