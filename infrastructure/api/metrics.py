"""/metrics: how far the stages are behind, what waits, how large commits are, how requests were answered.

Invariants:
- It names no tenant, log, node or person, and nothing that they chose: sums and maxima over the cell.
- However often it is asked for, it is made every few seconds at most, by one thread at a time.
"""

import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from domain.errors import LedgerError
from domain.message import Sealed
from domain.time import SECOND_MS
from infrastructure.api.accesses import class_of
from infrastructure.audit.replay import PROJECTIONS
from infrastructure.cell import LiveCell
from infrastructure.ledger import Ledger
from infrastructure.measuring import Counts, Histogram, Labels, gauge
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.publication import LogHead, Publications
from infrastructure.postgres.views import Views

EVERY_S: Final = 5.0
_MOST_AGED: Final = 16
"""Of so many logs, those that are furthest behind, it is looked up since when."""
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_STATM: Final = Path("/proc/self/statm")


class Requests:
    """How this process answered requests."""

    def __init__(self) -> None:
        self._answered = Counts()
        self._took = Histogram(_SECONDS)

    def count(self, path: str, status: int, took_s: float) -> None:
        """Count a request that was answered."""
        self._answered.add(route=class_of(path), status=str(status))
        self._took.observe(took_s)

    def lines(self) -> list[str]:
        """Return it as text."""
        return [
            *self._answered.lines("ledger_http_responses_total", "Requests answered, by kind of route and status."),
            *self._took.lines("ledger_http_seconds", "Seconds until a request was answered whole."),
        ]


class Metrics:
    """What is told of one process and its cell. Safe to use from several threads.

    Args:
        ledger: the cell.
        cell: decides, or follows. None where this process does neither.
        requests: as this process answered them.
    """

    def __init__(self, ledger: Ledger, cell: LiveCell | None, requests: Requests) -> None:
        self._ledger = ledger
        self._cell = cell
        self._requests = requests
        self._lock = threading.Lock()
        self._made = b""
        self._at_s = 0.0

    def text(self) -> bytes:
        """Return the numbers of a few seconds ago at most.

        Raises:
            UnavailableError: when the database does not answer.
        """
        with self._lock:
            if not self._made or time.monotonic() >= self._at_s + EVERY_S:
                self._made = ("\n".join(self._lines()) + "\n").encode()
                self._at_s = time.monotonic()
            return self._made

    def _lines(self) -> Iterator[str]:
        yield from self._publishing()
        yield from self._projecting()
        yield from self._deciding()
        yield from self._ledger.commits.lines("ledger_commit_events", "Events in a durable commit of this process.")
        yield from self._requests.lines()
        yield from _process()

    def _publishing(self) -> Iterator[str]:
        heads = Publications(self._ledger.datastore).log_heads()
        behind = {head: head.frontier.size - _published(head) for head in heads}
        late = sorted((head for head in heads if behind[head] > 0), key=lambda head: -behind[head])
        oldest_ms = max((self._age_ms(head, _published(head)) for head in late[:_MOST_AGED]), default=0)
        frozen = sum(head.frozen is not None for head in heads)
        yield from gauge(
            "ledger_publisher_lag_entries", "Entries that no checkpoint holds yet.", {(): sum(behind.values())}
        )
        yield from gauge("ledger_publisher_lag_seconds", "Age of the oldest of them.", {(): oldest_ms / SECOND_MS})
        yield from gauge("ledger_frozen_logs", "Logs that take no appends.", {(): frozen})

    def _projecting(self) -> Iterator[str]:
        views = Views(self._ledger.datastore)
        standings = {name: views.standings(name) for name in PROJECTIONS}
        lag: dict[Labels, float] = {
            (("projection", name),): float(sum(max(0, one.size - one.position) for one in found if one.fault is None))
            for name, found in standings.items()
        }
        stopped: dict[Labels, float] = {
            (("projection", name),): float(sum(one.fault is not None for one in found))
            for name, found in standings.items()
        }
        yield from gauge("ledger_projector_lag_events", "Events that a read model has not folded yet.", lag)
        yield from gauge("ledger_projector_stopped_logs", "Logs of which a read model stands still.", stopped)

    def _deciding(self) -> Iterator[str]:
        if self._cell is None:
            return
        last, position = Feed(self._ledger.datastore).last_position(), self._cell.position()
        waiting, living = self._cell.look(lambda state: (len(state.waiting), len(state.live)))
        yield from gauge("ledger_decider_lag_commits", "Commits not followed yet.", {(): max(0, last - position)})
        yield from gauge("ledger_queue_workloads", "Workloads that wait.", {(): waiting})
        yield from gauge("ledger_living_executions", "Executions that hold a place.", {(): living})

    def _age_ms(self, head: LogHead, index: int) -> int:
        try:
            oldest = self._ledger.at(head.log.log_id, index)
        except LedgerError:
            return 0
        return 0 if isinstance(oldest.event, Sealed) else max(0, self._ledger.clock.now_ms() - oldest.at_ms)


def _published(head: LogHead) -> int:
    return 0 if head.floor is None else head.floor.size


def _process() -> Iterator[str]:
    try:
        pages = int(_STATM.read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return
    resident = float(pages * resource.getpagesize())
    yield from gauge("process_resident_memory_bytes", "Resident memory of this process.", {(): resident})
