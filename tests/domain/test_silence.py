"""Silent, lost, lying, drained and returning nodes; and that nothing which can expire waits for ever."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bounds import MEBIBYTE, Bounds
from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, FaultKind, NoticeRequested, RuntimeReset
from domain.identifiers import node_stream, telemetry_stream, uuid7, workload_id
from domain.message import Event
from domain.nodes.events import NodeLost, NodeReturned, NodeSuspected, TelemetryReported
from domain.policies.kinds import Notification, Policy
from domain.scheduling.decide import SETUP_MS
from domain.scheduling.silence import LOST_MS, SILENT_MS, Held, Signs, shows_shortage
from domain.tenants.events import MonitorAppointed
from domain.time import MINUTE_MS
from domain.workloads.events import WorkloadDeferred, WorkloadDenied, WorkloadPlaced, WorkloadQueued
from tests.domain import samples
from tests.domain.cell import Cell, log_of
from tests.domain.samples import node

A, B = 11, 12
PLATFORM = 0


def named(number: int) -> str:
    return workload_id(uuid7(samples.NOW, number))


class Scene(Cell):
    """A cell with steps that a test can read."""

    def heartbeat(self, name: str, free_slots: int = 0, free_memory_bucket: int = 0) -> None:
        """Record a node's telemetry, and decide."""
        reported = TelemetryReported(
            node=name, seq=0, load_percent_bucket=0, free_slots=free_slots, free_memory_bucket=free_memory_bucket,
            report="r",
        )  # fmt: skip
        self.record(PLATFORM, telemetry_stream(name), reported)
        self.settle()

    def submit(self, number: int, slot: int = A, **changes: Any) -> str:
        """Queue a workload, and decide."""
        queued = samples.queued(
            workload_id=named(number), facts=samples.facts(**changes), not_after_ms=self.clock_ms + 60 * MINUTE_MS
        )
        self.on(slot, named(number), queued)
        self.settle()
        return named(number)

    def execution_of(self, workload: str) -> str:
        """Return the one execution of a workload that holds a place."""
        (found,) = (name for name, live in self.state.live.items() if live.queued.workload_id == workload)
        return found

    def run(self, workload: str, slot: int = A, ended: Event | None = None, *, reset: bool = False) -> str:
        """Let a workload's execution get its inputs, and then what is given."""
        name = self.execution_of(workload)
        more = (RuntimeReset(execution_id=name, report="r"),) if reset else ()
        self.on(slot, name, samples.released(execution_id=name))
        if ended is not None:
            self.on(slot, name, ended.model_copy(update={"execution_id": name}), *more)
        self.settle()
        return name

    def said(self, kind: type[Event], slot: int = PLATFORM) -> list[Any]:
        """Return a log's events of a kind."""
        return [event for event in self.events_of(slot) if isinstance(event, kind)]

    def welcome(self, name: str) -> None:
        """Let the operator vouch for a node."""
        self.record(PLATFORM, node_stream(name), NodeReturned(node=name, reason="", statements=()))
        self.settle()


def scene(*names: str, slots: int = 1) -> Scene:
    made = Scene()
    made.begin()
    for name in names or ("n1",):
        made.join(node(name, slots=slots))
    made.settle()
    return made


def test_a_node_that_never_reported_is_never_silent() -> None:
    cell = scene()
    assert cell.state.due_ms() is None
    cell.advance(10 * LOST_MS)
    assert cell.said(NodeSuspected) == []
    cell.submit(1)
    assert cell.execution_of(named(1))


def test_a_node_is_suspected_at_30_s_of_silence_and_lost_at_5_minutes_not_a_moment_earlier() -> None:
    cell = scene()
    cell.heartbeat("n1", 1)
    heard = cell.clock_ms
    assert cell.state.due_ms() == heard + 30_000
    cell.advance(29_999)
    assert cell.said(NodeSuspected) == []
    assert cell.state.signs.standing("n1") == "reports"
    cell.advance(1)
    assert cell.state.signs.standing("n1") == "silent"
    assert cell.said(NodeSuspected) == [NodeSuspected(node="n1", reason="silent", since_ms=heard)]
    cell.advance(300_000 - 30_001)
    assert cell.said(NodeLost) == []
    cell.advance(1)
    assert cell.said(NodeLost) == [NodeLost(node="n1", since_ms=heard)]
    assert cell.state.signs.standing("n1") == "lost"
    cell.advance(10 * LOST_MS)
    assert (len(cell.said(NodeSuspected)), len(cell.said(NodeLost))) == (1, 1), "each is said once"


def test_a_node_that_reports_in_time_stays() -> None:
    cell = scene()
    for _ in range(20):
        cell.heartbeat("n1", 1)
        cell.advance(SILENT_MS - 1)
    assert cell.said(NodeSuspected) == []


def test_a_silent_node_gets_nothing_new_which_waits_and_is_not_denied_until_it_reports_again() -> None:
    cell = scene()
    cell.heartbeat("n1", 1)
    cell.advance(SILENT_MS)
    workload = cell.submit(1)
    (deferred,) = cell.said(WorkloadDeferred, A)
    assert (deferred.reason, cell.said(WorkloadDenied, A)) == ("no_node_now", [])
    assert "n1" not in str(deferred.payload()), "a tenant is told nothing of other parties' machines"
    cell.heartbeat("n1", 1)
    assert cell.state.live[cell.execution_of(workload)].node == "n1"


def test_what_has_its_inputs_on_a_lost_node_is_a_fault_told_to_policy_and_monitors_and_its_place_is_free() -> None:
    cell = scene()
    cell.adopt(A, Policy(rules=(Notification(kind="notification", recipients=("ParentDao",)),)))
    monitor = MonitorAppointed(name="TreatyMonitor", kind="treaty_monitor", statements=())
    cell.record(A, log_of(A), monitor)
    cell.heartbeat("n1", 1)
    name = cell.run(cell.submit(1))
    cell.advance(LOST_MS)
    (fault,) = cell.said(ExecutionFaulted, A)
    assert (fault.execution_id, fault.kind, fault.report) == (name, "node_lost", None)
    assert [notice.recipient for notice in cell.said(NoticeRequested, A)] == ["ParentDao", "TreatyMonitor"]
    assert [event.report for event in cell.said(RuntimeReset, A)] == [None]
    assert not cell.state.live
    assert not cell.state.waiting
    assert not cell.state.again


def test_what_has_not_got_its_inputs_on_a_lost_node_is_placed_again_elsewhere() -> None:
    cell = scene("n1")
    cell.heartbeat("n1", 1)
    workload = cell.submit(1)
    cell.join(node("n2", slots=1))
    cell.advance(LOST_MS)
    assert [event.reason for event in cell.said(ExecutionAbandoned, A)] == ["node_lost"]
    assert [event.attempt for event in cell.said(WorkloadQueued, A)] == [1, 2]
    assert cell.state.live[cell.execution_of(workload)].node == "n2"


def test_what_had_ended_on_a_lost_node_keeps_its_result_and_is_reset_without_a_report() -> None:
    cell = scene()
    cell.heartbeat("n1", 1)
    cell.run(cell.submit(1), ended=samples.completed())
    cell.advance(LOST_MS)
    assert cell.said(ExecutionFaulted, A) == []
    assert [event.report for event in cell.said(RuntimeReset, A)] == [None]


def test_a_lost_node_returns_with_its_next_report() -> None:
    cell = scene()
    cell.heartbeat("n1", 1)
    cell.run(cell.submit(1))
    cell.advance(LOST_MS)
    workload = cell.submit(2)
    assert not cell.state.live
    cell.heartbeat("n1", 1)
    assert cell.state.live[cell.execution_of(workload)].node == "n1"
    cell.advance(SILENT_MS)
    assert [event.reason for event in cell.said(NodeSuspected)] == ["silent", "silent"]


def test_a_lost_node_does_not_return_before_what_it_had_is_settled() -> None:
    signs = Signs()
    facts = node("n1", slots=1)
    view = {"node": "n1", "free_slots": 0, "free_memory_bucket": 0, "at_ms": 5}
    signs.reported(view, 5, facts, held=Held(), settled=True)
    signs.given_up(view)
    signs.reported(view, 6, facts, held=Held(), settled=False)
    assert not signs.usable("n1")
    signs.reported(view, 7, facts, held=Held(), settled=True)
    assert signs.usable("n1")


def test_a_node_that_claims_more_slots_or_memory_than_it_enrolled_with_is_caught_at_once() -> None:
    for claims in ({"free_slots": 2}, {"free_memory_bucket": (64 * MEBIBYTE).bit_length() + 1}):
        cell = scene()
        cell.heartbeat("n1", **claims)
        (suspected,) = cell.said(NodeSuspected)
        assert suspected.reason == "capacity_claims"
        cell.submit(1)
        assert not cell.state.live


def test_a_node_that_claims_free_what_its_executions_hold_is_caught_at_the_second_report() -> None:
    cell = scene(slots=2)
    cell.heartbeat("n1", 2)
    cell.run(cell.submit(1))
    cell.heartbeat("n1", 2)
    assert cell.said(NodeSuspected) == [], "one report may have crossed the release"
    cell.heartbeat("n1", 2)
    assert [event.reason for event in cell.said(NodeSuspected)] == ["capacity_claims"]


def test_a_node_that_counts_what_is_placed_but_not_yet_with_it_as_free_is_not_caught() -> None:
    cell = scene(slots=2)
    cell.submit(1)
    for _ in range(5):
        cell.heartbeat("n1", 2)
    assert cell.said(NodeSuspected) == []


def short(kind: FaultKind) -> ExecutionFaulted:
    return samples.fault(kind=kind, fuel_bucket=10, memory_bucket=17)


@pytest.mark.parametrize("kind", ["memory", "deadline"])
def test_three_executions_of_two_tenants_that_got_less_than_claimed_catch_a_node(kind: FaultKind) -> None:
    cell = scene(slots=8)
    cell.heartbeat("n1", 8)
    for number, slot in enumerate((A, A, B)):
        assert cell.said(NodeSuspected) == []
        cell.run(cell.submit(number, slot), slot, short(kind), reset=True)
    assert [event.reason for event in cell.said(NodeSuspected)] == ["capacity_claims"]


def test_one_tenant_alone_brings_no_node_into_doubt() -> None:
    cell = scene(slots=8)
    cell.heartbeat("n1", 8)
    for number in range(6):
        cell.run(cell.submit(number), A, short("memory"), reset=True)
    assert cell.said(NodeSuspected) == []


def test_an_execution_that_came_to_its_end_clears_a_node() -> None:
    cell = scene(slots=8)
    cell.heartbeat("n1", 8)
    for number, slot in enumerate((A, B, A, B, A, B)):
        ended = samples.completed() if number % 3 == 2 else short("memory")
        cell.run(cell.submit(number, slot), slot, ended, reset=True)
    assert cell.said(NodeSuspected) == []


def test_a_node_that_reports_and_lets_places_expire_is_caught() -> None:
    cell = scene(slots=8)
    for number, slot in enumerate((A, B, A)):
        cell.submit(number, slot)
    due = cell.clock_ms + SETUP_MS + samples.BOUNDS.wall_ms
    while cell.clock_ms < due:
        cell.heartbeat("n1", 5)
        cell.advance(SILENT_MS // 2)
    assert [event.reason for event in cell.said(NodeSuspected)] == ["capacity_claims"]


@pytest.mark.parametrize(
    ("kind", "fuel_bucket", "memory_bucket", "shows"),
    [
        ("memory", 0, 18, True),
        ("memory", 0, 19, False),
        ("deadline", 23, 0, True),
        ("deadline", 24, 0, False),
        ("trap", 0, 0, False),
        ("fuel", 0, 0, False),
    ],
)
def test_a_fault_shows_a_shortage_only_far_below_the_bounds(
    kind: str, fuel_bucket: int, memory_bucket: int, *, shows: bool
) -> None:
    bounds = Bounds(memory_bytes=MEBIBYTE, fuel=10**9, wall_ms=10_000)
    assert shows_shortage(kind, fuel_bucket, memory_bucket, bounds) is shows


def test_who_claimed_too_much_returns_by_the_operators_word_not_by_its_own() -> None:
    cell = scene()
    cell.heartbeat("n1", 2)
    cell.heartbeat("n1", 1)
    workload = cell.submit(1)
    assert not cell.state.live
    assert cell.state.signs.standing("n1") == "capacity_claims"
    cell.welcome("n1")
    assert cell.state.signs.standing("n1") == "never reported"
    assert cell.execution_of(workload)


def test_a_drained_node_takes_nothing_new_and_works_again_when_the_operator_says_so() -> None:
    cell = scene("n1", "n2")
    first = cell.submit(1)
    where = cell.state.live[cell.execution_of(first)].node
    cell.drain(where)
    second, third = cell.submit(2), cell.submit(3)
    assert cell.state.live[cell.execution_of(second)].node != where
    cell.run(first, ended=samples.completed(), reset=True)
    assert third not in {live.queued.workload_id for live in cell.state.live.values()}, "it is drained"
    cell.welcome(where)
    assert cell.state.live[cell.execution_of(third)].node == where


def test_a_tenants_log_is_the_same_whether_or_not_anothers_node_is_silent_lost_or_lies() -> None:
    def life_of_a(*, trouble: bool) -> list[bytes]:
        cell = scene("n1")
        cell.join(node("n2", slots=1, country="FRA"))
        cell.submit(1, A)
        elsewhere = Policy(rules=(Notification(kind="notification", recipients=("Monitor",)),))
        cell.adopt(B, elsewhere)
        cell.submit(2, B)
        if trouble:
            cell.heartbeat("n2", 1)
            cell.run(named(2), B)
        cell.run(named(1), A, samples.completed(), reset=True)
        cell.advance(LOST_MS)
        if trouble:
            assert len(cell.said(NoticeRequested, B)) == 1
            assert cell.said(NodeLost)
        return [str((r.stream_id, r.version, r.event.payload())).encode() for slot, r in cell.feed if slot == A]

    quiet, loud = life_of_a(trouble=False), life_of_a(trouble=True)
    assert quiet == loud


_NODES = ("n1", "n2", "n3")
_STEPS = st.one_of(
    st.tuples(st.just("submit"), st.sampled_from((A, B)), st.integers(1, 3)),
    st.tuples(st.just("heartbeat"), st.sampled_from(_NODES), st.integers(0, 3)),
    st.tuples(st.just("pass"), st.sampled_from((1, 10_000, SILENT_MS, LOST_MS, SETUP_MS)), st.just(0)),
    st.tuples(st.just("release"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("end"), st.integers(0, 9), st.integers(0, 3)),
    st.tuples(st.just("drain"), st.sampled_from(_NODES), st.just(0)),
    st.tuples(st.just("return"), st.sampled_from(_NODES), st.just(0)),
)
_ENDS = (samples.completed(), samples.fault(), short("memory"), short("deadline"))


def _step(cell: Scene, number: int, kind: str, which: Any, how: int) -> None:
    match kind:
        case "submit":
            cell.submit(number, which, trigger=f"t{how}")
        case "heartbeat":
            cell.heartbeat(which, how)
        case "pass":
            cell.advance(which)
        case "drain":
            cell.drain(which)
        case "return":
            cell.welcome(which)
        case _:
            phase = "reserved" if kind == "release" else "released"
            found = sorted(name for name, live in cell.state.live.items() if live.phase == phase)
            if found:
                name = found[which % len(found)]
                slot = cell.state.live[name].slot
                if kind == "release":
                    cell.on(slot, name, samples.released(execution_id=name))
                else:
                    ended = _ENDS[how].model_copy(update={"execution_id": name})
                    cell.on(slot, name, ended, RuntimeReset(execution_id=name, report="r"))
    cell.settle()


@given(st.lists(_STEPS, max_size=25))
@settings(deadline=None)
def test_nothing_that_can_expire_waits_for_ever_and_no_node_in_doubt_gets_work(
    steps: list[tuple[str, Any, int]],
) -> None:
    cell = scene(*_NODES, slots=2)
    in_doubt: set[str] = set()
    heard: dict[str, int] = {}

    def watch(_slot: int, event: Event, by_decider: bool) -> None:
        match event:
            case TelemetryReported():
                heard[event.node] = cell.clock_ms
                caught = event.free_slots > 2 or event.node in in_doubt - silent
                in_doubt.discard(event.node)
                silent.discard(event.node)
                in_doubt.update({event.node} if caught else set())
            case NodeSuspected(reason="silent") | NodeLost():
                assert cell.clock_ms - heard[event.node] >= (LOST_MS if isinstance(event, NodeLost) else SILENT_MS)
                if event.node not in in_doubt:
                    silent.add(event.node)
                in_doubt.add(event.node)
            case NodeSuspected():
                in_doubt.add(event.node)
                silent.discard(event.node)
            case NodeReturned():
                in_doubt.discard(event.node)
                silent.discard(event.node)
                heard.pop(event.node, None)
            case WorkloadPlaced() if by_decider:
                assert not {place.node for place in event.places} & in_doubt

    silent: set[str] = set()
    cell.watch = watch
    for number, (kind, which, how) in enumerate(steps):
        _step(cell, number, kind, which, how)
        late = {name for name, at in heard.items() if cell.clock_ms - at >= SILENT_MS}
        assert late <= in_doubt, "silence was not noticed"
    loaded = type(cell.state).load(cell.state.dump())
    assert (loaded.digest(), loaded.due_ms()) == (cell.state.digest(), cell.state.due_ms())
    for _ in range(40):
        cell.advance(60 * MINUTE_MS)
    assert not cell.state.live
    assert not cell.state.waiting
    assert not cell.state.gone
    assert cell.state.due_ms() is None
    assert cell.replayed().digest() == cell.state.digest()
