"""The decider's batches: one transaction each, made again by whoever restarts, thrown away where a stream moved on."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from domain.errors import UnavailableError
from domain.identifiers import DECIDER_STREAM
from domain.message import Recorded
from domain.platform.events import DecisionsMade, Ticked
from domain.scheduling.state import Scheduling
from domain.workloads.events import WorkloadCancelled, WorkloadPlaced
from infrastructure import decider as deciding
from infrastructure.client import acts
from infrastructure.decider import Decider
from infrastructure.engine_digest import engine_digest
from infrastructure.ids import SeededIds
from infrastructure.ledger import Answer, Ledger, open_ledger
from infrastructure.postgres.checkpoints import Checkpoints
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.records import FencedError
from infrastructure.postgres.sealed_views import SealedViews
from infrastructure.redeciding.checkpoints import DECIDER, StateStore
from infrastructure.redeciding.replay import DifferenceError, Replay
from infrastructure.stored_views import StoredViews
from tests.commands.cell import ENTROPY, Cell, MakeCell, Member
from tests.commands.driver import Driver
from tests.commands.redeciding import redecide
from tests.database import TestServer


@contextmanager
def beginning(cell: Cell) -> Iterator[Ledger]:
    """Open the cell's ledger as a process that has just begun."""
    data = cell.folder / "data"
    with open_ledger(data, cell.environ, clock=cell.clock, ids=SeededIds(7), entropy=ENTROPY) as ledger:
        yield ledger


def batches(cell: Cell) -> list[DecisionsMade]:
    stream = cell.ledger.stream(cell.ledger.platform().log_id, DECIDER_STREAM)
    return [recorded.event for recorded in stream if isinstance(recorded.event, DecisionsMade)]


def whole(cell: Cell) -> str:
    """Decide the whole cell again from its views; return the state's digest, which the decider's must be."""
    cell.decider.catch_up()
    with beginning(cell) as ledger:
        digest = redecide(ledger).state.digest()
    assert cell.decider.state.digest() == digest
    return digest


def placed(cell: Cell, member: Member) -> set[str]:
    return {event.workload_id for event in cell.events(member, WorkloadPlaced)}


def test_a_batch_names_what_it_rests_on_and_lies_in_one_transaction_with_its_decisions(make_cell: MakeCell) -> None:
    cell = make_cell()
    members = [cell.join(), cell.join()]
    for member in members:
        cell.submit(member)
        cell.submit(member)
    feed = Feed(cell.ledger.datastore)
    before, known = feed.last_position(), len(batches(cell))
    cell.settle()
    (batch,) = batches(cell)[known:]
    assert (batch.position, batch.decisions, batch.engine) == (before, 8, engine_digest())
    rows = feed.read_feed(before)
    assert sum(row.count for row in rows) == 9
    assert len(rows) == 3, "two tenants and the platform: one row each, so one transaction"
    assert len(placed(cell, members[0])) == len(placed(cell, members[1])) == 2
    whole(cell)


@pytest.mark.parametrize("most", [1, 2, 5])
def test_however_small_the_batches_every_decision_is_made_again(make_cell: MakeCell, most: int) -> None:
    cell = make_cell()
    cell.decider = Decider(cell.ledger, most_decisions=most)
    member = cell.join()
    for step in ("submit", "submit", "submit", "settle", "end", "submit", "wait"):
        if step == "submit":
            cell.submit(member)
        elif step == "wait":
            cell.advance(700_000)
        elif step == "end":
            Driver(cell, min(cell.decider.state.live)).whole()
        else:
            cell.settle()
    whole(cell)
    counts = [batch.decisions for batch in batches(cell)]
    assert counts[0] == {1: 2, 2: 2, 5: 6}[most], "acts are not torn apart: a placement is two decisions"
    assert len(counts) >= {1: 7, 2: 7, 5: 3}[most]


def kept(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> Member:
    """Let states be kept, and something be decided after the last one."""
    cell.decider = Decider(cell.ledger)
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "_KEEP_EVERY", 1)
        patch.setattr(deciding, "_KEEP_SHARE", 0)
        member = cell.join()
        cell.place(member)
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    cell.place(member)
    return member


def test_a_decider_goes_on_from_the_state_that_is_kept(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    kept(cell, monkeypatch)
    known = StateStore(cell.ledger).newest(engine_digest(), last_position=10**9)
    assert known is not None
    assert 0 < known.position < Feed(cell.ledger.datastore).last_position()
    digest = whole(cell)
    asked: list[int] = []
    read = Feed.read_feed

    def reading(self: Feed, after_position: int = 0, limit: int = 500) -> Any:
        asked.append(after_position)
        return read(self, after_position, limit)

    monkeypatch.setattr(Feed, "read_feed", reading)
    with beginning(cell) as ledger:
        assert Decider(ledger).catch_up().digest() == digest
    assert min(asked) == known.position


DAMAGE: dict[str, str] = {
    "missing": "DELETE FROM ledger.scheduler_checkpoints",
    "changed": "UPDATE ledger.scheduler_checkpoints SET sealed = overlay(sealed PLACING '\\x00' FROM 40)",
    "cut off": "UPDATE ledger.scheduler_checkpoints SET sealed = substring(sealed FROM 1 FOR 60)",
    "empty": "UPDATE ledger.scheduler_checkpoints SET sealed = ''",
    "of another name": "UPDATE ledger.scheduler_checkpoints SET name = 'rounds'",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_where_the_kept_state_is_damaged_the_views_give_it_again(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, postgres: TestServer, what: str
) -> None:
    cell = make_cell()
    kept(cell, monkeypatch)
    digest = whole(cell)
    name = str(conninfo_to_dict(cell.ledger.conninfo)["dbname"])
    with psycopg.connect(postgres.conninfo(name, SUPERUSER)) as admin:
        assert admin.execute(DAMAGE[what].encode()).rowcount
    with beginning(cell) as ledger:
        assert StateStore(ledger).newest(engine_digest(), last_position=10**9) is None
        assert Decider(ledger).catch_up().digest() == digest


def test_a_kept_state_of_another_engine_or_from_beyond_the_feed_is_not_gone_on_from(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    kept(cell, monkeypatch)
    states = StateStore(cell.ledger)
    assert states.get(DECIDER, "0" * 64, last_position=10**9) is None
    assert states.get(DECIDER, engine_digest(), last_position=1) is None


def test_a_kept_state_of_another_shape_is_passed_over(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    kept(cell, monkeypatch)
    states = StateStore(cell.ledger)
    known = states.newest(engine_digest(), last_position=10**9)
    assert known is not None
    states.put(DECIDER, known._replace(dump={"host": "ledger.example"}))
    digest = whole(cell)
    with beginning(cell) as ledger:
        assert Decider(ledger).catch_up().digest() == digest


def before_the_next_append(monkeypatch: pytest.MonkeyPatch, rival: Callable[[], Any]) -> None:
    append = Ledger.append

    def raced(self: Ledger, *given: Any, **named: Any) -> Answer:
        monkeypatch.setattr(Ledger, "append", append)
        rival()
        return append(self, *given, **named)

    monkeypatch.setattr(Ledger, "append", raced)


def test_a_batch_whose_stream_moved_on_is_thrown_away_and_decided_anew(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    member = cell.join()
    stays, goes = cell.submit(member), cell.submit(member)
    before_the_next_append(
        monkeypatch, lambda: acts.cancel(cell.ledger, member.tenant, member.admins[0], goes)
    )  # fmt: skip
    cell.settle()
    assert placed(cell, member) == {stays}
    assert [event.workload_id for event in cell.events(member, WorkloadCancelled)] == [goes]
    assert len(batches(cell)) == 1
    whole(cell)


def test_what_was_committed_beside_a_batch_comes_after_it(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    member = cell.join()
    cell.submit(member)
    before_the_next_append(monkeypatch, lambda: cell.submit(member))
    cell.settle()
    first, second = batches(cell)
    assert first.position < second.position
    assert first.decisions == second.decisions == 2
    whole(cell)


def test_who_has_read_further_than_a_batch_rests_on_begins_again(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    member = cell.join()
    cell.submit(member)
    with beginning(cell) as ledger:
        reader = Decider(ledger)

        def more() -> None:
            cell.submit(member)
            cell.enrol("late")
            reader.catch_up()

        before_the_next_append(monkeypatch, more)
        cell.settle()
        assert reader.catch_up().digest() == whole(cell)


def test_a_batch_of_which_nobody_knows_whether_it_was_stored_is_looked_for(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    member = cell.join()
    append = Ledger.append

    def unheard(self: Ledger, *given: Any, **named: Any) -> Answer:
        monkeypatch.setattr(Ledger, "append", append)
        append(self, *given, **named)
        raise UnavailableError("the connection went away")

    def unsent(self: Ledger, *_: Any, **__: Any) -> Answer:
        monkeypatch.setattr(Ledger, "append", append)
        raise UnavailableError("the connection went away")

    for lost in (unheard, unsent):
        workload = cell.submit(member)
        monkeypatch.setattr(Ledger, "append", lost)
        with pytest.raises(UnavailableError):
            cell.settle()
        cell.settle()
        assert [event.workload_id for event in cell.events(member, WorkloadPlaced)].count(workload) == 1
    whole(cell)


def test_of_two_deciders_one_epoch_commits(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    cell.place(member)
    with beginning(cell) as ledger:
        newer = Decider(ledger)
        cell.submit(member)
        newer.settle()
        cell.submit(member)
        known = len(batches(cell))
        with pytest.raises(FencedError):
            cell.settle()
        assert len(batches(cell)) == known
        newer.settle()
        assert newer.state.digest() == whole(cell)
    assert [batch.epoch for batch in batches(cell)] == sorted(batch.epoch for batch in batches(cell))
    assert len(placed(cell, member)) == 3


class Crash(BaseException):
    """The process dies."""


@pytest.mark.parametrize("where", [(Ledger, "append"), (SealedViews, "put"), (Checkpoints, "put")])
@pytest.mark.parametrize("after", [False, True])
def test_dying_before_or_after_any_write_loses_nothing(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, where: tuple[type, str], *, after: bool
) -> None:
    cell = make_cell()
    member = cell.join()
    workloads = {cell.submit(member) for _ in range(3)}
    owner, name = where
    write = getattr(owner, name)

    def dies(*given: Any, **named: Any) -> Any:
        if after:
            write(*given, **named)
        raise Crash

    with monkeypatch.context() as patch, beginning(cell) as ledger:
        patch.setattr(deciding, "_KEEP_EVERY", 1)
        decider = Decider(ledger, most_decisions=2)
        patch.setattr(owner, name, dies)
        with pytest.raises(Crash):
            decider.settle()
    cell.decider = Decider(cell.ledger)
    cell.settle()
    assert placed(cell, member) == workloads
    assert sum(batch.decisions for batch in batches(cell)) == 6
    whole(cell)


def test_ticks_come_at_most_every_fifty_milliseconds(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    cell.settle()
    monkeypatch.setattr(Scheduling, "due_ms", lambda state: state.now_ms + 1)
    for _ in range(20):
        cell.advance(10)
    ticks = [recorded.at_ms for recorded in cell.history(cell.ledger.platform().log_id) if is_tick(recorded)]
    assert len(ticks) == 4
    assert all(later - earlier >= 50 for earlier, later in itertools.pairwise(ticks))


def is_tick(recorded: Recorded) -> bool:
    return isinstance(recorded.event, Ticked)


def test_a_decision_outside_of_a_batch_is_named(make_cell: MakeCell) -> None:
    cell = make_cell()
    cell.place(cell.join())
    views = [
        (row.position, one.view)
        for row, folded in StoredViews(cell.ledger).follow(Feed(cell.ledger.datastore).read_feed())
        for one in folded
    ]
    replay = Replay(engine_digest())
    for position, view in views:
        replay.take(position, view)
    replay.finish()
    forged = next(dict(view) for _, view in views if view["kind"] == "placed")
    forged |= {"version": forged["version"] + 1, "leaf": forged["leaf"] + 9}
    replay.take(views[-1][0] + 1, forged)
    with pytest.raises(DifferenceError, match="is in no batch: nobody decided it"):
        replay.finish()
