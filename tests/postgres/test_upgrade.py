"""A cluster that knows nothing of the ledger's roles: of the first release, of an administrator, of several ledgers."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from psycopg.sql import SQL, Identifier

from domain.errors import RefusedError
from domain.transparency.frontier import Frontier
from infrastructure.postgres.arrays import register
from infrastructure.postgres.batch import Batch, Placement, prepare
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import embedded_conninfo, open_database
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import migrate, migrations
from infrastructure.postgres.queries import load
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.roles import Role
from infrastructure.postgres.tenant import TenantReader
from tests.postgres.catalogue import findings
from tests.postgres.sample import assert_whole, command, event, stream

LOG = UUID(int=0x11)
OLD_PROGRAM = ["insert_commands", "insert_events", "update_heads", "insert_feed"]


class Cluster:
    """A server of somebody's: no role and no database of ours yet."""

    def __init__(self, server: EmbeddedServer) -> None:
        self.server = server

    def conninfo(self, dbname: str = "postgres", user: str = SUPERUSER) -> str:
        return embedded_conninfo(self.server, dbname=dbname, user=user)

    def run(self, *statements: str, dbname: str = "postgres") -> None:
        """Run statements as the administrator."""
        with psycopg.connect(self.conninfo(dbname), autocommit=True) as admin:
            for statement in statements:
                admin.execute(statement.encode())

    def make(self, name: str, attributes: str = "") -> dict[str, str]:
        """Make a login and a database of its own; return the environment that leads there."""
        self.run(f"CREATE ROLE {name} LOGIN {attributes}", f"CREATE DATABASE {name} OWNER {name}")
        return {"LEDGER_DATABASE_URL": self.conninfo(name, name)}

    def clear(self) -> None:
        """Drop all that is not the server's own."""
        with psycopg.connect(self.conninfo(), autocommit=True) as admin:
            names = "SELECT datname FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')"
            for (name,) in admin.execute(names).fetchall():
                admin.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
            for (name,) in admin.execute(
                r"SELECT rolname FROM pg_roles WHERE rolname !~ '^(pg_|postgres$)'"
            ).fetchall():
                admin.execute(SQL("DROP ROLE {}").format(Identifier(name)))


@pytest.fixture(scope="module")
def somebodys_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path_factory.mktemp("somebodys")) as server:
        yield server


@pytest.fixture
def cluster(somebodys_server: EmbeddedServer) -> Iterator[Cluster]:
    made = Cluster(somebodys_server)
    yield made
    made.clear()


def test_a_data_directory_of_the_first_release_is_upgraded_at_its_next_start(tmp_path: Path) -> None:
    entries = stream(LOG, 3)
    with EmbeddedServer(tmp_path) as server:
        Cluster(server).run(
            "CREATE ROLE ledger LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE", "CREATE DATABASE ledger OWNER ledger"
        )
        owner = embedded_conninfo(server, dbname="ledger", user="ledger")
        migrate(owner, migrations()[:1])
        write_as_the_first_release(owner, prepare(entries, [command(LOG)], []))
    for _ in range(2):
        with (
            open_database(tmp_path, {}) as database,
            LedgerDatastore(database.conninfo, database.tenant_conninfo) as datastore,
        ):
            recorder = LedgerRecorder(datastore)
            assert [one.entry for one in recorder.entries(LOG)][:3] == [one.state for one in entries]
            assert recorder.find_command(LOG, "issuer", "c1") == command(LOG)
            recorder.append([event(LOG)])
            assert_whole(recorder, [LOG])
            assert TenantReader(datastore, LOG).head() == recorder.head(LOG)
            assert database.server is not None
            with psycopg.connect(embedded_conninfo(database.server, dbname="ledger", user=SUPERUSER)) as admin:
                assert findings(admin) == []
            with psycopg.connect(str(database.tenant_conninfo)) as tenant, pytest.raises(errors.InsufficientPrivilege):
                tenant.execute("SELECT reltuples FROM pg_class")


def write_as_the_first_release(conninfo: str, batch: Batch) -> None:
    """Write as the owner, who then needed no role and was bound by no policy."""
    placed = Placement(batch, {LOG: Frontier.empty()})
    columns = [batch.command_columns(), placed.event_columns(), placed.head_columns(), placed.feed_columns()]
    with psycopg.connect(conninfo) as connection:
        register(connection.adapters)
        connection.execute(load("append.sql")["create_log"], {"log_id": LOG, "slot": 0, "origin": "ledger.example/t/0"})
        for name, values in zip(OLD_PROGRAM, columns, strict=True):
            connection.execute(load("append.sql")[name], values)


def test_who_may_not_make_roles_is_told_the_sql_and_nothing_was_done(cluster: Cluster, tmp_path: Path) -> None:
    environ = cluster.make("plain")
    with pytest.raises(RefusedError, match="an administrator must run") as caught:
        open_database(tmp_path, environ)
    with psycopg.connect(cluster.conninfo("plain")) as connection:
        assert connection.execute("SELECT to_regnamespace('ledger')").fetchone() == (None,)
    told = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert len(told) == 6
    cluster.run(*told)
    works(tmp_path, environ)


def test_a_role_in_place_needs_the_membership_only(cluster: Cluster, tmp_path: Path) -> None:
    cluster.run(*(f"CREATE ROLE {role}" for role in Role))
    environ = cluster.make("plain")
    with pytest.raises(RefusedError) as caught:
        open_database(tmp_path, environ)
    told = [line.strip() for line in str(caught.value).splitlines()[1:]]
    assert told == [f'GRANT "{role}" TO "plain" WITH INHERIT FALSE, SET TRUE;' for role in Role]
    cluster.run(*told)
    works(tmp_path, environ)


@pytest.mark.parametrize("attributes", ["CREATEROLE", "SUPERUSER"])
def test_who_may_make_roles_makes_them(cluster: Cluster, tmp_path: Path, attributes: str) -> None:
    works(tmp_path, cluster.make("able", attributes))


def test_several_ledgers_of_a_cluster_start_at_once(cluster: Cluster, tmp_path: Path) -> None:
    environs = [cluster.make(name, "SUPERUSER") for name in ("one", "two", "three")]
    with ThreadPoolExecutor(6) as pool:
        for _ in pool.map(lambda environ: open_database(tmp_path, environ).close(), [*environs, *environs]):
            pass
    for environ in environs:
        works(tmp_path, environ)


@pytest.mark.parametrize("excess", ["ALTER ROLE ledger_tenant BYPASSRLS", "GRANT pg_read_all_data TO ledger_tenant"])
def test_a_role_that_can_do_more_is_refused_and_left_alone(cluster: Cluster, tmp_path: Path, excess: str) -> None:
    environ = cluster.make("able", "SUPERUSER")
    cluster.run(*(f"CREATE ROLE {role}" for role in Role), excess)
    with pytest.raises(RefusedError, match="ledger_tenant can do more"):
        open_database(tmp_path, environ)


def test_a_login_that_has_a_roles_rights_without_taking_it_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    environ = cluster.make("able", "CREATEROLE")
    works(tmp_path, environ)
    cluster.run("GRANT ledger_cell TO able WITH INHERIT TRUE")
    with pytest.raises(RefusedError, match="an administrator must run") as caught:
        open_database(tmp_path, environ)
    cluster.run(*str(caught.value).splitlines()[1:])
    works(tmp_path, environ)


def works(tmp_path: Path, environ: dict[str, str]) -> None:
    """Open, write and read, all in their roles."""
    with open_database(tmp_path, environ) as database, LedgerDatastore(database.conninfo) as datastore:
        recorder = LedgerRecorder(datastore)
        recorder.create_log(LOG, 0, "ledger.example/t/0")
        recorder.append([event(LOG)])
        assert TenantReader(datastore, LOG).head() == recorder.head(LOG)
