"""Brings a cell to this program's release: its schema, and everything that a start looks at.

What happens at a start by itself is the same (`open_database`, `open_ledger`). Here it is done alone, with a backup
before it, and it is said.

Invariants:
- Looking (`schema_of`) changes nothing, not even a database without a ledger.
- An upgrade runs with nothing else at work in the data directory; the backup is whole before the schema is touched, and
  a crash at any point leaves the old schema or the new one: the same command again goes on.
- A cluster of another PostgreSQL than the program's is never touched: it goes through a backup.
"""

import fcntl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psycopg

from domain.errors import ConflictError, RefusedError, UnavailableError
from infrastructure.backup.archive import Progress
from infrastructure.backup.saving import Saved, require_ledger, save
from infrastructure.postgres.cluster import require_own_major
from infrastructure.postgres.connect import URL_VARIABLE, Database, reach_database
from infrastructure.postgres.migrate import applied, checked, migrate, migrations

_USERS = "postgres/users.lock"


@dataclass(frozen=True, slots=True)
class Schema:
    """Which version a database has, and which this program brings it to; `names` are the files in between."""

    has: int
    wants: int
    names: tuple[str, ...]


def schema_of(database: Database) -> Schema:
    """Return how a database stands.

    Raises:
        RefusedError: when its schema is newer than this program, or another.
        UnavailableError: when it does not answer.
    """
    known = migrations()
    try:
        with psycopg.connect(database.conninfo) as connection:
            has = len(checked(applied(connection), known))
    except psycopg.Error:
        raise UnavailableError("the database does not answer: try again") from None
    return Schema(has, len(known), tuple(one.name for one in known[has:]))


def migrate_database(data_dir: Path, environ: Mapping[str, str], *, check: bool) -> Schema:
    """Bring the schema up to date, or only look; return how it stood before.

    Raises:
        As `schema_of` does; RefusedError also when there is no ledger.
    """
    if not environ.get(URL_VARIABLE):
        require_ledger(data_dir)
    with reach_database(data_dir, environ) as database:
        before = schema_of(database)
        if not check:
            migrate(database.conninfo)
    return before


def upgrade(
    data_dir: Path,
    environ: Mapping[str, str],
    backup: Path | None,
    *,
    at: datetime,
    open_once: Callable[[], object],
    told: Progress = lambda _done: None,
) -> tuple[Schema, Saved | None]:
    """Upgrade an embedded data directory; return how its schema stood, and the backup that was made before.

    Args:
        data_dir: the cell's.
        environ: the process's.
        backup: where to; None for none. Where nothing is to be done none is made.
        at: now.
        open_once: opens the ledger as a start does, and closes it.
        told: told how much of the backup is written.

    Raises:
        RefusedError: when there is no ledger, its database is not the embedded one, its schema is newer, or it was made
            by another PostgreSQL.
        ConflictError: when something is at work there.
    """
    require_ledger(data_dir)
    if environ.get(URL_VARIABLE):
        raise RefusedError(f"{URL_VARIABLE} names a database of your own: back it up, then run `migrate`")
    require_own_major(data_dir / "postgres/cluster")
    _require_alone(data_dir)
    with reach_database(data_dir, environ) as database:
        before = schema_of(database)
        saved = None
        if before.names and backup is not None:
            saved = save(data_dir, environ, backup, at=at, told=told)
        migrate(database.conninfo)
        open_once()
    return before, saved


def _require_alone(data_dir: Path) -> None:
    """Raise while somebody uses the embedded server.

    Raises:
        ConflictError: then.
    """
    path = data_dir / _USERS
    if not path.exists():
        return
    with path.open("ab") as users:
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(f"something is at work in {data_dir}: stop it first, and upgrade again") from None
