"""A real PostgreSQL for tests: one server for each test session and xdist worker, a fresh database for each user.

Import the fixtures where they are needed: `from tests.database import conninfo, postgres`.

Invariants:
- The server is stopped and its files removed at the end of the session; should the session be killed, a guard that
  notices the end of its pipe stops the server.
- A fresh database is a copy of one that was migrated once.
"""

import contextlib
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import embedded_conninfo
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.postmaster import Postmaster, is_running, wait_for
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.roles import ensure_roles, harden

_GUARD = """
import os, pathlib, signal, sys
sys.stdin.read()
try:
    os.kill(int(pathlib.Path(sys.argv[1]).read_text().split()[0]), signal.SIGQUIT)
except (OSError, ValueError, IndexError):
    pass
"""


@dataclass
class TestServer:
    """The session's server."""

    __test__ = False  # not a test, whatever pytest thinks of the name

    server: EmbeddedServer
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def conninfo(self, dbname: str, user: str = "ledger") -> str:
        """Return the connection string of a database, as the program's role or another."""
        return embedded_conninfo(self.server, dbname=dbname, user=user)

    @contextmanager
    def database(self, *, migrated: bool = True) -> Iterator[str]:
        """Make a fresh database owned by the program's role; drop it at the end. Gives its name."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
            template = Identifier("ledger_template" if migrated else "template0")
            create = SQL("CREATE DATABASE {} OWNER ledger TEMPLATE {}").format(Identifier(name), template)
            admin.execute(create)
            admin.execute(SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(Identifier(name)))  # not in a template
            admin.execute(SQL("GRANT CONNECT ON DATABASE {} TO ledger_tenant").format(Identifier(name)))
            try:
                yield name
            finally:
                with contextlib.suppress(psycopg.OperationalError):  # a test that killed the server stops it anyway
                    admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


def as_role(conninfo: str, user: str = SUPERUSER) -> str:
    """Return a connection string for another role: the owner, whom row level security binds, sees no tenant's rows."""
    return make_conninfo(conninfo, user=user)


def kill_server(server: EmbeddedServer) -> None:
    """Kill the server's first process as `kill -9` does, and wait until it is dead."""
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    assert wait_for(lambda: not is_running(server.cluster, Postmaster(pid, server.socket_dir, ready=True)), 10)


@contextmanager
def running_server(data_dir: Path) -> Iterator[TestServer]:
    """Run a server in a directory, with the template of fresh databases."""
    with EmbeddedServer(data_dir) as server:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD, str(server.cluster / "postmaster.pid")], stdin=subprocess.PIPE
        )
        try:
            found = TestServer(server)
            with psycopg.connect(found.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
                admin.execute("CREATE ROLE ledger LOGIN NOSUPERUSER")
                admin.execute("CREATE DATABASE ledger_template OWNER ledger")
            with psycopg.connect(found.conninfo("ledger_template", SUPERUSER), autocommit=True) as admin:
                ensure_roles(admin, "ledger")
                harden(admin)
            migrate(found.conninfo("ledger_template"))
            yield found
        finally:
            guard.kill()
            guard.communicate()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestServer]:
    """The session's server."""
    with running_server(tmp_path_factory.mktemp("a server")) as server:
        yield server


@pytest.fixture
def conninfo(postgres: TestServer) -> Iterator[str]:
    """The connection string of a fresh, migrated database."""
    with postgres.database() as name:
        yield postgres.conninfo(name)


@pytest.fixture
def datastore(conninfo: str) -> Iterator[LedgerDatastore]:
    """Connections to a fresh, migrated database."""
    with LedgerDatastore(conninfo, most_connections=20) as opened:
        yield opened


@pytest.fixture
def recorder(datastore: LedgerDatastore) -> LedgerRecorder:
    """A recorder over a fresh, migrated database without logs."""
    return LedgerRecorder(datastore)
