"""Statements that are sent together: what fails is raised, and the connection is of use afterwards or closed."""

from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError, OperationalError
from psycopg.pq import PipelineStatus, TransactionStatus

from domain.errors import UnavailableError
from infrastructure.postgres.arrays import byteas, texts, uuids
from infrastructure.postgres.batch import prepare
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.pipelined import Pipeline, Statements, bigint
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import LoggedEvent
from tests.postgres.sample import event, make_logs

STATEMENTS = Statements("append.sql")


def command(log_id: UUID, name: str) -> dict[str, bytes]:
    return {
        "log_ids": uuids([log_id]), "issuers": texts(["issuer"]), "command_ids": texts([name]),
        "digests": byteas([b"d"]), "answers": byteas([b"a"]),
    }  # fmt: skip


def test_a_statement_that_fails_is_raised_and_the_connection_goes_on(
    recorder: LedgerRecorder, datastore: LedgerDatastore
) -> None:
    (log_id,) = make_logs(recorder, 1)
    with datastore.appends.get_connection() as connection:

        def twice() -> None:
            with Pipeline(connection, STATEMENTS) as pipeline:
                pipeline.send("begin")
                pipeline.send("insert_commands", command(log_id, "twice"))
                pipeline.send("insert_commands", command(log_id, "twice"))
                pipeline.send("insert_commands", command(log_id, "after it"))
                pipeline.end()
                pipeline.answers()

        with pytest.raises(psycopg.errors.UniqueViolation) as caught:
            twice()
        assert caught.value.diag.constraint_name == "commands_pkey"
        assert connection.pgconn.pipeline_status == PipelineStatus.OFF
        assert connection.pgconn.transaction_status == TransactionStatus.IDLE
        with Pipeline(connection, STATEMENTS) as pipeline:
            pipeline.send("begin")
            pipeline.send("insert_commands", command(log_id, "after it"))
            pipeline.send("share_epoch")
            pipeline.send("commit")
            pipeline.end()
            *_, ((epoch,),), _ = pipeline.answers()
    assert bigint(epoch) >= 0
    assert recorder.find_command(log_id, "issuer", "twice") is None
    assert recorder.find_command(log_id, "issuer", "after it") is not None


def test_what_is_left_alone_after_the_first_answers_leaves_its_transaction_open(
    recorder: LedgerRecorder, datastore: LedgerDatastore
) -> None:
    with datastore.appends.get_connection() as connection:

        def half() -> None:
            with Pipeline(connection, STATEMENTS) as pipeline:
                pipeline.send("begin")
                pipeline.send("share_epoch")
                pipeline.flush()
                assert len(pipeline.answers()) == 2
                pipeline.send("share_epoch")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            half()
        assert connection.pgconn.pipeline_status == PipelineStatus.OFF
        assert connection.pgconn.transaction_status == TransactionStatus.IDLE
    assert recorder.take_epoch() >= 1


def test_a_statement_that_was_prepared_and_left_alone_is_of_use_afterwards(
    recorder: LedgerRecorder, datastore: LedgerDatastore
) -> None:
    (log_id,) = make_logs(recorder, 1)

    def left(connection: psycopg.Connection[Any]) -> None:
        with Pipeline(connection, STATEMENTS) as pipeline:
            pipeline.send("begin")
            pipeline.send("insert_commands", command(log_id, "first"))
            raise ZeroDivisionError

    with datastore.appends.get_connection() as connection:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                left(connection)
        with Pipeline(connection, STATEMENTS) as pipeline:
            pipeline.send("insert_commands", command(log_id, "first"))
            pipeline.end()
            assert pipeline.answers() == [[]]


def test_a_commit_that_did_not_happen_is_no_answer(datastore: LedgerDatastore) -> None:
    with datastore.appends.get_connection() as connection:
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")

        def commit() -> None:
            with Pipeline(connection, STATEMENTS) as pipeline:
                pipeline.send("commit")  # which rolls back, and says so in its tag only
                pipeline.end()
                pipeline.answers()

        connection.execute("ROLLBACK")
        connection.execute("BEGIN")
        with Pipeline(connection, STATEMENTS) as pipeline:
            pipeline.send("commit")
            pipeline.end()
            assert pipeline.answers() == [[]]
        connection.execute("BEGIN")
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1 / 0")
        with pytest.raises(psycopg.OperationalError, match="did not commit"):
            commit()


def test_statements_that_somebody_else_let_go_of_are_prepared_again(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    recorder.append([event(log_id)])
    with recorder.datastore.appends.get_connection() as connection:
        connection.execute("DEALLOCATE ALL")
    recorder.append([event(log_id)])
    assert recorder.head(log_id).size == 2


def test_an_append_that_is_refused_leaves_the_next_one_alone(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    first = event(log_id)
    recorder.append([first])
    taken = LoggedEvent(first.originator_id, first.originator_version, first.topic, b"another", log_id)
    for _ in range(8):  # so often that psycopg prepares what it is asked
        with pytest.raises(IntegrityError):
            recorder.append([taken])
        with recorder.datastore.appends.get_connection() as connection, connection.transaction(force_rollback=True):
            connection.execute("SELECT 1", prepare=True)
        recorder.append([event(log_id)])
    assert recorder.head(log_id).size == 9


def test_what_fails_beside_a_commit_does_not_hide_that_it_happened(recorder: LedgerRecorder) -> None:
    (log_id,) = make_logs(recorder, 1)
    batch = prepare([event(log_id)], (), ())

    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(UnavailableError, match="it is stored"):
        recorder.commit(batch, meanwhile=fail)
    assert recorder.head(log_id).size == 1
    recorder.append([event(log_id)])
    assert recorder.head(log_id).size == 2


def test_a_connection_that_is_lost_is_not_used_again(
    recorder: LedgerRecorder, datastore: LedgerDatastore, conninfo: str
) -> None:
    recorder.take_epoch()
    lost = []

    def lose() -> None:
        with datastore.appends.get_connection() as connection, Pipeline(connection, STATEMENTS) as pipeline:
            lost.append(connection)
            pipeline.send("begin")
            pipeline.flush()
            pipeline.answers()
            with psycopg.connect(conninfo) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", (connection.info.backend_pid,))
            pipeline.send("share_epoch")
            pipeline.end()
            pipeline.answers()

    with pytest.raises(OperationalError):
        lose()
    assert lost[0].closed
    assert recorder.take_epoch() >= 1


def test_both_sides_may_have_much_to_say(recorder: LedgerRecorder, datastore: LedgerDatastore) -> None:
    logs = make_logs(recorder, 200)
    ids = uuids([*logs, *(uuid4() for _ in range(20_000))])
    with datastore.appends.get_connection() as connection, Pipeline(connection, STATEMENTS) as pipeline:
        pipeline.send("begin")
        for _ in range(100):  # more each way than sockets hold
            pipeline.send("lock_heads", {"log_ids": ids})
        pipeline.end()
        _, *answers = pipeline.answers()
    assert {len(rows) for rows in answers} == {len(logs)}
