"""Reads the feed: what was committed, over all logs, in order of commit.

Invariants:
- Positions follow each other without a hole. The recorder gives them out under a lock that is held until commit, so
  a row is visible only after all before it: who has read up to a position has missed nothing. A hole would be a fault
  of the store, and is an error here, never skipped.
- A tail is woken by commits and asks again every second anyway: a lost wake-up costs time, not events.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import UUID

from psycopg.sql import SQL, Identifier

from domain.errors import VerificationError
from infrastructure.postgres.reading import Reader, translated

_PAGE = 500
_PATIENCE_S = 1.0


@dataclass(frozen=True)
class FeedRow:
    """One commit's share in one log: the leaves from `first_index` on, `count` of them. The position is the cell's own
    affair: it appears in nothing that a tenant sees.
    """  # noqa: D205 - one sentence

    position: int
    log_id: UUID
    first_index: int
    count: int


class Feed(Reader):
    """The feed of one database."""

    def read_feed(self, after_position: int = 0, limit: int = _PAGE) -> list[FeedRow]:
        """Return up to `limit` rows after a position (0: from the start), in order.

        Raises:
            VerificationError: when a position is missing.
        """
        rows = [FeedRow(*row) for row in self.fetch("feed", after=after_position, limit=limit)]
        for expected, row in enumerate(rows, after_position + 1):
            if row.position != expected:
                raise VerificationError(f"the feed has no position {expected}: the database has lost rows")
        return rows

    def tail(self, after_position: int, stopped: Callable[[], bool]) -> Iterator[FeedRow]:
        """Yield rows after a position as they are committed, until `stopped()` (asked at least once a second).

        Holds one connection of the pool meanwhile.

        Raises:
            VerificationError: when a position is missing.
            UnavailableError: when the database does not answer; go on after the last position that was yielded.
        """
        with translated(), self.datastore.get_connection() as connection:
            connection.execute(
                SQL("LISTEN {}").format(Identifier(self.channel()))
            )  # before the first look, so that no commit falls between look and wait
            try:
                while not stopped():
                    rows = self.read_feed(after_position)
                    yield from rows
                    after_position += len(rows)
                    if not rows:
                        for _ in connection.notifies(timeout=_PATIENCE_S, stop_after=1):
                            pass
            finally:
                if not connection.closed:
                    connection.execute("UNLISTEN *")
