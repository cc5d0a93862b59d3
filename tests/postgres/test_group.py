"""Group commit: together where nothing is wrong, alone where something is."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from domain.errors import UnavailableError, UnknownError
from infrastructure.postgres import group as group_module
from infrastructure.postgres.batch import Batch, log_of, merge, prepare
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.group import GroupCommit
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Appended, CommandKnownError, FencedError
from tests.database import conninfo, datastore, postgres, recorder
from tests.postgres.sample import assert_whole, command, event, make_logs, stream

__all__ = ["conninfo", "datastore", "postgres", "recorder"]


class Gate:
    """A committer that waits to be let through, so that a group forms behind it."""

    def __init__(self, recorder: LedgerRecorder) -> None:
        self.recorder = recorder
        self.open = threading.Event()
        self.reached = threading.Event()
        self.sizes: list[int] = []

    def commit(self, batch: Batch, epoch: int | None) -> list[Appended]:
        self.reached.set()
        assert self.open.wait(20)
        self.sizes.append(len(batch.events))
        return self.recorder.commit(batch, epoch)


@pytest.fixture
def gate(recorder: LedgerRecorder) -> Gate:
    return Gate(recorder)


@pytest.fixture
def group(gate: Gate) -> Iterator[GroupCommit[Appended]]:
    with GroupCommit(gate) as made:
        yield made
        gate.open.set()


def test_what_waits_is_committed_together_and_each_caller_gets_its_own_places(
    group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder
) -> None:
    logs = make_logs(recorder, 3)
    first = group.submit(prepare(stream(logs[0], 2), (), ()))
    futures = [group.submit(prepare([event(logs[n % 3]), event(logs[(n + 1) % 3])], (), ())) for n in range(30)]
    gate.open.set()
    assert [place.leaf_index for place in first.result()] == [0, 1]
    places = [future.result() for future in futures]
    assert sum(gate.sizes) == 62
    assert len(gate.sizes) <= 3
    assert [[place.log_id for place in two] for two in places] == [[logs[n % 3], logs[(n + 1) % 3]] for n in range(30)]
    assert_whole(recorder, logs)
    stored = {(entry.log_id, entry.leaf_index): entry.leaf_hash for log in logs for entry in recorder.every_entry(log)}
    assert all(stored[place.log_id, place.leaf_index] == place.leaf_hash for two in places for place in two)


def test_a_conflict_fails_its_own_caller_and_nobody_else(
    group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder
) -> None:
    (log,) = make_logs(recorder, 1)
    taken = uuid4()
    recorder.append([event(log, taken)], commands=[command(log, "known")])
    gate.open.set()
    group.submit(prepare([event(log)], (), ())).result()
    gate.open.clear()
    blocker = group.submit(prepare([event(log)], (), ()))
    good = [group.submit(prepare([event(log)], (), ())) for _ in range(5)]
    conflict = group.submit(prepare([event(log, taken)], (), ()))
    known = group.submit(prepare([event(log)], [command(log, "known")], ()))
    foreign = group.submit(prepare([event(uuid4())], (), ()))
    more = [group.submit(prepare([event(log)], (), ())) for _ in range(5)]
    gate.open.set()
    assert len([blocker.result(), *(future.result() for future in (*good, *more))]) == 11
    with pytest.raises(IntegrityError):
        conflict.result()
    with pytest.raises(CommandKnownError):
        known.result()
    with pytest.raises(UnknownError):
        foreign.result()
    assert recorder.head(log).size == 13
    assert_whole(recorder, [log])


def test_two_callers_for_one_version_are_never_in_one_transaction_and_one_wins(
    group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder
) -> None:
    (log,) = make_logs(recorder, 1)
    contested = uuid4()
    mine, rival, other = event(log, contested), event(log, contested), event(log)
    futures = [group.submit(prepare([one], (), ())) for one in (other, mine, rival)]
    gate.open.set()
    assert len(futures[1].result()) == 1
    with pytest.raises(IntegrityError):
        futures[2].result()


def test_a_deposed_decider_fails_alone(group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)
    old = recorder.take_epoch()
    new = recorder.take_epoch()
    plain = group.submit(prepare([event(log)], (), ()))
    deposed = group.submit(prepare([event(log)], (), ()), old)
    reigning = group.submit(prepare([event(log)], (), ()), new)
    gate.open.set()
    assert len(plain.result()) == len(reigning.result()) == 1
    with pytest.raises(FencedError):
        deposed.result()


def test_many_threads_lose_nothing_and_the_feed_has_no_hole(recorder: LedgerRecorder) -> None:
    logs = make_logs(recorder, 8)
    with GroupCommit(recorder) as group, ThreadPoolExecutor(16) as pool:
        places = list(pool.map(lambda n: group.append(prepare(stream(logs[n % 8], 3), (), ())), range(200)))
    assert sum(map(len, places)) == 600
    assert_whole(recorder, logs)
    rows = Feed(recorder.datastore).read_feed(0, 10_000)
    assert sum(row.count for row in rows) == 600
    assert sorted(one.notification_id for each in places for one in each) == list(range(1, 601))


def test_callers_are_held_back_when_the_queue_is_full(gate: Gate, recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)
    with GroupCommit(gate, most_waiting=4) as group, ThreadPoolExecutor(1) as pool:
        futures = [group.submit(prepare([event(log)], (), ())) for _ in range(5)]
        held = pool.submit(group.append, prepare(stream(log, 4), (), ()))
        assert not held.done()
        gate.open.set()
        assert [len(future.result()) for future in futures] == [1] * 5
        assert len(held.result()) == 4


def test_a_full_queue_holds_tasks_back_without_blocking_their_loop(gate: Gate, recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)

    async def scene(group: GroupCommit[Appended]) -> None:
        taken = [asyncio.create_task(group.append_async(prepare([event(log)], (), ()))) for _ in range(9)]
        for _ in range(20):
            await asyncio.sleep(0)  # the loop turns although nobody is let in
        with pytest.raises(UnavailableError, match="try again"):
            await group.append_async(prepare(stream(log, 4), (), ()))
        gate.open.set()
        done = await asyncio.gather(*taken, return_exceptions=True)
        assert len([one for one in done if not isinstance(one, UnavailableError)]) >= 4

    with GroupCommit(gate, most_waiting=4, patience_s=0.05) as group:
        asyncio.run(scene(group))
    assert_whole(recorder, [log])


def test_tasks_of_one_turn_of_the_loop_share_a_commit_and_are_answered_each_their_own(
    group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder
) -> None:
    logs = make_logs(recorder, 3)
    taken = event(logs[0])
    recorder.append([taken])
    gate.open.set()

    async def scene() -> None:
        batches = [prepare([event(logs[number % 3])], (), ()) for number in range(30)]
        batches.append(prepare([event(logs[0], taken.originator_id)], (), ()))  # type: ignore[arg-type]
        done = await asyncio.gather(*map(group.append_async, batches), return_exceptions=True)
        assert isinstance(done[30], IntegrityError)
        for number, places in enumerate(done[:30]):
            assert not isinstance(places, BaseException)
            assert [(one.log_id, one.leaf_hash) for one in places] == [
                (logs[number % 3], batches[number].parts[0].leaf_hashes[0])
            ]

    asyncio.run(scene())
    assert gate.sizes[0] == 31
    assert_whole(recorder, logs)


def test_a_cancelled_task_and_a_closed_loop_harm_nobody(gate: Gate, recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)

    async def leave(group: GroupCommit[Appended]) -> None:
        task = asyncio.create_task(group.append_async(prepare([event(log)], (), ())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with GroupCommit(gate) as group:
        asyncio.run(leave(group))  # its loop is closed before the commit
        threads = group.submit(prepare([event(log)], (), ()))
        gate.open.set()
        assert len(threads.result()) == 1
        asyncio.run(group.append_async(prepare([event(log)], (), ())))
    assert recorder.head(log).size == 3
    assert_whole(recorder, [log])


def test_closing_commits_all_that_was_taken_in(gate: Gate, recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)
    group = GroupCommit(gate)
    futures = [group.submit(prepare([event(log)], (), ())) for _ in range(200)]
    with ThreadPoolExecutor(1) as pool:
        closing = pool.submit(group.close)
        gate.open.set()
        closing.result(20)
    assert all(future.done() for future in futures)
    assert sorted(place.leaf_index for future in futures for place in future.result()) == list(range(200))
    group.close()  # safe to repeat
    with pytest.raises(UnavailableError, match="closed"):
        group.submit(prepare([event(log)], (), ()))
    assert recorder.head(log).size == 200


class Clock:
    """A clock that stands still, and hears who sleeps."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return 1.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def test_after_a_shared_commit_the_next_one_lets_more_come_and_a_lone_caller_never_waits(
    group: GroupCommit[Appended], gate: Gate, recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(group_module, "time", clock)
    (log,) = make_logs(recorder, 1)

    def one() -> Batch:
        return prepare([event(log)], (), ())

    gate.open.set()
    for _ in range(3):  # one caller after the other
        group.append(one())
    assert clock.slept == []
    gate.open.clear()
    gate.reached.clear()
    waiting = [group.submit(one())]
    assert gate.reached.wait(20)
    waiting += [group.submit(one()) for _ in range(8)]
    gate.open.set()
    for future in waiting:
        future.result()
    assert clock.slept == []
    group.append(one())
    assert clock.slept == [pytest.approx(0.002)]
    for _ in range(3):  # alone again
        group.append(one())
    assert len(clock.slept) == 1
    assert recorder.head(log).size == 16
    assert_whole(recorder, [log])


def test_where_enough_wait_nobody_lets_more_come(
    gate: Gate, recorder: LedgerRecorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(group_module, "time", clock)
    monkeypatch.setattr(group_module, "_MOST_EVENTS", 64)
    (log,) = make_logs(recorder, 1)
    with GroupCommit(gate) as group:
        futures = [group.submit(prepare([event(log)], (), ()))]
        assert gate.reached.wait(20)
        futures += [group.submit(prepare([event(log)], (), ())) for _ in range(3 * 64)]
        gate.open.set()
        for future in futures:
            future.result()
    assert clock.slept == []
    assert gate.sizes == [1, 64, 64, 64]
    assert recorder.head(log).size == 193


def test_a_closed_group_takes_nothing_in(recorder: LedgerRecorder) -> None:
    (log,) = make_logs(recorder, 1)
    group = GroupCommit(recorder)
    group.close()
    with pytest.raises(UnavailableError):
        group.append(prepare([event(log)], (), ()))
    assert recorder.head(log).size == 0


def test_merging_keeps_every_event_at_its_place(recorder: LedgerRecorder) -> None:
    logs = make_logs(recorder, 3)
    batches = [prepare([event(logs[n % 3]), event(logs[0])], (), ()) for n in range(6)]
    merged = merge(batches)
    assert merged.events == tuple(one for batch in batches for one in batch.events)
    for part in merged.parts:
        assert {log_of(merged.events[place]) for place in part.places} == {part.log_id}
    assert merged.parts == prepare(merged.events, (), ()).parts
