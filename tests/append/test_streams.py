"""Streams that are read on from where they were left: always what the database holds, whoever wrote it."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import VerificationError
from domain.message import Recorded
from infrastructure import streams
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import LoggedEvent
from infrastructure.streams import Streams
from tests.append.scene import Scene, open_scene
from tests.database import TestServer, as_role


def truth(ledger: Ledger, log_id: UUID, stream: UUID) -> list[Recorded]:
    """Read a stream as if nothing of it were known."""
    found = [ledger.mapper.to_domain_event(one) for one in ledger.recorder.select_events(stream, log_id=log_id)]
    return [one._replace(leaf_index=ledger.recorder.leaf_index(log_id, stream, one.version)) for one in found]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.booleans()), max_size=25))
def test_every_read_is_what_the_database_holds(scene: Scene, steps: list[tuple[int, bool, bool]]) -> None:
    keys = [(log_id, scene.new_id()) for log_id in (scene.logs[0], scene.logs[0], scene.logs[1], scene.logs[2])]
    reader = Streams(scene.ledger.recorder, scene.ledger.mapper.to_domain_event)  # another process's, as it were
    for at, together, forgets in steps:
        log_id, stream = keys[at]
        version = len(truth(scene.ledger, log_id, stream))
        scene.ledger.append([scene.pending(log_id, stream, version, f"{version}")])
        for one in (reader.read, scene.ledger.streams):
            wanted = keys if together else [keys[at]]
            assert [list(found) for found in one(wanted)] == [truth(scene.ledger, *key) for key in wanted]
        if forgets:
            reader.forget(log_id)


def test_what_did_not_grow_is_the_same_and_is_folded_once(scene: Scene) -> None:
    log_id, stream, folded = scene.logs[0], scene.new_id(), []
    scene.ledger.append([scene.pending(log_id, stream)])

    def fold(events: Sequence[Recorded]) -> int:
        folded.append(len(events))
        return len(events)

    for expected in (1, 1, 2, 2):
        if expected == 2 and folded == [1]:
            scene.ledger.append([scene.pending(log_id, stream, 1)])
        assert scene.ledger.folded(scene.ledger.stream(log_id, stream), fold) == expected
    assert folded == [1, 2]
    scene.ledger.forget_reads()
    assert scene.ledger.folded(scene.ledger.stream(log_id, stream), fold) == 2
    assert folded == [1, 2, 2]


def test_only_what_came_since_is_opened(scene: Scene) -> None:
    opened: list[int] = []

    def opener(stored: LoggedEvent) -> Recorded:
        opened.append(stored.originator_version)
        found: Recorded = scene.ledger.mapper.to_domain_event(stored)
        return found

    log_id, stream = scene.logs[0], scene.new_id()
    reader = Streams(scene.ledger.recorder, opener)
    for version in range(3):
        scene.ledger.append([scene.pending(log_id, stream, version)])
        reader.read([(log_id, stream)])
    assert opened == [0, 1, 2]


def test_memory_is_bounded_and_what_was_let_go_of_is_read_anew(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "_MOST_EVENTS", 5)
    monkeypatch.setattr(streams, "_LONGEST", 3)
    log_id, reader = scene.logs[0], Streams(scene.ledger.recorder, scene.ledger.mapper.to_domain_event)
    keys = [(log_id, scene.new_id()) for _ in range(4)]
    for length, key in enumerate(keys, 1):
        scene.ledger.append([scene.pending(*key, version) for version in range(length)])
    for _ in range(2):
        for key in keys:
            assert list(reader.read([key])[0]) == truth(scene.ledger, *key)
        assert reader._events <= 5
        assert keys[3] not in reader._known


def test_what_is_known_may_be_old_and_is_given_unasked_until_somebody_asks(scene: Scene) -> None:
    key = scene.logs[0], scene.new_id()
    reader = Streams(scene.ledger.recorder, scene.ledger.mapper.to_domain_event)  # another process's, as it were
    scene.ledger.append([scene.pending(*key)])
    assert [len(one) for one in reader.read([key], known=True)] == [1]  # nothing was known: it asked
    scene.ledger.append([scene.pending(*key, 1)])
    assert [len(one) for one in reader.read([key], known=True)] == [1]
    assert [len(one) for one in reader.read([key])] == [2]
    assert [len(one) for one in reader.read([key], known=True)] == [2]


def test_what_this_process_stored_is_known_unless_all_was_forgotten_since_it_was_sealed(scene: Scene) -> None:
    key = scene.logs[0], scene.new_id()
    reader = Streams(scene.ledger.recorder, scene.ledger.mapper.to_domain_event)
    first, second = (scene.ledger.append([scene.pending(*key, version)]).recorded[0] for version in range(2))
    assert not reader.follow([first], reader.epoch - 1)
    assert key not in reader._known
    assert reader.follow([second], reader.epoch)  # what comes before it is not known
    assert key not in reader._known
    assert reader.follow([first, second], reader.epoch)
    assert reader.read([key], known=True) == [(first, second)]


def test_a_missing_event_is_told(postgres: TestServer, tmp_path: Path) -> None:
    with postgres.database() as name, open_scene(postgres.conninfo(name), tmp_path / "keys", logs=1) as scene:
        stream = scene.new_id()
        scene.ledger.append([scene.pending(scene.logs[0], stream, version) for version in range(3)])
        with psycopg.connect(as_role(postgres.conninfo(name))) as owner:
            owner.execute("ALTER TABLE ledger.stored_events DISABLE TRIGGER USER")
            owner.execute("DELETE FROM ledger.stored_events WHERE stream_id = %s AND version = 1", (stream,))
        scene.ledger.forget_reads()  # what it stored itself it does not read again
        with pytest.raises(VerificationError, match="missing"):
            scene.ledger.stream(scene.logs[0], stream)
