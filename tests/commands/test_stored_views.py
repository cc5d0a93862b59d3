"""The scheduler's views, stored sealed beside the entries: the same state, whoever folds, from wherever."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.message import Recorded
from domain.scheduling.state import Scheduling
from infrastructure import stored_views
from infrastructure.decider import Decider
from infrastructure.engine_digest import engine_digest
from infrastructure.ids import SeededIds
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.feed import Feed, FeedRow
from infrastructure.postgres.sealed_views import SealedViews
from infrastructure.redeciding.replay import Replay
from infrastructure.redeciding.views import kept_view
from tests.commands.cell import ENTROPY, FLOWS, THRESHOLD, Cell, MakeCell
from tests.commands.driver import Driver
from tests.database import TestServer

NOBODY = {"kind": "in_country", "countries": ["KEN"]}


@contextmanager
def restarted(cell: Cell) -> Iterator[Ledger]:
    """Open the cell's ledger as a process that has just begun."""
    data = cell.folder / "data"
    with open_ledger(data, cell.environ, clock=cell.clock, ids=SeededIds(7), entropy=ENTROPY) as ledger:
        yield ledger


def from_entries(cell: Cell) -> Scheduling:
    """Fold and decide the whole cell again from its entries, in feed order, without a stored view."""
    replay, last = Replay(engine_digest()), 0
    for row, recorded, slot in fed(cell):
        last = row.position
        replay.take(last, kept_view(recorded, slot))
    replay.settle(last)
    return replay.state


def fed(cell: Cell) -> Iterator[tuple[FeedRow, Recorded, int]]:
    for row in Feed(cell.ledger.datastore).read_feed(0, 100_000):
        slot = cell.ledger.log(row.log_id).slot
        for recorded in cell.ledger.history(row.log_id, first=row.first_index, size=row.first_index + row.count):
            yield row, recorded, slot


def live(cell: Cell, steps: list[str]) -> None:
    """Let something happen of everything that the scheduler reads."""
    members = [cell.join(), cell.join()]
    members[0].adopt(NOBODY)
    for number, step in enumerate(steps):
        member = members[number % 2]
        alive = sorted(cell.decider.catch_up().live)
        if step == "submit":
            cell.submit(member)
        elif step == "settle":
            cell.settle()
        elif step == "wait":
            cell.advance(700_000)
        elif step in {"end", "fail"} and alive and cell.decider.state.live[alive[0]].phase == "reserved":
            driver = Driver(cell, alive[0])
            driver.whole() if step == "end" else driver.fail()
        elif step == "policy":
            member.adopt()


def test_a_decider_that_begins_opens_no_entry_whose_view_is_stored(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    live(cell, ["submit", "submit", "settle", "end", "fail", "settle"])
    cell.settle()
    state = cell.decider.catch_up()
    with restarted(cell) as ledger:
        monkeypatch.setattr(Ledger, "history", None)  # nothing may be read from entries
        again = Decider(ledger)
        assert again.catch_up().digest() == state.digest()
        assert again.state.dump() == state.dump()


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["submit", "submit", "settle", "wait", "end", "fail", "policy"]), max_size=8))
def test_state_from_views_is_state_from_entries_at_every_prefix(make_cell: MakeCell, steps: list[str]) -> None:
    cell = make_cell()
    live(cell, steps)
    cell.decider.catch_up()
    with restarted(cell) as ledger:
        views = stored_views.StoredViews(ledger)
        one, other = Replay(engine_digest()), Replay(engine_digest())
        followed = views.follow(Feed(ledger.datastore).read_feed(0, 100_000))
        folded = itertools.chain.from_iterable(found for _, found in followed)
        for (row, recorded, slot), (view, read, data, leaf_hash) in zip(fed(cell), folded, strict=True):
            assert read is None, "it came from the stored view"
            assert view == kept_view(recorded, slot)
            assert (data, leaf_hash) == (canonical(view), recorded.leaf_hash)
            one.take(row.position, view)
            other.take(row.position, kept_view(recorded, slot))
            assert one.state.digest() == other.state.digest()
        one.settle(row.position)
        assert one.state.digest() == cell.decider.state.digest()


def test_what_lies_beyond_the_stored_views_is_read_from_entries_and_told(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    cell.decider.catch_up()
    told: list[Recorded] = []
    with restarted(cell) as ledger:
        later = Decider(ledger, told.append)
        workload = cell.submit(member)
        cell.decider.catch_up()  # another process stores the views first
        later.catch_up()
    topics = ["submitted", "credential_checked", "clause_verified", "queued"]
    assert [item.event.TOPIC for item in told] == [f"workload.{name}.v1" for name in topics]
    assert told[0].event.payload()["workload_id"] == workload
    assert later.state.digest() == cell.decider.state.digest() == from_entries(cell).digest()


@pytest.mark.parametrize("batch", [1, 3, 10_000])
def test_however_the_batches_fall_and_whoever_races_each_view_is_stored_once(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(stored_views, "_BATCH", batch)
    cell = make_cell()
    with restarted(cell) as ledger, restarted(cell) as third:
        racing = [Decider(ledger), Decider(third)]
        live(cell, ["submit", "settle", "end", "submit"])
        for decider in (*racing, cell.decider):
            decider.catch_up()
        digests = {decider.state.digest() for decider in (*racing, cell.decider)}
        assert digests == {from_entries(cell).digest()}
    rows = SealedViews(cell.ledger.datastore)
    assert rows.position() == len(Feed(cell.ledger.datastore).read_feed(0, 100_000))
    for log in cell.ledger.logs():
        size = cell.ledger.head(log.log_id).size
        assert rows.count(log.log_id, size) == len(rows.read(log.log_id, 0, size)) == size


def test_a_crash_before_the_views_are_stored_costs_nothing_but_work(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    cell.decider.catch_up()
    before = SealedViews(cell.ledger.datastore).position()

    class Crash(BaseException):
        """The process dies."""

    def dies(*_: object, **__: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, restarted(cell) as ledger:
        patch.setattr(SealedViews, "put", dies)
        cell.submit(cell.join())
        with pytest.raises(Crash):
            Decider(ledger).catch_up()
    assert SealedViews(cell.ledger.datastore).position() == before
    with restarted(cell) as ledger:
        assert Decider(ledger).catch_up().digest() == from_entries(cell).digest()
    with restarted(cell) as ledger:
        assert Decider(ledger).catch_up().digest() == from_entries(cell).digest()


def test_views_hold_nothing_that_can_be_read_in_the_database(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join("LegibleDAO")
    cell.submit(member, tags=("legible-tag",))
    cell.decider.catch_up()
    rows = SealedViews(cell.ledger.datastore)
    for log in cell.ledger.logs():
        for one in rows.read(log.log_id, 0, cell.ledger.head(log.log_id).size):
            for text in (b"Legible", b"legible-tag", b"kind", b"queued"):
                assert text not in one.sealed


TAMPERING = {
    "changed": "UPDATE ledger.sealed_views SET sealed = overlay(sealed PLACING '\\x00' FROM 30) WHERE leaf_index = 1",
    "moved": "UPDATE ledger.sealed_views v SET sealed = (SELECT sealed FROM ledger.sealed_views o"
    " WHERE o.log_id = v.log_id AND o.leaf_index = 0) WHERE leaf_index = 1",
    "of another log": "UPDATE ledger.sealed_views v SET sealed = (SELECT sealed FROM ledger.sealed_views o"
    " WHERE o.log_id <> v.log_id AND o.leaf_index = v.leaf_index ORDER BY log_id LIMIT 1) WHERE leaf_index = 1",
    "removed": "DELETE FROM ledger.sealed_views WHERE leaf_index = 1",
    "entry exchanged": "UPDATE ledger.stored_events SET leaf_hash = sha256('x') WHERE leaf_index = 1",
}


@pytest.mark.parametrize("what", TAMPERING)
def test_a_view_that_was_tampered_with_stops_the_decider(make_cell: MakeCell, postgres: TestServer, what: str) -> None:
    cell = make_cell()
    cell.submit(cell.join(), (FLOWS, THRESHOLD))
    cell.decider.catch_up()
    name = str(conninfo_to_dict(cell.ledger.conninfo)["dbname"])
    with psycopg.connect(postgres.conninfo(name, SUPERUSER)) as admin:
        admin.execute("ALTER TABLE ledger.sealed_views DISABLE TRIGGER ALL")
        admin.execute("ALTER TABLE ledger.stored_events DISABLE TRIGGER ALL")
        assert admin.execute(TAMPERING[what].encode()).rowcount
    with restarted(cell) as ledger, pytest.raises(VerificationError):
        Decider(ledger).catch_up()


def test_views_are_never_changed_nor_removed(cell: Cell) -> None:
    cell.decider.catch_up()
    for statement in (b"DELETE FROM ledger.sealed_views", b"UPDATE ledger.sealed_views SET sealed = ''"):
        with psycopg.connect(cell.ledger.conninfo) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)
