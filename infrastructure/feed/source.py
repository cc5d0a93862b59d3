"""What can be subscribed to: one log or all, as sealed entries or as opened events.

Invariants:
- A log's cursor is the leaf index, and what is read of it says nothing of other logs. All logs' cursor is the
  notification id, dense over the cell in order of commit: for the cell's own processes only.
- A source reads a page at a time and keeps nothing between pages.
- Of a log whose keys are gone the events are `Sealed`; an entry that does not open ends the page before it, and is an
  error when its turn comes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from domain.errors import LedgerError
from domain.message import Recorded
from infrastructure.logbook import Logbook
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import StoredEntry
from infrastructure.postgres.tenant import TenantReader

T = TypeVar("T")

BEFORE_FIRST_LEAF = -1
"""The cursor from which a log is read from its start."""
BEFORE_FIRST_EVENT = 0
"""The cursor from which all logs are read from the start."""

Page = Sequence[tuple[int, T]]
"""Items with their cursors, in order."""


@dataclass(frozen=True, slots=True)
class Source(Generic[T]):
    """Where a subscription reads.

    Args:
        log_id: whose commits wake its subscribers; None: those of all logs.
        begin: the cursor before the first item.
        last: returns the cursor of the last item that there is, or `begin`.
        read: returns the page after a cursor; an empty one where nothing follows yet.
    """

    log_id: UUID | None
    begin: int
    last: Callable[[], int]
    read: Callable[[int], Page[T]]


class Sources:
    """The sources of one cell.

    Args:
        logbook: its logs.
    """

    def __init__(self, logbook: Logbook) -> None:
        self._logbook = logbook
        self._feed = Feed(logbook.datastore)

    def entries(self, log_id: UUID) -> Source[StoredEntry]:
        """Return a log's entries, sealed."""
        return self._of_log(log_id, lambda after: _by_leaf(self._feed.log_page(log_id, after + 1)))

    def events(self, log_id: UUID) -> Source[Recorded]:
        """Return a log's events, opened."""
        return self._of_log(log_id, lambda after: self._opened(_by_leaf(self._feed.log_page(log_id, after + 1))))

    def all_entries(self) -> Source[StoredEntry]:
        """Return the entries of all logs, sealed."""
        return self._of_all(lambda after: _by_event(self._feed.page(after + 1)))

    def all_events(self) -> Source[Recorded]:
        """Return the events of all logs, opened."""
        return self._of_all(lambda after: self._opened(_by_event(self._feed.page(after + 1))))

    def _of_log(self, log_id: UUID, read: Callable[[int], Page[T]]) -> Source[T]:
        return Source(log_id, BEFORE_FIRST_LEAF, lambda: self._logbook.head(log_id).size - 1, read)

    def _of_all(self, read: Callable[[int], Page[T]]) -> Source[T]:
        return Source(None, BEFORE_FIRST_EVENT, self._feed.last_event, read)

    def _opened(self, page: Page[StoredEntry]) -> Page[Recorded]:
        found: list[tuple[int, Recorded]] = []
        try:
            for recorded in self._logbook.opened(stored for _, stored in page):
                found.append((page[len(found)][0], recorded))
        except LedgerError:
            if not found:
                raise
        return found


def tenant_entries(reader: TenantReader) -> Source[StoredEntry]:
    """Return a tenant's own entries, sealed, read by a connection that sees no other's."""
    return Source(
        reader.log_id, BEFORE_FIRST_LEAF, lambda: reader.head().size - 1, lambda after: _by_leaf(reader.page(after + 1))
    )


def _by_leaf(entries: Iterable[StoredEntry]) -> Page[StoredEntry]:
    return [(entry.leaf_index, entry) for entry in entries]


def _by_event(entries: Iterable[StoredEntry]) -> Page[StoredEntry]:
    return [(entry.notification_id, entry) for entry in entries]
