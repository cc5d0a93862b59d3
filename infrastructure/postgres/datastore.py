"""Connections to the ledger's database, and the factory that the library asks for a recorder.

Invariants:
- A connection string is used whole (TLS settings, several hosts), not only the five parts that the library knows.
- Waiting for a lock ends (10 s): the library's default waits for ever.
- The library makes no table: the schema is migrated (`CREATE_TABLE=n`).
- POSTGRES_ENABLE_DB_FUNCTIONS is refused here too, for applications that are made without `open_database`.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import PostgresDatastore, PostgresFactory
from eventsourcing.utils import Environment, EnvType
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from domain.errors import RefusedError
from infrastructure.postgres import arrays
from infrastructure.postgres.connect import FORBIDDEN_VARIABLE

CONNINFO = "LEDGER_CONNINFO"
"""Key of the connection string in an application's environment."""

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


class LedgerFactory(PostgresFactory):
    """Gives an eventsourcing Application our recorder; see `application_environment`.

    Raises:
        RefusedError: when POSTGRES_ENABLE_DB_FUNCTIONS is set.
    """

    def __init__(self, env: Environment | EnvType | None) -> None:
        environment = env if isinstance(env, Environment) else Environment(env=env)
        if environment.get(FORBIDDEN_VARIABLE):
            raise RefusedError(f"{FORBIDDEN_VARIABLE} makes readers lose events: unset it")
        placeholders = dict.fromkeys(
            (self.POSTGRES_DBNAME, self.POSTGRES_HOST, self.POSTGRES_USER, self.POSTGRES_PASSWORD), "-"
        )
        super().__init__(Environment(environment.name, {**environment, **placeholders}))
        self.datastore.close()
        self.datastore = self._ledger = LedgerDatastore(str(environment[CONNINFO]))

    def application_recorder(self) -> ApplicationRecorder:
        """Return the ledger's recorder."""
        from infrastructure.postgres.recorder import LedgerRecorder  # noqa: PLC0415 - the recorder imports this module

        return LedgerRecorder(self._ledger)

    def env_create_table(self) -> bool:
        """Return False: the schema is migrated."""
        return False


def application_environment(conninfo: str) -> dict[str, str]:
    """Return the environment that makes an eventsourcing Application store through the ledger's recorder."""
    return {
        "PERSISTENCE_MODULE": "infrastructure.postgres.datastore:LedgerFactory",
        "CREATE_TABLE": "n",
        CONNINFO: conninfo,
    }
