"""Connections run as the role that they are for, bound reads see one tenant, and nothing of it stays behind."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import ProgrammingError
from psycopg import errors
from psycopg.sql import SQL, Identifier

from domain.errors import MalformedError, RefusedError, UnknownError
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import open_database
from infrastructure.postgres.datastore import LedgerDatastore, RoleDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Payload
from infrastructure.postgres.roles import Role
from infrastructure.postgres.tenant import TenantReader
from infrastructure.postgres.views import Views
from tests.database import as_role
from tests.postgres.sample import event, make_logs, stream

TENANTS_TABLES = ["log_heads", "stored_events", "commands", "payloads", "view_rows", "view_positions"]


@pytest.fixture(params=["a login of their own", "the program's login"])
def tenants(request: pytest.FixtureRequest, conninfo: str) -> Iterator[LedgerDatastore]:
    """Connections of a process, in both ways in which bound reads may log in."""
    own = as_role(conninfo, Role.TENANT) if request.param == "a login of their own" else None
    with LedgerDatastore(conninfo, own) as opened:
        yield opened


def test_a_bound_reader_sees_all_of_its_own_and_nothing_else(tenants: LedgerDatastore) -> None:
    recorder, views = LedgerRecorder(tenants), Views(tenants)
    mine, other = make_logs(recorder, 2)
    stream_id, foreign_id = uuid4(), uuid4()
    events, foreign = stream(mine, 3, stream_id), stream(other, 2, foreign_id)
    sealed = Payload(mine, sha256(b"p").digest(), b"p")
    recorder.append([*foreign, *events], payloads=[sealed])
    views.apply("usage_v1", mine, 0, {"k": b"1"}, to_position=3)
    views.apply("usage_v1", other, 0, {"k": b"2", "l": b"2"}, to_position=3)
    reader = TenantReader(tenants, mine)
    assert reader.head() == recorder.head(mine)
    assert [one.entry for one in reader.every_entry()] == [one.state for one in events]
    assert {one.notification_id for one in reader.entries()} == {0}
    assert reader.leaf_hashes() == recorder.leaf_hashes(mine)
    assert reader.streams() == recorder.streams(mine)
    assert reader.stream(stream_id) == events
    assert reader.leaf_index(stream_id, 2) == 2
    assert (reader.payload(sealed.digest), reader.rows("usage_v1"), reader.row("usage_v1", "k")) == (
        b"p",
        {"k": b"1"},
        b"1",
    )
    assert (reader.stream(foreign_id), reader.row("usage_v1", "l")) == ([], None)
    with pytest.raises(UnknownError):
        reader.leaf_index(foreign_id, 0)
    stranger = TenantReader(tenants, uuid4())
    assert (stranger.entries(), stranger.streams(), stranger.payload(sealed.digest), stranger.rows("usage_v1")) == (
        [],
        [],
        None,
        {},
    )
    with pytest.raises(UnknownError):
        stranger.head()


@pytest.mark.parametrize("claim", ["", "x", "%", "' OR true --", f" {UUID(int=1)}", "NULL", "the id in capitals"])
def test_a_session_without_a_tenant_sees_nothing_and_gets_no_error(
    recorder: LedgerRecorder, conninfo: str, claim: str
) -> None:
    log_ids = [UUID(int=0), UUID(int=0xABC)]
    for slot, log_id in enumerate(log_ids):
        recorder.create_log(log_id, slot, f"ledger.example/t/{slot}")
    recorder.append([event(log_id) for log_id in log_ids])
    claim = claim.replace("the id in capitals", str(log_ids[1]).upper())
    with psycopg.connect(as_role(conninfo, Role.TENANT)) as connection:
        assert visible(connection) == (0, 0)
        connection.execute("SELECT set_config('ledger.tenant_id', %s, true)", (claim,))
        assert visible(connection) == (0, 0)
        connection.execute("SELECT set_config('ledger.tenant_id', %s, true)", (str(log_ids[1]),))
        assert visible(connection) == (1, 1)
        connection.rollback()
        assert visible(connection) == (0, 0)


def visible(connection: psycopg.Connection) -> tuple[int, ...] | None:
    return connection.execute(
        "SELECT (SELECT count(*) FROM ledger.stored_events), (SELECT count(*) FROM ledger.log_heads)"
    ).fetchone()


def test_a_pools_connection_keeps_no_tenant(tenants: LedgerDatastore) -> None:
    recorder = LedgerRecorder(tenants)
    log_ids = make_logs(recorder, 4)
    recorder.append([event(log_id) for log_id in log_ids for _ in range(3)])

    def look(number: int) -> None:
        log_id = log_ids[number % 4]
        assert {one.log_id for one in TenantReader(tenants, log_id).entries()} == {log_id}
        with pytest.raises(UnknownError):
            TenantReader(tenants, uuid4()).head()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(look, range(80)))
    with tenants.tenants.get_connection() as connection:
        row = connection.execute("SELECT current_setting('ledger.tenant_id', true) AS left").fetchone()
        assert row in ({"left": ""}, {"left": None})
        assert connection.execute("SELECT tree_size FROM ledger.log_heads").fetchall() == []


@pytest.mark.parametrize("leave", ["RESET ROLE", "RESET ALL", "DISCARD ALL", "SET role TO DEFAULT"])
def test_no_reset_leads_back_to_the_login(tenants: LedgerDatastore, leave: str) -> None:
    for datastore, role in ((tenants.tenants, Role.TENANT), (tenants.appends, Role.APPEND), (tenants, Role.CELL)):
        with datastore.get_connection() as connection:
            connection.execute(leave.encode())
            row = connection.execute("SELECT current_user AS me, current_setting('lock_timeout', true) AS wait")
            assert row.fetchone() == {"me": role, "wait": "10s"}


def test_who_logs_in_as_the_tenants_role_can_take_no_other(conninfo: str) -> None:
    with psycopg.connect(as_role(conninfo, Role.TENANT), autocommit=True) as connection:
        for role in ("ledger", "ledger_cell", "ledger_append", "postgres", "pg_read_all_data"):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {role}")
        connection.execute("SET ROLE NONE")
        assert connection.execute("SELECT current_user").fetchone() == ("ledger_tenant",)


def test_the_owner_sees_no_tenants_row_before_he_takes_a_role(recorder: LedgerRecorder, conninfo: str) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id)])
    with psycopg.connect(conninfo) as owner:
        for table in TENANTS_TABLES:
            count = SQL("SELECT count(*) FROM ledger.{}").format(Identifier(table))
            assert owner.execute(count).fetchone() == (0,)
        owner.execute("SET LOCAL ROLE ledger_cell")
        assert owner.execute("SELECT count(*) FROM ledger.stored_events").fetchone() == (1,)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        (Role.APPEND, "SELECT state FROM ledger.stored_events"),
        (Role.APPEND, "SELECT sealed FROM ledger.payloads"),
        (Role.APPEND, "TABLE ledger.view_rows"),
        (Role.APPEND, "UPDATE ledger.decider_epoch SET epoch = 9"),
        (Role.APPEND, "DELETE FROM ledger.log_heads"),
        (Role.CELL, "INSERT INTO ledger.logs VALUES (gen_random_uuid(), 9, 'x')"),
        (Role.CELL, "INSERT INTO ledger.log_heads VALUES (gen_random_uuid())"),
        (Role.CELL, "UPDATE ledger.feed_counter SET last_position = 9"),
        (Role.CELL, "UPDATE ledger.log_heads SET tree_size = 9"),
        (Role.CELL, "SET ROLE postgres"),
    ],
)
def test_a_role_does_its_own_work_only(conninfo: str, role: Role, statement: str) -> None:
    with (
        RoleDatastore(conninfo, role) as datastore,
        pytest.raises(ProgrammingError, match="permission denied"),
        datastore.get_connection() as connection,
    ):
        connection.execute(statement.encode())


def test_options_of_the_connection_string_are_kept(conninfo: str) -> None:
    given = psycopg.conninfo.make_conninfo(conninfo, options="-c application_name=mine -c lock_timeout=1s")
    with RoleDatastore(given, Role.CELL) as datastore, datastore.get_connection() as connection:
        row = connection.execute("SELECT current_setting('application_name') AS name, current_user AS me").fetchone()
        assert row == {"name": "mine", "me": "ledger_cell"}


def test_a_login_for_tenants_must_be_able_to_do_nothing_else(conninfo: str, tmp_path: Path) -> None:
    environ = {"LEDGER_DATABASE_URL": conninfo, "LEDGER_TENANT_DATABASE_URL": as_role(conninfo, Role.TENANT)}
    with open_database(tmp_path, environ) as database:
        assert database.tenant_conninfo == environ["LEDGER_TENANT_DATABASE_URL"]
        assert "tenant_conninfo" not in repr(database)
    for login in ("ledger", SUPERUSER):
        with pytest.raises(RefusedError, match="must be a member of ledger_tenant, of no other role"):
            open_database(tmp_path, environ | {"LEDGER_TENANT_DATABASE_URL": as_role(conninfo, login)})
    with pytest.raises(MalformedError, match="LEDGER_TENANT_DATABASE_URL"):
        open_database(tmp_path, environ | {"LEDGER_TENANT_DATABASE_URL": "geheim"})
