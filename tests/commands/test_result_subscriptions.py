"""Subscriptions to results: signed by admins, told in order at least once, to their own tenant's address only."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.exceptions import InvalidSignature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.sql import SQL, Identifier

from domain.cacs.events import CacIssued, CacOverturned
from domain.errors import LedgerError, NotAuthorisedError, RefusedError, UnknownError
from domain.identifiers import subscription_stream
from domain.message import Pending, Recorded
from domain.subscriptions.decisions import MOST_OPEN, subscription_claims
from domain.subscriptions.events import ResultDelivered, SubscriptionLapsed, SubscriptionOpened, Wanted
from domain.subscriptions.messages import message
from infrastructure.audit.export import export_bundle
from infrastructure.audit.replay import replay_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts, governance
from infrastructure.client.acts import governed
from infrastructure.commands import subscriptions
from infrastructure.commands.subscriptions import Address
from infrastructure.posting.deliverer import Deliverer
from infrastructure.posting.targets import parse_networks
from infrastructure.subscriptions.delivering import deliverer_of
from infrastructure.subscriptions.feed import Results
from infrastructure.subscriptions.keys import published_keys
from infrastructure.subscriptions.outbox import MOST_AGE_MS
from infrastructure.subscriptions.shown import subscription_rows
from projections import results
from tests.commands.cell import CLASS, FLOOD, Cell, MakeCell, Member
from tests.commands.driver import Driver
from tests.domain import samples
from tests.posting.receiver import SECRET, Receiver, Taken, verified_by

ROOT = Path(__file__).resolve().parents[2]
LOCAL = parse_networks("127.0.0.0/8")


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver().start()
    yield made
    made.die()


def subscribed(member: Member, receiver: Receiver, after: int | None = None, **wanted: Any) -> str:
    address = Address(bytes(32), receiver.url)
    ledger = member.cell.ledger
    answer = governance.subscribe(ledger, member.tenant, member.admins, Wanted(**wanted), address, after=after)
    (opened,) = (one.event for one in answer.recorded)
    assert isinstance(opened, SubscriptionOpened)
    return opened.subscription_id


def result_of(member: Member, outcome: str = "PASS") -> int:
    """Let a workload of a tenant have a result; return the leaf index of its entry."""
    (execution,) = member.cell.place(member)
    driver = Driver(member.cell, execution)
    driver.evidence()
    driver.started()
    driver.completed(driver.signed(driver.document(outcome)), outcome=outcome)
    driver.reset()
    return max(one.leaf_index for one in member.cell.history(member) if one.event.TOPIC == "cac.issued.v1")


def deliverer(cell: Cell, told: list[str] | None = None, **options: Any) -> Deliverer[Recorded]:
    said = told if told is not None else []
    return deliverer_of(cell.ledger, said.append, LOCAL, **{"threads": None, "timeout_s": 5.0, **options})


def rest(one: Deliverer[Recorded], cell: Cell, steps: int = 12) -> int:
    """Step until nothing is open, letting time pass where somebody failed."""
    done = 0
    for _ in range(steps):
        done += one.step()
        if not one.waits() and not one.more:
            break
        due = one.due_ms()
        if due is not None:
            cell.clock.advance_to(due)
    return done


def verified(member: Member, taken: Taken, url: str) -> dict[str, str]:
    """Verify a request by the key that is published for a tenant."""
    (jwk,) = published_keys(member.cell.ledger, member.log_id)["keys"]["keys"]
    return verified_by(jwk, taken, url)


def test_a_result_is_posted_signed_by_the_published_key_and_that_is_recorded(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    name = subscribed(member, receiver)
    leaf = result_of(member)
    with cell.only_written_to(member):
        assert rest(deliverer(cell), cell) == 1
    (taken,) = receiver.taken
    said = taken.said
    assert (said["type"], said["leaf_index"], said["subscription"]) == ("cac.issued", leaf, name)
    assert said["origin"] == member.tenant.origin
    assert said["cac"]["outcome"] == "PASS"
    parameters = verified(member, taken, receiver.url)
    assert (parameters["alg"], int(parameters["created"])) == ("ed25519", cell.clock.now_ms() // 1000)
    (event,) = cell.events(member, ResultDelivered)
    assert event == ResultDelivered(subscription_id=name, cac_id=said["cac_id"], leaf_index=leaf, tries=1)
    assert rest(deliverer(cell), cell) == 0


def test_whoever_fails_is_told_again_the_same_in_order_and_nothing_is_left_out(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    subscribed(member, receiver)
    leaves = [result_of(member) for _ in range(3)]
    receiver.statuses = [500, 302, 0, 204, 429]
    told: list[str] = []
    assert rest(deliverer(cell, told), cell) == 3
    assert receiver.leaves == leaves
    first = [one for one in (*receiver.refused, *receiver.taken) if one.said["leaf_index"] == leaves[0]]
    assert len(first) == 4
    assert len({one.body for one in first}) == len({one.headers["message-id"] for one in first}) == 1
    assert {one.path for one in first} == {f"/results?key={SECRET}"}, "no redirect is followed"
    assert [event.tries for event in cell.events(member, ResultDelivered)] == [4, 2, 1]
    assert len(told) == 4
    assert not [text for text in told if SECRET in text or "results" in text]


def test_a_receiver_that_dies_and_returns_gets_what_came_meanwhile(cell: Cell) -> None:
    member, receiver = cell.join(), Receiver().start()
    subscribed(member, receiver)
    one = deliverer(cell)
    leaves = [result_of(member)]
    assert rest(one, cell) == 1
    receiver.die()
    leaves += [result_of(member), result_of(member)]
    assert rest(one, cell, 3) == 0
    receiver.start()
    try:
        assert rest(one, cell) == 2
        assert receiver.leaves == leaves
    finally:
        receiver.die()


def test_a_slow_receiver_is_cut_off_and_holds_nobody_up(cell: Cell, receiver: Receiver) -> None:
    slow, quick, member = Receiver().start(), cell.join(), cell.join()
    subscribed(member, slow)
    subscribed(quick, receiver)
    mine, theirs = result_of(member), result_of(quick)
    slow.released.clear()
    told: list[str] = []
    one = deliverer(cell, told, threads=4, timeout_s=1.0)
    delivered = one.step(5.0)
    while not delivered or one.busy:
        delivered += one.step(5.0)
    assert (delivered, receiver.leaves, slow.leaves) == (1, [theirs], [])
    assert "too slow" in told[0]
    slow.released.set()
    cell.clock.advance_to(cell.clock.now_ms() + 2_000)
    while not one.step(5.0):
        pass
    slow.die()
    assert slow.leaves[-1] == mine


def test_each_tenant_is_told_its_own_results_and_no_others(cell: Cell, receiver: Receiver) -> None:
    one, other, theirs = cell.join(), cell.join(), Receiver().start()
    subscribed(one, receiver)
    subscribed(other, theirs)
    for member in (one, other, one, other):
        result_of(member)
    rest(deliverer(cell), cell)
    theirs.die()
    for member, where in ((one, receiver), (other, theirs)):
        stranger = other if member is one else one
        assert len(where.taken) == 2
        assert {taken.said["origin"] for taken in where.taken} == {member.tenant.origin}
        words = [f'{word}"'.encode() for word in (stranger.tenant.origin, stranger.tenant.dao, str(stranger.log_id))]
        assert not [word for word in words if any(word in taken.body for taken in where.taken)]
        verified(member, where.taken[0], where.url)
        with pytest.raises(InvalidSignature):
            verified(stranger, where.taken[0], where.url)


def test_filters_choose_by_clause_class_and_outcome(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    failed, passed = result_of(member, "FAIL"), result_of(member)
    names = {
        subscribed(member, receiver, -1, outcome="FAIL"): [failed],
        subscribed(member, receiver, -1, clause="UNDRR::Disaster::Flood", resource_class=CLASS): [failed, passed],
        subscribed(member, receiver, -1, clause=FLOOD, outcome="PASS"): [passed],
        subscribed(member, receiver, -1, clause="UNDRR::Disaster::Flood@9.0.0"): [],
        subscribed(member, receiver, failed): [passed],
        subscribed(member, receiver): [],
    }
    one = deliverer(cell)
    rest(one, cell)
    assert not one.waits(), "what is not wanted is not left"
    for name, leaves in names.items():
        assert [one.said["leaf_index"] for one in receiver.taken if one.said["subscription"] == name] == leaves
    found = Results(cell.ledger, member.log_id)
    assert found.page(Wanted(outcome="FAIL"), -1, 10) == ([failed], passed)
    assert found.page(Wanted(), failed, 10) == ([passed], passed)


@pytest.fixture(scope="module")
def pulled(cell: Cell) -> tuple[Cell, Member, list[int]]:
    """Return a tenant with five results."""
    member = cell.join()
    return cell, member, [result_of(member) for _ in range(5)]


@given(st.data())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_of_any_sizes_give_each_result_once_in_order(
    pulled: tuple[Cell, Member, list[int]], data: st.DataObject
) -> None:
    cell, member, leaves = pulled
    rows, after = Results(cell.ledger, member.log_id), -1
    found: list[int] = []
    for _ in range(20):
        page, after = rows.page(Wanted(), after, data.draw(st.integers(1, 4)))
        found += page
        if not page:
            break
    assert found == leaves


KILLED = """
import os, sys
from pathlib import Path
from infrastructure.cli.session import ledger_at
from infrastructure.posting.targets import parse_networks
from infrastructure.subscriptions.delivering import deliverer_of
from infrastructure.subscriptions.outbox import ResultsOutbox

ResultsOutbox._record = lambda *_: os.kill(os.getpid(), 9)
with ledger_at(Path(sys.argv[1])) as ledger:
    deliverer_of(ledger, print, parse_networks("127.0.0.0/8"), threads=None).step()
"""


def test_killed_between_the_delivery_and_its_record_it_is_delivered_again(
    make_cell: MakeCell, receiver: Receiver
) -> None:
    cell = make_cell()
    member = cell.join()
    subscribed(member, receiver)
    leaf = result_of(member)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(cell.folder / "data")], cwd=ROOT, check=False, timeout=60,
        env={**os.environ, **cell.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL
    assert receiver.leaves == [leaf]
    assert cell.events(member, ResultDelivered) == []
    assert rest(deliverer(cell), cell) == 1
    assert receiver.leaves == [leaf, leaf]
    assert len({one.body for one in receiver.taken}) == 1
    assert len(cell.events(member, ResultDelivered)) == 1


def test_two_deliverers_at_once_record_each_result_once(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    subscribed(member, receiver)
    leaves = [result_of(member) for _ in range(3)]
    both = [deliverer(cell), deliverer(cell)]
    threads = [threading.Thread(target=rest, args=(one, cell)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [event.leaf_index for event in cell.events(member, ResultDelivered)] == leaves
    assert sorted(set(receiver.leaves)) == leaves


def test_what_takes_nothing_for_a_week_lapses_and_a_new_one_goes_on(make_cell: MakeCell, receiver: Receiver) -> None:
    cell = make_cell()
    member = cell.join()
    name = subscribed(member, receiver)
    leaf = result_of(member)
    receiver.statuses = [500] * 30
    told: list[str] = []
    one = deliverer(cell, told)
    rest(one, cell, 15)
    assert cell.events(member, SubscriptionLapsed) == []
    cell.clock.advance_to(cell.clock.now_ms() + MOST_AGE_MS)
    rest(one, cell, 1)
    (lapsed,) = cell.events(member, SubscriptionLapsed)
    assert (lapsed.subscription_id, lapsed.leaf_index) == (name, leaf)
    assert "tried no more" in told[-1]
    receiver.statuses.clear()
    assert rest(one, cell) == rest(deliverer(cell), cell) == 0
    (row,) = subscription_rows(cell.ledger, member.log_id)
    assert (row["status"], row["host"]) == ("lapsed", "127.0.0.1")
    subscribed(member, receiver, lapsed.leaf_index - 1)
    assert rest(deliverer(cell), cell) == 1
    assert receiver.leaves == [leaf]


def test_what_was_ended_is_told_nothing_more(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    name = subscribed(member, receiver)
    one = deliverer(cell)
    governance.unsubscribe(cell.ledger, member.tenant, member.admins, name)
    result_of(member)
    assert rest(one, cell) == 0
    with pytest.raises(UnknownError, match="no such subscription"):
        governance.unsubscribe(cell.ledger, member.tenant, member.admins, name)
    assert receiver.taken == []


def test_an_overturned_result_is_told_to_who_was_told_of_it() -> None:
    issued, overturned = (
        next(one for one in samples.SAMPLES if isinstance(one, kind)) for kind in (CacIssued, CacOverturned)
    )
    assert isinstance(issued, CacIssued)
    assert isinstance(overturned, CacOverturned)
    overturned = overturned.model_copy(update={"cac_id": issued.cac_id})
    document = {"clause_id": FLOOD, "tenant_info": {"resource_class": CLASS}, "outcome": "TRIGGER"}
    later = samples.recorded(overturned, leaf=2)
    rows = dict(results.project({}, samples.recorded(issued.model_copy(update={"document": document}), leaf=1)))
    rows |= results.project(rows, later)
    assert [row["outcome"] for key, row in sorted(rows.items()) if key.startswith("leaf/")] == ["TRIGGER"] * 2
    said = json.loads(message("h/t/1", "0" * 32, later))
    assert (said["type"], said["cac_id"]) == ("cac.overturned", overturned.cac_id)
    assert said["overturned"]["dispute"] == overturned.dispute_id


def test_only_admins_at_their_threshold_open_one_for_the_address_that_they_signed(
    cell: Cell, receiver: Receiver
) -> None:
    member, other = cell.join(admins=2, threshold=2), cell.join()
    ledger, address = cell.ledger, Address(bytes(32), receiver.url)
    for admins in (member.admins[:1], [*other.admins, *member.admins[:1]], []):
        with cell.nothing_written(), pytest.raises(LedgerError):
            governance.subscribe(ledger, member.tenant, admins, Wanted(), address)
    claims = subscription_claims(Wanted(), 0, address.commitment)
    tokens = governed(ledger, member.admins, member.tenant.did, member.tenant.origin, claims)
    elsewhere = Address(bytes(32), receiver.url + "x")
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        subscriptions.subscribe(ledger, member.tenant, Wanted(), after=0, address=elsewhere, tokens=tokens)
    subscriptions.subscribe(ledger, member.tenant, Wanted(), after=0, address=address, tokens=tokens)
    with cell.nothing_written():  # a repeat gets the first answer
        subscriptions.subscribe(ledger, member.tenant, Wanted(), after=0, address=address, tokens=tokens)
    with cell.nothing_written(), pytest.raises(RefusedError, match="a scope has none"):
        governance.subscribe(ledger, acts.root_scope(ledger), [cell.root], Wanted(), address)


def test_a_tenant_has_so_many_at_once(cell: Cell, receiver: Receiver) -> None:
    member = cell.join()
    for _ in range(MOST_OPEN):
        subscribed(member, receiver)
    with cell.nothing_written(), pytest.raises(RefusedError, match="end one first"):
        subscribed(member, receiver)


def test_the_address_is_nowhere_in_the_clear(
    make_cell: MakeCell, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    cell = make_cell()
    member = cell.join()
    subscribed(member, receiver)
    result_of(member)
    receiver.statuses = [500]
    told: list[str] = []
    rest(deliverer(cell, told), cell)
    shown = subscription_rows(cell.ledger, member.log_id)
    assert told
    assert SECRET not in str([told, shown, cell.events(member, SubscriptionOpened), caplog.text])
    named, whole = (
        "SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'",
        SQL("SELECT t::text FROM ledger.{} AS t"),
    )
    with psycopg.connect(cell.environ["LEDGER_DATABASE_URL"]) as admin:
        for (table,) in admin.execute(named).fetchall():
            for (row,) in admin.execute(whole.format(Identifier(table))).fetchall():
                assert SECRET not in row
                assert SECRET.encode().hex() not in row


def test_an_audit_follows_deliveries_and_finds_those_that_do_not_follow(
    make_cell: MakeCell, receiver: Receiver, tmp_path: Path
) -> None:
    cell = make_cell()
    member = cell.join()
    name = subscribed(member, receiver)
    leaf = result_of(member)
    rest(deliverer(cell), cell)
    export_bundle(cell.ledger, member.log_id, tmp_path / "good", with_keys="all")
    good = verify_bundle(tmp_path / "good", log_keys=[])
    assert good.ok, good.first_error
    assert any("results delivered" in one for one in good.checked)
    assert replay_bundle(tmp_path / "good").rows[results.NAME][f"subscription/{name}"]["delivered"] == 1
    twice = ResultDelivered(subscription_id=name, cac_id="cac-0x" + "0" * 32, leaf_index=leaf, tries=1)
    cell.ledger.append([Pending(member.log_id, subscription_stream(name), 1, twice)])
    export_bundle(cell.ledger, member.log_id, tmp_path / "bad", with_keys="all")
    bad = verify_bundle(tmp_path / "bad", log_keys=[])
    assert not bad.ok
    assert "in the order of the log" in str(bad.first_error)
