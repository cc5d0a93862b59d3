"""Nobody waits for ever for room: not who asks for several nodes at once, nor who can't be beside what is common."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.canonical import canonical, parse_canonical
from domain.policies.kinds import IndependentAttestations, NoColocation, Operators, Policy
from domain.scheduling import passing, placement
from domain.scheduling.decide import next_act
from domain.scheduling.passing import BYPASSES
from domain.scheduling.state import Scheduling
from domain.workloads.events import WorkloadCancelled, WorkloadPlaced
from tests.domain import samples
from tests.domain.samples import node
from tests.domain.test_scheduling_qos import A, B, C, Stage, stage

HIGH, LOW = "Disaster::H@v1", "Planning::L@v1"


def enclaves(count: int) -> IndependentAttestations:
    """Return the rule that asks for so many."""
    return IndependentAttestations(kind="independent_attestations", count=count)


def nodes(count: int, slots: int = 2) -> Stage:
    """Return a cell of several nodes."""
    return stage(*(node(f"n{at}", slots=slots, operator=f"o{at}", platform_ids=(f"amd:{at}",)) for at in range(count)))


def end_oldest(cell: Stage) -> None:
    """Let the one end that was queued first."""
    living = cell.living()
    if living:
        cell.finish(min(living, key=lambda one: cell.state.live[one].waiting.arrived))


Arrivals = Callable[[Stage, int], object]
"""What arrives before each end, by its number."""

FLOWS: dict[str, Arrivals] = {
    "another's small ones": lambda cell, _: cell.submit(B),
    "its own tenant's and another's": lambda cell, _: (cell.submit(A), cell.submit(B)),
    "those of a higher level": lambda cell, _: cell.submit(B, resource_class=HIGH),
    "those of a lower level": lambda cell, _: cell.submit(B, resource_class=LOW),
    "those of levels above and below": lambda cell, at: cell.submit(B, resource_class=(HIGH, LOW)[at % 2]),
    "those of several tenants": lambda cell, at: cell.submit((A, B, C)[at % 3]),
    "those that bear the tag": lambda cell, at: cell.submit((B, C)[at % 2], tags=("x",)),
    "those that bear the tag, of a lower level": lambda cell, _: cell.submit(B, tags=("x",), resource_class=LOW),
}
WAITING: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "three enclaves": ((enclaves(3),), {}),
    "two enclaves that fill their nodes": ((enclaves(2),), {"slots": 2}),
    "one that fills its node": ((), {"slots": 2}),
    "one that forbids the tag": ((), {"forbid_tags": ("x",)}),
    "two enclaves beside nobody but their own": (
        (enclaves(2), NoColocation(kind="no_colocation", authorised=())), {"slots": 2},
    ),
}  # fmt: skip


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("waiting", WAITING)
def test_whoever_waits_for_room_is_placed_after_so_many_others_whatever_flows_by(waiting: str, flow: str) -> None:
    cell, (rules, changes) = nodes(3), WAITING[waiting]
    while len(cell.living()) < 6:
        FLOWS[flow](cell, 0)
    workload = cell.submit(A, *rules, **changes)
    before = len(cell.order())
    for at in range(2 * BYPASSES):
        if (A, workload) not in cell.state.waiting:
            break
        FLOWS[flow](cell, at)
        end_oldest(cell)
    assert (A, workload) not in cell.state.waiting
    assert len(cell.order()) - before <= BYPASSES + 6


kinds_of_waiting = st.lists(
    st.tuples(st.sampled_from(sorted(WAITING)), st.sampled_from([HIGH, LOW, "Finance::F@v1"]), st.sampled_from([A, C])),
    min_size=1, max_size=5,
)  # fmt: skip


@given(some=kinds_of_waiting, flow=st.sampled_from(sorted(FLOWS)))
@settings(max_examples=40, deadline=None)
def test_of_many_that_wait_each_is_placed_after_so_many_others_for_each_that_was_told_before(
    some: list[tuple[str, str, int]], flow: str
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passing, "BYPASSES", 4)
        cell = nodes(3)
        while len(cell.living()) < 6:
            FLOWS[flow](cell, 0)
        before = len(cell.order())
        for what, resource_class, slot in some:
            rules, changes = WAITING[what]
            cell.submit(slot, *rules, resource_class=resource_class, **changes)
        mine = {key for key in cell.state.waiting if key[0] in {A, C}}
        most = (len(mine) + len(FLOWS)) * (4 + 6)
        while mine & cell.state.waiting.keys():
            FLOWS[flow](cell, len(cell.order()))
            end_oldest(cell)
            assert len(cell.order()) - before <= most, "passed over for too long"


def kept(cell: Stage, monkeypatch: pytest.MonkeyPatch, *, slots: int = 1) -> str:
    """Let a workload of two enclaves wait until nodes are kept for it."""
    monkeypatch.setattr(passing, "BYPASSES", 2)
    while len(cell.living()) < len(cell.state.nodes) * slots:
        cell.submit(A)
    workload = cell.submit(A, enclaves(2))
    while cell.state.kept is None:
        cell.submit(C)
        end_oldest(cell)
    assert cell.state.kept == (("n0", "n1"), (A, workload))
    return workload


def end_on(cell: Stage, name: str) -> None:
    """Let whoever lives on a node end."""
    for execution in list(cell.state.living.get(name, ())):
        cell.finish(execution)


def at_rest(cell: Stage) -> bool:
    return next_act(Scheduling.load(parse_canonical(canonical(cell.state.dump()))), samples.ENGINE) == ()


def test_as_many_nodes_are_kept_as_it_has_enclaves_and_nobody_else_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = nodes(3, 1)
    workload = kept(cell, monkeypatch)
    for _ in range(3):
        cell.submit(C)
    end_on(cell, "n0")
    assert not cell.state.living["n0"]
    end_on(cell, "n2")
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)][-1] == workload, "any two will do"
    assert cell.state.kept is None
    end_on(cell, "n1")
    assert cell.state.living["n1"]
    assert at_rest(cell)


def test_who_has_a_kept_node_ready_wakes_for_any_other_though_one_before_it_in_line_finds_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = nodes(4, 1)
    workload = kept(cell, monkeypatch)
    other = cell.submit(B, enclaves(2))  # A still holds n3: B comes first
    end_on(cell, "n0")
    end_on(cell, "n2")
    assert at_rest(cell)
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)][-1] == workload
    assert (B, other) in cell.state.waiting


def test_a_search_that_is_given_up_does_not_keep_it_from_the_nodes_that_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell = nodes(3, 1)
    workload = kept(cell, monkeypatch)
    monkeypatch.setattr(placement, "independent_choice", lambda _policy, _nodes: ())
    end_on(cell, "n0")
    assert (A, workload) in cell.state.waiting
    end_on(cell, "n1")
    (placed,) = [one for one in cell.said(WorkloadPlaced) if one.workload_id == workload]
    assert [place.node for place in placed.places] == ["n0", "n1"]


def test_all_nodes_are_let_go_when_one_of_them_is_of_no_use_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = nodes(3, 1)
    kept(cell, monkeypatch)
    cell.submit(C)
    end_on(cell, "n0")
    assert not cell.state.living["n0"]
    cell.drain("n1")
    cell.settle()
    assert cell.state.kept is None
    assert cell.state.living["n0"]
    assert at_rest(cell)


@pytest.mark.parametrize("how", ["cancelled", "by another policy", "with other facts of a node"])
def test_nodes_are_let_go_with_whom_they_were_kept_for(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    cell = nodes(3, 1)
    workload = kept(cell, monkeypatch)
    assert Scheduling.load(parse_canonical(canonical(cell.state.dump()))).digest() == cell.state.digest()
    if how == "cancelled":
        cell.on(A, workload, WorkloadCancelled(workload_id=workload, statement="s"))
    elif how == "by another policy":
        cell.adopt(A, Policy(rules=(Operators(kind="operators", forbidden=("o0",)),)))
    else:
        cell.join(node("n1", slots=1, operator="o9", platform_ids=("amd:0",)))
    cell.settle()
    assert cell.state.kept is None
    assert at_rest(cell)


def test_who_could_run_on_no_nodes_together_now_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = nodes(3, 1)
    monkeypatch.setattr(passing, "BYPASSES", 2)
    for _ in range(3):
        cell.submit(B)
    cell.drain("n2")
    first, second = cell.submit(A, enclaves(2)), cell.submit(A, enclaves(2), tags=("y",))
    cell.adopt(C, Policy())
    monkeypatch.setattr(passing, "independent_choice", lambda _policy, _nodes: ())
    for _ in range(4):
        cell.submit(C)
        end_oldest(cell)
    assert cell.state.kept is None
    monkeypatch.undo()
    monkeypatch.setattr(passing, "BYPASSES", 2)
    while {(A, first), (A, second)} & cell.state.waiting.keys():
        cell.submit(C)
        end_oldest(cell)
        assert len(cell.order()) < 40
