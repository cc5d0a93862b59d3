"""Errors and logs speak our words: nothing that the database says of rows, names or hosts gets through."""

import traceback
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError

from domain.errors import ConflictError, LedgerError
from infrastructure.postgres.connect import open_database
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import CommandRecord
from infrastructure.postgres.tenant import TenantReader
from infrastructure.postgres.views import Views
from tests.database import as_role
from tests.postgres.sample import event

LOG, STREAM = UUID("0190aaaa-0000-7000-8000-00000000abcd"), UUID("0190bbbb-0000-7000-8000-00000000abcd")
PLANTED = "planted-by-the-test"
NEVER = [
    PLANTED, str(LOG), str(STREAM), "DETAIL", "HINT", "Key (", "violates", "constraint", "stored_events", "log_heads",
    "ledger.", "view_rows", "permission denied", "encoding", "relation", "0x00", "SELECT", "INSERT", "psycopg",
]  # fmt: skip


def command(command_id: str = PLANTED) -> CommandRecord:
    return CommandRecord(LOG, PLANTED, command_id, PLANTED.encode(), b"")


BROKEN: dict[str, tuple[str, Callable[[LedgerDatastore], object]]] = {
    "a taken version": ("", lambda store: LedgerRecorder(store).append([event(LOG, STREAM)])),
    "a known command": ("", lambda store: LedgerRecorder(store).append([], commands=[command()])),
    "a command twice": ("", lambda store: LedgerRecorder(store).append([], commands=[command("x"), command("x")])),
    "an unknown log": ("", lambda store: LedgerRecorder(store).append([event(STREAM)])),
    "a foreign origin": ("", lambda store: LedgerRecorder(store).create_log(STREAM, 0, PLANTED)),
    "text with NUL": ("", lambda store: LedgerRecorder(store).append([], commands=[command(f"{PLANTED}\0")])),
    "a row's key with NUL": (
        "",
        lambda store: Views(store).apply("u_v1", LOG, 0, {f"{PLANTED}\0": b""}, to_position=1),
    ),
    "a read with NUL": ("", lambda store: Views(store).row("u_v1", LOG, f"{PLANTED}\0")),
    "a moved read model": ("", lambda store: Views(store).apply("u_v1", LOG, 7, {PLANTED: b""}, to_position=8)),
    "one taken of two": ("", lambda store: LedgerRecorder(store).append([event(LOG, STREAM, 9), event(LOG, STREAM)])),
    "a lost grant to append": (
        "REVOKE INSERT ON ledger.stored_events FROM ledger_append",
        lambda store: LedgerRecorder(store).append([event(LOG)]),
    ),
    "a lost grant to read": (
        "REVOKE SELECT ON ledger.logs FROM ledger_cell",
        lambda store: LedgerRecorder(store).logs(),
    ),
    "a lost grant of tenants": (
        "REVOKE SELECT (frontier) ON ledger.log_heads FROM ledger_tenant",
        lambda store: TenantReader(store, LOG).head(),
    ),
    "a lost table": ("DROP TABLE ledger.feed", lambda store: Feed(store).read_feed()),
    "a lost column": (
        "ALTER TABLE ledger.stored_events DROP COLUMN topic",
        lambda store: LedgerRecorder(store).append([event(LOG)]),
    ),
    "a new constraint": (
        f"ALTER TABLE ledger.stored_events ADD CONSTRAINT one CHECK (topic = '{PLANTED}') NOT VALID",
        lambda store: LedgerRecorder(store).append([event(LOG)]),
    ),
    "a refusing trigger": (
        "CREATE TRIGGER t BEFORE INSERT ON ledger.stored_events EXECUTE FUNCTION ledger.refuse_change()",
        lambda store: LedgerRecorder(store).append([event(LOG)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_goes_wrong_is_told_in_words_of_ours(
    datastore: LedgerDatastore, conninfo: str, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    statement, attempt = BROKEN[name]
    recorder = LedgerRecorder(datastore)
    recorder.create_log(LOG, 0, PLANTED)
    recorder.append([event(LOG, STREAM, 0, PLANTED.encode())], commands=[command()])
    with psycopg.connect(as_role(conninfo), autocommit=True) as admin:
        admin.execute(statement.encode())
    with caplog.at_level("DEBUG"), pytest.raises((LedgerError, IntegrityError)) as caught:
        attempt(datastore)
    assert_ours(caught.value, caplog.text)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://{PLANTED}:{PLANTED}@127.0.0.1:1/{PLANTED}",
        f"host=/nonexistent/{PLANTED} user={PLANTED}",
        f"postgresql://{PLANTED}:%zz{PLANTED}",
    ],
)
@pytest.mark.parametrize("variable", ["LEDGER_DATABASE_URL", "LEDGER_TENANT_DATABASE_URL"])
def test_nor_does_a_connection_string_get_through(
    conninfo: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, variable: str, url: str
) -> None:
    environ = {"LEDGER_DATABASE_URL": conninfo, variable: url}
    with caplog.at_level("DEBUG"), pytest.raises(LedgerError) as caught:
        open_database(tmp_path, environ)
    assert variable in str(caught.value)
    assert_ours(caught.value, caplog.text, *NEVER[1:])


def test_the_servers_own_log_quotes_no_row(tmp_path: Path) -> None:
    with open_database(tmp_path, {}) as database, LedgerDatastore(database.conninfo) as datastore:
        pass  # its next sessions know the setting
    with open_database(tmp_path, {}) as database, LedgerDatastore(database.conninfo) as datastore:
        recorder = LedgerRecorder(datastore)
        recorder.create_log(LOG, 0, PLANTED)
        recorder.append([event(LOG, STREAM)], commands=[command()])
        with pytest.raises(IntegrityError):
            recorder.append([event(LOG, STREAM)])
        with pytest.raises(ConflictError):
            recorder.append([], commands=[command()])
    log = (tmp_path / "postgres" / "server.log").read_text()
    assert log.count("duplicate key") == 2
    for word in (PLANTED, str(LOG), str(STREAM), "DETAIL"):
        assert word not in log


def assert_ours(error: BaseException, logged: str, *allowed: str) -> None:
    """Check an error as whoever prints it sees it, and what was logged meanwhile."""
    last = traceback.format_exception(error)[-1]
    for word in set(NEVER) - set(allowed):
        assert word not in f"{error} {error!r} {error.args} {logged} {last}", word
    assert PLANTED not in "".join(traceback.format_exception(error, chain=True))
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
