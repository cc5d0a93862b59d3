"""The publisher of a whole cell: all logs, again and again, and how far it is behind.

Invariants:
- One query finds what changed, however many logs there are; only those are published, the furthest behind first.
- A log that fails (frozen, damaged) is told, and holds up no other.
- The lag is read from the database and the floors: any process can tell it, the publisher need not run.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import inf

from domain.errors import LedgerError, MalformedError, VerificationError
from domain.message import Sealed
from domain.time import SECOND_MS
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import LogHead, Publications
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publishing import Published

INTERVAL_VARIABLE, BOUND_VARIABLE = "LEDGER_CHECKPOINT_INTERVAL_S", "LEDGER_UNPUBLISHED_BOUND_S"
DEFAULT_INTERVAL_S, DEFAULT_BOUND_S = 10.0, 60.0

_WORKERS = 4

Tell = Callable[[str], None]
"""Takes one line for the operator."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often checkpoints are made, and how long an entry may stay unpublished before that is told, in seconds.

    Raises:
        MalformedError: when the interval is not positive, or longer than the bound.
    """

    interval_s: float = DEFAULT_INTERVAL_S
    bound_s: float = DEFAULT_BOUND_S

    def __post_init__(self) -> None:
        if not 0 < self.interval_s <= self.bound_s < inf:
            raise MalformedError("the checkpoint interval is above 0 s, and at most the bound on unpublished entries")


def pace_from(environ: Mapping[str, str], interval_s: float | None = None, bound_s: float | None = None) -> Pace:
    """Return the pace that is given, else the environment's, else the default one.

    Raises:
        MalformedError: when a setting is no number, or the two don't fit each other.
    """
    interval = _seconds(environ, INTERVAL_VARIABLE, DEFAULT_INTERVAL_S) if interval_s is None else interval_s
    bound = _seconds(environ, BOUND_VARIABLE, DEFAULT_BOUND_S) if bound_s is None else bound_s
    return Pace(interval, bound)


def _seconds(environ: Mapping[str, str], name: str, default: float) -> float:
    try:
        return float(environ.get(name) or default)
    except ValueError:
        raise MalformedError(f"{name} is not a number of seconds") from None


@dataclass(frozen=True, slots=True)
class LogStatus:
    """How far a log is published.

    `published` is the size of its checkpoint, None before the first; `floor` that of its floor. `lag_ms` is the age of
    the oldest unpublished entry, None where there is none or it can't be opened any more. `trouble` says why the log is
    frozen, or what is damaged.
    """

    origin: str
    size: int
    published: int | None
    floor: int | None
    lag_entries: int
    lag_ms: int | None
    frozen: bool
    trouble: str | None


@dataclass(frozen=True, slots=True)
class Round:
    """What one pass of the publisher did: checkpoints made, and what failed, by origin."""

    published: int
    failed: Mapping[str, str]


class Publisher:
    """Publishes the logs of one ledger. Several at once, also in other processes, do no harm.

    Args:
        book: the ledger.
    """

    def __init__(self, book: Logbook) -> None:
        self._book = book
        self._sizes: dict[str, int] = {}

    def publish(self, heads: Iterable[LogHead] | None = None) -> Round:
        """Publish every log that changed since; what fails is kept for the answer."""
        published, failed = 0, {}
        with ThreadPoolExecutor(_WORKERS) as workers:  # they wait for the disk most of the time
            for head, done in workers.map(self._attempt, self._changed(heads)):
                if isinstance(done, LedgerError):
                    failed[head.log.origin] = str(done)
                else:
                    published += done.changed
                    self._sizes[head.log.origin] = done.checkpoint.size
        return Round(published, failed)

    def follow(self, pace: Pace, tell: Tell, wait: Callable[[float], bool]) -> None:
        """Publish at a pace until told to stop.

        Args:
            pace: how often; and the bound after which lag is told.
            tell: is told of failures, once while they last, and of entries that stay unpublished beyond the bound.
            wait: waits so many seconds; True when it is time to stop.
        """
        told: Mapping[str, str] = {}
        while True:
            began_ms = self._book.clock.now_ms()
            try:
                failed = dict(self.publish().failed)
                late = metrics(statuses(self._book))["unpublished_oldest_ms"]
                if late > pace.bound_s * SECOND_MS:
                    failed["all logs"] = f"an entry has been unpublished for longer than {pace.bound_s:g} s"
            except LedgerError as error:  # the database is away: go on when it is back
                failed = {"all logs": str(error)}
            for origin, text in failed.items():
                if told.get(origin) != text:
                    tell(text if origin in text else f"{origin}: {text}")
            told = failed
            spent_s = (self._book.clock.now_ms() - began_ms) / SECOND_MS
            if wait(max(pace.interval_s - spent_s, 0.0)):
                return

    def _attempt(self, head: LogHead) -> tuple[LogHead, Published | LedgerError]:
        try:
            return head, publish_log(self._book, head.log)
        except LedgerError as error:
            return head, error

    def _changed(self, heads: Iterable[LogHead] | None) -> list[LogHead]:
        found = Publications(self._book.datastore).log_heads() if heads is None else heads
        changed = [head for head in found if head.frontier.size and self._size(head) != head.frontier.size]
        return sorted(changed, key=lambda head: -(head.frontier.size - self._size(head)))

    def _size(self, head: LogHead) -> int:
        """Return the size at which a log is published: read from its directory once, then remembered."""
        origin = head.log.origin
        if origin not in self._sizes:
            try:
                checkpoint = tiles_of(self._book, head.log).checkpoint()
            except LedgerError:
                return 0  # publishing it says what is wrong
            self._sizes[origin] = checkpoint.size if checkpoint else 0
        return self._sizes[origin]


def statuses(book: Logbook) -> list[LogStatus]:
    """Return how far every log is published, by slot."""
    return [_status(book, head) for head in Publications(book.datastore).log_heads()]


def metrics(found: Sequence[LogStatus]) -> dict[str, float]:
    """Return the lag of publication as plain values, for whoever collects metrics."""
    return {
        "logs": len(found),
        "frozen_logs": sum(one.frozen for one in found),
        "unpublished_entries": sum(one.lag_entries for one in found),
        "unpublished_oldest_ms": max((one.lag_ms for one in found if one.lag_ms is not None), default=0),
    }


def _status(book: Logbook, head: LogHead) -> LogStatus:
    log, size, floors = head.log, head.frontier.size, floors_of(book)
    published = floor = None
    marked = trouble = head.frozen or floors.frozen(log.origin)
    try:
        published, floor = tiles_of(book, log).checkpoint(), floors.read(log.origin)
    except VerificationError as error:
        trouble = trouble or str(error)
    behind = max(size - (published.size if published else 0), 0)
    return LogStatus(
        origin=log.origin,
        size=size,
        published=published.size if published else None,
        floor=floor.size if floor else None,
        lag_entries=behind,
        lag_ms=_age_ms(book, head, size - behind) if behind else None,
        frozen=marked is not None,
        trouble=trouble,
    )


def _age_ms(book: Logbook, head: LogHead, index: int) -> int | None:
    try:
        (recorded,) = book.opened(book.recorder.entries(head.log.log_id, index, 1))
    except (LedgerError, ValueError):
        return None
    return None if isinstance(recorded.event, Sealed) else max(book.clock.now_ms() - recorded.at_ms, 0)
