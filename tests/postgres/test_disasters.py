"""Connections, writers and the server die at the worst moments; nothing acknowledged is lost, nothing is half there."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError

from domain.errors import UnavailableError
from infrastructure.postgres import recorder as recorder_module
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Appended
from tests.database import TestServer, as_role, kill_server, running_server
from tests.postgres.sample import assert_whole, command, event, make_logs

ROOT = Path(__file__).resolve().parents[2]

# A writer that stops at one step of its transaction and says so, until it is killed.
WRITER = """
import sys, time
from uuid import UUID
from infrastructure.postgres import recorder as module
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.records import CommandRecord, LoggedEvent

conninfo, log_id, step = sys.argv[1], UUID(sys.argv[2]), sys.argv[3]
transaction, insert = module._transaction, module._insert

def stop():
    print("here", flush=True)
    time.sleep(100)

def inserting(pipeline, placement):
    if step == "heads locked":
        stop()
    insert(pipeline, placement)
    if step == "all inserted":
        pipeline.flush()
        assert len(pipeline.answers()) == 4
        stop()

def transacting(*arguments):
    found = transaction(*arguments)
    stop()
    return found

module._insert = inserting
if step == "committed":
    module._transaction = transacting
with LedgerDatastore(conninfo) as datastore:
    module.LedgerRecorder(datastore).append(
        [LoggedEvent(log_id, 0, "sample.made.v1", b"of the killed writer", log_id)],
        commands=[CommandRecord(log_id, "issuer", "of the killed writer", b"d", b"a")],
    )
"""


@pytest.mark.parametrize("step", ["heads locked", "all inserted", "committed"])
def test_a_writer_killed_between_two_steps_leaves_all_or_nothing_and_blocks_nobody(
    recorder: LedgerRecorder, conninfo: str, step: str
) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id)])
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, conninfo, str(log_id), step],
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=ROOT,
    )  # fmt: skip
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"here\n"
    writer.kill()
    writer.communicate()
    stored = int(step == "committed")
    recorder.append([event(log_id)])
    assert_whole(recorder, [log_id])
    assert recorder.head(log_id).size == 2 + stored
    assert (recorder.find_command(log_id, "issuer", "of the killed writer") is not None) == bool(stored)
    assert [row.position for row in Feed(recorder.datastore).read_feed()] == list(range(1, 3 + stored))


def lose_connection(monkeypatch: pytest.MonkeyPatch, *, after_commit: bool, times: int = 1) -> list[int]:
    """Let the connection be lost before or right after the commit, so often; return a list that grows by each."""
    losses: list[int] = []
    real = recorder_module._transaction

    def losing(connection: Any, *arguments: Any) -> list[Appended]:
        if len(losses) >= times:
            return real(connection, *arguments)
        if after_commit:
            real(connection, *arguments)
        losses.append(1)
        connection.close()
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(recorder_module, "_transaction", losing)
    return losses


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_connection_lost_around_the_commit_writes_once_and_answers_as_if_nothing_had_happened(
    recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch, *, after_commit: bool
) -> None:
    low, high = make_logs(recorder, 2)
    recorder.append([event(high)])
    losses = lose_connection(monkeypatch, after_commit=after_commit)
    batch = [event(high), event(low), event(high)]
    places = recorder.append(batch, commands=[command(low)])
    assert losses
    assert [(one.log_id, one.leaf_index, one.tree_size, one.notification_id) for one in places] == [
        (high, 1, 3, 3), (low, 0, 1, 2), (high, 2, 3, 4),
    ]  # fmt: skip
    assert [one.entry for one in recorder.entries(high, 1)] == [batch[0].state, batch[2].state]
    assert recorder.max_notification_id() == 4


def test_a_command_without_events_is_safe_to_repeat_as_well(
    recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log_id,) = make_logs(recorder, 1)
    assert lose_connection(monkeypatch, after_commit=True) == []
    assert recorder.append([], commands=[command(log_id)]) == []


def test_a_conflict_with_somebody_else_after_a_lost_connection_is_still_a_conflict(
    recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log_id,) = make_logs(recorder, 1)
    taken = event(log_id)
    recorder.append([taken])
    lose_connection(monkeypatch, after_commit=False)
    with pytest.raises(IntegrityError):
        recorder.append([event(log_id, UUID(str(taken.originator_id)), 0)])


def test_a_database_that_stays_away_is_unavailable_and_says_no_word_of_the_driver(
    recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (log_id,) = make_logs(recorder, 1)
    monkeypatch.setattr(recorder_module, "_PAUSE_S", 0)
    lose_connection(monkeypatch, after_commit=False, times=100)
    with pytest.raises(UnavailableError) as caught:
        recorder.append([event(log_id)])
    assert "lost" not in str(caught.value)


def test_when_the_server_throws_everybody_out_the_next_append_connects_again(
    postgres: TestServer, recorder: LedgerRecorder
) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id)])
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'ledger'")
    recorder.append([event(log_id)])
    assert recorder.head(log_id).size == 2


def test_connections_that_were_lost_while_idle_are_not_handed_out(
    postgres: TestServer, datastore: LedgerDatastore
) -> None:
    for _ in range(3):
        for pool in (datastore, datastore.appends, datastore.tenants):
            with pool.get_connection() as connection:
                assert connection.execute("SELECT 1 AS one").fetchall() == [{"one": 1}]
        with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'ledger'")


def test_waiting_for_a_log_that_somebody_holds_ends(recorder: LedgerRecorder, conninfo: str) -> None:
    (log_id,) = make_logs(recorder, 1)
    with LedgerDatastore(conninfo, most_connections=1) as datastore:
        with datastore.appends.get_connection() as connection:
            connection.execute("SET lock_timeout = '50ms'")  # the pool's only connection
        with psycopg.connect(as_role(conninfo)) as holder:
            holder.execute("SELECT * FROM ledger.log_heads FOR UPDATE")
            with pytest.raises(UnavailableError, match="another append"):
                LedgerRecorder(datastore).append([event(log_id)])


def test_a_killed_server_recovers_all_that_was_acknowledged(tmp_path: Path) -> None:
    with (
        running_server(tmp_path) as postgres,
        postgres.database() as name,
        LedgerDatastore(postgres.conninfo(name)) as datastore,
    ):
        recorder = LedgerRecorder(datastore)
        log_ids = make_logs(recorder, 3)
        acknowledged: list[Appended] = []
        stopped = threading.Event()

        def write() -> None:
            while not stopped.is_set():
                acknowledged.extend(recorder.append([event(log_id) for log_id in log_ids]))

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(2):
            time.sleep(0.3)
            kill_server(postgres.server)
            postgres.server.ensure_running()
        before = len(acknowledged)
        time.sleep(1.5)
        stopped.set()
        writer.join()
        assert len(acknowledged) > before, "the writer did not come back"
        assert_whole(recorder, log_ids)
        found = {(one.log_id, one.leaf_index): one.leaf_hash for log in log_ids for one in recorder.every_entry(log)}
        assert {(one.log_id, one.leaf_index): one.leaf_hash for one in acknowledged}.items() <= found.items()
        numbers = [one.id for one in recorder.select_notifications(None, 10**6)]
        assert numbers == list(range(1, len(found) + 1))
