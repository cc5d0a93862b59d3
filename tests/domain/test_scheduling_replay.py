"""Who trusts neither the operator nor this program folds again, and decides again, and compares."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.canonical import canonical, parse_canonical
from domain.executions import events as executions
from domain.executions.events import RuntimeReset
from domain.identifiers import uuid7, workload_id
from domain.message import Event, Recorded
from domain.policies.kinds import InCountry, IndependentAttestations, NoColocation, Policy, Rule
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.views import view_bytes, view_of
from domain.tenants.events import ErasureOrdered
from tests.domain import samples
from tests.domain.cell import Cell, log_of
from tests.domain.samples import facts, node


def folded(history: Iterable[tuple[int, Recorded]]) -> Scheduling:
    """Fold (slot, event) pairs in feed order."""
    state = Scheduling()
    for slot, recorded in history:
        state.fold(view_of(recorded, slot))
    return state


SLOTS = {11: "AlphaDAO", 12: "BetaDAO", 13: "GammaDAO"}
RULES: dict[str, tuple[Rule, ...]] = {
    "none": (),
    "in country": (InCountry(kind="in_country", countries=("DEU",)),),
    "alone": (NoColocation(kind="no_colocation", authorised=()),),
    "two": (IndependentAttestations(kind="independent_attestations", count=2),),
}
steps = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.sampled_from(sorted(SLOTS)), st.sampled_from(sorted(RULES))),
        st.tuples(st.just("policy"), st.sampled_from(sorted(SLOTS)), st.sampled_from(sorted(RULES))),
        st.tuples(st.just("end"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("refuse"), st.integers(0, 5), st.none()),
        st.tuples(st.just("wait"), st.sampled_from([1, 5_000, 700_000]), st.none()),
    ),
    min_size=1,
    max_size=14,
)


def three_nodes() -> Cell:
    """Return a cell with three nodes of one or two slots."""
    cell = Cell().begin()
    for some in (node("n1", slots=1), node("n2", slots=2), node("n3", slots=1, country="FRA")):
        cell.join(some)
    cell.settle()
    return cell


def step(cell: Cell, number: int, what: str, who: int, how: Any) -> None:
    """Let one thing happen and settle."""
    live = sorted(cell.state.live.items())
    if what == "submit":
        workload = workload_id(uuid7(samples.NOW, number))
        queued = samples.queued(
            workload_id=workload,
            facts=facts(dao=SLOTS[who]),
            clause_rules=RULES[how],
            not_after_ms=cell.clock_ms + 1_000_000,
        )
        cell.on(who, workload, queued)
    elif what == "policy":
        cell.adopt(who, Policy(rules=RULES[how]))
    elif what == "wait":
        cell.advance(who)
    elif live:
        name, execution = live[who % len(live)]
        made: list[Event] = [executions.ExecutionAbandoned(execution_id=name, reason="evidence_refused")]
        if what == "end":
            ended = samples.fault(execution_id=name) if how else samples.completed(execution_id=name)
            made = [samples.released(execution_id=name), ended, RuntimeReset(execution_id=name, report="r")]
        cell.on(execution.slot, name, *made)
    cell.settle()


def scenario() -> bytes:
    """Return all views of a fixed history, one a line, and the digest of the state after it."""
    cell = three_nodes()
    number = 0
    for how in sorted(RULES):
        for who in SLOTS:
            number += 1
            step(cell, number, "submit", who, how)
            step(cell, number, "wait", 1_000, None)
        step(cell, number, "end", number % 3, number % 2 == 0)
        step(cell, number, "refuse", number % 2, None)
    step(cell, number, "wait", 3_000_000, None)
    return b"\n".join([*map(view_bytes, cell.views), cell.state.digest().encode()])


def run(some: list[tuple[str, int, Any]]) -> Cell:
    """Return the cell after these steps."""
    cell = three_nodes()
    for number, (what, who, how) in enumerate(some):
        step(cell, number, what, who, how)
    return cell


@given(steps)
def test_the_same_views_give_the_same_digest_at_every_prefix_however_they_come_in(some: list[Any]) -> None:
    cell = run(some)
    one, other = Scheduling(), Scheduling()
    for at, view in enumerate(cell.views):
        one.fold(view)
        other.fold(dict(reversed(view.items())))
        if at % 7 == 0:
            assert one.digest() == other.digest() == folded(cell.feed[: at + 1]).digest()
    assert canonical(one.dump()) == canonical(other.dump())


@given(steps)
def test_deciding_again_where_it_was_decided_gives_the_same_decisions_and_the_same_state(some: list[Any]) -> None:
    cell = run(some)
    assert cell.replayed().digest() == cell.state.digest()


@given(steps)
def test_applying_a_decision_is_folding_its_view_but_for_time_inputs_and_seen(some: list[Any]) -> None:
    cell, folded_all = run(some), Scheduling()
    for view in cell.views:
        folded_all.fold(view)
    folded_all.inputs, folded_all.seen = cell.state.inputs, cell.state.seen
    assert folded_all.now_ms == cell.state.now_ms
    assert folded_all.digest() == cell.state.digest()


@example([*[("submit", 11, "alone")] * 5, ("refuse", 0, None)])  # who is queued again is of the class that was loaded
@given(steps)
def test_a_state_that_was_dumped_and_loaded_at_any_point_goes_on_alike(some: list[Any]) -> None:
    cell = three_nodes()
    for number, (what, who, how) in enumerate(some):
        other = Scheduling.load(parse_canonical(canonical(cell.state.dump())))
        assert other.digest() == cell.state.digest()
        at = len(cell.views)
        step(cell, number, what, who, how)
        made = dict(cell.decided)
        mine = {start + offset for start, act in cell.decided for offset in range(len(act))}
        for position in range(at, len(cell.views)):
            if position in made:
                assert next_act(other, samples.ENGINE) == made[position]
                other.apply(made[position])
            if position not in mine:
                other.fold(cell.views[position])
        assert other.digest() == cell.state.digest()


def test_who_comes_after_a_state_was_loaded_joins_the_class_that_waited_before() -> None:
    cell = three_nodes()
    for number in range(5):
        step(cell, number, "submit", 11, "none")
    (waiting,) = cell.state.waiting
    other = Scheduling.load(parse_canonical(canonical(cell.state.dump())))
    at = len(cell.views)
    step(cell, 5, "submit", 11, "none")
    for view in cell.views[at:]:
        other.fold(view)
    assert next_act(other, samples.ENGINE) == ()  # its class was told why it waits
    newcomer = next(key for key in other.waiting if key != waiting)
    assert other.class_of[newcomer] is other.class_of[waiting]


@pytest.mark.parametrize("first", range(0, 120, 10))  # ids of executions follow from those of workloads, in any order
def test_an_erasure_withdraws_the_newest_attempt_of_a_loaded_state_too_though_an_older_one_still_runs(
    first: int,
) -> None:
    cell = Cell().begin()
    for number in (1, 2):
        cell.join(node(f"n{number}", slots=2, platform_ids=(f"amd:{number}",)))
    step(cell, first, "submit", 11, "two")
    one, two = cell.state.live
    workload = cell.state.live[one].key[1]
    queued = cell.state.live[one].queued
    for execution in (one, two):
        cell.on(11, execution, samples.released(execution_id=execution))
    cell.on(11, one, samples.fault(execution_id=one), RuntimeReset(execution_id=one, report="r"))
    cell.settle()
    cell.on(11, one, samples.authorized(execution_id=one, workload_id=workload))
    cell.on(11, workload, queued.model_copy(update={"attempt": 2}))
    cell.settle()
    assert len(cell.state.live) == 3
    cell.record(11, log_of(11), samples.SAMPLES_BY_TOPIC[ErasureOrdered.TOPIC])
    other = Scheduling.load(parse_canonical(canonical(cell.state.dump())))
    assert next_act(other, samples.ENGINE) == next_act(cell.state, samples.ENGINE) != ()


@given(steps)
def test_every_prefix_has_another_digest_than_the_one_before(some: list[Any]) -> None:
    cell = run(some)
    state, seen = Scheduling(), set()
    for view in cell.views:
        state.fold(view)
        seen.add(state.digest())
    assert len(seen) == len(cell.views)


def own_log(cell: Cell, slot: int) -> list[tuple[int, bytes]]:
    return [
        (stored.leaf_index, canonical({"topic": stored.event.TOPIC, "event": stored.event.payload()}))
        for owner, stored in cell.feed
        if owner == slot
    ]


@given(mine=steps, theirs=steps, others=steps)
def test_a_log_is_the_same_whatever_a_tenant_that_shares_no_node_does(
    mine: list[Any], theirs: list[Any], others: list[Any]
) -> None:
    """AlphaDAO may use its own node only, BetaDAO another; time and AlphaDAO's own acts are the same in both."""

    def history(foreign: list[Any]) -> Cell:
        cell = Cell().begin()
        cell.join(node("n1", slots=2, admits=("AlphaDAO",)))
        cell.join(node("n2", slots=2, admits=("AlphaDAO",), operator="o2"))
        cell.join(node("n3", slots=1, admits=("BetaDAO",)))
        cell.settle()
        for number in range(max(len(mine), len(theirs), len(others))):
            for slot, acts in ((11, mine), (12, foreign)):
                if number < len(acts):
                    _act(cell, number, slot, *acts[number])
            cell.advance(60_000)
        return cell

    assert own_log(history(theirs), 11) == own_log(history(others), 11)


def _act(cell: Cell, number: int, slot: int, what: str, who: int, how: Any) -> None:
    if what == "wait":
        return
    live = sorted(name for name, execution in cell.state.live.items() if execution.slot == slot)
    if what in {"submit", "policy"}:
        step(cell, number + slot * 1000, what, slot, how)
    elif live:
        everybody = sorted(cell.state.live)
        step(cell, number, what, everybody.index(live[who % len(live)]), how)


def test_the_fixed_history_is_worth_comparing() -> None:
    kinds = {view["kind"] for view in three_nodes().views}
    assert kinds == {"genesis", "levels", "node"}
    text = scenario().decode()
    for kind in ("placed", "deferred", "ended", "abandoned", "faulted", "freed", "queued", "tick"):
        assert f'"kind":"{kind}"' in text
    assert log_of(11) != log_of(12)
