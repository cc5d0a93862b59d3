"""Reads of one tenant, through connections that see that tenant's rows only.

What answers a tenant reads through this: a mistake in a query, or an id of somebody else's in it, finds nothing.

Invariants:
- Each read is a transaction that names the tenant first (SET LOCAL): nothing of it stays with the connection.
- Nothing that counts over the whole cell is read: no feed position, no notification id.
- No caller's SQL runs here. A bound connection itself is nobody's: row level security hides rows, not what EXPLAIN or a
  clock tells about how many there are.
"""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from psycopg.rows import tuple_row

from domain.errors import UnknownError
from domain.transparency.frontier import Frontier
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.editions import family_of
from infrastructure.postgres.feed import PAGE, PAGE_BYTES, stored_entry, whole
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import translated
from infrastructure.postgres.records import LoggedEvent, StoredEntry, Stream

_QUERIES = load("read.sql") | load("views.sql") | load("tenant.sql")
_PAGE = 1000
_LAST = 2**63 - 1


class TenantReader:
    """The ledger as one tenant may read it.

    Args:
        datastore: connections of this process.
        log_id: the tenant, from whoever authenticated it, never from a path or a header.
    """

    def __init__(self, datastore: LedgerDatastore, log_id: UUID) -> None:
        self._tenants = datastore.tenants
        self.log_id = log_id

    def head(self) -> Frontier:
        """Return the log's size and frontier.

        Raises:
            UnknownError: when there is no such log.
        """
        for size, frontier in self._fetch("head"):
            return Frontier.from_bytes(size, bytes(frontier))
        raise UnknownError("there is no such log")

    def entries(self, first: int = 0, limit: int = _PAGE) -> list[StoredEntry]:
        """Return up to `limit` entries from leaf index `first` on, in order."""
        return self._stored(self._fetch("own_entries", first=first, last=first + limit))

    def of_topic(self, topic: str, first: int, last: int, limit: int) -> list[StoredEntry]:
        """Return up to `limit` entries of a topic from leaf index `first` up to, not including, `last`, in order."""
        return self._stored(self._fetch("own_of_topic", topic=topic, first=first, last=last, limit=limit))

    def page(self, first: int = 0, limit: int = PAGE) -> list[StoredEntry]:
        """Return entries from leaf index `first` on, in order: a page as the feed's, bounded in bytes too.

        Raises:
            VerificationError: when one is missing.
        """
        rows = self._fetch("log_page", first=first, limit=limit, bytes=PAGE_BYTES)
        return whole([stored_entry(self.log_id, row) for row in rows], first)

    def every_entry(self, size: int | None = None, *, first: int = 0) -> Iterator[StoredEntry]:
        """Yield entries from `first` up to `size` (a count; None: what the log holds now), a page at a time."""
        end = self.head().size if size is None else size
        for start in range(first, end, _PAGE):
            yield from self.entries(start, min(_PAGE, end - start))

    def leaf_hashes(self, first: int = 0, limit: int = 2**31) -> list[bytes]:
        """Return up to `limit` leaf hashes from leaf index `first` on, in order."""
        return [bytes(row[0]) for row in self._fetch("leaf_hashes", first=first, last=first + limit)]

    def leaf_index(self, stream_id: UUID, version: int) -> int:
        """Return where an event lies in the log.

        Raises:
            UnknownError: when there is none of that version.
        """
        for (index,) in self._fetch("leaf_index", stream_id=stream_id, version=version):
            return int(index)
        raise UnknownError("there is no such event")

    def streams(self) -> list[Stream]:
        """Return the log's streams, by id."""
        return [Stream(*row) for row in self._fetch("streams")]

    def stream(self, stream_id: UUID) -> list[LoggedEvent]:
        """Return a stream's events as they are stored, in order."""
        rows = self._fetch("stream_ascending", stream_id=stream_id, after=-_LAST, last=_LAST, limit=_LAST)
        return [LoggedEvent(stream_id, version, topic, bytes(state), self.log_id) for version, topic, state in rows]

    def payload(self, digest: bytes) -> bytes | None:
        """Return a payload's sealed bytes, or None."""
        for (sealed,) in self._fetch("payload", digest=digest):
            return bytes(sealed)
        return None

    def rows(self, projection: str) -> dict[str, bytes]:
        """Return all rows of a read model, by key in order."""
        return {key: bytes(value) for key, value in self._fetch("rows", family=family_of(projection))}

    def row(self, projection: str, key: str) -> bytes | None:
        """Return one row's value, or None."""
        for (value,) in self._fetch("row", family=family_of(projection), key=key):
            return bytes(value)
        return None

    def rows_within(self, projection: str, first: str, last: str, limit: int) -> list[tuple[str, bytes]]:
        """Return up to `limit` rows of a read model from one key to another, both included, by key in order."""
        found = self._fetch("rows_within", family=family_of(projection), first=first, last=last, limit=limit)
        return [(key, bytes(value)) for key, value in found]

    def _stored(self, rows: list[tuple[Any, ...]]) -> list[StoredEntry]:
        return [
            StoredEntry(self.log_id, index, stream, version, topic, bytes(entry), bytes(digest))
            for index, stream, version, topic, entry, digest in rows
        ]

    def _fetch(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        mine = {"log_id": self.log_id, **values}
        with (
            translated(),
            self._tenants.get_connection() as connection,
            connection.pipeline(),
            connection.transaction(),
        ):
            connection.execute(_QUERIES["bind"], {"log_id": self.log_id}, prepare=True)
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            return cursor.execute(_QUERIES[name], mine, prepare=True).fetchall()
