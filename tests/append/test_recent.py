"""What followers read of what was stored a moment ago: the same as the log's history, whoever stored it."""

from uuid import UUID

import pytest

from infrastructure import recent
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import StoredEntry
from infrastructure.recent import Recent
from tests.append.scene import Scene


def stored(scene: Scene, events: int) -> None:
    stream = scene.new_id()
    scene.ledger.append([scene.pending(scene.logs[0], stream, version) for version in range(events)])


def newly(ledger: Ledger, scene: Scene, first: int, size: int) -> bool:
    """Tell whether followers read what the history says."""
    found = list(ledger.newly(scene.logs[0], first, size))
    return found == list(ledger.history(scene.logs[0], first=first, size=size)) and len(found) == size - first


def test_followers_read_what_the_history_says(scene: Scene) -> None:
    stored(scene, 5)
    size = scene.ledger.head(scene.logs[0]).size
    for first in range(size - 5, size):
        assert newly(scene.ledger, scene, first, size)
    scene.ledger.forget_reads()  # as if another process had stored them
    for _ in range(2):
        assert newly(scene.ledger, scene, size - 3, size)  # read, then known
        assert newly(scene.ledger, scene, size - 5, size)


def test_what_is_known_is_not_asked_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(scene, 3)
    size = scene.ledger.head(scene.logs[0]).size
    asked: list[int] = []

    def entries(_log: UUID, first: int, _limit: int) -> list[StoredEntry]:
        asked.append(first)
        return []

    monkeypatch.setattr(scene.ledger.recorder, "entries", entries)
    assert len(list(scene.ledger.newly(scene.logs[0], size - 3, size))) == 3
    assert asked == []
    scene.ledger.forget_reads()
    assert list(scene.ledger.newly(scene.logs[0], size - 3, size)) == []
    assert asked == [size - 3]


def test_memory_is_bounded_and_what_was_read_before_all_was_let_go_of_is_not_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recent, "_MOST_EVENTS", 3)
    stored(scene, 5)
    size = scene.ledger.head(scene.logs[0]).size
    events = list(scene.ledger.history(scene.logs[0], first=size - 5, size=size))
    known = Recent()
    known.put(events, known.epoch)
    assert known.run(scene.logs[0], size - 5, size) == []
    assert known.run(scene.logs[0], size - 3, size) == events[2:]
    before = known.epoch
    known.forget()
    known.put(events, before)
    assert known.run(scene.logs[0], size - 3, size) == []
