"""Databases that are copied away, lost and restored, under one data directory."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from domain.canonical import canonical, parse_canonical
from infrastructure.decider import Decider
from infrastructure.ids import SeededIds
from infrastructure.ledger import open_ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.publish.publisher import Publisher
from infrastructure.thaw.plan import copies_of, frozen_logs
from infrastructure.thaw.thawing import Progress, Thawed, thaw
from tests.commands.cell import ENTROPY, Cell, Member
from tests.database import TestServer

TABLES = {  # what identifies a row, or is never written again
    "stored_events": "tenant_id, stream_id, version, topic, state, leaf_index, leaf_hash",
    "log_heads": "tenant_id, tree_size, frontier, frozen",
    "commands": "tenant_id, issuer, command_id",
    "payloads": "tenant_id, digest, sealed",
    "key_notes": "log_id, generation, from_size, note",
    "logs": "log_id, slot, origin",
}
ANSWERED = "tenant_id, issuer, command_id, answer"


@dataclass
class Machine:
    """A cell on a server, whose database can be exchanged under it."""

    server: TestServer
    name: str
    cell: Cell
    _copies: Iterator[int] = field(default_factory=itertools.count)

    def publish(self) -> None:
        assert Publisher(self.cell.ledger).publish().failed == {}

    def backup(self) -> str:
        """Copy the database; return the copy's name. The ledger is open again afterwards."""
        self.cell.ledger.close()
        copy = f"{self.name}_copy_{next(self._copies)}"
        with psycopg.connect(self.server.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
            statement = SQL("CREATE DATABASE {} OWNER ledger TEMPLATE {}")
            admin.execute(statement.format(Identifier(copy), Identifier(self.name)))
        self.open(self.name)
        return copy

    def open(self, name: str, *, thawing: bool = False) -> None:
        """Use another database from now on."""
        self.cell.ledger.close()
        self.name = name
        environ = {"LEDGER_DATABASE_URL": self.server.conninfo(name)}
        self.cell.ledger = open_ledger(
            self.cell.folder / "data", environ, clock=self.cell.clock, ids=SeededIds(99), entropy=ENTROPY,
            thawing=thawing,
        )  # fmt: skip
        self.cell.decider = Decider(self.cell.ledger)

    def thaw(
        self, source: Path | None = None, member: Member | None = None, progress: Progress | None = None, **how: Any
    ) -> list[Thawed]:
        """Thaw every frozen log, or one."""
        self.open(self.name, thawing=True)
        logs = [log for log in frozen_logs(self.cell.ledger, source) if member is None or log.log_id == member.log_id]
        return thaw(self.cell.ledger, copies_of(self.cell.ledger, logs, source), progress=progress, **how)

    def dump(self, name: str | None = None) -> dict[str, list[tuple[Any, ...]]]:
        """Return what the tables of logs hold."""
        with psycopg.connect(self.server.conninfo(name or self.name, SUPERUSER)) as connection:
            return {
                table: sorted(connection.execute(_select(table, columns)).fetchall(), key=repr)
                for table, columns in TABLES.items()
            }

    def answers(self) -> dict[tuple[UUID, str, str], Any]:
        """Return what each command was, and what it was answered."""
        with psycopg.connect(self.server.conninfo(self.name, SUPERUSER)) as connection:
            rows = connection.execute(_select("commands", ANSWERED)).fetchall()
        return {row[:3]: opened(self.cell, *row) for row in rows}

    def pass_time(self) -> None:
        self.cell.clock.advance_to(self.cell.clock.now_ms() + 1500)


def opened(cell: Cell, log_id: UUID, issuer: str, command_id: str, answer: bytes) -> Any:
    """Open what a command's row holds."""
    place = canonical(["command", str(log_id), issuer, command_id])
    return parse_canonical(cell.ledger.at_rest(log_id).open(place, answer))


@contextmanager
def machine(server: TestServer, folder: Path) -> Iterator[Machine]:
    with server.database() as name:
        cell = Cell(folder, server.conninfo(name)).found()
        made = Machine(server, name, cell)
        try:
            yield made
        finally:
            cell.close()


def _select(table: str, columns: str) -> Composed:
    return SQL("SELECT {} FROM ledger.{}").format(
        SQL(", ").join(map(Identifier, columns.split(", "))), Identifier(table)
    )
