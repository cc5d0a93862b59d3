"""Places within a class are exact, and every member of a class shares what its head was told."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import uuid7, workload_id
from domain.message import Event
from domain.workloads import events as workloads
from projections.waiting import NAME, place, project
from tests.domain import samples
from tests.projections.lives import Row, fold, told

NAMES = [workload_id(uuid7(samples.NOW, number)) for number in range(8)]
SHAPES = (samples.facts(), samples.facts(tags=("x",)))


def queued(number: int, shape: int, attempt: int = 1) -> Event:
    """Return the queueing of one of NAMES in one of two classes."""
    return samples.queued(workload_id=NAMES[number], facts=SHAPES[shape], attempt=attempt)


def placed(number: int) -> Event:
    """Return its placement."""
    return samples.placed(workload_id=NAMES[number])


def cancelled(number: int) -> Event:
    """Return its cancellation."""
    return workloads.WorkloadCancelled(workload_id=NAMES[number], statement="s")


def place_of(rows: dict[str, Row], number: int) -> int | None:
    """Return where a workload stands, None where it waits no more."""
    mine = rows[f"workload/{NAMES[number]}"]
    return place(mine, rows[mine["class"]]) if mine["waits"] else None


def deferral_of(rows: dict[str, Row], number: int) -> Any:
    """Return what a workload's class was told."""
    return rows[rows[f"workload/{NAMES[number]}"]["class"]]["told"]


def test_it_is_stored_under_this_name() -> None:
    assert NAME == "waiting_v1"


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


Act = tuple[str, int, int]
histories = st.lists(
    st.tuples(st.sampled_from(["queue", "place", "cancel"]), st.integers(0, 7), st.integers(0, 1)), max_size=40
)


@given(histories)
def test_a_place_is_one_more_than_those_of_the_class_that_came_before_and_wait(
    steps: list[tuple[str, int, int]],
) -> None:
    lines: tuple[list[int], list[int]] = ([], [])
    history: list[Event] = []
    seen: set[int] = set()
    for act, number, shape in steps:
        waits = next((line for line in lines if number in line), None)
        if act == "queue":
            history.append(queued(number, shape))
            seen.add(number)
            if waits is not None:
                waits.remove(number)
            lines[shape].append(number)
        elif waits is not None:
            history.append(placed(number) if act == "place" else cancelled(number))
            waits.remove(number)
    rows = fold(project, told(*history))
    expected = {number: line.index(number) + 1 for line in lines for number in line}
    assert {number: place_of(rows, number) for number in seen} == {number: expected.get(number) for number in seen}
