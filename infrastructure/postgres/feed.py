"""Reads the feed: what was committed, over all logs or in one, in order of commit, a page at a time.

Invariants:
- Positions follow each other without a hole. The recorder gives them out under locks that are held until commit, so a
  row is visible only after all before it: who has read up to a position has missed nothing. A hole would be a fault of
  the store, and is an error here, never skipped.
- A page is bounded in events and in bytes, and no connection or transaction is kept between two pages: who reads slowly
  holds nothing up.
- Positions of the cell's feed are the cell's own affair (wire formats 9): they appear in nothing that a tenant sees.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.errors import VerificationError
from infrastructure.postgres.reading import Reader
from infrastructure.postgres.records import StoredEntry

PAGE = 256
"""Events in a page."""
PAGE_BYTES = 1 << 20
"""A page ends with the entry that reaches so many bytes."""
_ROWS = 500


@dataclass(frozen=True)
class FeedRow:
    """One commit's share in one log: the leaves from `first_index` on, `count` of them.

    `returned`: it was brought back after a restore, and did not lie at this position before.
    """

    position: int
    log_id: UUID
    first_index: int
    count: int
    returned: bool = False


class Feed(Reader):
    """The feed of one database, for the cell's own processes."""

    def read_feed(self, after_position: int = 0, limit: int = _ROWS) -> list[FeedRow]:
        """Return up to `limit` rows after a position (0: from the start), in order.

        Raises:
            VerificationError: when a position is missing.
        """
        rows = [FeedRow(*row) for row in self.fetch("feed", after=after_position, limit=limit)]
        for expected, row in enumerate(rows, after_position + 1):
            if row.position != expected:
                raise VerificationError(f"the feed has no position {expected}: the database has lost rows")
        return rows

    def last_position(self) -> int:
        """Return the last position that was given out; 0 before the first."""
        return int(self.fetch("last_position")[0][0])

    def log_page(self, log_id: UUID, first: int, limit: int = PAGE) -> list[StoredEntry]:
        """Return entries of one log from leaf index `first` on, in order: a page.

        Raises:
            VerificationError: when one is missing.
        """
        rows = self.fetch("log_page", log_id=log_id, first=first, limit=limit, bytes=PAGE_BYTES)
        return whole([stored_entry(log_id, row) for row in rows], first)

    def page(self, first: int, limit: int = PAGE) -> list[StoredEntry]:
        """Return entries of all logs from a notification id on, in order of commit: a page.

        Raises:
            VerificationError: when one is missing.
        """
        rows = self.fetch("page", first=first, limit=limit, bytes=PAGE_BYTES)
        found = [stored_entry(log_id, row, number) for number, log_id, *row in rows]
        for expected, entry in enumerate(found, first):
            if entry.notification_id != expected:
                raise VerificationError(f"the feed has no event {expected}: the database has lost rows")
        return found

    def last_event(self) -> int:
        """Return the notification id of the last event; 0 before the first."""
        return int(self.fetch("last_notification")[0][0])


def whole(entries: list[StoredEntry], first: int) -> list[StoredEntry]:
    """Return entries of one log as they are, which must begin at a leaf index and follow each other.

    Raises:
        VerificationError: when one is missing.
    """
    for expected, entry in enumerate(entries, first):
        if entry.leaf_index != expected:
            raise VerificationError(f"the log has no entry {expected}: the database has lost rows")
    return entries


def stored_entry(log_id: UUID, row: Sequence[Any], notification_id: int = 0) -> StoredEntry:
    """Return a row of `log_page` as an entry."""
    index, stream_id, version, topic, entry, digest = row
    return StoredEntry(log_id, index, stream_id, version, topic, bytes(entry), bytes(digest), notification_id)
