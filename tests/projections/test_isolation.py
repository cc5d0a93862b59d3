"""Where each enclave lived, and that it is gone only when its node said so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.executions.events import ExecutionAbandoned
from domain.message import Event
from projections.isolation import project
from tests.domain import samples
from tests.domain.samples import EXECUTION, appraised, completed, fault, reserved
from tests.projections.lives import Row, fold, reset, runs, told

LIFE = (reserved(), *runs(), completed(), reset())
LIVES: dict[str, tuple[Event, ...]] = {
    "completed": LIFE,
    "faulted": (reserved(), *runs(), fault(), reset()),
    "lost": (reserved(), *runs(), fault(kind="node_lost", report=None), reset(report=None)),
    "abandoned": (reserved(), ExecutionAbandoned(execution_id=EXECUTION, reason="reservation_expired")),
    "refused": (
        reserved(),
        appraised(status="contraindicated", certificate=None),
        ExecutionAbandoned(execution_id=EXECUTION, reason="evidence_refused"),
    ),
}


def row(*events: Event) -> Row:
    return fold(project, told(*events))[f"enclave/{EXECUTION}"]


def test_states_along_a_life() -> None:
    states = [row(*LIFE[:at])["state"] for at in range(1, len(LIFE) + 1)]
    assert states == [
        "reserved", "reserved", "appraised", "appraised", "holds inputs", "holds inputs", "ended", "gone",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "state", "zeroed"),
    [
        ("completed", "gone", True),
        ("faulted", "gone", True),
        ("lost", "lost", False),
        ("abandoned", "never held inputs", False),
        ("refused", "never held inputs", False),
    ],
)
def test_how_a_life_ends(name: str, state: str, *, zeroed: bool) -> None:
    last = row(*LIVES[name])
    assert (last["state"], last["zeroed"]) == (state, zeroed)


@given(name=st.sampled_from(sorted(LIVES)), at=st.integers(1, 8))
def test_nothing_is_zeroed_before_the_node_reported_its_reset(name: str, at: int) -> None:
    events = LIVES[name][:at]
    reported = any(event == reset() for event in events)
    last = row(*events)
    assert last["zeroed"] is reported
    assert (last["state"] == "gone") is reported
    assert last["leaf_index"] <= len(events) - 1


def test_what_was_measured_is_kept_to_the_end() -> None:
    last = row(*LIFE)
    assert last["node"] == "node-a"
    assert last["platform"] == appraised().platform_id
    assert last["measurement"] == appraised().measurement
    assert last["report_data"] == appraised().report_data
    assert last["released_by"] == "custody: operator"
    assert last["limits"] == samples.BOUNDS.model_dump(mode="json")


@given(name=st.sampled_from(sorted(LIVES)))
def test_replay_at_every_prefix_equals_the_live_rows_and_only_changed_rows_come(name: str) -> None:
    history = told(*LIVES[name])
    live: dict[str, Row] = {}
    for at, recorded in enumerate(history):
        changed = project(live, recorded)
        assert len(changed) <= 1
        live = {**live, **changed}
        assert fold(project, history[: at + 1]) == live


@pytest.mark.parametrize("topic", ["workload.queued.v1", "execution.challenged.v1", "cac.issued.v1", "time.ticked.v1"])
def test_other_events_change_nothing(topic: str) -> None:
    assert project({}, samples.recorded(samples.SAMPLES_BY_TOPIC[topic])) == {}


def test_a_fault_that_holds_the_workload_of_an_abandoned_execution_says_nothing_of_an_enclave() -> None:
    abandoned = ExecutionAbandoned(execution_id=EXECUTION, reason="evidence_refused")
    rows = fold(project, told(reserved(), abandoned, fault(kind="node_lost", report=None)))
    assert rows[f"enclave/{EXECUTION}"]["state"] == "never held inputs"
