"""Disputes on a real cell: from opening to a decision, and what the logs then say."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from domain.cacs.events import CacIssued, CacOverturned
from domain.disputes.decisions import NOTHING
from domain.disputes.events import AboutExecution, AboutNode, AboutSpan, DisputeReferenced
from domain.errors import ConflictError, LedgerError, NotAuthorisedError, RefusedError, UnknownError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.tenants.state import Tenant
from domain.time import DAY_MS
from infrastructure.audit.replay import replay_log
from infrastructure.client import disputes
from infrastructure.client.disputes import Speaker
from infrastructure.commands.involved import START, Involved, every, find
from infrastructure.commands.voices import load_dispute
from infrastructure.disputes import reading
from infrastructure.disputes.exporting import export_dispute
from infrastructure.ledger import Ledger
from infrastructure.notices.delivering import fetch
from infrastructure.notices.outbox import Outbox
from infrastructure.projector import Projector
from infrastructure.statements import jws
from projections import audit_trail
from tests.commands.cell import NOW, MakeCell
from tests.commands.court import about, court, executed, verified
from tests.commands.driver import Driver
from tests.commands.redeciding import redecide


def test_a_cac_is_disputed_answered_for_and_overturned(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there, member, other = court(cell), cell.join(), cell.join()
    execution, cac = executed(cell, member)
    executed(cell, other)
    operator = there.operator_of(cac)
    before = cell.entries(without=member)[other.tenant.origin]
    dispute = disputes.open_dispute(there.tenant(member), about(cac), "the river was low")
    assert [e.execution_id for e in cell.events(member, DisputeReferenced)] == [execution]
    assert {e.recipient for e in cell.events(member, NoticeRequested)} == {operator}
    with cell.nothing_written(), pytest.raises(RefusedError, match="to answer: decide afterwards"):
        disputes.decide(there.bench(), dispute, "overturned", "too soon")
    disputes.answer(there.operator(operator), dispute, "the readings were right")
    disputes.attach(there.tenant(member), dispute, "gauge", b"1871,1")
    disputes.decide(there.bench(), dispute, "overturned", "the gauge was broken")
    known = load_dispute(cell.ledger, there.scope, dispute)
    assert (known.status, known.evidence) == ("overturned", 1)
    assert cell.entries(without=member)[other.tenant.origin] == before, "no other tenant's log says anything"
    (overturned,) = cell.events(member, CacOverturned)
    (decision,) = [
        item for item in cell.history(UUID(there.scope.log_id)) if item.event.TOPIC == "dispute.overturned.v1"
    ]
    assert (overturned.scope, overturned.dispute_id, overturned.decision) == (
        there.scope.origin, dispute, decision.version,
    )  # fmt: skip
    (issued,) = cell.events(member, CacIssued)
    assert issued.cac_id == cac, "nothing is deleted"
    for log_id in (there.scope.log_id, member.log_id, cell.ledger.platform().log_id):
        found = verified(cell, log_id, tmp_path / str(log_id))
        if log_id == member.log_id:
            assert any(text.startswith("1 CACs overturned") for text in found.checked), found.checked
        if log_id == there.scope.log_id:
            assert any(text.startswith("4 disputes: each act decided again") for text in found.checked)
    cell.settle()
    cell.decider.views.flush(durable=True)
    assert redecide(cell.ledger).decisions > 0, "and every decision is made again as before"
    projector = Projector(cell.ledger)
    projector.catch_up()
    assert projector.digest(member.log_id) == replay_log(cell.ledger, member.log_id).digest
    row = projector.row(member.log_id, audit_trail.NAME, f"cac/{cac}")
    assert row is not None
    assert row["overturned"] == {"dispute": dispute, "scope": there.scope.origin, "decision": 3}


def test_a_node_is_disputed_and_each_tenant_hears_of_its_own_only(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there = court(cell)
    members = [cell.join(), cell.join(jurisdiction="KEN")]
    ran = {member.log_id: executed(cell, member) for member in members}
    cell.advance(1000)
    found = every(cell.ledger, there.scope, AboutSpan(kind="span", from_ms=0, to_ms=cell.clock.now_ms()), most=10)
    assert {one.execution_id for one in found} == {execution for execution, _ in ran.values()}
    nodes = {one.node for one in found}
    assert len(nodes) == 1, "the cell fills one node first"
    subject = AboutNode(kind="node", node=nodes.pop(), from_ms=NOW, to_ms=cell.clock.now_ms())
    dispute = disputes.open_dispute(there.bench(), subject, "the node was tampered with")
    texts = {member.log_id: json.dumps([one.event.payload() for one in cell.history(member)]) for member in members}
    for member, other in (members, members[::-1]):
        (named,) = cell.events(member, DisputeReferenced)
        assert (named.dispute_id, named.execution_id) == (dispute, ran[member.log_id][0])
        for foreign in (*ran[other.log_id], other.tenant.origin):
            assert foreign not in texts[member.log_id]
        row = reading.read_dispute(cell.ledger, member.tenant, dispute)
        told = json.dumps(row)
        assert [one["execution_id"] for one in row["affected"]] == [ran[member.log_id][0]]
        for foreign in (*ran[other.log_id], other.tenant.origin, f'"slot": {other.tenant.slot}'):
            assert foreign not in told
        assert list(reading.list_disputes(cell.ledger, member.tenant)) == [row]
    for member, code in zip(members, ("DEU", "KEN"), strict=True):
        one: dict[str, Any] = {"jurisdictions": (code,)}
        limited = find(cell.ledger, there.scope, subject, limit=9, **one)
        assert [item.execution_id for item in limited.found] == [ran[member.log_id][0]]
        seen = reading.read_dispute(cell.ledger, there.scope, dispute, **one)
        assert seen == reading.read_dispute(cell.ledger, member.tenant, dispute)
        assert list(reading.list_disputes(cell.ledger, there.scope, **one)) == [seen]
        with cell.nothing_written(), pytest.raises(UnknownError, match=NOTHING):
            export_dispute(cell.ledger, there.scope, dispute, tmp_path / code, **one)
    with pytest.raises(UnknownError, match=NOTHING):
        find(cell.ledger, there.scope, about(ran[members[0].log_id][1]), limit=1, jurisdictions=("KEN",))
    assert list(reading.list_disputes(cell.ledger, there.scope, jurisdictions=("FRA",))) == []
    cell.advance(14 * DAY_MS)
    spared, overturned = (ran[member.log_id][1] for member in members)
    disputes.decide(there.bench(), dispute, "overturned", "one of them", cacs=[overturned])
    assert cell.events(members[0], CacOverturned) == []
    assert [one.cac_id for one in cell.events(members[1], CacOverturned)] == [overturned]
    row = reading.read_dispute(cell.ledger, members[0].tenant, dispute)
    assert (row["status"], row["overturned"]) == ("overturned", [])
    for again, text in ((overturned, "overturned already"), (spared, None)):
        if text is None:
            assert disputes.open_dispute(there.bench(), about(again), "again")
        else:
            with cell.nothing_written(), pytest.raises(ConflictError, match=text):
                disputes.open_dispute(there.bench(), about(again), "again")


STRANGER = "no key enrolled for ledger-governance+jwt has the thumbprint "


def test_a_scope_sees_and_decides_what_lies_below_it_only(make_cell: MakeCell) -> None:
    cell = make_cell()
    there = court(cell)
    land, sea = there.below("Land"), there.below("Sea")
    inland = land.join()
    outside = cell.join()
    execution, cac = executed(cell, inland)
    foreign, _ = executed(cell, outside)
    cell.advance(1)
    everything = AboutSpan(kind="span", from_ms=0, to_ms=cell.clock.now_ms())
    assert [one.execution_id for one in every(cell.ledger, land.scope, everything, most=9)] == [execution]
    assert every(cell.ledger, sea.scope, everything, most=9) == ()
    assert len(every(cell.ledger, there.scope, everything, most=9)) == 2
    assert [one.execution_id for one in every(cell.ledger, inland.tenant, everything, most=9)] == [execution]
    for bench, subject in (
        (sea.bench(), about(cac)), (land.bench(), AboutExecution(kind="execution", execution_id=foreign)),
        (there.tenant(inland, before=sea), about(cac)),
    ):  # fmt: skip
        with cell.nothing_written(), pytest.raises(LedgerError) as caught:
            disputes.open_dispute(bench, subject, "not mine")
        assert str(caught.value) == NOTHING or str(caught.value).startswith(STRANGER), caught.value
    dispute = disputes.open_dispute(there.tenant(inland, before=land), about(cac), "mine")
    assert reading.scope_of(cell.ledger, dispute).log_id == land.scope.log_id
    for asker in (sea.scope, there.scope, outside.tenant):
        with pytest.raises(UnknownError) as unknown:
            reading.read_dispute(cell.ledger, asker, dispute)
        assert str(unknown.value) == NOTHING
    cell.advance(14 * DAY_MS)
    with cell.nothing_written(), pytest.raises(NotAuthorisedError):
        disputes.decide(Speaker(cell.ledger, land.scope, sea.judges), dispute, "upheld", "not mine")
    with cell.nothing_written(), pytest.raises(UnknownError, match=NOTHING):
        disputes.decide(sea.bench(), dispute, "upheld", "not mine")
    disputes.decide(land.bench(), dispute, "upheld", "it stands")
    assert cell.events(inland, CacOverturned) == []


def test_who_is_told_hears_of_every_step_once(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    there, member = court(cell), cell.join()
    member.adopt({"kind": "notification", "recipients": ["Monitor"]})
    there.adopt({"rules": [{"kind": "dispute_resolution", "recipients": ["Bureau"]}]})
    (execution,) = cell.place(member)
    driver = Driver(cell, execution).fail()
    dispute = disputes.open_dispute(
        there.tenant(member), AboutExecution(kind="execution", execution_id=driver.execution), "it did not fail"
    )
    operator = next(iter(load_dispute(cell.ledger, there.scope, dispute).opened.affected)).operator
    disputes.withdraw(there.tenant(member), dispute, "it did")
    outbox = Outbox(cell.ledger, tmp_path / "notices")
    for recipient, kinds in (
        ("Monitor", ["trap", "dispute_opened", "dispute_withdrawn"]),
        ("Bureau", ["dispute_opened", "dispute_withdrawn"]),
        (operator, ["dispute_opened", "dispute_withdrawn"]),
    ):  # fmt: skip
        handed: list[Any] = []
        fetch(outbox, recipient, handed.append)
        said = [jws.peek(token)[1] for _, token in handed[0]]
        assert [one["kind"] for one in said][-2:] == kinds[-2:]
        assert len(said) == len(kinds)
        assert len({one["jti"] for one in said}) == len(kinds)
        assert all(one["dispute"] == dispute for one in said if one["act"] == "notify_dispute")
        assert fetch(outbox, recipient, lambda _: None) == []
    delivered = [(one.recipient, one.kind, one.dispute) for one in cell.events(member, NoticeDelivered)]
    assert len(delivered) == len(set(delivered)) == 7
    verified(cell, member.log_id, tmp_path / "member")


def test_pages_are_bounded_and_together_are_everything(make_cell: MakeCell) -> None:
    cell = make_cell()
    there = court(cell)
    members = [cell.join() for _ in range(3)]
    ran = [cell.place(member)[0] for member in members for _ in range(2)]
    cell.advance(1)
    subject = AboutSpan(kind="span", from_ms=0, to_ms=cell.clock.now_ms())
    whole = find(cell.ledger, there.scope, subject, limit=100)
    assert {one.execution_id for one in whole.found} == set(ran)
    assert whole.after is None
    assert [(one.slot, one.leaf_index) for one in whole.found] == sorted((o.slot, o.leaf_index) for o in whole.found)
    for limit in (1, 2, 5):
        found: list[Involved] = []
        after = START
        while True:
            page = find(cell.ledger, there.scope, subject, limit=limit, after=after)
            assert len(page.found) <= limit
            found += page.found
            if page.after is None:
                break
            after = page.after
        assert tuple(found) == whole.found
    assert every(cell.ledger, there.scope, subject, most=3)[:3] == whole.found[:3]
    none = AboutSpan(kind="span", from_ms=0, to_ms=NOW - 1)
    assert find(cell.ledger, there.scope, none, limit=1).found == ()


def test_disputes_are_read_in_pages_that_look_at_so_many(make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = make_cell()
    there, member, other = court(cell), cell.join(), cell.join()
    mine = [executed(cell, member)[1] for _ in range(2)]
    theirs = executed(cell, other)[1]
    opened = []
    for cac in (*mine, theirs, mine[0]):
        opened.append(disputes.open_dispute(there.bench(), about(cac), "wrong"))
        cell.advance(1)
    disputes.withdraw(there.bench(), opened[1], "settled")
    asked: list[str] = []
    scope_of = reading.scope_of

    def counting(ledger: Ledger, dispute_id: str) -> Tenant:
        asked.append(dispute_id)
        return scope_of(ledger, dispute_id)

    monkeypatch.setattr(reading, "scope_of", counting)

    def pages(asker: Tenant, **options: Any) -> list[list[str]]:
        found: list[list[str]] = []
        after: reading.Place | None = reading.START
        while after is not None:
            rows, after = reading.page_of_disputes(cell.ledger, asker, after=after, **options)
            found.append([row["dispute"] for row in rows])
        return found

    assert pages(there.scope, limit=2) == [opened[:2], opened[2:]]
    assert pages(there.scope, limit=3) == [opened[:3], opened[3:]]
    assert pages(member.tenant, limit=9) == [[opened[0], opened[1], opened[3]]]
    assert pages(there.scope, limit=9, status="withdrawn") == [[opened[1]]]
    asked.clear()
    reading.page_of_disputes(cell.ledger, there.scope, limit=1)
    assert asked == opened[:1], "a page reads what is on it"
    monkeypatch.setattr(reading, "MOST_LOOKED", 2)
    assert pages(there.scope, limit=9, status="withdrawn") == [[opened[1]], [], []]
    assert [name for page in pages(there.scope, limit=9) for name in page] == opened
