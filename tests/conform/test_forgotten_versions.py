"""A replay that goes on from a kept state knows again what had been decided, though the state knows it no more."""

import json
from collections.abc import Iterator

import pytest

from domain.identifiers import DECIDER_STREAM
from domain.platform.events import DecisionsMade, Ticked
from domain.scheduling import workings
from domain.scheduling.decide import next_act
from domain.scheduling.tables import Decision
from domain.scheduling.views import View
from domain.workloads.events import WorkloadExpired
from infrastructure.redeciding.replay import Kept, Replay
from infrastructure.redeciding.views import kept_view
from tests.domain import samples
from tests.domain.cell import PLATFORM, Cell, log_of
from tests.domain.test_scheduling_cases import name

Rows = list[tuple[int, View]]
MANY = 12


@pytest.fixture(autouse=True)
def _few_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workings, "PAST", 3)


def began(cell: Cell, number: int, *, together: int, position: int, decisions: int) -> None:
    """Record the beginning of a batch."""
    batch = DecisionsMade(epoch=1, together=together, position=position, decisions=decisions, engine=samples.ENGINE)
    stored = cell.record(PLATFORM, DECIDER_STREAM, batch, by_decider=True)
    assert stored.version == number


def store(cell: Cell, made: list[Decision]) -> None:
    """Record decisions."""
    for one in made:
        cell.record(one.slot, one.stream_id, one.event, by_decider=True)


def decide(cell: Cell) -> list[Decision]:
    """Decide until the state is at rest; record nothing."""
    made: list[Decision] = []
    while act := next_act(cell.state, samples.ENGINE):
        cell.state.apply(act)
        made += act
    return made


def expired_at_once(batches: int) -> tuple[Cell, Rows]:
    """Return a cell in which many workloads expired in so many batches, and its feed."""
    cell = Cell().begin()
    for number in range(MANY):
        cell.on(11, name(number), samples.queued(workload_id=name(number), not_after_ms=cell.clock_ms + 1_000))
    told, position = decide(cell), len(cell.feed)
    began(cell, 0, together=position, position=position, decisions=len(told))
    store(cell, told)
    cell.clock_ms += 1_000
    cell.record(PLATFORM, log_of(PLATFORM), Ticked(due_ms=cell.clock_ms))
    made, position = decide(cell), len(cell.feed)
    assert [type(one.event) for one in made] == [WorkloadExpired] * MANY
    for number in range(batches):
        some = made[number * MANY // batches : (number + 1) * MANY // batches]
        began(cell, number + 1, together=0, position=position, decisions=len(some))
        store(cell, some)
    return cell, [(at, kept_view(stored, slot)) for at, (slot, stored) in enumerate(cell.feed, start=1)]


def kept_again(kept: Kept) -> Kept:
    """Return a kept state as it comes back from where it was kept."""
    return Kept(**json.loads(json.dumps(kept._asdict())))


def states(rows: Rows) -> Iterator[tuple[Replay, Kept]]:
    """Yield each state that may be kept, with the replay that kept it when it has read everything."""
    for number in range(sum(view["kind"] == "decided" for _, view in rows)):
        found: list[Kept] = []
        replay = Replay(samples.ENGINE)

        def keep(replay: Replay = replay, found: list[Kept] = found) -> None:
            found.append(replay.keep())

        replay.after_batch = keep
        for position, view in rows:
            replay.take(position, view)
        replay.finish()
        yield replay, found[number]


@pytest.mark.parametrize("batches", [1, 3])
def test_a_replay_that_goes_on_takes_no_decision_for_an_input_however_many_ended_at_once(batches: int) -> None:
    cell, rows = expired_at_once(batches)
    for whole, kept in states(rows):
        assert whole.state.digest() == cell.state.digest()
        kinds = whole.drain()
        resumed = Replay.resume(kept_again(kept))
        for position, view in rows:
            if position > kept.position:
                resumed.take(position, view)
        resumed.finish()
        assert resumed.drain() == kinds[kept.position :]
        assert resumed.state.digest() == cell.state.digest()


@pytest.mark.parametrize("read", [0, 1, 5, MANY + 1])
def test_a_decider_that_keeps_its_state_knows_its_batch_again_however_much_of_it_was_read(read: int) -> None:
    cell, rows = expired_at_once(1)
    position = next(at for at, view in rows if view["kind"] == "tick")
    decider = Replay(samples.ENGINE)
    for at, view in rows[:position]:
        decider.take(at, view)
    decider.settle(position)
    made: list[Decision] = []
    while act := next_act(decider.state, samples.ENGINE):
        decider.state.apply(act)
        made += act
    decider.committed(made, 1)
    for at, view in rows[position : position + read]:
        decider.take(at, view)
    kept = kept_again(decider.keep())
    assert len(kept.forgotten) == MANY - 3
    resumed = Replay.resume(kept)
    for at, view in rows[position:]:
        resumed.take(at, view)
    resumed.finish()
    assert resumed.oldest_ms is None, "a decision waits to be folded as an input"
    assert resumed.state.digest() == cell.state.digest()
    assert Replay.resume(kept_again(resumed.keep())).keep() == resumed.keep()


def test_what_is_kept_names_no_decision_that_the_state_still_knows() -> None:
    _, rows = expired_at_once(MANY)
    for _, kept in states(rows):
        assert len(kept.forgotten) == max(0, kept.batches - 1 - 3)
