"""Two tenants that share no node: neither's log differs by a byte, whatever the other does, or whether it is there.

Instants are part of it: A decision is made after each input, at that input's time, so that another's inputs move
nothing. Where tenants share nodes, instants, nodes, order and waits may differ; nothing names or counts another.
"""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import MEBIBYTE, Bounds
from domain.canonical import canonical
from domain.executions import events as executions
from domain.identifiers import uuid7, workload_id
from domain.message import Event
from domain.policies import kinds
from domain.policies.kinds import Policy
from domain.workloads import events as workloads
from tests.domain import samples
from tests.domain.cell import Cell
from tests.domain.samples import node

A, B = 11, 12
DAOS = {A: "AlphaDAO", B: "BetaDAO"}
NODES = (
    node("a1", slots=1, admits=("AlphaDAO",), operator="o1"),
    node("a2", slots=1, admits=("AlphaDAO",), operator="o2"),
    node("b1", slots=2, admits=("BetaDAO",), operator="o3"),
)
WORKLOADS = {slot: [workload_id(uuid7(samples.NOW, slot * 100 + number)) for number in range(5)] for slot in DAOS}
BOUNDS = Bounds(memory_bytes=MEBIBYTE, fuel=1000, wall_ms=60_000)
POLICIES = (
    Policy(),
    Policy(rules=(kinds.Operators(kind="operators", forbidden=("o1",)),)),
    Policy(rules=(kinds.IndependentAttestations(kind="independent_attestations", count=2, distinct=("operator",)),)),
)

Act = tuple[int, str, int, int]
"""Whose act, which, a number, and how long after the one before (ms)."""

acts = st.lists(
    st.tuples(
        st.sampled_from([A, B]),
        st.sampled_from(["queue", "cancel", "release", "finish", "fault", "policy"]),
        st.integers(0, 4),
        st.sampled_from([0, 1, 700, 5_000, 61_000, 800_000]),
    ),
    max_size=25,
)


def play(history: list[Act], whose: frozenset[int]) -> Cell:
    """Let some tenants act; time passes for all alike. What an act needs and isn't there makes it nothing."""
    cell = Cell().begin(("Disaster",))
    for facts in NODES:
        cell.join(facts)
    for slot, act, number, after_ms in history:
        cell.advance(after_ms)
        if slot in whose:
            _act(cell, slot, act, number)
            cell.settle()
    cell.advance(3_000_000)
    return cell


def _act(cell: Cell, slot: int, act: str, number: int) -> None:
    workload = WORKLOADS[slot][number]
    if act == "queue" and not any(key == (slot, workload) for key in _known(cell)):
        facts = samples.facts(dao=DAOS[slot], bounds=BOUNDS)
        cell.on(slot, workload, samples.queued(
            workload_id=workload, facts=facts, clause_rules=(), not_after_ms=cell.clock_ms + 1_500_000
        ))  # fmt: skip
    elif act == "cancel" and (slot, workload) in cell.state.waiting:
        cell.on(slot, workload, workloads.WorkloadCancelled(workload_id=workload, statement="s"))
    elif act == "policy":
        cell.adopt(slot, POLICIES[number % len(POLICIES)])
    else:
        _report(cell, slot, act, number)


def _known(cell: Cell) -> set[tuple[int, str]]:
    return {
        (slot, stored.event.workload_id)
        for slot, stored in cell.feed
        if isinstance(stored.event, workloads.WorkloadQueued)
    }


def _report(cell: Cell, slot: int, act: str, number: int) -> None:
    mine = sorted(name for name, live in cell.state.live.items() if live.slot == slot)
    if not mine:
        return
    name = mine[number % len(mine)]
    phase, reset = cell.state.live[name].phase, executions.RuntimeReset(execution_id=name, report="r")
    events: dict[tuple[str, str], tuple[Event, ...]] = {
        ("release", "reserved"): (samples.released(execution_id=name),),
        ("finish", "released"): (samples.completed(execution_id=name), reset),
        ("fault", "released"): (samples.fault(execution_id=name), reset),
    }  # fmt: skip
    cell.on(slot, name, *events.get((act, phase), ()))


def own(cell: Cell, slot: int) -> list[tuple[Any, ...]]:
    """Return what a tenant's log holds: place, stream, instant and bytes of each entry."""
    return [
        (stored.leaf_index, stored.stream_id, stored.version, stored.at_ms, canonical(stored.event.payload()))
        for owner, stored in cell.feed
        if owner == slot
    ]


@given(acts)
def test_a_log_has_the_same_bytes_with_and_without_a_tenant_that_shares_no_node(history: list[Act]) -> None:
    together = play(history, frozenset({A, B}))
    for slot, other in ((A, B), (B, A)):
        assert own(play(history, frozenset({slot})), slot) == own(together, slot)
        assert DAOS[other].encode() not in b"".join(entry[-1] for entry in own(together, slot))


def test_the_histories_that_are_compared_place_defer_fault_and_expire() -> None:
    history: list[Act] = [
        (A, "queue", 0, 0), (A, "queue", 1, 0), (A, "queue", 2, 0), (B, "queue", 0, 1), (A, "release", 0, 700),
        (A, "fault", 0, 1), (B, "release", 0, 1), (B, "finish", 0, 1), (A, "queue", 3, 5_000),
    ]  # fmt: skip
    topics = {event.TOPIC for event in play(history, frozenset({A, B})).events_of(A)}
    assert {
        workloads.WorkloadPlaced.TOPIC, workloads.WorkloadDeferred.TOPIC, executions.ExecutionFaulted.TOPIC,
        executions.ExecutionAbandoned.TOPIC, workloads.WorkloadExpired.TOPIC,
    } <= topics  # fmt: skip
