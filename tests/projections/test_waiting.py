"""Places within a class are exact, and every member of a class shares what its head was told."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical
from domain.identifiers import uuid7, workload_id
from domain.message import Event
from domain.policies.effective import effective_policy
from domain.policies.kinds import InCountry, Nodes, Policy
from domain.tenants.events import PolicyAdopted
from domain.workloads import events as workloads
from projections import waiting as waiting_rows
from projections.waiting import MAX_SPELLINGS, NAME, Standing, project, standing
from tests.domain import samples
from tests.projections.lives import Row, fold, told

NAMES = [workload_id(uuid7(samples.NOW, number)) for number in range(8)]
SHAPES = (samples.facts(), samples.facts(tags=("x",)))


RULES = (InCountry(kind="in_country"), Nodes(kind="nodes", allowed=("n1",)), Nodes(kind="nodes", allowed=("n2",)))


def queued(number: int, shape: int, attempt: int = 1, rules: tuple[int, ...] = ()) -> Event:
    """Return the queueing of one of NAMES with facts of one of two kinds, by a clause with so many of RULES."""
    chosen = tuple(RULES[rule] for rule in rules)
    return samples.queued(workload_id=NAMES[number], facts=SHAPES[shape], attempt=attempt, clause_rules=chosen)


def adopted(*rules: int) -> Event:
    """Return a policy with so many of RULES."""
    policy = Policy(rules=tuple(RULES[rule] for rule in rules))
    return PolicyAdopted(version=1, policy=policy, digest=policy.digest(), statements=())


def placed(number: int) -> Event:
    """Return its placement."""
    return samples.placed(workload_id=NAMES[number])


def cancelled(number: int) -> Event:
    """Return its cancellation."""
    return workloads.WorkloadCancelled(workload_id=NAMES[number], statement="s")


def place_of(rows: dict[str, Row], number: int) -> int | None:
    """Return where a workload stands, None where it waits no more."""
    found = standing(rows.get, NAMES[number])
    return None if found is None else found.place


def deferral_of(rows: dict[str, Row], number: int) -> Any:
    """Return what a workload's class was told."""
    found = standing(rows.get, NAMES[number])
    assert isinstance(found, Standing)
    return found.told


def test_it_is_stored_under_this_name() -> None:
    assert NAME == "waiting_v2"


def test_a_class_is_served_in_order_and_who_leaves_out_of_turn_moves_the_others_up() -> None:
    rows = fold(project, told(queued(0, 0), queued(1, 0), queued(2, 0), queued(3, 1)))
    assert [place_of(rows, number) for number in range(4)] == [1, 2, 3, 1]
    rows = fold(project, told(queued(0, 0), queued(1, 0), queued(2, 0), cancelled(1)))
    assert [place_of(rows, number) for number in range(3)] == [1, None, 2]
    rows = fold(project, told(queued(0, 0), queued(1, 0), queued(2, 0), cancelled(1), placed(0)))
    assert [place_of(rows, number) for number in range(3)] == [None, None, 1]


def test_what_the_head_was_told_is_the_reason_of_all_of_its_class_and_of_no_other() -> None:
    deferral = samples.deferred(
        workload_id=NAMES[0], reason="bandwidth", rule="bandwidth", have="0 tokens", need="1 token", retry_ms=77
    )
    rows = fold(project, told(queued(0, 0), queued(1, 0), queued(2, 1), deferral))
    assert deferral_of(rows, 1)["retry_ms"] == 77
    assert deferral_of(rows, 1)["head"] == NAMES[0]
    assert deferral_of(rows, 1)["leaf_index"] == 3
    assert deferral_of(rows, 2) is None


def test_what_was_said_is_over_when_nobody_of_the_class_waits() -> None:
    deferral = samples.deferred(workload_id=NAMES[0])
    rows = fold(project, told(queued(0, 0), deferral, placed(0), queued(1, 0)))
    assert deferral_of(rows, 1) is None
    rows = fold(project, told(queued(0, 0), queued(1, 0), deferral, placed(0)))
    assert deferral_of(rows, 1)["reason"] == "no_node_now"


def test_a_fault_takes_the_attempt_that_waits_out_of_the_line() -> None:
    run = samples.placed(workload_id=NAMES[0]).places[0].execution_id
    rows = fold(project, told(queued(0, 0), placed(0), queued(0, 0, 2), samples.fault(execution_id=run)))
    assert place_of(rows, 0) is None


def test_a_clause_whose_rules_repeat_the_tenants_policy_is_of_the_class_that_was_told() -> None:
    deferral = samples.deferred(workload_id=NAMES[0], reason="quota")
    history = [adopted(0), queued(0, 0), deferral, queued(1, 0, rules=(0,)), queued(2, 0, rules=(0, 1)), queued(3, 0)]
    rows = fold(project, told(*history))
    assert [place_of(rows, number) for number in range(4)] == [1, 2, 1, 3]
    assert deferral_of(rows, 1)["reason"] == deferral_of(rows, 3)["reason"] == "quota"
    assert deferral_of(rows, 2) is None
    rows = fold(project, told(*history, placed(0)))
    assert [place_of(rows, number) for number in (1, 3)] == [1, 2]
    assert deferral_of(rows, 1)["head"] == NAMES[0]
    rows = fold(project, told(*history, placed(0), placed(1), placed(3), queued(4, 0)))
    assert deferral_of(rows, 4) is None  # nobody waited: what was said is over, of all that is one class


def test_another_policy_makes_other_classes_of_those_who_wait() -> None:
    history = [queued(0, 0), queued(1, 0, rules=(0,)), queued(2, 0), samples.deferred(workload_id=NAMES[1])]
    rows = fold(project, told(*history))
    assert [place_of(rows, number) for number in range(3)] == [1, 1, 2]
    rows = fold(project, told(*history, adopted(0)))
    assert [place_of(rows, number) for number in range(3)] == [1, 2, 3]
    assert deferral_of(rows, 2)["head"] == NAMES[1]
    rows = fold(project, told(*history, adopted(0), adopted(1), cancelled(0)))
    assert [place_of(rows, number) for number in range(3)] == [None, 1, 1]
    assert deferral_of(rows, 2) is None


def test_so_many_sets_of_rules_are_held_together_and_the_next_one_stands_alone() -> None:
    history: list[Event] = [adopted(0)]
    for number in range(MAX_SPELLINGS):
        rule = Nodes(kind="nodes", allowed=(f"node-{number}",))
        history.append(samples.queued(workload_id=NAMES[0], clause_rules=(rule,)))
    rows = fold(project, told(*history, queued(1, 0), samples.deferred(workload_id=NAMES[1]), queued(2, 0)))
    assert deferral_of(rows, 2)["head"] == NAMES[1]
    assert len(rows[rows[rows[f"workload/{NAMES[2]}"]["class"]]["line"]]["classes"]) == MAX_SPELLINGS
    assert place_of(rows, 2) == 2


RULE_SETS = ((), (0,), (1,), (0, 1))
acts = st.tuples(
    st.sampled_from(["queue", "queue", "place", "cancel", "adopt"]), st.integers(0, 7), st.integers(0, 1),
    st.sampled_from(RULE_SETS),
)  # fmt: skip


@given(st.lists(acts, max_size=60), st.sampled_from([2, 7]))
def test_a_place_is_one_more_than_those_of_the_schedulers_class_that_came_before_and_wait(
    steps: list[tuple[str, int, int, tuple[int, ...]]], bits: int
) -> None:
    waiting: dict[int, tuple[int, tuple[int, ...]]] = {}
    history: list[Event] = []
    policy = Policy()
    for act, number, shape, rules in steps:
        if act == "queue":
            history.append(queued(number, shape, rules=rules))
            waiting.pop(number, None)
            waiting[number] = (shape, rules)
        elif act == "adopt":
            history.append(adopted(*rules))
            policy = Policy(rules=tuple(RULES[rule] for rule in rules))
        elif waiting.pop(number, None) is not None:
            history.append(placed(number) if act == "place" else cancelled(number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(waiting_rows, "_BITS", bits)
        rows = fold(project, told(*history))
        places = {number: place_of(rows, number) for number in range(8)}
    lines: dict[str, list[int]] = {}
    for number, (shape, rules) in waiting.items():
        effective = effective_policy(policy, tuple(RULES[rule] for rule in rules))
        lines.setdefault(SHAPES[shape].class_key(effective, 1), []).append(number)
    expected = {number: line.index(number) + 1 for line in lines.values() for number in line}
    assert places == {number: expected.get(number) for number in range(8)}


def test_who_waits_long_at_the_head_makes_no_row_grow() -> None:
    count = 2_000
    names = [workload_id(uuid7(samples.NOW + 1, number)) for number in range(count)]
    queue = [samples.queued(workload_id=name) for name in names]
    leave = [workloads.WorkloadCancelled(workload_id=name, statement="s") for name in names]
    order = sorted(range(1, count - 1), key=lambda number: number * 7919 % count)
    rows: dict[str, Row] = {}
    most = 0
    for recorded in told(*queue, *(leave[number] for number in order)):
        changed = project(rows, recorded)
        rows.update(changed)
        most = max(most, sum(len(canonical(row)) for row in changed.values()))
    assert most < 4_000
    found = [standing(rows.get, names[number]) for number in (0, count - 1)]
    assert [one and one.place for one in found] == [1, 2]
    rows.update(project(rows, told(*queue, leave[0])[-1]))
    last = standing(rows.get, names[-1])
    assert last is not None
    assert last.place == 1
    assert rows[rows[f"workload/{names[-1]}"]["class"]]["gone"] == 0
