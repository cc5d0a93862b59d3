"""Connections to the ledger's database: a pool for each role that they run as.

Invariants:
- A connection string is used whole (TLS settings, several hosts), not only the five parts that the library knows.
- The role is a start-up option of the session: RESET ROLE, RESET ALL and DISCARD ALL lead back to it, never to the
  login. Settings of ours come the same way, without a round trip.
- A connection of the tenants' pool carries a tenant for the length of a transaction only (`TenantReader`).
- A connection whose server went away while it lay idle is not handed out: after a restart the next use succeeds.
- A server that is away is asked every second, and lost connections are passed over at once. [psycopg's pool doubles its
  pauses for both: a server that was away for a minute would be away for two, and ten lost connections for half of one.]
- Nothing is written over a new connection before whoever set a guard had a look at where it leads, and nothing read
  over one before whoever remembers what was read was told of it.
- Waiting for a lock ends (10 s): the library's default waits for ever.
"""

import contextlib
import select
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

import psycopg
from eventsourcing.postgres import ConnectionPool, PostgresDatastore
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool.pool import AddConnection, MaintenanceTask

from infrastructure.postgres import arrays
from infrastructure.postgres.roles import Role

LOCK_TIMEOUT_S = 10
_MOST_CONNECTIONS = 10
_RECONNECT_S = 1.0
_OPTIONS = (
    f"-c lock_timeout={LOCK_TIMEOUT_S}s -c idle_in_transaction_session_timeout=60s"
    " -c default_transaction_isolation=read\\ committed"
)


def _check_alive(connection: psycopg.Connection[Any]) -> None:
    """Raise where the server has hung up. Looks at what has arrived: that takes microseconds, and no round trip."""
    arrived = select.poll()
    arrived.register(connection.fileno(), select.POLLIN)
    while arrived.poll(0):
        connection.pgconn.consume_input()


class _Pool(ConnectionPool[psycopg.Connection[DictRow]]):
    """A pool that doesn't wait longer than it must after a server was away."""

    def getconn(self, timeout: float | None = None) -> psycopg.Connection[DictRow]:
        """Return a connection that is alive, within a time limit (s)."""
        deadline = time.monotonic() + (self.timeout if timeout is None else timeout)
        while True:
            connection = super().getconn(deadline - time.monotonic())
            try:
                _check_alive(connection)
            except psycopg.Error:
                connection.close()
                self.putconn(connection)  # a new one is made in its stead
            else:
                return connection

    def schedule_task(self, task: MaintenanceTask, delay: float) -> None:
        """Run a task later: an attempt to connect after a second at most."""
        super().schedule_task(task, min(delay, _RECONNECT_S) if isinstance(task, AddConnection) else delay)


class RoleDatastore(PostgresDatastore):
    """The library's datastore over a whole connection string, in one role. Nothing connects before it is used.

    Args:
        conninfo: as libpq takes it. Kept, never shown.
        role: what the connections run as; the login must be able to take it.
        most_connections: size that the pool may grow to.
    """

    def __init__(self, conninfo: str, role: Role, *, most_connections: int = _MOST_CONNECTIONS) -> None:
        super().__init__("", "", "", "", "")
        given = conninfo_to_dict(conninfo)
        options = f"{given.get('options') or ''} {_OPTIONS} -c role={role}".strip()
        self.pool = _Pool(
            kwargs={**given, "options": options, "row_factory": dict_row},
            connection_class=psycopg.Connection[DictRow],
            min_size=1,
            max_size=most_connections,
            open=False,
            configure=self.after_connect_func(),
            timeout=30.0,
        )

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        """Return what prepares a new connection: autocommit and our columns."""

        def after_connect(connection: psycopg.Connection[DictRow]) -> None:
            connection.autocommit = True
            arrays.register(connection.adapters)

        return after_connect

    def register_type_adapters(self) -> None:
        """Do nothing: the library's composite types are not used, so no connection is opened to look for them."""


class AppendDatastore(RoleDatastore):
    """Connections that write entries. A new one may lead to another database than the one before [a backup, restored].

    Attributes:
        guard: asked before a connection is used first; what it raises is raised to whoever wanted to write.
    """

    def __init__(self, conninfo: str, *, most_connections: int) -> None:
        super().__init__(conninfo, Role.APPEND, most_connections=most_connections)
        self.guard: Callable[[], object] | None = None
        self._known: WeakSet[psycopg.Connection[Any]] = WeakSet()

    @contextlib.contextmanager
    def get_connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """Lend a connection that the guard has let pass."""
        with super().get_connection() as connection:
            if self.guard is not None and connection not in self._known:
                self.guard()
                self._known.add(connection)
            yield connection


class LedgerDatastore(RoleDatastore):
    """The connections of one process: its own are the cell's, for reads and read models.

    Args:
        conninfo: as libpq takes it. Kept, never shown.
        tenant_conninfo: of the login for bound reads, where that is another.
        most_connections: size that each pool may grow to.

    Attributes:
        appends: connections that write entries.
        tenants: connections that read as one tenant (`TenantReader`).
        on_connect: hears of each new connection for reads, before it is used: it may lead to another database than the
            one before [a backup, restored: that closes every connection].
    """

    on_connect: Callable[[], object] | None = None

    def __init__(
        self, conninfo: str, tenant_conninfo: str | None = None, *, most_connections: int = _MOST_CONNECTIONS
    ) -> None:
        super().__init__(conninfo, Role.CELL, most_connections=most_connections)
        self.appends = AppendDatastore(conninfo, most_connections=most_connections)
        self.tenants = RoleDatastore(tenant_conninfo or conninfo, Role.TENANT, most_connections=most_connections)

    def after_connect_func(self) -> Callable[[psycopg.Connection[Any]], None]:
        """Return what prepares a new connection, and tells of it."""
        prepare = super().after_connect_func()

        def after_connect(connection: psycopg.Connection[Any]) -> None:
            prepare(connection)
            if self.on_connect is not None:
                self.on_connect()

        return after_connect

    def check(self) -> None:
        """Replace the idle connections that were lost."""
        for pool in (self.pool, self.appends.pool, self.tenants.pool):
            if not pool.closed:
                pool.check()

    def close(self) -> None:
        """Close all connections. Safe to repeat."""
        super().close()
        with contextlib.suppress(AttributeError):  # the library closes what was never quite made, too
            self.appends.close()
            self.tenants.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
