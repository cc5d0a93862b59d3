"""Nodes that fall silent, are lost and return, on a ledger: whose log says what, and that work goes on."""

from pathlib import Path

import pytest

from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, NoticeRequested, RuntimeReset
from domain.nodes.events import NodeLost, NodeSuspected
from domain.nodes.telemetry import INTERVAL_MS
from domain.scheduling.silence import LOST_MS, SILENT_MS
from domain.workloads.events import WorkloadQueued
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.decider import Decider
from infrastructure.heartbeat import Heartbeat, machine_load_percent
from infrastructure.node_agent import NodeAgent
from tests.commands.cell import Cell, MakeCell
from tests.commands.driver import Driver
from tests.commands.redeciding import redecide
from tests.commands.test_telemetry import Machine


def machine_of(cell: Cell, name: str) -> Machine:
    """Return a node as one that reports telemetry."""
    return Machine(cell, name, cell.nodes[name])


def on(node: str) -> dict[str, object]:
    """Return the rule that binds a tenant to one node."""
    return {"kind": "nodes", "allowed": [node]}


def of_the_platform(cell: Cell, kind: type) -> list[object]:
    """Return the platform log's events of a kind."""
    events = (recorded.event for recorded in cell.history(cell.ledger.platform().log_id))
    return [event for event in events if isinstance(event, kind)]


def test_a_lost_nodes_execution_is_a_fault_in_its_tenants_log_alone_and_the_node_returns_with_its_report(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    cell = make_cell()
    struck, beside = cell.join(), cell.join(jurisdiction="KEN")
    struck.adopt(on("alpha"), {"kind": "notification", "recipients": ["ParentDao"]})
    beside.adopt(on("beta"))
    machine = machine_of(cell, "alpha")
    machine.tell()
    (execution,) = cell.place(struck)
    (other,) = cell.place(beside)
    driver = Driver(cell, execution)
    driver.evidence()
    driver.started()
    theirs = [stored.entry for stored in cell.ledger.recorder.every_entry(beside.log_id)]
    cell.advance(SILENT_MS)
    assert [event.reason for event in of_the_platform(cell, NodeSuspected)] == ["silent"]  # type: ignore[attr-defined]
    cell.advance(LOST_MS - SILENT_MS)
    assert len(of_the_platform(cell, NodeLost)) == 1
    (fault,) = cell.events(struck, ExecutionFaulted)
    assert (fault.kind, fault.report) == ("node_lost", None)
    assert [event.recipient for event in cell.events(struck, NoticeRequested)] == ["ParentDao"]
    assert [event.report for event in cell.events(struck, RuntimeReset)] == [None]
    assert [stored.entry for stored in cell.ledger.recorder.every_entry(beside.log_id)] == theirs
    assert driver.faulted().answer == {"accepted": False, "reason": "the execution is over"}
    acts.authorize_retry(cell.ledger, execution, struck.admins)
    cell.settle()
    assert not [live for live in cell.decider.state.live.values() if live.node == "alpha"], "nothing new on a lost node"
    machine.tell()
    cell.settle()
    (again,) = (name for name, live in cell.decider.state.live.items() if live.node == "alpha")
    Driver(cell, again).whole()
    Driver(cell, other).whole()
    for number, member in enumerate((struck, beside)):
        export_bundle(cell.ledger, member.log_id, tmp_path / str(number), with_keys="all")
        verdict = verify_bundle(tmp_path / str(number))
        assert verdict.ok, verdict.first_error
    digest = cell.decider.catch_up().digest()
    assert redecide(cell.ledger).state.digest() == Decider(cell.ledger).catch_up().digest() == digest


def test_what_has_no_inputs_yet_leaves_a_lost_node_for_another_and_the_audit_agrees(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    cell = make_cell()
    member = cell.join()
    (execution,) = cell.place(member)
    node = cell.node_of(execution)
    machine_of(cell, node).tell()
    for _ in range(int(LOST_MS / INTERVAL_MS)):
        cell.advance(INTERVAL_MS)
    assert [event.reason for event in cell.events(member, ExecutionAbandoned)] == ["node_lost"]
    assert [event.attempt for event in cell.events(member, WorkloadQueued)] == [1, 2]
    (again,) = cell.decider.state.live
    assert cell.node_of(again) != node
    Driver(cell, again).whole()
    export_bundle(cell.ledger, member.log_id, tmp_path / "all", with_keys="all")
    verdict = verify_bundle(tmp_path / "all")
    assert verdict.ok, verdict.first_error


def test_a_drained_node_returns_by_the_operators_statement(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    member.adopt(on("alpha"))
    acts.drain_node(cell.ledger, [cell.root], "alpha", "repair")
    acts.return_node(cell.ledger, [cell.root], "alpha", "repaired")
    (execution,) = cell.place(member)
    assert cell.node_of(execution) == "alpha"


def test_the_heartbeat_tells_what_the_ledger_knows_to_be_free(make_cell: MakeCell) -> None:
    cell = make_cell()
    member = cell.join()
    (execution,) = cell.place(member)
    node = cell.node_of(execution)
    agents = {name: NodeAgent(cell.ledger, wallet, cell.keeps) for name, wallet in cell.nodes.items()}
    beating = Heartbeat(agents, cell.decider.catch_up(), load_percent=lambda: 40)
    beating.beat()
    beating.beat()
    free = {name: machine_of(cell, name).told() for name in agents}
    assert {name: [event.free_slots for event in told] for name, told in free.items()} == {
        name: [7 if name == node else 8] for name in agents
    }
    assert {event.load_percent_bucket for told in free.values() for event in told} == {6}


def test_a_node_that_cannot_report_is_told_of_once_and_the_others_report(make_cell: MakeCell) -> None:
    cell = make_cell()
    agents = {name: NodeAgent(cell.ledger, wallet, cell.keeps) for name, wallet in cell.nodes.items()}
    agents["alpha"] = NodeAgent(cell.ledger, cell.wallet("stranger"), cell.keeps)
    told: list[str] = []
    with Heartbeat(agents, cell.decider.catch_up(), told.append) as beating:
        beating.beat()
    assert len(told) == 1
    assert "alpha" in told[0]
    assert machine_of(cell, "alpha").told() == []
    assert len(machine_of(cell, "beta").told()) == 1


def test_the_machines_load_is_a_percentage() -> None:
    assert 0 <= machine_load_percent() <= 100


@pytest.mark.parametrize("act", ["drain", "return"])
def test_the_operators_word_on_a_node_counts_once(make_cell: MakeCell, act: str) -> None:
    cell = make_cell()
    machine_of(cell, "alpha").tell()
    (acts.drain_node if act == "drain" else acts.return_node)(cell.ledger, [cell.root], "alpha", "why")
    cell.advance(INTERVAL_MS)
    assert machine_of(cell, "alpha").tell()["accepted"]
