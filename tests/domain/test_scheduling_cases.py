"""Single lives of the scheduler, each a thing that went wrong once or is promised by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from domain.bounds import MEBIBYTE, Bounds
from domain.cacs import events as cacs
from domain.cacs.events import QuorumFailed
from domain.canonical import parse_canonical
from domain.errors import MalformedError
from domain.executions.events import (
    ExecutionAbandoned,
    ExecutionFaulted,
    ExecutionReserved,
    NoticeRequested,
    RuntimeReset,
)
from domain.identifiers import execution_id, node_stream, uuid7, workload_id
from domain.message import Event
from domain.nodes.events import NodeReturned
from domain.policies.kinds import (
    InCountry,
    IndependentAttestations,
    NoColocation,
    Nodes,
    Notification,
    Operators,
    Overflow,
    Policy,
    Rule,
    Validity,
)
from domain.scheduling import workings
from domain.scheduling.decide import MAX_FAILURES, SETUP_MS
from domain.scheduling.state import Scheduling
from domain.scheduling.views import as_version_1, newest_version, view_bytes, view_of
from domain.workloads.events import (
    OverflowOffered,
    WorkloadCancelled,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadExpired,
    WorkloadPlaced,
    WorkloadQueued,
)
from tests.domain import samples
from tests.domain.cell import PLATFORM, Cell
from tests.domain.samples import facts, node

A, B = 11, 12
WALL = samples.BOUNDS.wall_ms
WINDOW = WALL + SETUP_MS
TWO = IndependentAttestations(kind="independent_attestations", count=2)


def name(number: int) -> str:
    return workload_id(uuid7(samples.NOW, number))


def submit(cell: Cell, number: int, slot: int = A, *rules: Rule, settle: bool = True, **changes: object) -> str:
    """Queue a workload."""
    patience = changes.pop("patience_ms", 10 * WINDOW)
    assert isinstance(patience, int)
    queued = samples.queued(
        workload_id=name(number), facts=facts(**changes), clause_rules=rules, not_after_ms=cell.clock_ms + patience
    )
    cell.on(slot, name(number), queued)
    if settle:
        cell.settle()
    return name(number)


def cell_with(*nodes: object) -> Cell:
    cell = Cell().begin()
    for some in nodes or (node("n1", slots=1), node("n2", slots=1, country="FRA", vendor="intel")):
        cell.join(some)  # type: ignore[arg-type]  # nodes
    cell.settle()
    return cell


def of(cell: Cell, kind: type[Event], slot: int = A) -> list[Event]:
    return [event for event in cell.events_of(slot) if type(event) is kind]


def living(cell: Cell, workload: str) -> list[str]:
    return [execution for execution, live in cell.state.live.items() if live.queued.workload_id == workload]


def end(cell: Cell, execution: str, *, fails: bool = False, slot: int = A, reset: bool = True) -> None:
    """Let an execution get its inputs, end and be reset."""
    ended = samples.fault(execution_id=execution) if fails else samples.completed(execution_id=execution)
    cell.on(slot, execution, samples.released(execution_id=execution), ended)
    if reset:
        cell.on(slot, execution, RuntimeReset(execution_id=execution, report="r"))
    cell.settle()


def test_a_place_that_falls_free_goes_to_who_waits_though_other_entries_follow_the_reset() -> None:
    cell = cell_with(node("n1", slots=1))
    first, second = submit(cell, 1), submit(cell, 2)
    assert len(of(cell, WorkloadDeferred)) == 1
    (execution,) = living(cell, first)
    cell.on(
        A, execution, samples.released(execution_id=execution), samples.completed(execution_id=execution),
        RuntimeReset(execution_id=execution, report="r"),
        cacs.UsageMetered(execution_id=execution, slot_ms=1, memory_mib_ms=1, fuel=1),
    )  # fmt: skip
    cell.settle()
    assert living(cell, second)


def test_one_input_places_everybody_who_has_a_place() -> None:
    cell = Cell().begin()
    waiting = [submit(cell, number) for number in range(4)]
    cell.join(node("n1", slots=3))
    cell.settle()
    assert [bool(living(cell, workload)) for workload in waiting] == [True, True, True, False]


def test_without_any_node_a_workload_waits_and_is_told_so_once() -> None:
    cell = Cell().begin()
    submit(cell, 1)
    submit(cell, 2)
    (deferral,) = of(cell, WorkloadDeferred)
    assert isinstance(deferral, WorkloadDeferred)
    assert (deferral.nodes, deferral.filtered, deferral.place, deferral.reason) == (0, (), 1, "no_node_now")


def test_a_denial_names_the_rule_that_excludes_most_nodes_with_counts() -> None:
    cell = cell_with(node("n1", country="FRA"), node("n2", country="FRA", operator="bad"), node("n3", operator="bad"))
    submit(cell, 1, A, InCountry(kind="in_country"), Operators(kind="operators", forbidden=("bad",)))
    (denial,) = of(cell, WorkloadDenied)
    assert isinstance(denial, WorkloadDenied)
    assert (denial.gate, denial.rule, denial.have, denial.need) == ("queue", "in_country", "FRA", "one of DEU")
    assert denial.reason == "in_country: have FRA, need one of DEU"
    assert {item.rule: item.nodes for item in denial.filtered} == {"in_country": 2, "operators": 2}
    assert denial.nodes == 3


def test_too_few_independent_nodes_deny_by_that_rule() -> None:
    cell = cell_with(node("n1", operator="o"), node("n2", operator="o"))
    submit(cell, 1, A, TWO)
    (denial,) = of(cell, WorkloadDenied)
    assert isinstance(denial, WorkloadDenied)
    assert (denial.rule, denial.have) == ("independent_attestations", "2 nodes")
    assert denial.need == "2 nodes distinct in operator, platform"


def test_outside_its_validity_a_workload_is_denied_for_itself() -> None:
    cell = cell_with()
    submit(cell, 1, A, Validity(kind="validity", from_ms=0, until_ms=5))
    (denial,) = of(cell, WorkloadDenied)
    assert isinstance(denial, WorkloadDenied)
    assert (denial.rule, denial.nodes) == ("validity", 0)


def test_several_enclaves_get_their_places_all_or_none() -> None:
    cell = cell_with()
    first, second = submit(cell, 1), submit(cell, 2, A, TWO)
    assert living(cell, second) == []
    end(cell, living(cell, first)[0])
    (placed,) = [e for e in of(cell, WorkloadPlaced) if isinstance(e, WorkloadPlaced) and e.workload_id == second]
    assert isinstance(placed, WorkloadPlaced)
    assert {place.node for place in placed.places} == {"n1", "n2"}
    assert [place.k for place in placed.places] == [0, 1]
    assert {place.output_address for place in placed.places} == {
        f"{samples.HOST}/t/{A}/cac/{place.cac_id}" for place in placed.places
    }


def test_the_tightest_node_wins_then_the_one_enrolled_first() -> None:
    roomy, tight = node("n1", slots=3), node("n3", slots=2)
    cell = cell_with(roomy, tight, node("n2", slots=2))
    submit(cell, 1)
    submit(cell, 2)
    (first, second) = of(cell, ExecutionReserved)
    assert isinstance(first, ExecutionReserved)
    assert isinstance(second, ExecutionReserved)
    assert (first.node, second.node) == ("n3", "n3")


def test_a_reservation_says_its_window_and_a_missed_one_is_placed_again_at_most_three_times() -> None:
    cell = cell_with(node("n1", slots=1))
    workload = submit(cell, 1, patience_ms=100 * WINDOW)
    (reserved,) = of(cell, ExecutionReserved)
    assert isinstance(reserved, ExecutionReserved)
    assert (reserved.from_ms, reserved.until_ms) == (cell.clock_ms, cell.clock_ms + WINDOW)
    cell.advance(MAX_FAILURES * WINDOW)
    attempts = [e.attempt for e in of(cell, WorkloadPlaced) if isinstance(e, WorkloadPlaced)]
    assert attempts == [1, 2, 3]
    assert [e.reason for e in of(cell, ExecutionAbandoned) if isinstance(e, ExecutionAbandoned)] == [
        "reservation_expired"
    ] * MAX_FAILURES
    assert not of(cell, WorkloadDenied)
    (fault,) = of(cell, ExecutionFaulted)
    assert isinstance(fault, ExecutionFaulted)
    last = execution_id(cell.state.origin(A), workload, MAX_FAILURES, 0)
    assert (fault.execution_id, fault.kind, fault.report) == (last, "node_lost", None)
    assert (cell.state.again, cell.state.failures, cell.state.held) == ({}, {}, set())


def test_who_is_held_for_node_failures_runs_again_when_governance_says_so_and_fails_three_times_again() -> None:
    cell = cell_with(node("n1", slots=1))
    told = Notification(kind="notification", recipients=("ParentDao",))
    workload = submit(cell, 1, A, told, patience_ms=100 * WINDOW)
    cell.advance(MAX_FAILURES * WINDOW)
    (notice,) = of(cell, NoticeRequested)
    assert isinstance(notice, NoticeRequested)
    (fault,) = of(cell, ExecutionFaulted)
    assert isinstance(fault, ExecutionFaulted)
    assert (notice.execution_id, notice.recipient, notice.kind) == (fault.execution_id, "ParentDao", "node_lost")
    queued = next(e for e in of(cell, WorkloadQueued) if isinstance(e, WorkloadQueued))
    again = {"attempt": MAX_FAILURES + 1, "not_after_ms": cell.clock_ms + 100 * WINDOW}
    cell.on(A, workload, queued.model_copy(update=again))
    cell.settle()
    assert living(cell, workload)
    cell.advance(MAX_FAILURES * WINDOW)
    assert len(of(cell, ExecutionFaulted)) == 2
    assert len(of(cell, ExecutionAbandoned)) == 2 * MAX_FAILURES
    assert not living(cell, workload)


def test_who_fails_for_its_nodes_is_held_also_when_many_others_ended_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workings, "PAST", 8)
    cell = cell_with(node("n1", slots=20))
    many = [submit(cell, number, patience_ms=100 * WINDOW) for number in range(20)]
    for _ in range(MAX_FAILURES):
        for workload in many:
            (execution,) = living(cell, workload)
            cell.on(A, execution, ExecutionAbandoned(execution_id=execution, reason="evidence_refused"))
        cell.settle()
    assert len(of(cell, ExecutionFaulted)) == len(many)
    assert len(cell.state.past) <= 8
    assert len(cell.state.versions) < 20


def test_an_attempt_of_several_enclaves_that_all_fail_counts_once() -> None:
    cell = cell_with()
    submit(cell, 1, A, TWO, patience_ms=100 * WINDOW)
    cell.advance(WINDOW)
    assert [e.attempt for e in of(cell, WorkloadPlaced) if isinstance(e, WorkloadPlaced)] == [1, 2]
    cell.advance(WINDOW)
    assert [e.attempt for e in of(cell, WorkloadPlaced) if isinstance(e, WorkloadPlaced)] == [1, 2, 3]


def test_evidence_refused_gives_up_the_partners_that_have_no_inputs_yet() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    cell.on(A, first, ExecutionAbandoned(execution_id=first, reason="evidence_refused"))
    cell.settle()
    ended = {e.execution_id: e.reason for e in of(cell, ExecutionAbandoned) if isinstance(e, ExecutionAbandoned)}
    assert ended == {first: "evidence_refused", second: "workload_ended"}
    assert cell.state.live[living(cell, workload)[0]].queued.attempt == 2


def test_a_cancelled_workload_is_not_brought_back_by_its_reservation_expiring() -> None:
    cell = cell_with()
    workload = submit(cell, 1)
    cell.clock_ms += WINDOW + 1
    cell.on(A, workload, WorkloadCancelled(workload_id=workload, statement="s"))
    cell.settle()
    assert not cell.state.waiting
    assert not cell.state.live
    assert len(of(cell, WorkloadQueued)) == 1


def test_a_fault_holds_the_workload_until_governance_queues_it_again() -> None:
    cell = cell_with()
    workload = submit(cell, 1)
    (execution,) = living(cell, workload)
    end(cell, execution, fails=True)
    cell.advance(5 * WINDOW)
    assert not cell.state.waiting
    assert len(of(cell, WorkloadPlaced)) == 1
    cell.on(A, execution, samples.authorized(execution_id=execution, workload_id=workload))
    cell.on(A, workload, samples.queued(workload_id=workload, attempt=2, not_after_ms=cell.clock_ms + WINDOW))
    cell.settle()
    assert cell.state.live[living(cell, workload)[0]].queued.attempt == 2


def test_a_fault_of_one_enclave_keeps_its_partners_from_bringing_the_attempt_back() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    end(cell, first, fails=True)
    cell.on(A, second, ExecutionAbandoned(execution_id=second, reason="evidence_refused"))
    cell.settle()
    assert len(of(cell, WorkloadQueued)) == 1
    assert not cell.state.live


def test_a_partner_of_an_earlier_attempt_does_not_bring_that_attempt_back() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    end(cell, first, fails=True)
    again = samples.queued(
        workload_id=workload, attempt=2, clause_rules=(TWO,), not_after_ms=cell.clock_ms + 9 * WINDOW
    )
    cell.on(A, workload, again)
    cell.settle()
    given_up = [e.execution_id for e in of(cell, ExecutionAbandoned) if isinstance(e, ExecutionAbandoned)]
    assert given_up == [second]
    assert {cell.state.live[execution].queued.attempt for execution in living(cell, workload)} == {2}
    ids = [e.execution_id for e in of(cell, ExecutionReserved) if isinstance(e, ExecutionReserved)]
    assert len(ids) == len(set(ids)) == 4


def test_inputs_released_while_its_workload_ended_are_not_called_abandoned() -> None:
    cell = cell_with()
    workload = submit(cell, 1)
    (execution,) = living(cell, workload)
    cell.on(A, workload, WorkloadCancelled(workload_id=workload, statement="s"))
    cell.on(A, execution, samples.released(execution_id=execution))
    cell.settle()
    assert of(cell, ExecutionAbandoned) == []
    cell.advance(WINDOW)
    (lost,) = of(cell, ExecutionFaulted)
    assert isinstance(lost, ExecutionFaulted)
    assert (lost.kind, lost.report) == ("node_lost", None)


def test_a_node_that_never_answers_is_lost_told_as_policy_says_and_its_place_is_free() -> None:
    cell = cell_with(node("n1", slots=1))
    cell.adopt(A, Policy(rules=(Notification(kind="notification", recipients=("parent", "monitor", "parent")),)))
    workload = submit(cell, 1)
    (execution,) = living(cell, workload)
    cell.on(A, execution, samples.released(execution_id=execution))
    cell.advance(WINDOW - 1)
    assert living(cell, workload)
    cell.advance(1)
    assert not cell.state.live
    kinds = [type(event).__name__ for event in cell.events_of(A)][-4:]
    assert kinds == ["ExecutionFaulted", "NoticeRequested", "NoticeRequested", "RuntimeReset"]
    assert living(cell, submit(cell, 2))


@pytest.mark.parametrize("fails", [True, False])
def test_a_node_that_never_reports_its_reset_gives_its_place_back_when_its_window_is_over(*, fails: bool) -> None:
    cell = cell_with(node("n1", slots=1))
    (execution,) = living(cell, submit(cell, 1))
    end(cell, execution, fails=fails, reset=False)
    assert not living(cell, submit(cell, 2))
    cell.advance(WINDOW)
    assert [e.report for e in of(cell, RuntimeReset) if isinstance(e, RuntimeReset)] == [None]
    assert living(cell, name(2))


def test_a_workload_that_waits_expires_at_its_own_instant() -> None:
    cell = cell_with(node("n1", slots=1))
    submit(cell, 1)
    second = submit(cell, 2, patience_ms=5_000)
    cell.advance(4_999)
    assert of(cell, WorkloadExpired) == []
    cell.advance(1)
    (expired,) = of(cell, WorkloadExpired)
    assert isinstance(expired, WorkloadExpired)
    assert (expired.workload_id, expired.tick) == (second, cell.clock_ms // 1000)


def test_a_higher_level_goes_first_and_an_unnamed_domain_last() -> None:
    cell = Cell().begin(("Disaster", "Finance"))
    order = ["Planning::P@v1", "Finance::F@v1", "Disaster::D@v1", "Other::O@v1"]
    for number, resource_class in enumerate(order):
        submit(cell, number, resource_class=resource_class)
    cell.join(node("n1"))
    cell.settle()
    served = [e.workload_id for e in of(cell, WorkloadPlaced) if isinstance(e, WorkloadPlaced)]
    assert served == [name(2), name(1), name(0), name(3)]


def test_a_drained_node_takes_no_new_work_and_may_join_again() -> None:
    cell = cell_with(node("n1"))
    cell.drain("n1")
    workload = submit(cell, 1)
    assert not living(cell, workload)
    cell.join(node("n1"))
    cell.settle()
    assert living(cell, workload)


HOME = InCountry(kind="in_country")


def test_who_waits_for_a_node_that_is_drained_waits_as_for_one_that_is_full() -> None:
    cell = cell_with(node("n1", slots=1), node("n2", country="FRA"))
    first, second = submit(cell, 1, A, HOME), submit(cell, 2, A, HOME)
    cell.drain("n1")
    cell.settle()
    third = submit(cell, 3, A, HOME)
    assert not of(cell, WorkloadDenied)
    assert [bool(living(cell, workload)) for workload in (first, second, third)] == [True, False, False]
    (deferral,) = of(cell, WorkloadDeferred)
    assert isinstance(deferral, WorkloadDeferred)
    assert (deferral.reason, deferral.nodes) == ("no_node_now", 2)
    assert [(one.rule, one.nodes) for one in deferral.filtered] == [("in_country", 1)]
    end(cell, living(cell, first)[0])
    assert not living(cell, second)
    cell.record(PLATFORM, node_stream("n1"), NodeReturned(node="n1", reason="", statements=()))
    cell.settle()
    assert living(cell, second)


def test_a_rule_that_no_node_meets_denies_also_while_all_are_drained() -> None:
    cell = cell_with(node("n1", country="FRA"))
    cell.drain("n1")
    submit(cell, 1, A, HOME)
    (denial,) = of(cell, WorkloadDenied)
    assert isinstance(denial, WorkloadDenied)
    assert (denial.rule, denial.nodes) == ("in_country", 1)


def test_work_overflows_while_the_primary_node_that_would_do_is_drained() -> None:
    cell = cell_with(node("n1"), node("n2", pool="reserve"))
    cell.drain("n1")
    workload = submit(cell, 1, A, Overflow(kind="overflow", pools=("reserve",)))
    assert living(cell, workload)
    assert of(cell, OverflowOffered)


def test_a_new_policy_denies_who_waits_and_leaves_who_runs() -> None:
    cell = cell_with(node("n1", slots=1))
    first, second = submit(cell, 1), submit(cell, 2)
    cell.adopt(A, Policy(rules=(Nodes(kind="nodes", forbidden=("n1",)),)))
    cell.settle()
    assert living(cell, first)
    (denial,) = of(cell, WorkloadDenied)
    assert isinstance(denial, WorkloadDenied)
    assert (denial.workload_id, denial.policy_version, denial.rule) == (second, 1, "nodes")


def test_a_resident_keeps_the_policy_that_it_was_placed_under() -> None:
    cell = cell_with(node("n1"))
    submit(cell, 1, A, NoColocation(kind="no_colocation", authorised=()))
    cell.adopt(A, Policy())
    stranger = submit(cell, 2, B, dao="OtherDAO")
    assert [live.slot for live in cell.state.live.values()] == [A]
    assert stranger in {waiting.queued.workload_id for waiting in cell.state.waiting.values()}


def test_two_tenants_that_choose_the_same_workload_id_do_not_touch_each_other() -> None:
    cell = Cell().begin()
    submit(cell, 1, A)
    submit(cell, 1, B, dao="OtherDAO")
    cell.join(node("n1"))
    cell.settle()
    assert sorted(live.slot for live in cell.state.live.values()) == [A, B]
    cell.on(B, name(1), WorkloadCancelled(workload_id=name(1), statement="s"))
    cell.settle()
    assert [live.slot for live in cell.state.live.values()] == [A]
    assert of(cell, ExecutionAbandoned) == []


def test_a_decision_names_engine_policy_own_leaf_and_tick() -> None:
    cell = cell_with(node("n1"))
    cell.clock_ms += 2_345
    cell.adopt(A, Policy(rules=(InCountry(kind="in_country"),)))
    submit(cell, 1)
    (placed,) = of(cell, WorkloadPlaced)
    assert isinstance(placed, WorkloadPlaced)
    assert (placed.engine, placed.policy_version, placed.seen) == (samples.ENGINE, 1, 1)
    assert placed.policy_digest == Policy(rules=(InCountry(kind="in_country"),)).digest()
    assert placed.tick == cell.clock_ms // 1000


def test_a_view_of_another_version_is_refused() -> None:
    view = view_of(samples.recorded(samples.SAMPLES[0]), 0)
    with pytest.raises(MalformedError, match="version 2 is not read"):
        Scheduling().fold({**view, "v": 2})


ADDED = {
    **dict.fromkeys(("workload.deferred.v1", "workload.deferred.v2"), ("rule", "retry_ms")),
    **dict.fromkeys(("workload.denied.v1", "workload.expired.v1", "workload.cancelled.v1"), ("decider",)),
}
"""What views of version 1 did not have."""


@pytest.mark.parametrize("topic", sorted(samples.SAMPLES_BY_TOPIC))
def test_a_view_of_any_event_is_canonical_says_where_it_lies_and_holds_no_content(topic: str) -> None:
    event = samples.SAMPLES_BY_TOPIC[topic]
    view = view_of(samples.recorded(event, leaf=3, version=4), samples.SLOT)
    assert parse_canonical(view_bytes(view)) == view
    version = newest_version(view["kind"])
    assert (view["v"], view["slot"], view["leaf"], view["version"], view["at_ms"]) == (version, 7, 3, 4, samples.NOW)
    before = as_version_1(view)
    assert (before["v"], set(view) - set(before)) == (1, set(ADDED.get(topic, ())))
    printed = view_bytes(view).decode()
    for content in ("e.v.i", "s.u.b", "g.o.v", samples.hexed(12), samples.hexed(6), "TRIGGER", "unreachable"):
        assert content not in printed


SCENARIO = """
import sys
from tests.domain.test_scheduling_replay import scenario
sys.stdout.buffer.write(scenario())
"""


def test_bytes_of_views_and_decisions_do_not_depend_on_the_hash_seed() -> None:
    outputs = set()
    for seed in ("0", "1", "4242"):
        ran = subprocess.run(
            [sys.executable, "-c", SCENARIO],
            cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        )
        outputs.add(ran.stdout)
    assert len(outputs) == 1
    assert len(outputs.pop()) > 10_000


def test_what_a_node_holds_is_counted_by_its_own_residents_only() -> None:
    cell = cell_with(node("n1", slots=2, memory_bytes=3 * MEBIBYTE), node("n2", slots=1))
    submit(cell, 1, bounds=Bounds(memory_bytes=2 * MEBIBYTE, fuel=1, wall_ms=1))
    assert sorted(cell.state.free(facts_) for facts_ in cell.state.nodes.values()) == [
        (0, 62 * MEBIBYTE),
        (2, 3 * MEBIBYTE),
    ]


def test_an_attempt_one_enclave_of_which_had_its_inputs_is_not_placed_again_and_its_quorum_fails() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    end(cell, first)
    cell.on(A, second, ExecutionAbandoned(execution_id=second, reason="evidence_refused"))
    cell.settle()
    (verdict,) = of(cell, QuorumFailed)
    assert isinstance(verdict, QuorumFailed)
    assert (verdict.workload_id, verdict.attempt, verdict.reason, len(verdict.cacs)) == (workload, 1, "fault", 2)
    assert len(of(cell, WorkloadQueued)) == 1
    assert not cell.state.live


@pytest.mark.parametrize("room", [True, False])
def test_a_late_fault_of_an_attempt_that_governance_let_go_on_does_not_stop_the_next(*, room: bool) -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    cell.on(A, second, samples.released(execution_id=second))
    end(cell, first, fails=True)
    if room:
        cell.join(node("n3", slots=2))
    again = samples.queued(
        workload_id=workload, attempt=2, clause_rules=(TWO,), not_after_ms=cell.clock_ms + 9 * WINDOW
    )
    cell.on(A, workload, again)
    cell.settle()
    assert bool(cell.state.waiting) is not room
    cell.on(A, second, samples.fault(execution_id=second), RuntimeReset(execution_id=second, report="r"))
    cell.settle()
    assert (A, workload) not in cell.state.held
    assert {cell.state.live[name].queued.attempt for name in living(cell, workload)} == {2}


def test_an_execution_that_does_not_live_changes_nothing() -> None:
    cell = cell_with()
    before = set(cell.state.live)
    for event in (samples.reserved(), samples.released(), samples.fault(), samples.completed()):
        cell.on(A, samples.EXECUTION, event)
    cell.on(A, samples.EXECUTION, ExecutionAbandoned(execution_id=samples.EXECUTION, reason="evidence_refused"))
    cell.settle()
    assert set(cell.state.live) == before
    assert not cell.state.again


def test_inputs_released_before_the_decider_repeats_the_attempt_keep_it_from_being_repeated() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    cell.on(A, first, ExecutionAbandoned(execution_id=first, reason="evidence_refused"))
    cell.on(A, second, samples.released(execution_id=second))
    cell.settle()
    assert len(of(cell, WorkloadQueued)) == 1
    assert living(cell, workload) == [second]


def test_an_earlier_attempt_that_ends_late_does_not_keep_the_next_from_being_repeated() -> None:
    cell = cell_with()
    workload = submit(cell, 1, A, TWO)
    first, second = living(cell, workload)
    cell.on(A, second, samples.released(execution_id=second))
    end(cell, first, fails=True)
    cell.join(node("n3", slots=2))
    patience = cell.clock_ms + 9 * WINDOW
    cell.on(A, workload, samples.queued(workload_id=workload, attempt=2, clause_rules=(TWO,), not_after_ms=patience))
    cell.settle()
    cell.on(A, second, samples.completed(execution_id=second))
    last = max(living(cell, workload), key=lambda name: cell.state.live[name].queued.attempt)
    cell.on(A, last, ExecutionAbandoned(execution_id=last, reason="evidence_refused"))
    cell.settle()
    attempts = [e.attempt for e in of(cell, WorkloadQueued) if isinstance(e, WorkloadQueued)]
    assert attempts == [1, 2, 3]
