"""The database itself refuses to change what is written, whoever asks."""

import itertools
from typing import LiteralString

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.recorder import LedgerRecorder
from tests.database import TestServer, as_role
from tests.postgres.sample import command, event, make_logs

KEPT = ["stored_events", "feed", "commands", "payloads", "logs", "schema_migrations"]
CHANGES: list[LiteralString] = [
    "UPDATE ledger.{} SET {} = {}",
    "DELETE FROM ledger.{}",
    "TRUNCATE ledger.{}",
    "TRUNCATE ledger.{} CASCADE",
]


def change(connection: psycopg.Connection, table: str, statement: LiteralString) -> None:
    column = connection.execute(SQL("SELECT * FROM ledger.{} LIMIT 0").format(Identifier(table))).description
    assert column is not None
    name = Identifier(column[0].name)
    text = SQL(statement)
    connection.execute(
        text.format(Identifier(table), name, name) if "UPDATE" in statement else text.format(Identifier(table))
    )


@pytest.mark.parametrize("who", ["owner", "owner who granted himself all", "superuser", "superuser as a replica"])
def test_nobody_changes_or_removes_what_is_written(
    postgres: TestServer, recorder: LedgerRecorder, conninfo: str, who: str
) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id)], commands=[command(log_id)])
    dbname = psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"]
    role = SUPERUSER if "superuser" in who else "ledger"
    with psycopg.connect(postgres.conninfo(str(dbname), role), autocommit=True) as connection:
        if "granted" in who:
            connection.execute("GRANT ALL ON ALL TABLES IN SCHEMA ledger TO ledger")
        if "replica" in who:
            connection.execute("SET session_replication_role = replica")
        for table, statement in itertools.product(KEPT, CHANGES):
            with pytest.raises(errors.InsufficientPrivilege):
                change(connection, table, statement)
    assert recorder.head(log_id).size == len(recorder.entries(log_id)) == 1


def test_what_grows_in_place_cannot_be_removed(recorder: LedgerRecorder, conninfo: str) -> None:
    make_logs(recorder, 1)
    with psycopg.connect(conninfo, autocommit=True) as owner:
        for table, statement in itertools.product(["log_heads", "feed_counter", "decider_epoch"], CHANGES[1:]):
            with pytest.raises(errors.InsufficientPrivilege):
                change(owner, table, statement)


def test_a_head_never_shrinks_nor_changes_at_one_size(recorder: LedgerRecorder, conninfo: str) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id), event(log_id)])
    with psycopg.connect(as_role(conninfo), autocommit=True) as admin:
        for size in (1, 2):
            with pytest.raises(errors.InsufficientPrivilege):
                admin.execute("UPDATE ledger.log_heads SET tree_size = %s, frontier = ''", (size,))
