"""Statuses along a life, each with the entry that it rests on; replay equals the live rows at every prefix."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.cacs import events as cacs
from domain.canonical import canonical
from domain.executions.events import ExecutionAbandoned, ReportRefused
from domain.message import Event
from domain.workloads.events import ClauseVerified, CredentialChecked
from projections.audit_trail import NAME, project
from tests.domain import samples
from tests.domain.samples import CAC, EXECUTION, WORKLOAD, completed, fault, issued, rejected
from tests.projections.lives import (
    CHECKED,
    PARTNER,
    PLACED,
    SECOND,
    TWO_PLACED,
    Row,
    again,
    fold,
    reset,
    runs,
    told,
)

BY_TOPIC = samples.SAMPLES_BY_TOPIC
DONE = (*PLACED, *runs(), completed(), reset(), issued(), BY_TOPIC["usage.metered.v1"])
HELD = (*PLACED, *runs(), fault(), BY_TOPIC["notice.requested.v1"], reset())
RETRIED = (
    *HELD, samples.authorized(), *again(), *runs(SECOND), completed(execution_id=SECOND), reset(SECOND),
    issued(execution_id=SECOND),
)  # fmt: skip
LIVES: dict[str, tuple[Event, ...]] = {
    "done": DONE,
    "held": HELD,
    "retried": RETRIED,
    "denied": (*CHECKED, samples.denied()),
    "expired": (*CHECKED, samples.deferred(), BY_TOPIC["workload.expired.v1"]),
    "quorum": (
        *TWO_PLACED, *runs(), *runs(PARTNER), completed(), reset(), issued(), completed(execution_id=PARTNER),
        reset(PARTNER), issued(execution_id=PARTNER), BY_TOPIC["cac.quorum_reached.v1"],
    ),
}  # fmt: skip


def statuses(*events: Event) -> list[str]:
    """Return the workload's status after each event, repeats left out."""
    found: list[str] = []
    history = told(*events)
    for at in range(1, len(history) + 1):
        status = fold(project, history[:at])[f"workload/{WORKLOAD}"]["status"]
        if not found or found[-1] != status:
            found.append(status)
    return found


def workload(*events: Event) -> Row:
    return fold(project, told(*events))[f"workload/{WORKLOAD}"]


def execution(*events: Event, name: str = EXECUTION) -> Row:
    return fold(project, told(*events))[f"execution/{name}"]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (DONE, ["submitted", "queued", "waiting", "placed", "running", "done"]),
        (HELD, ["submitted", "queued", "waiting", "placed", "running", "held"]),
        (
            RETRIED,
            ["submitted", "queued", "waiting", "placed", "running", "held", "queued", "placed", "running", "done"],
        ),
        (LIVES["denied"], ["submitted", "queued", "denied"]),
        (LIVES["expired"], ["submitted", "queued", "waiting", "expired"]),
        ((*CHECKED, BY_TOPIC["workload.cancelled.v1"]), ["submitted", "queued", "cancelled"]),
        (
            (*PLACED, *runs(), completed(), reset(), rejected()),
            ["submitted", "queued", "waiting", "placed", "running", "rejected"],
        ),
        (
            (*PLACED, *runs(), completed(), reset(report=None)),
            ["submitted", "queued", "waiting", "placed", "running", "failed"],
        ),
        (LIVES["quorum"], ["submitted", "queued", "placed", "running", "done"]),
    ],
)
def test_a_workloads_status_along_its_life(events: tuple[Event, ...], expected: list[str]) -> None:
    assert statuses(*events) == expected


def test_every_gate_is_listed_with_its_verdict_policy_and_entry() -> None:
    row = workload(*DONE)
    assert [(gate["gate"], gate["passed"]) for gate in row["gates"]] == [
        ("credential", True), ("clause", True), ("queue", True), ("provisioning", True), ("cac", True),
    ]  # fmt: skip
    leaves = [gate["leaf_index"] for gate in row["gates"]]
    assert leaves == sorted(set(leaves))
    assert all(gate["policy_version"] == 2 for gate in row["gates"][2:])
    assert row["executions"] == [EXECUTION]
    assert row["cacs"] == [CAC]


def test_a_denial_at_the_queue_shows_rule_have_need_and_counts() -> None:
    row = workload(*LIVES["denied"])
    assert (row["rule"], row["have"], row["need"], row["nodes"]) == ("in_country", "FRA", "one of DEU", 3)
    assert row["filtered"] == {"in_country": 3}
    assert row["gates"][-1]["gate"] == "queue"
    assert row["gates"][-1]["passed"] is False
    assert row["next"] == "never; submit again"


@pytest.mark.parametrize("gate", ["credential", "clause"])
def test_a_denial_by_a_check_is_listed_once(gate: str) -> None:
    checks: dict[str, tuple[Event, ...]] = {
        "credential": (CredentialChecked(passed=False, reason="expired", credential_digest=None, valid_until_ms=None),),
        "clause": (CHECKED[1], ClauseVerified(passed=False, reason="closed", module_digest=None, clause_entry=None)),
    }
    row = workload(samples.submitted(), *checks[gate], samples.denied(gate=gate, rule=gate, reason="no"))
    assert [g["gate"] for g in row["gates"] if not g["passed"]] == [gate]
    assert row["status"] == "denied"


def test_the_provisioning_gate_denies_workload_and_execution() -> None:
    gate = samples.provisioned(passed=False, rule="evidence", have="software", need="one of vendor")
    events = (*PLACED, *runs()[:2], gate, ExecutionAbandoned(execution_id=EXECUTION, reason="provisioning_denied"))
    row = workload(*events, samples.denied(gate="provisioning"))
    assert row["status"] == "denied"
    assert [g["passed"] for g in row["gates"] if g["gate"] == "provisioning"] == [False, False]
    assert execution(*events)["status"] == "abandoned"
    assert "evidence: have software, need one of vendor" in {g["reason"] for g in row["gates"]}


def test_a_fault_names_its_kind_its_entry_who_is_told_and_what_was_decided() -> None:
    row = execution(*RETRIED)
    assert (row["status"], row["fault"], row["reset"], row["retry"], row["next_attempt"]) == (
        "faulted", "trap", True, "authorized", 2,
    )  # fmt: skip
    assert row["fault_leaf_index"] == [type(e) for e in RETRIED].index(type(fault()))
    assert row["notices"]
    assert workload(*HELD)["reason"] == "fault: trap"
    assert workload(*RETRIED)["executions"] == [EXECUTION, SECOND]
    assert execution(*HELD, BY_TOPIC["execution.retry_refused.v1"])["retry"] == "refused"


def test_an_execution_shows_its_end_its_outcome_and_refused_reports() -> None:
    late = ReportRefused(execution_id=EXECUTION, reason="late", report="l")
    row = execution(*DONE, late, late)
    assert (row["status"], row["outcome"], row["refused_reports"]) == ("completed", "TRIGGER", 2)
    assert row["started_at_ms"] < row["ended_at_ms"]
    assert workload(*DONE, late) == workload(*DONE)


def test_a_cac_is_a_row_of_its_own() -> None:
    row = fold(project, told(*DONE))[f"cac/{CAC}"]
    assert (row["execution"], row["outcome"], row["node"]) == (EXECUTION, "TRIGGER", "node-a")
    assert row["document"] == issued().document


def test_one_of_several_cacs_does_not_make_it_done() -> None:
    first = (*TWO_PLACED, *runs(), *runs(PARTNER), completed(), reset(), issued())
    assert workload(*first)["status"] == "running"
    assert workload(*LIVES["quorum"])["quorum"] == "reached"
    diverged = (*first, completed(execution_id=PARTNER), reset(PARTNER), issued(execution_id=PARTNER))
    row = workload(*diverged, BY_TOPIC["cac.quorum_failed.v1"])
    assert (row["status"], row["quorum"], row["reason"]) == ("failed", "failed", "divergence")
    assert workload(*first, rejected(execution_id=PARTNER))["status"] == "running"


def test_a_workload_that_is_held_stays_held_whatever_the_partner_does() -> None:
    held = (*TWO_PLACED, *runs(), fault(), reset())
    partner = (*runs(PARTNER), completed(execution_id=PARTNER), reset(PARTNER), issued(execution_id=PARTNER))
    failed = cacs.QuorumFailed(**samples.decided(**samples.QUORUM, reason="fault"))
    row = workload(*held, *partner, failed)
    assert (row["status"], row["quorum"], row["reason"]) == ("held", "failed", "fault: trap")


def test_a_quorum_that_failed_in_an_earlier_attempt_leaves_the_later_one_alone() -> None:
    abandoned = ExecutionAbandoned(execution_id=PARTNER, reason="evidence_refused")
    failed = cacs.QuorumFailed(**samples.decided(**samples.QUORUM, reason="fault"))
    row = workload(*TWO_PLACED, *runs(), abandoned, *again(), failed)
    assert (row["status"], row["quorum"]) == ("placed", "failed")


@given(st.sampled_from(sorted(LIVES)))
def test_replay_at_every_prefix_equals_the_live_rows(name: str) -> None:
    history = told(*LIVES[name])
    live: dict[str, Row] = {}
    for at, recorded in enumerate(history):
        changed = project(live, recorded)
        live = {**live, **changed}
        assert fold(project, history[: at + 1]) == live
        assert all(row["leaf_index"] == recorded.leaf_index for row in changed.values())
        assert all(row["at_ms"] == recorded.at_ms for row in changed.values())
        canonical(live)


def test_only_the_rows_that_an_event_changes_are_returned() -> None:
    history = told(*LIVES["quorum"])
    for at, recorded in enumerate(history):
        rows = fold(project, history[:at])
        changed = project(rows, recorded)
        assert len(changed) <= 2
        for key in changed:
            assert key.split("/")[0] in {"workload", "execution", "cac"}


@pytest.mark.parametrize(
    "topic", ["platform.genesis.v1", "tenant.policy_adopted.v1", "execution.challenged.v1", "usage.metered.v1"]
)
def test_events_that_say_nothing_of_a_submission_change_nothing(topic: str) -> None:
    assert project({}, samples.recorded(BY_TOPIC[topic])) == {}


def test_its_stored_name_is_versioned() -> None:
    assert NAME == "audit_trail_v1"


def test_what_ends_a_reservation_is_named() -> None:
    reason: Any = "reservation_expired"
    row = execution(*PLACED, ExecutionAbandoned(execution_id=EXECUTION, reason=reason))
    assert (row["status"], row["reason"]) == ("abandoned", reason)


def test_a_late_fault_of_an_earlier_attempt_does_not_hold_the_later_one() -> None:
    row = workload(*TWO_PLACED, *runs(), *runs(PARTNER), fault(), reset(), *again(), fault(execution_id=PARTNER))
    assert (row["status"], row["attempt"]) == ("placed", 2)
