"""One cell with commands, payloads, rotated keys, published logs and rounds; tests damage it and put it back."""

import contextlib
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from infrastructure.commands.log_keys import rotate_log_key
from infrastructure.fsck.check import check_database
from infrastructure.fsck.report import Report
from infrastructure.projector import Projector
from tests.anchoring.stage import Stage
from tests.commands.cell import Cell, Member, founded
from tests.database import TestServer, as_role, postgres

__all__ = ["postgres"]


@dataclass
class Damaged:
    """The cell, and a superuser's connection to its database."""

    stage: Stage
    superuser: "psycopg.Connection[Any]"

    @property
    def cell(self) -> Cell:
        return self.stage.cell

    @property
    def member(self) -> Member:
        return self.stage.members[0]

    @property
    def origin(self) -> str:
        return self.stage.log().origin

    def check(self, member: Member | None = None) -> Report:
        return check_database(self.cell.ledger, None if member is None else member.log_id)

    @contextmanager
    def changed(self, table: str, statement: str, **values: object) -> Iterator[None]:
        """Change rows as somebody could who owns the server; put them back afterwards."""
        named = Identifier("ledger", table)

        def run(text: LiteralString, **given: object) -> "psycopg.Cursor[Any]":
            return self.superuser.execute(SQL(text).format(table=named), given or None)

        run("CREATE TABLE kept AS TABLE {table}")
        run("ALTER TABLE {table} DISABLE TRIGGER ALL")
        try:
            changed = self.superuser.execute(statement.encode(), {"log": self.member.log_id, **values})
            assert changed.rowcount > 0
            yield
        finally:
            run("DELETE FROM {table}")
            run("INSERT INTO {table} SELECT * FROM kept")
            run("ALTER TABLE {table} ENABLE TRIGGER ALL")
            triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = %(of)s::regclass AND NOT tgisinternal"
            for (name,) in run(triggers, of=f"ledger.{table}").fetchall():
                always = SQL("ALTER TABLE {} ENABLE ALWAYS TRIGGER {}")
                self.superuser.execute(always.format(named, Identifier(name)))
            run("DROP TABLE kept")

    @contextmanager
    def file(self, path: str) -> Iterator[Path]:
        """Give a file of the data directory to be changed; put it back afterwards."""
        file = self.stage.data / path
        kept = file.with_name(f"{file.name}.kept")
        shutil.copy(file, kept)
        try:
            yield file
        finally:
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
            kept.rename(file)


@pytest.fixture(scope="module")
def healthy(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    with (
        postgres.database() as name,
        contextlib.ExitStack() as stack,
        psycopg.connect(as_role(postgres.conninfo(name)), autocommit=True) as superuser,
    ):
        cell = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        stack.callback(cell.close)
        stage = Stage(cell, [cell.join(), cell.join("OtherDAO")], stack)
        cell.submit(stage.members[0])
        (execution,) = cell.place(stage.members[0])
        cell.run(execution)
        for _ in range(30):
            stage.grow()
        stage.turn()
        rotate_log_key(cell.ledger, stage.members[0].log_id)
        for _ in range(30):
            stage.grow()
        stage.turn()
        Projector(cell.ledger).catch_up()
        stage.grow()
        yield Damaged(stage, superuser)
