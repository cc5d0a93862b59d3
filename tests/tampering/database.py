"""Somebody who owns the database server, and the one function that looks at what he did."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from psycopg.sql import SQL, Identifier

from infrastructure.fsck.check import check_database
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger
from tests.commands.cell import ENTROPY
from tests.tampering.scene import Scene


def examine(scene: Scene) -> list[str]:
    """Return what is wrong with a database and the data directory beside it, each with its place, as fsck tells it.

    It is opened anew, and without holding logs against floors: what is frozen stays frozen, in the database.
    """
    with open_ledger(
        scene.stage.data, scene.stage.cell.environ, clock=scene.stage.cell.clock, ids=SystemIds(), entropy=ENTROPY,
        thawing=True,
    ) as ledger:  # fmt: skip
        return [str(one) for one in check_database(ledger).differences]


@dataclass
class Intruder:
    """A superuser's connection, with which nothing that the schema refuses is refused."""

    scene: Scene
    connection: "psycopg.Connection[Any]"

    def columns(self) -> dict[str, list[tuple[str, str]]]:
        """Return (column, type) of every table that has rows."""
        rows = self.connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'ledger'"
            " ORDER BY table_name, ordinal_position"
        ).fetchall()
        found: dict[str, list[tuple[str, str]]] = {}
        for table, column, kind in rows:
            found.setdefault(table, []).append((column, kind))
        return {table: its for table, its in found.items() if self.count(table)}

    def count(self, table: str) -> int:
        """Return how many rows a table has."""
        row = self.connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier("ledger", table))).fetchone()
        assert row is not None
        return int(row[0])

    def row(self, table: str, number: int) -> Mapping[str, Any]:
        """Return one row, by its place in an order that changes with nothing but the row's own values."""
        statement = SQL("SELECT t.ctid::text AS place, t.* FROM {} AS t ORDER BY t::text OFFSET %s LIMIT 1")
        with self.connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
            found = cursor.execute(statement.format(Identifier("ledger", table)), (number,)).fetchone()
        assert found is not None
        return found

    def put(self, table: str, place: str, column: str, value: object) -> None:
        """Put a value into one row."""
        statement = SQL("UPDATE {} SET {} = %s WHERE ctid = %s::tid")
        self.connection.execute(statement.format(Identifier("ledger", table), Identifier(column)), (value, place))

    @contextmanager
    def inside(self, *tables: str) -> Iterator[None]:
        """Let tables be changed; put back everything that they held."""
        for table in tables:
            self._run("CREATE TABLE {kept} AS TABLE {table}", table)
            self._run("ALTER TABLE {table} DISABLE TRIGGER ALL", table)
        try:
            yield
        finally:
            for table in tables:
                self._run("DELETE FROM {table}", table)
                self._run("INSERT INTO {table} SELECT * FROM {kept}", table)
                self._run("ALTER TABLE {table} ENABLE TRIGGER ALL", table)
                self._guarded_again(table)
                self._run("DROP TABLE {kept}", table)

    def _guarded_again(self, table: str) -> None:
        triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
        for (name,) in self.connection.execute(triggers, (f"ledger.{table}",)).fetchall():
            always = SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}")
            self.connection.execute(always.format(Identifier("ledger", table), Identifier(name)))

    def _run(self, text: LiteralString, table: str) -> None:
        named = {"table": Identifier("ledger", table), "kept": Identifier(f"kept_{table}")}
        self.connection.execute(SQL(text).format(**{name: named[name] for name in named if f"{{{name}}}" in text}))


@contextmanager
def kept_file(path: Path) -> Iterator[Path]:
    """Let a file be changed; put it back."""
    data, mode = path.read_bytes(), path.stat().st_mode
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        path.touch()
        path.chmod(mode)
        path.write_bytes(data)
