"""The publisher of all logs: what changed, in which order things fail, and how far it is behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.errors import MalformedError, UnavailableError
from domain.transparency.hashing import leaf_hash
from infrastructure.publish.floors import Floors
from infrastructure.publish.logs import log_signer
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publisher import Pace, Publisher, metrics, pace_from, statuses
from infrastructure.tlog.foreign import verify_foreign
from tests.commands.cell import Cell, Member
from tests.conftest import ROOT
from tests.database import postgres
from tests.publish.trees import ORIGIN, MemoryTree, Place

__all__ = ["postgres"]


@pytest.fixture
def cell(cell: Cell) -> Cell:
    """The shared cell, with all that happened published."""
    Publisher(cell.ledger).publish()
    return cell


def status_of(cell: Cell, member: Member) -> tuple[int, int | None, int | None, int]:
    (found,) = (one for one in statuses(cell.ledger) if one.origin == member.tenant.origin)
    return found.size, found.published, found.floor, found.lag_entries


def test_only_what_changed_is_published_and_everything_verifies(cell: Cell) -> None:
    publisher = Publisher(cell.ledger)
    assert publisher.publish().published == 0
    member = cell.join()
    size = cell.ledger.head(member.log_id).size
    assert status_of(cell, member) == (size, None, None, size)
    assert publisher.publish().published == 1
    assert publisher.publish().published == 0
    assert status_of(cell, member) == (size, size, size, 0)
    member.adopt()
    assert publisher.publish().published == 1
    for log in cell.ledger.logs():
        tiles = tiles_of(cell.ledger, log)
        note = tiles.note()
        assert note is not None
        verify_foreign(tiles.path, note, log_signer(cell.ledger, log.log_id).verifier_keys(), None)


def test_payloads_are_there_before_the_checkpoint_that_needs_them(cell: Cell) -> None:
    member = cell.join()
    cell.submit(member)
    Publisher(cell.ledger).publish()
    tiles = tiles_of(cell.ledger, cell.ledger.log(member.log_id))
    names = [path.name for path in (tiles.path / "payload").iterdir()]
    assert len(names) == 2
    for name in names:
        assert tiles.payload(name) == cell.ledger.recorder.find_payload(member.log_id, bytes.fromhex(name))
    (tiles.path / "payload" / names[0]).write_bytes(b"other")
    with pytest.raises(Exception, match="its hash is not its name"):
        tiles.payload(names[0])


def test_the_lag_is_told_in_entries_and_in_the_age_of_the_oldest(cell: Cell) -> None:
    member = cell.join()
    Publisher(cell.ledger).publish()
    member.adopt()
    cell.clock.advance_to(cell.clock.now_ms() + 5000)
    member.adopt()
    assert lag_of(cell, member) == {
        "logs": 1, "frozen_logs": 0, "unpublished_entries": 2, "unpublished_oldest_ms": 5000,
    }  # fmt: skip
    Publisher(cell.ledger).publish()
    assert lag_of(cell, member)["unpublished_oldest_ms"] == 0


def lag_of(cell: Cell, member: Member) -> dict[str, float]:
    return metrics([one for one in statuses(cell.ledger) if one.origin == member.tenant.origin])


def test_a_log_that_fails_holds_up_no_other(cell: Cell) -> None:
    one, other = cell.join(), cell.join()
    Publisher(cell.ledger).publish()
    one.adopt()
    other.adopt()
    floors = floors_of(cell.ledger)
    floors.freeze(one.tenant.origin, "a test says so")
    done = Publisher(cell.ledger).publish()
    assert done.published == 1
    assert list(done.failed) == [one.tenant.origin]
    assert "a test says so" in done.failed[one.tenant.origin]
    found = {status.origin: status for status in statuses(cell.ledger)}
    assert found[one.tenant.origin].frozen
    assert not found[other.tenant.origin].frozen
    assert metrics(list(found.values()))["frozen_logs"] >= 1


def test_following_tells_each_trouble_once_and_goes_on(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    member = cell.join()
    member.adopt()
    cell.clock.advance_to(cell.clock.now_ms() + 100_000)
    told: list[str] = []
    waits = iter([False, False, False, True])
    failing = iter([True, True, False, False])
    real = Publisher.publish

    def publish(self: Publisher) -> object:
        if next(failing):
            raise UnavailableError("the database does not answer: try again")
        return real(self)

    monkeypatch.setattr(Publisher, "publish", publish)
    Publisher(cell.ledger).follow(Pace(10, 60), told.append, lambda _: next(waits))
    assert [text for text in told if "does not answer" in text] == ["all logs: the database does not answer: try again"]
    assert status_of(cell, member)[3] == 0


def test_settings_come_from_options_then_from_the_environment() -> None:
    environ = {"LEDGER_CHECKPOINT_INTERVAL_S": "2.5", "LEDGER_UNPUBLISHED_BOUND_S": "20"}
    assert pace_from({}) == Pace(10, 60)
    assert pace_from(environ) == Pace(2.5, 20)
    assert pace_from(environ, 1, None) == Pace(1, 20)
    for wrong in ({"LEDGER_CHECKPOINT_INTERVAL_S": "soon"}, {"LEDGER_CHECKPOINT_INTERVAL_S": "nan"}):
        with pytest.raises(MalformedError):
            pace_from(wrong)
    for interval, bound in ((0, 60), (61, 60), (1, float("inf"))):
        with pytest.raises(MalformedError):
            Pace(interval, bound)


WRITER = """
import sys
from pathlib import Path
from tests.publish.trees import MemoryTree, Place

place, whole = Place(Path(sys.argv[1])), MemoryTree.of(3000)
published = place.tiles.checkpoint()
for size in range((published.size if published else 0) + 7, 3001, 7):
    place.publish(MemoryTree(whole.stored[:size]))
    print(size, flush=True)
"""


@pytest.mark.parametrize("runs", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_a_publisher_that_is_killed_anywhere_goes_on_from_there(tmp_path: Path, runs: int) -> None:
    place, whole = Place(tmp_path), MemoryTree.of(3000)
    for run in range(runs):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert process.stdout is not None
        for _ in range(1 + run % 5):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.communicate()
        checkpoint, floor = place.tiles.checkpoint(), Floors(tmp_path / "floors").read(ORIGIN)
        assert checkpoint is not None
        assert floor is not None
        assert floor.size >= checkpoint.size
        assert place.verify().root == MemoryTree(whole.stored[: checkpoint.size]).root()
        assert floor.root == MemoryTree(whole.stored[: floor.size]).root()
    place.publish(whole)
    assert place.verify().size == 3000
    assert list(place.tiles.tree(3000).entries()) == whole.stored
    assert place.tiles.tree(3000).leaf_hash(1234) == leaf_hash(whole.stored[1234])
