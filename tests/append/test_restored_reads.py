"""A backup that is restored under a running process: nothing is decided on, or follows, what the backup lacks."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import ConflictError, UnknownError
from infrastructure.postgres.records import Guard, MovedOnError
from tests.append.scene import Scene, event, open_scene
from tests.database import TestServer
from tests.restoring import Restorable


class RestorableScene(Restorable):
    """A scene on such a database."""

    def __init__(self, server: TestServer, name: str, scene: Scene) -> None:
        super().__init__(server, name)
        self.scene = scene


@pytest.fixture
def restorable(postgres: TestServer, tmp_path: Path) -> Iterator[RestorableScene]:
    with postgres.database() as name, open_scene(postgres.conninfo(name), tmp_path / "keys", logs=1) as scene:
        yield RestorableScene(postgres, name, scene)


def test_what_was_read_before_a_restore_is_read_anew(restorable: RestorableScene) -> None:
    scene, ledger = restorable.scene, restorable.scene.ledger
    (log_id,), stream = scene.logs, scene.new_id()
    ledger.append([scene.pending(log_id, stream, 0, "kept")])
    restorable.backup()
    ledger.append([scene.pending(log_id, stream, version, "lost") for version in (1, 2)])
    assert len(ledger.stream(log_id, stream)) == 3
    assert ledger.folded(ledger.stream(log_id, stream), len) == 3
    restorable.restore()
    assert [one.event for one in ledger.stream(log_id, stream)] == [event("kept")]
    assert ledger.folded(ledger.stream(log_id, stream), len) == 1
    (answer,) = ledger.append([scene.pending(log_id, stream, 1, "new")]).recorded
    assert answer.leaf_index == 1
    assert [one.event for one in ledger.stream(log_id, stream)] == [event("kept"), event("new")]


def test_a_fact_that_was_read_before_a_restore_is_forgotten_with_the_first_read_after_it(
    restorable: RestorableScene,
) -> None:
    scene, ledger = restorable.scene, restorable.scene.ledger
    (log_id,), stream = scene.logs, scene.new_id()
    restorable.backup()
    ledger.append([scene.pending(log_id, stream)])
    reads = (log_id, stream, 0)
    assert ledger.once("leaf", reads, lambda: ledger.recorder.leaf_index(*reads)) == 0
    restorable.restore()
    assert ledger.stream(log_id, stream) == ()
    with pytest.raises(UnknownError):
        ledger.once("leaf", reads, lambda: ledger.recorder.leaf_index(*reads))


def test_a_fact_that_was_being_read_while_all_is_forgotten_is_not_remembered(restorable: RestorableScene) -> None:
    ledger = restorable.scene.ledger

    def read() -> str:
        ledger.forget_reads()
        return "before"

    assert ledger.once("fact", "one", read) == "before"
    assert ledger.once("fact", "one", lambda: "after") == "after"


def test_an_event_that_would_follow_what_the_backup_lacks_is_refused(restorable: RestorableScene) -> None:
    scene, ledger = restorable.scene, restorable.scene.ledger
    (log_id,), stream = scene.logs, scene.new_id()
    ledger.append([scene.pending(log_id, stream)])
    restorable.backup()
    ledger.append([scene.pending(log_id, stream, version) for version in (1, 2)])
    restorable.restore()
    with pytest.raises(MovedOnError):
        ledger.append([scene.pending(log_id, stream, 3)])
    assert (ledger.head(log_id).size, len(ledger.stream(log_id, stream))) == (1, 1)


def test_streams_are_written_without_a_gap_alone_and_in_a_batch(restorable: RestorableScene) -> None:
    scene, ledger = restorable.scene, restorable.scene.ledger
    (log_id,), stream, other = scene.logs, scene.new_id(), scene.new_id()
    for versions in ([1], [0, 2], [1, 0, 3]):
        with pytest.raises(ConflictError, match="read again"):
            ledger.append([scene.pending(log_id, stream, version) for version in versions])
    ledger.append([scene.pending(log_id, stream, 0), scene.pending(log_id, other), scene.pending(log_id, stream, 1)])
    guard = Guard(log_id, other, 0)
    ledger.append([scene.pending(log_id, stream, 2)], guards=[guard])
    with pytest.raises(MovedOnError):
        ledger.append([scene.pending(log_id, stream, 4)], guards=[guard])
    assert [one.version for one in ledger.stream(log_id, stream)] == [0, 1, 2]


def test_tasks_that_write_one_stream_without_waiting_share_a_commit(restorable: RestorableScene) -> None:
    scene, ledger = restorable.scene, restorable.scene.ledger
    (log_id,), stream = scene.logs, scene.new_id()

    async def write() -> None:
        await asyncio.gather(*[ledger.append_async([scene.pending(log_id, stream, version)]) for version in range(20)])

    asyncio.run(write())
    assert len(ledger.stream(log_id, stream)) == 20
