"""The library's own test cases for recorders pass on ours."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from eventsourcing.persistence import ApplicationRecorder
from eventsourcing.postgres import PostgresDatastore

from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import DEFAULT_LOG
from tests.database import TestServer

# Their module imports a cipher that needs another library; the cases used here don't use it.
_stand_in = ModuleType("eventsourcing.cipher")
_stand_in.__dict__["AESCipher"] = None
sys.modules["eventsourcing.cipher"] = _stand_in
try:
    from eventsourcing.tests import persistence as theirs
finally:
    del sys.modules["eventsourcing.cipher"]


class OverAFreshDatabase:
    """Gives each test case a recorder over a fresh database that has the default log."""

    opened: LedgerDatastore

    @pytest.fixture(autouse=True)
    def fresh(self, postgres: TestServer) -> Iterator[None]:
        with postgres.database() as name, LedgerDatastore(postgres.conninfo(name), most_connections=20) as self.opened:
            LedgerRecorder(self.opened).create_log(DEFAULT_LOG, 0, "ledger.example/t/0")
            yield

    def create_recorder(self) -> LedgerRecorder:
        return LedgerRecorder(self.opened)


class TestApplicationRecorder(OverAFreshDatabase, theirs.ApplicationRecorderTestCase[ApplicationRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestNonInterleavingNotificationIds(OverAFreshDatabase, theirs.NonInterleavingNotificationIDsBaseCase):
    insert_num = 500


def test_the_recorder_is_one_of_the_library(recorder: LedgerRecorder) -> None:
    assert isinstance(recorder, ApplicationRecorder)
    assert isinstance(recorder.datastore, PostgresDatastore)
