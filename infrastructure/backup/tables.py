"""Tables of a ledger as streams: out of one snapshot, and into an empty schema in one transaction.

Invariants:
- All tables are of one instant (repeatable read): heads, entries, feed and counters agree.
- Every durable table is taken but those of LEFT_OUT: a new one is in backups unless somebody says why not.
- Read models are never in a backup: they are derived, and would be what lay open of a tenant after its erasure.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composable, Composed, Identifier

from domain.errors import RefusedError, VerificationError
from infrastructure.backup.archive import KnownLog, Table
from infrastructure.postgres.migrate import Migration, applied, apply, checked
from infrastructure.postgres.queries import load

LEFT_OUT: Final = frozenset({
    "schema_migrations",      # written by the migrations themselves, and named in the manifest
    "feed_channel",           # a secret name of the running database: the restored one draws its own
    "view_rows", "view_positions", "view_editions", "view_faults",  # read models
    "scheduler_checkpoints",  # derived from views
    "unpublished_payloads",   # follows from the payloads: all are published again
})  # fmt: skip
_IN_ORDER: Final = {"anchor_rounds": "round"}
_ONE_ROW: Final = "only_row"
_OLDEST_SCHEMA: Final = 2
"""Before it there were no roles to read with."""
_QUERIES: Final = load("backup.sql")


def begin_snapshot(connection: psycopg.Connection, known: tuple[Migration, ...]) -> list[bytes]:
    """Begin to read one instant of the ledger, as the cell; return the digests of its schema's files.

    Args:
        connection: a new one, by nobody else used.
        known: this program's schema.

    Raises:
        RefusedError: when the schema is newer than this program, or from before there were roles.
    """
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    connection.read_only = True
    found = checked(applied(connection), known)
    if len(found) < _OLDEST_SCHEMA:
        raise RefusedError(
            "the database has no ledger of this release or the one before: `enclave-ledger migrate` first"
        )
    connection.execute(_QUERIES["read_as_the_cell"])
    return [digest for _, digest in found]


def logs(connection: psycopg.Connection) -> tuple[list[KnownLog], set[str]]:
    """Return the logs by slot, and which of them are closed for good."""
    rows = connection.execute(_QUERIES["logs"]).fetchall()
    known = [KnownLog(log_id=str(row[0]), slot=row[1], origin=row[2], size=row[3]) for row in rows]
    return known, {str(row[0]) for row in rows if row[4]}


def kept_tables(connection: psycopg.Connection) -> dict[str, tuple[str, ...]]:
    """Return the tables that a backup holds, with their columns in order."""
    return {name: tuple(columns) for name, columns, _ in _tables(connection) if name not in LEFT_OUT}


class Outgoing:
    """One table's stream. When it has ended `rows` says how many rows it was."""

    def __init__(self, connection: psycopg.Connection, table: str, columns: tuple[str, ...]) -> None:
        self._connection = connection
        ordered = _IN_ORDER.get(table)
        values = {"table": Identifier(table), "columns": _listed(columns)}
        self._statement = (
            _statement("copy_out", **values)
            if ordered is None
            else _statement("copy_out_in_order", **values, order=Identifier(ordered))
        )
        self.rows = 0

    def __iter__(self) -> Iterator[bytes]:
        with self._connection.cursor() as cursor:
            with cursor.copy(self._statement) as copy:
                for piece in copy:
                    yield bytes(piece)
            self.rows = cursor.rowcount


class Incoming:
    """Fills an empty schema. All in the one transaction of a connection: its caller commits.

    Args:
        connection: of the schema's owner, in a transaction.
        known: this program's schema.
        digests: of the files that the backup's schema was made with.

    Raises:
        RefusedError: when there is a ledger already, or the backup's schema is newer or another.
    """

    def __init__(self, connection: psycopg.Connection, known: tuple[Migration, ...], digests: Iterable[bytes]) -> None:
        self._connection = connection
        if applied(connection):
            raise RefusedError("the database holds a ledger already: restore into an empty one")
        for migration in known[: check_schema(digests, known)]:
            apply(connection, migration)
        found = _tables(connection)
        self._columns = {name: tuple(columns) for name, columns, _ in found}
        self._bound = [name for name, _, bound in found if bound]
        for name in self._bound:
            connection.execute(_statement("let_the_owner_write", table=Identifier(name)))

    def fill(self, name: str, table: Table, stream: Iterable[bytes]) -> None:
        """Fill a table.

        Raises:
            VerificationError: when there is no such table, or its rows are not as many as they should be.
        """
        if self._columns.get(name) != table.columns or name in LEFT_OUT:
            raise VerificationError(f"the backup's table {name[:80]!a} is not one of its schema")
        staged = _ONE_ROW in table.columns
        values: dict[str, Composable] = {"table": Identifier(name), "columns": _listed(table.columns)}
        if staged:
            self._connection.execute(_statement("make_stage", **values))
        with self._connection.cursor() as cursor:
            with cursor.copy(_statement("copy_into_stage" if staged else "copy_in", **values)) as copy:
                for piece in stream:
                    copy.write(piece)
            rows = cursor.rowcount
        if rows != table.rows or (staged and rows != 1):
            raise VerificationError(f"the backup's table {name} has {rows} rows, its manifest says {table.rows}")
        if staged:
            self._connection.execute(_statement("take_from_stage", **values))
            self._connection.execute(_statement("drop_stage"))

    def finish(self) -> tuple[list[KnownLog], set[str]]:
        """Bind the owner again; return what `logs` does."""
        found = logs(self._connection)
        for name in self._bound:
            self._connection.execute(_statement("bind_the_owner", table=Identifier(name)))
        return found


def check_schema(digests: Iterable[bytes], known: tuple[Migration, ...]) -> int:
    """Return which version of this program's schema a backup has. Raises as `migrate` does for a database."""
    return len(checked(list(enumerate(digests, 1)), known))


def _tables(connection: psycopg.Connection) -> list[tuple[Any, ...]]:
    return connection.execute(_QUERIES["tables"]).fetchall()


def _listed(columns: tuple[str, ...]) -> Composed:
    return SQL(", ").join(map(Identifier, columns))


def _statement(name: str, **values: Composable) -> Composed:
    return SQL(_QUERIES[name].decode()).format(**values)
