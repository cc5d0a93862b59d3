"""Traces that a hostile operator made: what nobody decided counts as such, and nothing breaks a checker."""

from hashlib import sha256
from typing import Any

import pytest

from domain.errors import VerificationError
from domain.executions.events import ExecutionAbandoned, RuntimeReset
from domain.identifiers import DECIDER_STREAM
from domain.message import Event
from domain.scheduling.state import Scheduling
from domain.scheduling.views import View, as_version_1, view_bytes
from domain.transparency.anchors import AnchorEntry
from domain.transparency.traces import CLOSING_LEAF, Kind, TraceTree, order_value, root_of_cells, trace_value
from domain.workloads.events import NODE_FAILURES as FAILED
from domain.workloads.events import WorkloadCancelled, WorkloadDenied, WorkloadExpired, WorkloadPlaced, WorkloadQueued
from infrastructure.conform.checking import Checker, Report
from infrastructure.conform.own import nobody_elses
from infrastructure.redeciding.views import kept_view
from infrastructure.tracing.lines import Line, TracedRound
from tests.domain import samples
from tests.domain.cell import Cell, log_of
from tests.domain.samples import node

SALT = bytes(32)
ENGINE = samples.ENGINE


def placed() -> Cell:
    """Return a cell in which something was queued and placed."""
    cell = Cell().begin()
    cell.join(node("n1"))
    cell.on(11, samples.queued().workload_id, samples.queued(not_after_ms=cell.clock_ms + 10**6))
    cell.settle()
    assert [view["kind"] for view in cell.views[-2:]] == ["placed", "reserved"]
    return cell


def round_of(views: list[View], closing: str, returned: set[int] | None = None) -> TracedRound:
    """Return the first round, with an entry in the anchor log that commits to these views and no decision."""
    lines = [
        Line(
            at, at in (returned or set()), SALT, SALT, Kind.DECISION if view["kind"] == "decided" else Kind.INPUT,
            sha256(b"%d" % at).digest(), view_bytes(view),
        )
        for at, view in enumerate(views, start=1)
    ]  # fmt: skip
    lines.append(Line(len(views), False, SALT, SALT, Kind.CLOSING, CLOSING_LEAF, bytes.fromhex(closing)))  # noqa: FBT003
    values = [
        trace_value(SALT, line.kind, line.leaf_hash, line.view_digest, order_value(SALT, 0, place))
        for place, line in enumerate(lines)
    ]
    entry = AnchorEntry(0, 64, bytes(32), root_of_cells([TraceTree(values, SALT).root]))
    return TracedRound(entry, 0, len(views), SALT, lines)


def batch(views: list[View]) -> View:
    """Return a batch without decisions that folds together all that came before it."""
    rests_on = {"together": len(views), "position": len(views), "decisions": 0, "epoch": 1, "engine": ENGINE}
    return platform_view(views, str(DECIDER_STREAM), {"kind": "decided", **rests_on})


def platform_view(views: list[View], stream: str, members: dict[str, Any]) -> View:
    leaf = sum(view["slot"] == 0 for view in views)
    return {"v": 1, "slot": 0, "stream": stream, "version": 0, "leaf": leaf, "at_ms": samples.NOW, **members}


def checked(views: list[View], closing: str, returned: set[int] | None = None) -> Report:
    checker = Checker(ENGINE)
    checker.check(round_of(views, closing, returned))
    return checker.report


def test_decisions_that_are_called_brought_back_without_a_batch_are_not_called_checked() -> None:
    views, state = placed().views, Scheduling()
    for view in views:
        state.fold(view)
    forged = {at for at, view in enumerate(views, start=1) if view["kind"] in {"placed", "reserved"}}
    with pytest.raises(VerificationError, match="nobody decided it"):
        checked([*views, batch(views)], state.digest())
    report = checked([*views, batch(views)], state.digest(), forged)
    assert (report.returned, report.complete) == (2, False)


@pytest.mark.parametrize(
    "members",
    [
        {"kind": "quota", "number": 1, "slots": None, "memory_bytes": None, "weight": 0},
        {"kind": "telemetry", "node": "n1", "free_slots": 1, "free_memory_bucket": 2**52, "load_percent_bucket": 0},
        {"kind": "levels", "domains": 7},
        {"kind": "suspected", "node": [], "reason": "silent"},
        {"kind": "node", "facts": []},
    ],
)
def test_a_view_whose_members_no_event_has_breaks_the_check_and_not_the_checker(members: dict[str, Any]) -> None:
    views = placed().views[:3]
    views.append(platform_view(views, str(log_of(0)), members))
    with pytest.raises(VerificationError, match="round 0: "):
        checked([*views, batch(views)], "00" * 32)


def ended(event: Event, version: int = 2) -> tuple[list[View], str]:
    """Return the views of a cell in which somebody appended that a waiting workload ended, and its state."""
    cell = Cell().begin()
    cell.on(11, samples.queued().workload_id, samples.queued(not_after_ms=cell.clock_ms + 10**6), event)
    views = [kept_view(stored, slot) for slot, stored in cell.feed]
    views = [as_version_1(view) if version == 1 else view for view in views]
    return [*views, batch(views)], cell.state.digest()


DENIED = samples.denied(workload_id=samples.queued().workload_id, gate="queue")
EXPIRED = WorkloadExpired(
    workload_id=samples.queued().workload_id, engine=ENGINE, policy_version=0, policy_digest="00" * 32, seen=0, tick=0
)
CANCELLED = WorkloadCancelled(workload_id=samples.queued().workload_id, statement="s")


@pytest.mark.parametrize("event", [DENIED, EXPIRED, DENIED.model_copy(update={"gate": "provisioning", "rule": FAILED})])
@pytest.mark.parametrize("version", [1, 2])
def test_a_denial_or_expiry_that_no_batch_holds_is_nobodys(event: Event, version: int) -> None:
    views, state = ended(event, version)
    with pytest.raises(VerificationError, match=r"slot 11, entry 1 \(ended, .* is in no batch: nobody decided it"):
        checked(views, state)


@pytest.mark.parametrize("event", [CANCELLED, DENIED.model_copy(update={"gate": "provisioning"})])
def test_a_cancellation_or_another_gates_denial_is_an_input(event: Event) -> None:
    report = checked(*ended(event))
    assert (report.complete, report.redecided) == (True, 0)


@pytest.mark.parametrize(
    ("event", "named"),
    [
        (ExecutionAbandoned(execution_id="exec-0x" + "0" * 32, reason="reservation_expired"), "abandoned"),
        (ExecutionAbandoned(execution_id="exec-0x" + "0" * 32, reason="node_lost"), "abandoned"),
        (RuntimeReset(execution_id="exec-0x" + "0" * 32, report=None), "freed"),
    ],
)
def test_an_execution_that_only_a_decider_can_end_so_is_nobodys_outside_of_a_batch(event: Event, named: str) -> None:
    with pytest.raises(VerificationError, match=f"{named}, .* is in no batch: nobody decided it"):
        checked(*ended(event))


def test_what_a_node_or_gate_ends_is_an_input() -> None:
    for event in (
        ExecutionAbandoned(execution_id="exec-0x" + "0" * 32, reason="evidence_refused"),
        RuntimeReset(execution_id="exec-0x" + "0" * 32, report="r"),
    ):
        assert checked(*ended(event)).complete


def test_what_only_a_decider_makes_is_known_by_its_event() -> None:
    denied = samples.SAMPLES_BY_TOPIC[WorkloadDenied.TOPIC]
    assert not nobody_elses(CANCELLED)
    assert nobody_elses(EXPIRED)
    assert nobody_elses(samples.SAMPLES_BY_TOPIC[WorkloadPlaced.TOPIC])
    assert nobody_elses(denied.model_copy(update={"gate": "queue"}))
    assert not nobody_elses(denied.model_copy(update={"gate": "provisioning"}))
    assert not nobody_elses(samples.SAMPLES_BY_TOPIC[WorkloadQueued.TOPIC])
