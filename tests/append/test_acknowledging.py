"""Every durable append is acknowledged: one token for each log and commit, for threads and tasks alike."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
import pytest

from domain.errors import ConflictError, UnavailableError, UnknownError
from infrastructure.acknowledging import NewestRound
from infrastructure.keys import base64url
from infrastructure.ledger import Answer, Ledger
from infrastructure.postgres import recorder as recorder_module
from infrastructure.postgres.batch import prepare
from infrastructure.postgres.records import Appended, FencedError, Guard, MovedOnError
from infrastructure.statements.acknowledgement import Acknowledgement
from tests.append.scene import JTI, Scene, command


def payload(acknowledgement: Acknowledgement) -> Any:
    return json.loads(base64url.decode(acknowledgement.token.split(".")[1]))


def assert_acknowledged(scene: Scene, answer: Answer) -> None:
    """Check that each event of an answer in its command's log is acknowledged at its place, under that log's key."""
    acknowledgements = answer.acknowledgements
    own = [one for one in answer.recorded if answer.log_id in {None, one.log_id}]
    assert len(acknowledgements) == len(own) > 0
    for one, recorded in zip(acknowledgements, own, strict=True):
        promise = one.verify(scene.key(recorded.log_id), scene.ledger.log(recorded.log_id).origin)
        assert promise.publish_by == 10
        assert (one.event.leaf_index, one.event.leaf_hash) == (recorded.leaf_index, recorded.leaf_hash)
        assert scene.ledger.at(recorded.log_id, recorded.leaf_index) == recorded


def test_an_append_over_two_logs_is_acknowledged_by_each_of_them(scene: Scene) -> None:
    one, two, _ = scene.logs
    answer = scene.ledger.append([scene.pending(two), scene.pending(one), scene.pending(two)])
    assert_acknowledged(scene, answer)
    tokens = [acknowledgement.token for acknowledgement in answer.acknowledgements]
    assert tokens[0] == tokens[2] != tokens[1]
    assert [payload(acknowledgement)["size"] for acknowledgement in answer.acknowledgements] == [2, 1, 2]
    assert [acknowledgement.index for acknowledgement in answer.acknowledgements] == [0, 0, 1]


def test_a_command_is_acknowledged_what_it_wrote_in_its_own_log_and_nothing_of_others(scene: Scene) -> None:
    one, two, _ = scene.logs
    answer = scene.ledger.append([scene.pending(two), scene.pending(one), scene.pending(two)], command=command(two))
    assert_acknowledged(scene, answer)
    assert [payload(acknowledgement)["size"] for acknowledgement in answer.acknowledgements] == [2, 2]
    assert {acknowledgement.event.jti for acknowledgement in answer.acknowledgements} == {JTI}


def test_what_answers_no_command_has_no_jti_and_a_repeat_has_no_acknowledgement(scene: Scene) -> None:
    (log, *_) = scene.logs
    assert scene.ledger.append([scene.pending(log)]).acknowledgements[0].event.jti == ""
    scene.ledger.append([scene.pending(log)], command=command(log))
    repeat = scene.ledger.append([scene.pending(log)], command=command(log))
    assert (repeat.answer, repeat.recorded, repeat.acknowledgements) == ({"done": True}, (), ())
    assert scene.ledger.append([], claims=[command(log, "a name")]).acknowledgements == ()


def test_tasks_that_share_a_commit_share_its_tokens_and_each_has_its_own_object(scene: Scene) -> None:
    async def together() -> list[Answer]:
        jtis = [f"{number:032x}" for number in range(60)]
        return await asyncio.gather(
            *(
                scene.ledger.append_async([scene.pending(log)], command=command(log, jti))
                for jti, log in zip(jtis, list(scene.logs) * 20, strict=True)
            )
        )

    answers = asyncio.run(together())
    for answer in answers:
        assert_acknowledged(scene, answer)
    acknowledgements = [answer.acknowledgements[0] for answer in answers]
    assert len({one.token for one in acknowledgements}) < 60
    assert [one.event.jti for one in acknowledgements] == [f"{number:032x}" for number in range(60)]
    for token in {one.token for one in acknowledgements}:
        its = [one for one in acknowledgements if one.token == token]
        assert sorted(one.index for one in its) == list(range(payload(its[0])["size"]))
        assert len({one.event.leaf_index - one.index for one in its}) == 1  # in leaf order


def test_a_task_gives_guards_and_epoch_as_a_thread_does(scene: Scene) -> None:
    (log, *_) = scene.logs
    guarded = scene.new_id()
    scene.ledger.append([scene.pending(log, guarded)])
    old = scene.ledger.recorder.take_epoch()
    new = scene.ledger.recorder.take_epoch()
    guard = Guard(log, guarded, 0)

    async def scenes() -> None:
        assert_acknowledged(scene, await scene.ledger.append_async([scene.pending(log)], guards=[guard], epoch=new))
        with pytest.raises(FencedError):
            await scene.ledger.append_async([scene.pending(log)], epoch=old)
        await scene.ledger.append_async([scene.pending(log, guarded, 1)], command=command(log))
        with pytest.raises(MovedOnError):
            await scene.ledger.append_async([scene.pending(log)], guards=[guard])
        with pytest.raises(ConflictError, match="read again"):
            await scene.ledger.append_async([scene.pending(log, guarded, 1)])
        repeat = await scene.ledger.append_async([scene.pending(log)], command=command(log))
        assert (repeat.answer, repeat.recorded) == ({"done": True}, ())
        with pytest.raises(ConflictError, match="another body"):
            await scene.ledger.append_async([scene.pending(log)], command=command(log, body=b"other"))

    asyncio.run(scenes())
    assert scene.ledger.head(log).size == 3


@pytest.mark.parametrize("after_commit", [True, False])
def test_a_connection_lost_around_the_commit_is_acknowledged_where_the_events_lie(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, after_commit: bool
) -> None:
    one, two, _ = scene.logs
    real = recorder_module._transaction
    losses: list[int] = []

    def losing(connection: Any, *arguments: Any) -> list[Appended]:
        if losses:
            return real(connection, *arguments)
        losses.append(1)
        if after_commit:
            real(connection, *arguments)
        connection.close()
        monkeypatch.setattr(recorder_module, "_transaction", real)
        scene.ledger.recorder.append([scene.ledger.mapper.seal(scene.pending(one), 0)])  # somebody else goes on
        raise psycopg.OperationalError("the connection is lost")

    monkeypatch.setattr(recorder_module, "_transaction", losing)
    answer = scene.ledger.append([scene.pending(one), scene.pending(two)])
    assert losses
    assert_acknowledged(scene, answer)
    assert scene.ledger.head(one).size == 2
    assert answer.recorded[0].leaf_index == (0 if after_commit else 1)


def test_an_append_stands_whose_keys_were_gone_when_it_should_be_signed(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = scene.logs
    scene.ledger.append([scene.pending(two)])  # opens the sealers
    scene.ledger.append([scene.pending(one)])
    ledger = scene.ledger
    signers = ledger._group._committer.acknowledger._signers  # type: ignore[attr-defined]
    signers.pop(two)

    def gone(log_id: UUID) -> Any:
        raise UnknownError(f"no keys of {log_id}")

    monkeypatch.setattr(ledger.keyring, "get", gone)
    answer = ledger.append([scene.pending(one), scene.pending(two)])
    assert [recorded.leaf_index for recorded in answer.recorded] == [1, 1]
    with pytest.raises(UnknownError):
        _ = answer.acknowledgements


def test_the_first_index_told_meanwhile_is_where_the_batch_is_stored(ledger: Ledger, scene: Scene) -> None:
    (log, *_) = scene.logs
    told: list[Mapping[UUID, int]] = []
    sealed = [ledger.mapper.seal(scene.pending(log), 0) for _ in range(3)]
    for one in sealed:
        ledger.recorder.commit(prepare([one], (), ()), None, told.append)
    assert told == [{log: 0}, {log: 1}, {log: 2}]


def test_the_newest_round_is_asked_for_once_a_second_and_an_outage_leaves_the_last_one() -> None:
    instants = iter([0.0, 0.5, 0.99, 1.0, 2.0, 2.5, 3.0])
    answers: list[int | None] = [5, 6, None, 8]

    def read() -> int:
        found = answers.pop(0)
        if found is None:
            raise UnavailableError("away")
        return found

    newest = NewestRound(read, now_s=lambda: next(instants))
    assert [newest() for _ in range(7)] == [5, 5, 5, 6, 6, 6, 8]
    assert answers == []
