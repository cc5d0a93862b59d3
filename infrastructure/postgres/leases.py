"""Leases: names of which one process at a time holds each, over all processes of one database.

Invariants:
- A lease lives in a session of the server. When its process dies the server ends the session, and the next who asks
  gets the lease; where a whole machine is gone, the server notices within some 20 s.
- A lease says who works, not what is true: what is written is guarded by its own position.
- Asking never waits: a session that waits for a lock holds back the server's clean-up.
"""

import contextlib
import hashlib
import threading

import psycopg
from psycopg import Connection
from psycopg.rows import TupleRow, tuple_row

from domain.errors import UnavailableError
from infrastructure.closing import Closing
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader

_VIEWS = load("views.sql")


class Leases(Closing):
    """The leases of one process, on one connection of their own.

    Args:
        datastore: the cell's connections.
    """

    def __init__(self, datastore: LedgerDatastore) -> None:
        self._datastore = datastore
        self._held: set[str] = set()
        self._connection: Connection[TupleRow] | None = None
        self._lock = threading.Lock()

    def take(self, name: str, *, together: bool = False) -> bool:
        """Take a lease if nobody has it; return whether it is ours now.

        Args:
            name: the lease.
            together: take it beside others who do so; nobody has it alone then. It ends with the session.

        Raises:
            UnavailableError: when the database does not answer.
        """
        with self._lock:
            if name in self._held or not self._ask("try_lease_together" if together else "try_lease", name):
                return False
            self._held.add(name)
            return True

    def check(self, name: str) -> None:
        """Make sure that a lease is still ours.

        Raises:
            UnavailableError: when it was lost, as all are with the connection.
        """
        with self._lock:
            if name in self._held:
                self._ask("still_there", name)
            else:
                raise UnavailableError("the lease was lost: another process may be at work")

    def end(self, name: str) -> None:
        """Let others have a lease. Safe to repeat."""
        with self._lock, contextlib.suppress(UnavailableError):
            if name in self._held:
                self._held.discard(name)
                self._ask("end_lease", name)

    def close(self) -> None:
        """Let others have all. Safe to repeat."""
        with self._lock:
            self._drop()

    def _ask(self, query: str, name: str) -> bool:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(
                    **{**self._datastore.pool.kwargs, "autocommit": True, "row_factory": tuple_row}  # type: ignore[dict-item]  # as the pool connects
                )
                self._connection.execute(_VIEWS["notice_death"])
            row = self._connection.execute(_VIEWS[query], {"key": _key(name)}).fetchone()
        except psycopg.Error:
            self._drop()
            raise UnavailableError("the database does not answer: try again") from None
        return row is not None and bool(row[0])

    def _drop(self) -> None:
        self._held.clear()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def held(reader: Reader, names: frozenset[str]) -> frozenset[str]:
    """Return which of these leases some process holds."""
    found = {(high << 32) | low for high, low in reader.run_query(_VIEWS["leased"], {})}
    return frozenset(name for name in names if _key(name) % 2**64 in found)


def _key(name: str) -> int:
    """Return the lock's number, a signed 64-bit integer."""
    return int.from_bytes(hashlib.sha256(b"ledger lease\0" + name.encode()).digest()[:8], "big", signed=True)
