"""Nobody who could be placed is forgotten, and what is remembered of those who are gone is bounded."""

import pytest

from domain.bounds import MEBIBYTE, Bounds
from domain.canonical import canonical, parse_canonical
from domain.platform.events import KeyDestroyed
from domain.policies.kinds import NoColocation, Operators, Policy, Validity
from domain.scheduling import desk, eligibility, passing
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.tenants.events import ErasureOrdered
from domain.workloads.events import WorkloadCancelled, WorkloadPlaced
from tests.domain import samples
from tests.domain.cell import PLATFORM, log_of
from tests.domain.samples import node
from tests.domain.slow_quotas import tokens
from tests.domain.test_scheduling_qos import LAND, TREATY, A, B, C, Stage, stage, tree


def at_rest(cell: Stage) -> bool:
    """Tell whether who looks at everybody again finds nothing to decide either."""
    return next_act(Scheduling.load(parse_canonical(canonical(cell.state.dump()))), samples.ENGINE) == ()


def sized(number: int) -> Bounds:
    """Return the bounds of a class of its own."""
    return Bounds(memory_bytes=MEBIBYTE + number, fuel=1000, wall_ms=60_000)


def cancel(cell: Stage, workload: str) -> None:
    slot = next(slot for slot, name in cell.state.waiting if name == workload)
    cell.on(slot, workload, WorkloadCancelled(workload_id=workload, statement="s"))
    cell.settle()


def test_who_waits_for_its_scopes_own_quota_wakes_though_another_waits_for_what_the_scope_lends() -> None:
    cell = tree()
    cell.hang(C, LAND)
    cell.grant(TREATY, 10)
    cell.grant(LAND, 2, borrow=5)
    cell.grant(A, 0, borrow=9)
    cell.submit(A)  # would have to borrow from the scope, which lends nothing
    cell.submit(C)
    cell.submit(C)
    waiting = cell.submit(B)  # the scope itself would have to borrow
    cell.finish(cell.living(C)[0])
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced, B)] == [waiting]
    assert at_rest(cell)


def test_a_class_that_was_forgotten_while_it_was_empty_is_looked_at_when_it_fills_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "_SHAPES", 8)
    cell = stage(slots=1)
    cell.submit(B)
    for number in range(7):
        cell.submit(A, bounds=sized(number))
    for number in range(100, 104):
        cancel(cell, cell.submit(A, bounds=sized(number)))
    for number in range(100, 104):
        cell.submit(A, bounds=sized(number))
    account = cell.state.tree.of(A)
    assert all(cell.state.class_of[key] in account.classes.values() for key in account.waiting)
    cell.join(node("n2", slots=64))
    cell.settle()
    assert not cell.state.waiting
    assert at_rest(cell)


def kept_for(cell: Stage, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let a workload of A with three slots be passed over until n1, which has so many, is kept for it."""
    monkeypatch.setattr(passing, "BYPASSES", 2)
    for _ in range(4):
        cell.submit(B)
    large = cell.submit(A, slots=3)
    for _ in range(12):
        cell.submit(B)
    while cell.state.kept is None:
        cell.finish(cell.living(B)[0])
    assert cell.state.kept == (("n1",), (A, large))
    return large


def test_a_node_is_kept_no_longer_for_who_waits_for_its_own_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = stage(node("n1", slots=3), node("n2", slots=1, operator="o2"))
    cell.grant(A, 3)
    large = kept_for(cell, monkeypatch)
    cell.submit(A, resource_class="Disaster::X@v1")  # of the higher level: it takes of A's quota on n2
    for _ in range(4):
        for execution in cell.living(B):
            cell.finish(execution)
    assert cell.state.told((A, large)) == "quota"
    assert cell.state.kept is None
    assert {slot for slot, _ in cell.state.waiting} == {A}


def test_a_node_is_kept_no_longer_for_whom_a_new_policy_keeps_off_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = stage(node("n1", slots=3), node("n2", slots=3, operator="o2"))
    cell.submit(C, NoColocation(kind="no_colocation", authorised=()), slots=3)  # holds n2
    kept_for(cell, monkeypatch)
    cell.adopt(A, Policy(rules=(Operators(kind="operators", allowed=("o2",)),)))
    for _ in range(4):
        for execution in cell.living(B):
            cell.finish(execution)
    assert cell.state.kept is None
    assert at_rest(cell)


def test_what_is_remembered_of_those_who_left_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "_SLACK", 16)
    monkeypatch.setattr(eligibility, "_MASKS", 16)
    cell = stage(slots=8)
    cell.grant(A, 0)
    cell.record(C, log_of(C), tokens(1, 10**9, 1))
    cell.submit(B, slots=8)
    until = Validity(kind="validity", from_ms=0, until_ms=2**45)

    def come_and_go() -> None:
        for number in range(60):
            cancel(cell, cell.submit(A, until, bounds=sized(number)))
            cancel(cell, cell.submit(C, slots=2))
            cell.adopt(A, Policy())

    come_and_go()
    cell.grant(A, 9)
    come_and_go()
    state = cell.state
    queues = state.queues
    assert max(len(queues.quota_lines), len(queues.spots), len(state.tree.of(A).lines)) <= 17
    assert max(len(state.retrying), len(state.outdated), len(state.watched)) <= 17
    assert len(state.eligibility._masks) <= 16
    assert at_rest(cell)


def test_a_tenant_whose_keys_are_gone_is_closed_no_longer() -> None:
    cell = stage()
    cell.submit(A)
    cell.record(A, log_of(A), samples.SAMPLES_BY_TOPIC[ErasureOrdered.TOPIC])
    cell.settle()
    assert cell.state.closed == {A}
    destroyed = samples.SAMPLES_BY_TOPIC[KeyDestroyed.TOPIC].model_copy(update={"slot": A})
    cell.record(PLATFORM, log_of(PLATFORM), destroyed)
    assert cell.state.closed == set(), "each of them would be looked at before every decision, for ever"
    assert at_rest(cell)
