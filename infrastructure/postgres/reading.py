"""Reads of the ledger: heads, entries, streams, commands, payloads.

Invariants:
- Reads take no lock of the append, and see whole transactions only.
- A database that does not answer is an UnavailableError, whatever the driver calls it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import DataError, IntegrityError, PersistenceError
from eventsourcing.postgres import PostgresDatastore
from psycopg.rows import tuple_row

from domain.errors import ConflictError, MalformedError, UnavailableError, UnknownError
from domain.transparency.frontier import Frontier
from infrastructure.postgres.arrays import bigints
from infrastructure.postgres.queries import load
from infrastructure.postgres.records import CommandRecord, Log, StoredEntry, Stream

_READ = load("read.sql")
_PAGE = 1000


@contextmanager
def translated() -> Iterator[None]:
    """Turn the library's errors into ours, but for a taken key; the driver's words name hosts and rows: none is kept.

    Raises:
        MalformedError: when a value is none that the database can hold.
        UnavailableError: when it does not answer, or refuses what is asked.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DataError:
        raise MalformedError("a value is none that the database can hold") from None
    except PersistenceError as error:
        raise UnavailableError(_words(error)) from None


def _words(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, psycopg.errors.LockNotAvailable):
        return "another append to the same log did not end in time: try again"
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return "the database refuses the ledger its own rows: its roles or grants were changed"
    if isinstance(cause, psycopg.errors.DiskFull):
        return "the database's disk is full: make room, then try again"
    return "the database does not answer: try again"


class Reader:
    """Reads of one database."""

    def __init__(self, datastore: PostgresDatastore) -> None:
        self.datastore = datastore

    def fetch(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a query of `read.sql`; return its rows.

        Raises:
            UnavailableError: when the database does not answer.
        """
        return self.run_query(_READ[name], values)

    def run_query(self, query: bytes, values: Mapping[str, object]) -> list[tuple[Any, ...]]:
        """Run one query outside a transaction; return its rows.

        Raises:
            UnavailableError: when the database does not answer.
        """
        with translated(), self.datastore.get_connection() as connection:
            cursor = connection.cursor(row_factory=tuple_row, binary=True)
            return cursor.execute(query, values, prepare=True).fetchall()

    def channel(self) -> str:
        """Return the channel that commits are told on. A secret of the cell's: LISTEN asks for no privilege."""
        return str(self.fetch("channel")[0][0])

    def newest_round(self) -> int:
        """Return the newest round of the anchor log; 0 before the first."""
        return int(self.fetch("newest_round")[0][0])

    def logs(self) -> list[Log]:
        """Return all logs, by slot."""
        return [Log(*row) for row in self.fetch("logs")]

    def log(self, log_id: UUID) -> Log:
        """Return one log.

        Raises:
            UnknownError: when there is no such log.
        """
        for row in self.fetch("log", log_id=log_id):
            return Log(*row)
        raise UnknownError("there is no such log")

    def head(self, log_id: UUID) -> Frontier:
        """Return a log's size and frontier.

        Raises:
            UnknownError: when there is no such log.
        """
        for size, frontier in self.fetch("head", log_id=log_id):
            return Frontier.from_bytes(size, bytes(frontier))
        raise UnknownError("there is no such log")

    def find_command(self, log_id: UUID, issuer: str, command_id: str) -> CommandRecord | None:
        """Return a command as it was carried out, or None."""
        for digest, answer in self.fetch("command", log_id=log_id, issuer=issuer, command_id=command_id):
            return CommandRecord(log_id, issuer, command_id, bytes(digest), bytes(answer))
        return None

    def find_payload(self, log_id: UUID, digest: bytes) -> bytes | None:
        """Return a payload's sealed bytes, or None."""
        for (sealed,) in self.fetch("payload", log_id=log_id, digest=digest):
            return bytes(sealed)
        return None

    def entries(self, log_id: UUID, first: int = 0, limit: int = _PAGE) -> list[StoredEntry]:
        """Return up to `limit` entries of a log from leaf index `first` on, in order."""
        rows = self.fetch("entries", log_id=log_id, first=first, last=first + limit)
        return [
            StoredEntry(log_id, index, stream, version, topic, bytes(entry), bytes(digest), notification)
            for index, stream, version, topic, entry, digest, notification in rows
        ]

    def entries_at(self, log_id: UUID, leaf_indices: Sequence[int]) -> list[StoredEntry]:
        """Return a log's entries at some leaf indices, in order, without notification ids.

        Raises:
            UnknownError: when the log lacks one.
        """
        wanted = sorted(set(leaf_indices))
        rows = self.fetch("entries_at", log_id=log_id, leaf_indices=bigints(wanted)) if wanted else []
        if len(rows) < len(wanted):
            raise UnknownError("the log has no entry at one of these indices")
        return [
            StoredEntry(log_id, index, stream, version, topic, bytes(entry), bytes(digest))
            for index, stream, version, topic, entry, digest in rows
        ]

    def every_entry(self, log_id: UUID, size: int | None = None, *, first: int = 0) -> Iterator[StoredEntry]:
        """Yield a log's entries from index `first` to `size` (a count; None: what it holds now), a page at a time."""
        size = self.head(log_id).size if size is None else size
        for start in range(first, size, _PAGE):
            yield from self.entries(log_id, start, min(_PAGE, size - start))

    def leaf_hashes(self, log_id: UUID, first: int = 0, limit: int = 2**31) -> list[bytes]:
        """Return up to `limit` leaf hashes of a log from leaf index `first` on, in order."""
        return [bytes(row[0]) for row in self.fetch("leaf_hashes", log_id=log_id, first=first, last=first + limit)]

    def leaf_index(self, log_id: UUID, stream_id: UUID, version: int) -> int:
        """Return where an event lies in its log.

        Raises:
            UnknownError: when there is none of that version.
        """
        for (index,) in self.fetch("leaf_index", log_id=log_id, stream_id=stream_id, version=version):
            return int(index)
        raise UnknownError("there is no such event")

    def streams(self, log_id: UUID) -> list[Stream]:
        """Return a log's streams, by id."""
        return [Stream(*row) for row in self.fetch("streams", log_id=log_id)]

    def log_of_stream(self, stream_id: UUID) -> UUID | None:
        """Return the log that holds a stream, or None.

        Raises:
            ConflictError: when two logs have a stream of that id: then the caller must say which.
        """
        found: list[UUID] = [row[0] for row in self.fetch("stream_log", stream_id=stream_id)]
        if len(found) > 1:
            raise ConflictError("two logs have a stream of this id: name the log")
        return found[0] if found else None
