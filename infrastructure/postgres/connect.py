"""Opens the ledger's database: the embedded one, or the PostgreSQL that LEDGER_DATABASE_URL names.

Invariants:
- Any PostgreSQL 15 or newer serves; an older one is refused before anything is read or written.
- A connection string may hold a password. It appears in no text, error or repr of ours; libpq's words about a string
  are not passed on either, because of one that is written wrongly they quote pieces.
- POSTGRES_ENABLE_DB_FUNCTIONS is refused: with it the library's append takes no lock, so readers skip events and
  tracking.
- The schema is brought up to date before the database is handed out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import LiteralString, Self

import psycopg
from psycopg.conninfo import make_conninfo

from domain.errors import MalformedError, RefusedError, UnavailableError
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import migrate
from infrastructure.postgres.postmaster import PORT

URL_VARIABLE = "LEDGER_DATABASE_URL"
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
class Database:
    """An open database. Close it, or use it as a context manager: the last user of an embedded server stops it."""

    conninfo: str = field(repr=False)
    server: EmbeddedServer | None = None

    def close(self) -> None:
        """Leave the database. Doing it again does nothing."""
        if self.server is not None:
            self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_database(data_dir: Path, environ: Mapping[str, str]) -> Database:
    """Open the database of a data directory and bring its schema up to date.

    Args:
        data_dir: where the embedded server keeps its data; unused when LEDGER_DATABASE_URL is set.
        environ: the process's environment; read are LEDGER_DATABASE_URL and POSTGRES_ENABLE_DB_FUNCTIONS.

    Raises:
        MalformedError: when LEDGER_DATABASE_URL is not a connection string.
        RefusedError: when the server is older than PostgreSQL 15, its schema newer than this program, or a forbidden
            setting is on.
        UnavailableError: when the server cannot be started or reached.
    """
    if environ.get(FORBIDDEN_VARIABLE):
        raise RefusedError(f"{FORBIDDEN_VARIABLE} makes readers lose events: unset it")
    url = environ.get(URL_VARIABLE)
    database = _given(url) if url else _embedded(data_dir)
    try:
        migrate(database.conninfo)
    except BaseException:
        database.close()
        raise
    return database


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
        return Database(embedded_conninfo(server, dbname=_ROLE, user=_ROLE), server)
    except BaseException:
        server.close()
        raise


def _create_database(conninfo: str) -> None:
    """Make the role and the database, unless they are there. The lock stops two first starts from both making them."""
    exists: LiteralString = "SELECT FROM pg_database WHERE datname = %s"
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            if connection.execute(exists, (_ROLE,)).fetchone() is not None:
                return
            connection.execute("SELECT pg_advisory_lock(%s)", (_CREATE_LOCK,))  # until the connection ends
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (_ROLE,)).fetchone() is None:
                connection.execute("CREATE ROLE ledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE")
            if connection.execute(exists, (_ROLE,)).fetchone() is None:
                connection.execute("CREATE DATABASE ledger OWNER ledger")
    except psycopg.Error as error:
        raise UnavailableError(f"the embedded PostgreSQL cannot make the ledger's database: {error}") from None


def _given(url: str) -> Database:
    try:
        conninfo = make_conninfo(url)
    except psycopg.Error:
        raise MalformedError(
            f"{URL_VARIABLE} is not a connection string, such as postgresql://user:password@host:5432/database "
            "(special characters in the password as %XX)"
        ) from None
    if "connect_timeout" not in psycopg.conninfo.conninfo_to_dict(conninfo):
        conninfo = make_conninfo(conninfo, connect_timeout=_CONNECT_TIMEOUT_S)
    try:
        with psycopg.connect(conninfo) as connection:
            version = connection.info.server_version
    except psycopg.Error as error:
        raise UnavailableError(f"cannot reach the PostgreSQL of {URL_VARIABLE}: {_cause(error)}") from None
    if version < OLDEST_VERSION * 10_000:
        raise RefusedError(
            f"{URL_VARIABLE} leads to PostgreSQL {version // 10_000}; the ledger needs {OLDEST_VERSION} or newer"
        )
    return Database(conninfo)


def _cause(error: psycopg.Error) -> str:
    """Return our own words for why a connection failed, without anything of the connection string."""
    text = str(error)
    return next((cause for sign, cause in _CAUSES.items() if sign in text), "the connection failed")
