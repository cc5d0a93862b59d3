"""Connections to the ledger's database, and the factory that the library asks for a recorder.

Invariants:
- A connection string is used whole (TLS settings, several hosts), not only the five parts that the library knows.
- Waiting for a lock ends (10 s): the library's default waits for ever.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from eventsourcing.postgres import PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from infrastructure.postgres import arrays

LOCK_TIMEOUT_S = 10
_MOST_CONNECTIONS = 10


class LedgerDatastore(PostgresDatastore):
    """The library's datastore over a whole connection string.

    Args:
        conninfo: as libpq takes it. Kept, never shown.
        most_connections: size that the pool may grow to.
    """

    def __init__(self, conninfo: str, *, most_connections: int = _MOST_CONNECTIONS) -> None:
        super().__init__("", "", "", "", "", pool_size=1, max_overflow=most_connections - 1, connect_timeout=30.0)
        self.pool.kwargs = {**conninfo_to_dict(conninfo), "row_factory": dict_row}

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        """Return what prepares a new connection: autocommit, our columns, time limits, the default isolation."""

        def after_connect(connection: psycopg.Connection[DictRow]) -> None:
            connection.autocommit = True
            arrays.register(connection.adapters)
            connection.execute(
                "SELECT set_config('lock_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', '60s', false),"
                " set_config('default_transaction_isolation', 'read committed', false)",
                (f"{LOCK_TIMEOUT_S}s",),
            )

        return after_connect

    def register_type_adapters(self) -> None:
        """Do nothing: the library's composite types are not used, so no connection is opened to look for them."""
