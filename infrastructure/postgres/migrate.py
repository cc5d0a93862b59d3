"""Brings the schema up to date: files `schema/NNN_name.sql`, forward only.

Invariants:
- A file that has been applied anywhere is never edited; its digest is kept in the database and compared at every start.
- All pending files are applied in one transaction, under an advisory lock: of several first starts one applies them and
  the others find them applied; a crash in between leaves the old schema.
- A schema newer than the program is refused: old code does not guess.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.abc import QueryNoTemplate

from domain.errors import RefusedError, UnavailableError

_FOLDER = Path(__file__).with_name("schema")
_LOCK = 0x4C454447_4D494752
_LOCK_TIMEOUT = "60s"


@dataclass(frozen=True)
class Migration:
    """One file: its number, name, text and SHA-256."""

    version: int
    name: str
    text: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text).digest()


def migrations(folder: Path = _FOLDER) -> tuple[Migration, ...]:
    """Return the files in order; they are numbered from 1 without a hole.

    Raises:
        RefusedError: when the numbers have a hole.
    """
    found = tuple(
        Migration(int(path.name[:3]), path.stem, path.read_bytes())
        for path in sorted(folder.glob("[0-9][0-9][0-9]_*.sql"))
    )
    if [one.version for one in found] != list(range(1, len(found) + 1)):
        raise RefusedError(f"the schema files in {folder} are not numbered 1, 2, 3 ...: install the program again")
    return found


def migrate(conninfo: str, known: tuple[Migration, ...] | None = None) -> int:
    """Apply what is missing; return the schema's version.

    Raises:
        RefusedError: when the database's schema is newer than the program, or an applied file was edited.
        UnavailableError: when the database does not answer, or does not let us create the schema.
    """
    known = migrations() if known is None else known
    try:
        with psycopg.connect(conninfo, autocommit=True) as connection:
            if len(checked(applied(connection), known)) == len(known):
                return len(known)
            # The session's lock, and a transaction that begins after it is held: one that waited for the lock itself
            # would still remember that the tables are not there. The lock goes with the connection.
            connection.execute("SELECT set_config('lock_timeout', %s, false)", (_LOCK_TIMEOUT,))
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
            with connection.transaction():
                for migration in known[len(checked(applied(connection), known)) :]:
                    apply(connection, migration)
    except psycopg.Error as error:
        words = error.diag.message_primary or "the connection was lost"
        raise UnavailableError(f"the database's schema cannot be brought up to date: {words}") from None
    return len(known)


def applied(connection: psycopg.Connection) -> list[tuple[int, bytes]]:
    """Return (version, digest) of what was applied, in order."""
    if connection.execute("SELECT to_regclass('ledger.schema_migrations')").fetchone() == (None,):
        return []
    return connection.execute("SELECT version, digest FROM ledger.schema_migrations ORDER BY version").fetchall()


def checked(found: list[tuple[int, bytes]], known: tuple[Migration, ...]) -> list[tuple[int, bytes]]:
    """Return what was applied, if this program's files begin with it.

    Raises:
        RefusedError: when it is newer than the program, or was another file.
    """
    if len(found) > len(known):
        raise RefusedError(
            f"the database has schema {found[-1][0]}, this program knows {len(known)}: use the newer program"
        )
    for (version, digest), migration in zip(found, known, strict=False):
        if (version, digest) != (migration.version, migration.digest):
            raise RefusedError(
                f"the database was made with another schema {migration.name} than this program's: "
                "use the program that made it, or a new data directory"
            )
    return found


def apply(connection: psycopg.Connection, migration: Migration) -> None:
    """Apply a file, in the transaction of the caller."""
    text: QueryNoTemplate = migration.text
    connection.execute(text)
    connection.execute(
        "INSERT INTO ledger.schema_migrations (version, name, digest) VALUES (%s, %s, %s)",
        (migration.version, migration.name, migration.digest),
    )
