"""Opens the ledger's database: the embedded one, or the PostgreSQL that LEDGER_DATABASE_URL names.

Bound reads of tenants (`TenantReader`) log in by themselves where they can: as `ledger_tenant`, or as the role that
LEDGER_TENANT_DATABASE_URL names, which then is a member of `ledger_tenant` and of nothing else. Such a session can take
no other role. Without that setting they share the login of LEDGER_DATABASE_URL, and take `ledger_tenant` in it.

Invariants:
- Any PostgreSQL 15 or newer serves; an older one is refused before anything is read or written.
- A connection string may hold a password. It appears in no text, error or repr of ours; libpq's words about a string
  are not passed on either, because of one that is written wrongly they quote pieces.
- POSTGRES_ENABLE_DB_FUNCTIONS is refused: with it the library's append takes no lock, so readers skip events and
  tracking.
- The schema is brought up to date before the database is handed out, and the roles are there before that.
- In the embedded server, what tells about others is taken from PUBLIC at each start (hardening.sql).
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
from psycopg.conninfo import make_conninfo

from domain.errors import MalformedError, RefusedError, UnavailableError
from infrastructure.closing import Closing
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.postmaster import PORT
from infrastructure.postgres.roles import Role, check_tenant_login, ensure_roles, harden

URL_VARIABLE = "LEDGER_DATABASE_URL"
TENANT_URL_VARIABLE = "LEDGER_TENANT_DATABASE_URL"
FORBIDDEN_VARIABLE = "POSTGRES_ENABLE_DB_FUNCTIONS"
OLDEST_VERSION = 15
_ROLE = "ledger"
_CONNECT_TIMEOUT_S = 10
_CREATE_LOCK = 0x4C454447_43524541
_CAUSES = {
    "password authentication failed": "it refuses the user or the password",
    "no password supplied": "it wants a password",
    "no pg_hba.conf entry": "it lets nobody in from here (pg_hba.conf)",
    "Connection refused": "nothing listens there",
    "No such file or directory": "nothing listens there",
    "could not translate host name": "the host's name is unknown",
    "does not exist": "the database or the role does not exist",
    "timeout": "it did not answer in time",
    "SSL": "it and we don't agree about TLS",
}


@dataclass
class Database(Closing):
    """An open database. Close it, or use it as a context manager: the last user of an embedded server stops it."""

    conninfo: str = field(repr=False)
    server: EmbeddedServer | None = None
    tenant_conninfo: str | None = field(default=None, repr=False)

    def close(self) -> None:
        """Leave the database. Doing it again does nothing."""
        if self.server is not None:
            self.server.close()


def open_database(data_dir: Path, environ: Mapping[str, str]) -> Database:
    """Open the database of a data directory and bring its schema up to date. Raises as `reach_database` does.

    Raises:
        RefusedError: when its schema is newer than this program.
    """
    database = reach_database(data_dir, environ)
    try:
        migrate(database.conninfo)
    except BaseException:
        database.close()
        raise
    return database


def reach_database(data_dir: Path, environ: Mapping[str, str]) -> Database:
    """Open the database of a data directory with the schema that it has, if any.

    Args:
        data_dir: where the embedded server keeps its data; unused when LEDGER_DATABASE_URL is set.
        environ: the process's environment; read are LEDGER_DATABASE_URL, beside it LEDGER_TENANT_DATABASE_URL, and
            POSTGRES_ENABLE_DB_FUNCTIONS.

    Raises:
        MalformedError: when what should be a connection string is none.
        RefusedError: when the server is older than PostgreSQL 15, a forbidden setting is on, or roles are
            missing that we may not make: then with the SQL for an administrator.
        UnavailableError: when the server cannot be started or reached.
    """
    if environ.get(FORBIDDEN_VARIABLE):
        raise RefusedError(f"{FORBIDDEN_VARIABLE} makes readers lose events: unset it")
    url = environ.get(URL_VARIABLE)
    return _given(url, environ.get(TENANT_URL_VARIABLE)) if url else _embedded(data_dir)


def embedded_conninfo(server: EmbeddedServer, *, dbname: str, user: str) -> str:
    """Return the connection string for a database of an embedded server, deaf to PG* variables of the environment."""
    return make_conninfo(
        host=str(server.socket_dir), port=PORT, dbname=dbname, user=user, sslmode="disable", gssencmode="disable",
        options="", target_session_attrs="any", connect_timeout=_CONNECT_TIMEOUT_S,
    )  # fmt: skip


def _embedded(data_dir: Path) -> Database:
    server = EmbeddedServer(data_dir)
    server.start()
    try:
        _create_database(embedded_conninfo(server, dbname="postgres", user=SUPERUSER))
        _secure_database(embedded_conninfo(server, dbname=_ROLE, user=SUPERUSER))
        tenant_conninfo = embedded_conninfo(server, dbname=_ROLE, user=Role.TENANT)
        return Database(embedded_conninfo(server, dbname=_ROLE, user=_ROLE), server, tenant_conninfo)
    except psycopg.Error as error:
        server.close()
        words = error.diag.message_primary or "the connection was lost"
        raise UnavailableError(f"the embedded PostgreSQL cannot make the ledger's database: {words}") from None
    except BaseException:
        server.close()
        raise


def _create_database(conninfo: str) -> None:
    """Make the role and the database, unless they are there. The lock stops two first starts from both making them."""
    exists: LiteralString = "SELECT FROM pg_database WHERE datname = %s"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        if connection.execute(exists, (_ROLE,)).fetchone() is not None:
            return
        connection.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))  # until the connection ends
        if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)).fetchone() is None:
            connection.execute("CREATE ROLE ledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
        if connection.execute(exists, (_ROLE,)).fetchone() is None:
            connection.execute("CREATE DATABASE ledger OWNER ledger")


def _secure_database(conninfo: str) -> None:
    """Make the roles and close what tells about others, as far as an earlier start has not."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))
        ensure_roles(connection, _ROLE)
        harden(connection)


def _given(url: str, tenant_url: str | None) -> Database:
    conninfo = _conninfo(url, URL_VARIABLE)
    tenant_conninfo = _conninfo(tenant_url, TENANT_URL_VARIABLE) if tenant_url else None
    with _reached(conninfo, URL_VARIABLE) as connection:
        version = connection.info.server_version
        if version < OLDEST_VERSION * 10_000:
            raise RefusedError(
                f"{URL_VARIABLE} leads to PostgreSQL {version // 10_000}; the ledger needs {OLDEST_VERSION} or newer"
            )
        ensure_roles(connection, _current_user(connection))
        if tenant_conninfo is not None:
            with _reached(tenant_conninfo, TENANT_URL_VARIABLE) as tenants:
                login = _current_user(tenants)
            check_tenant_login(connection, login)
    return Database(conninfo, None, tenant_conninfo)


def _conninfo(url: str, variable: str) -> str:
    try:
        conninfo = make_conninfo(url)
    except psycopg.Error:
        raise MalformedError(
            f"{variable} is not a connection string, such as postgresql://user:password@host:5432/database "
            "(special characters in the password as %XX)"
        ) from None
    if "connect_timeout" not in psycopg.conninfo.conninfo_to_dict(conninfo):
        conninfo = make_conninfo(conninfo, connect_timeout=_CONNECT_TIMEOUT_S)
    return conninfo


@contextmanager
def _reached(conninfo: str, variable: str) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            yield connection
    except psycopg.Error as error:
        raise UnavailableError(f"cannot reach the PostgreSQL of {variable}: {_cause(error)}") from None


def _current_user(connection: psycopg.Connection) -> str:
    row = connection.execute("SELECT current_user").fetchone()
    assert row is not None  # noqa: S101 - one row
    return str(row[0])


def _cause(error: psycopg.Error) -> str:
    """Return our own words for why a connection failed, without anything of the connection string."""
    text = str(error)
    return next((cause for sign, cause in _CAUSES.items() if sign in text), "the connection failed")
