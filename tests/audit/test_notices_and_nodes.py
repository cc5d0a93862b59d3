"""What an auditor finds of notices in a tenant's log, and of nodes' telemetry in the platform log."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from domain.errors import MalformedError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.identifiers import clause_stream, node_stream, stream_of, telemetry_stream
from domain.message import Pending
from domain.nodes.events import NodeReturned, NodeSuspected, TelemetryReported
from infrastructure.audit.disclosure import KEYS
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.client import acts
from infrastructure.commands.telemetry import load_reported
from tests.audit.past import Past, refused
from tests.commands.cell import FLOOD, MakeCell
from tests.commands.conftest import make_cell
from tests.commands.test_telemetry import Machine

__all__ = ["make_cell"]


def told(past: Past, run: str, **changed: str) -> NoticeDelivered:
    """Return that the court was told of a run's fault, or something else."""
    requested = past.of("notice.requested.v1", execution_id=past.runs[run]).event
    assert isinstance(requested, NoticeRequested)
    event = NoticeDelivered(
        execution_id=requested.execution_id, recipient=requested.recipient, kind=requested.kind, how="fetched", tries=1
    )
    return event.model_copy(update=changed)


@pytest.mark.parametrize("run", ["held", "refused", "again"])
def test_a_notice_that_was_requested_is_delivered_once_also_after_the_end(past: Past, tmp_path: Path, run: str) -> None:
    stream, event = stream_of(past.runs[run]), told(past, run)
    verdict = past.verdict(tmp_path / "once", past.then((stream, event)))
    assert verdict.ok, verdict.first_error
    assert "1 notices delivered: requested before, once" in verdict.checked
    twice = past.then((stream, event), (stream, event))
    refused(past.verdict(tmp_path / "twice", twice), "delivered in entry", entry=len(past.entries) + 1)


@pytest.mark.parametrize(("run", "changed"), [
    ("held", {"recipient": "press"}), ("refused", {"recipient": "press"}), ("held", {"kind": "fuel"}),
])  # fmt: skip
def test_a_notice_that_was_not_requested_is_found(
    past: Past, tmp_path: Path, run: str, changed: dict[str, str]
) -> None:
    entries = past.then((stream_of(past.runs[run]), told(past, run, **changed)))
    refused(past.verdict(tmp_path / "forged", entries), "not requested", entry=len(past.entries))


def test_a_notice_of_no_fault_or_of_another_kind_of_fault_is_found(early: Past, tmp_path: Path) -> None:
    requested = early.of("notice.requested.v1", execution_id=early.runs["held"])
    refused(early.verdict(tmp_path / "kind", early.altered(requested, kind="fuel")), "no fault of that kind")
    again = early.then((requested.stream_id, requested.event))
    refused(early.verdict(tmp_path / "twice", again), "requested in entry", entry=len(early.entries))


def test_telemetry_in_the_platform_log_is_verified_as_a_chain_by_each_nodes_own_key(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    cell = make_cell()
    machine = Machine(cell, "alpha", cell.nodes["alpha"])
    for _ in range(3):
        assert machine.tell()["accepted"]
        cell.advance(20_000)
    cell.advance(20_000)
    acts.drain_node(cell.ledger, [cell.root], "alpha", "repair")
    acts.return_node(cell.ledger, [cell.root], "alpha", "repaired")
    platform = cell.ledger.platform().log_id
    kinds = {type(recorded.event) for recorded in cell.history(platform)}
    assert {TelemetryReported, NodeSuspected, NodeReturned} <= kinds
    export_bundle(cell.ledger, platform, tmp_path / "platform", with_keys="all")
    verdict = verify_bundle(tmp_path / "platform")
    assert verdict.ok, verdict.first_error
    newest = load_reported(cell.ledger, "alpha")
    assert newest.newest is not None
    forged = newest.newest.model_copy(update={"free_slots": 1})
    cell.ledger.append([Pending(platform, telemetry_stream("alpha"), newest.version + 1, forged)])
    export_bundle(cell.ledger, platform, tmp_path / "forged", with_keys="all")
    refused(verify_bundle(tmp_path / "forged"))


def disclosed_by(directory: Path) -> list[UUID]:
    """Verify a bundle; return the streams that were disclosed."""
    verdict = verify_bundle(directory)
    assert verdict.ok, verdict.first_error
    return [UUID(row["stream"]) for row in json.loads((directory / KEYS).read_bytes())["streams"]]


def test_who_may_read_clauses_and_nodes_learns_nothing_of_anybodys_load(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    alpha, beta = (Machine(cell, name, cell.nodes[name]) for name in ("alpha", "beta"))
    alpha.tell()
    cell.advance(60_000)
    acts.drain_node(cell.ledger, [cell.root], "alpha", "repair")
    beta.told_before()
    platform = cell.ledger.platform().log_id
    export_bundle(cell.ledger, platform, tmp_path / "public", with_keys="public")
    disclosed = disclosed_by(tmp_path / "public")
    assert sorted(disclosed) == sorted([clause_stream(FLOOD), node_stream("alpha"), node_stream("gamma")])
    with pytest.raises(MalformedError, match="only the platform"):
        export_bundle(cell.ledger, cell.owner.log_id, tmp_path / "tenant", with_keys="public")


def test_telemetry_of_an_earlier_release_verifies_and_none_comes_after_it_moved(
    make_cell: MakeCell, tmp_path: Path
) -> None:
    cell = make_cell()
    machine = Machine(cell, "alpha", cell.nodes["alpha"])
    machine.told_before()
    cell.advance(20_000)
    machine.tell()
    cell.advance(20_000)
    platform = cell.ledger.platform().log_id
    export_bundle(cell.ledger, platform, tmp_path / "moved", with_keys="all")
    verdict = verify_bundle(tmp_path / "moved")
    assert verdict.ok, verdict.first_error
    machine.told_before()
    export_bundle(cell.ledger, platform, tmp_path / "back", with_keys="all")
    refused(verify_bundle(tmp_path / "back"), "another stream than its ids name")


def test_telemetry_without_its_nodes_stream_is_counted_as_not_checked(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    Machine(cell, "alpha", cell.nodes["alpha"]).tell()
    platform = cell.ledger.platform().log_id
    export_bundle(cell.ledger, platform, tmp_path / "alone", with_keys=str(telemetry_stream("alpha")))
    verdict = verify_bundle(tmp_path / "alone")
    assert verdict.ok, verdict.first_error
    assert "1 telemetry: the node's stream was not disclosed" in verdict.not_checked


def test_telemetry_of_a_node_that_nobody_enrolled_is_found(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    machine = Machine(cell, "alpha", cell.nodes["alpha"])
    machine.tell()
    (event,) = machine.told()
    forged = event.model_copy(update={"node": "delta"})
    platform = cell.ledger.platform().log_id
    cell.ledger.append([Pending(platform, telemetry_stream("delta"), 0, forged)])
    export_bundle(cell.ledger, platform, tmp_path / "forged", with_keys="all")
    refused(verify_bundle(tmp_path / "forged"), "enrolment is not in the log before it")


@pytest.mark.parametrize(("run", "topic"), [("done", "execution.completed.v1"), ("held", "execution.faulted.v1")])
def test_the_time_that_a_run_took_is_in_a_bucket_and_what_the_first_release_recorded_without_it_verifies(
    early: Past, tmp_path: Path, run: str, topic: str
) -> None:
    ended = early.of(topic, execution_id=early.runs[run])
    assert ended.event.payload()["wall_bucket"] == 3
    refused(early.verdict(tmp_path / "wrong", early.altered(ended, wall_bucket=4)), "not what its report says")
    if topic == "execution.faulted.v1":  # a CAC names the leaf hash of no fault
        last = early.until(ended)
        verdict = last.verdict(tmp_path / "first release", last.altered(ended, wall_bucket=None))
        assert verdict.ok, verdict.first_error
