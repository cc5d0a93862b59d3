"""A PostgreSQL of one's own is used as it is given, and its password is nobody's business."""

from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from domain.errors import MalformedError, RefusedError, UnavailableError
from infrastructure.postgres import connect
from infrastructure.postgres.connect import open_database
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.factory import LedgerFactory, application_environment
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import DEFAULT_LOG
from tests.database import TestServer

NOWHERE = Path("/nonexistent")


def url(name: str, postgres: TestServer) -> dict[str, str]:
    return {"LEDGER_DATABASE_URL": f"postgresql://ledger:geheim@/{name}?host={postgres.server.socket_dir}"}


def test_a_given_database_is_migrated_and_used(postgres: TestServer) -> None:
    with postgres.database(migrated=False) as name:
        for _ in range(2):
            with open_database(NOWHERE, url(name, postgres)) as database:
                assert database.server is None
                assert "geheim" not in repr(database)
                with LedgerDatastore(database.conninfo) as datastore:
                    assert LedgerRecorder(datastore).logs() == []


def test_an_old_postgresql_is_refused_by_name(postgres: TestServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "OLDEST_VERSION", 99)
    with postgres.database(migrated=False) as name:
        with pytest.raises(RefusedError, match=r"PostgreSQL 18; the ledger needs 99 or newer"):
            open_database(NOWHERE, url(name, postgres))
        with psycopg.connect(postgres.conninfo(name)) as connection:
            assert connection.execute("SELECT to_regnamespace('ledger')").fetchone() == (None,)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("postgresql://u:geheim@127.0.0.1:1/db", UnavailableError),
        ("postgresql://u:%zzgeheim@h/db", MalformedError),
        ("postgresql://u:x@geheim@127.0.0.1:1/db", UnavailableError),
        ("host=/nonexistent password=geheim", UnavailableError),
        ("geheim", MalformedError),
        ("postgresql://u:p@h:geheim/db", UnavailableError),
    ],
)
def test_what_goes_wrong_is_said_without_the_password(text: str, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        open_database(NOWHERE, {"LEDGER_DATABASE_URL": text})
    assert "geheim" not in str(caught.value)
    assert "LEDGER_DATABASE_URL" in str(caught.value)
    assert caught.value.__suppress_context__


class Light(Aggregate):
    @event("Switched")
    def switch(self, *, on: bool) -> None:
        self.on = on


def test_an_application_of_the_library_stores_through_the_ledger(conninfo: str) -> None:
    with LedgerDatastore(conninfo) as datastore:
        recorder = LedgerRecorder(datastore)
        recorder.create_log(DEFAULT_LOG, 0, "ledger.example/t/0")
        application: Application[UUID] = Application(application_environment(conninfo))
        light = Light()
        light.switch(on=True)
        assert [one.notification.id for one in application.save(light)] == [1, 2]
        again: Light = application.repository.get(light.id)
        assert again.on
        assert [one.leaf_index for one in recorder.entries(DEFAULT_LOG)] == [0, 1]
        application.close()


def test_the_factory_refuses_the_setting_that_loses_events(conninfo: str) -> None:
    with pytest.raises(RefusedError):
        LedgerFactory({**application_environment(conninfo), "POSTGRES_ENABLE_DB_FUNCTIONS": "y"})
