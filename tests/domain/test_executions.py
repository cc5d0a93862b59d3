"""An execution accepts its reports in one order only, as a chain, within its window."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError
from domain.executions.decisions import challenge, faulted, notices
from domain.executions.events import EnclaveStarted, ExecutionAbandoned, ReportRefused, RuntimeReset
from domain.executions.reports import FaultedReport, bucket, read_report, refusal
from domain.executions.state import NO_REPORT, Execution, evolve
from domain.hashing import sha256_hex
from domain.message import Event
from domain.policies.kinds import Notification, Policy
from domain.statements import GOVERNANCE, REPORT, Signed
from tests.domain import samples, strategies
from tests.domain.people import kid, signed
from tests.domain.samples import (
    EXECUTION,
    NOW,
    appraised,
    challenged,
    completed,
    fault,
    hexed,
    provisioned,
    released,
    reserved,
)

NODE = kid("node")
UNTIL = reserved().until_ms
COUNTS = {"fuel": 9, "memory_bytes": 8, "duration_ms": 7}
MEMBERS: dict[str, dict[str, Any]] = {
    "evidence": {
        "evidence_class": "software", "nonce": hexed(3), "report_data": hexed(5, 64), "cac_key": hexed(6),
        "hpke_kem_id": 1, "hpke_key": hexed(7), "engine": "e", "measurement": hexed(9),
    },
    "started": {},
    "completed": {
        "outcome": "PASS", "output_commitment": hexed(1), "output_bytes": 1, "output_digest": hexed(2),
        "cac_digest": hexed(3), **COUNTS,
    },
    "faulted": {"fault": "trap", "detail": "unreachable", **COUNTS},
    "reset": {},
}  # fmt: skip


def fold(*events: Event) -> Execution:
    found: Execution | None = None
    for event in events:
        found = evolve(event, found)
    assert found is not None
    return found


def report(kind: str, seq: Any = 0, prev: Any = NO_REPORT, **changes: Any) -> Signed:
    members = {"execution": EXECUTION, "seq": seq, "prev": prev, "kind": kind, **MEMBERS[kind], **changes}
    return Signed(f"{kind}.{seq}.{prev[:8]}", NODE, REPORT, signed("node", members).payload)


def accepted(execution: Execution, said: Signed) -> Execution:
    """Return the execution after what the ledger records for an accepted report."""
    token = said.token
    events: dict[str, tuple[Event, ...]] = {
        "evidence": (appraised(evidence=token), provisioned(), released()),
        "started": (EnclaveStarted(execution_id=EXECUTION, report=token),),
        "completed": (completed(report=token),),
        "faulted": (fault(report=token),),
        "reset": (RuntimeReset(execution_id=EXECUTION, report=token),),
    }
    for event in events[said.payload["kind"]]:
        execution = evolve(event, execution)
    return execution


LEGAL = {
    (): {"evidence"},
    ("evidence",): {"started", "faulted"},
    ("evidence", "started"): {"completed", "faulted"},
    ("evidence", "faulted"): {"reset"},
    ("evidence", "started", "completed"): {"reset"},
    ("evidence", "started", "faulted"): {"reset"},
}
attempts = st.lists(
    st.tuples(st.sampled_from(sorted(MEMBERS)), st.sampled_from([0, 0, 0, 1, -1]), st.booleans(), st.booleans()),
    max_size=14,
)


@given(attempts)
def test_of_any_sequence_only_the_legal_chain_is_accepted(some: list[tuple[str, int, bool, bool]]) -> None:
    execution, last = fold(reserved(), challenged()), NO_REPORT
    done: list[str] = []
    for kind, skew, broken, late in some:
        seq = max(0, len(done) + skew)
        prev = hexed(99) if broken else last
        said = report(kind, seq, prev)
        reason = refusal(execution, said, read_report(said), NODE, UNTIL if late else UNTIL - 1)
        legal = kind in LEGAL.get(tuple(done), set()) and seq == len(done) and prev == last and not late
        assert (reason is None) is legal, reason
        if reason is None:
            execution = accepted(execution, said)
            done.append(kind)
            last = sha256_hex(said.token.encode())
            assert (execution.reports, execution.last_report) == (len(done), last)
        else:
            before = execution
            execution = evolve(ReportRefused(execution_id=EXECUTION, reason=reason, report=said.token), execution)
            assert (execution.status, execution.reports) == (before.status, before.reports)


def test_each_refusal_says_why() -> None:
    running = accepted(fold(reserved(), challenged()), report("evidence"))

    def why(execution: Execution, said: Signed, now_ms: int = NOW) -> str:
        reason = refusal(execution, said, read_report(said), NODE, now_ms)
        assert reason is not None
        return reason

    assert "late" in why(running, report("started", 1, running.last_report), UNTIL)
    assert why(running, report("started", 2, running.last_report)) == "out of order: report 1 is expected"
    assert why(running, report("started", 1, hexed(9))) == "out of order: report 1 is expected"
    assert "no place while the execution is released" in why(running, report("reset", 1, running.last_report))
    over = fold(reserved(), ExecutionAbandoned(execution_id=EXECUTION, reason="reservation_expired"))
    assert why(over, report("evidence")) == "the execution is over"
    refused = fold(reserved(), challenged(), appraised(status="contraindicated", certificate=None))
    assert why(refused, report("started", 1, refused.last_report)) == "the execution is over"


def test_another_key_or_another_type_is_no_report_of_this_node() -> None:
    execution = fold(reserved(), challenged())
    for said in (
        Signed("t", kid("other"), REPORT, report("evidence").payload),
        Signed("t", NODE, GOVERNANCE, report("evidence").payload),
    ):
        with pytest.raises(NotAuthorisedError, match="node that holds the reservation"):
            refusal(execution, said, read_report(said), NODE, NOW)


@pytest.mark.parametrize("kind", sorted(MEMBERS))
def test_a_report_with_a_member_too_many_missing_or_of_another_type_is_malformed(kind: str) -> None:
    with pytest.raises(MalformedError, match="report is malformed at"):
        read_report(report(kind, more=1))
    with pytest.raises(MalformedError, match="report is malformed at"):
        read_report(report(kind, seq=-1))
    for name in MEMBERS[kind]:
        with pytest.raises(MalformedError):
            read_report(report(kind, **{name: [1]}))
        members = {key: value for key, value in report(kind).payload.items() if key != name}
        with pytest.raises(MalformedError):
            read_report(Signed("t", NODE, REPORT, members))


@given(strategies.json_values)
def test_a_foreign_report_raises_nothing_but_malformed(value: Any) -> None:
    payload = value if isinstance(value, dict) else {"kind": value}
    with pytest.raises(MalformedError):
        read_report(Signed("t", NODE, REPORT, payload))


def test_a_life_is_folded_event_by_event() -> None:
    life: list[tuple[Event, str]] = [
        (reserved(), "reserved"),
        (challenged(), "challenged"),
        (appraised(), "appraised"),
        (provisioned(), "provisioned"),
        (released(), "released"),
        (EnclaveStarted(execution_id=EXECUTION, report="s"), "started"),
        (completed(), "completed"),
        (RuntimeReset(execution_id=EXECUTION, report="r"), "completed"),
        (samples.SAMPLES_BY_TOPIC["usage.metered.v1"], "completed"),
    ]
    found: Execution | None = None
    for version, (event, status) in enumerate(life):
        found = evolve(event, found)
        assert (found.status, found.version) == (status, version)
        assert found.id == EXECUTION
    assert found is not None
    assert found.terminal
    assert (found.challenge, found.released, found.completed) == (challenged(), released(), completed())
    assert found.faulted is None


def test_a_gate_that_denies_and_evidence_that_is_refused_end_it() -> None:
    for last in (provisioned(passed=False, rule="in_country"), appraised(status="contraindicated", certificate=None)):
        found = fold(reserved(), challenged(), last)
        assert (found.status, found.terminal) == ("refused", True)


def test_a_lost_node_has_no_report_and_the_chain_stays() -> None:
    found = fold(reserved(), fault(kind="node_lost", report=None), RuntimeReset(execution_id=EXECUTION, report=None))
    assert (found.reports, found.last_report, found.reset, found.terminal) == (0, NO_REPORT, True, True)


def test_an_execution_id_is_used_once_and_its_stream_begins_with_its_reservation() -> None:
    with pytest.raises(RefusedError, match="used once"):
        fold(reserved(), reserved())
    for event in (challenged(), fault(), samples.SAMPLES_BY_TOPIC["usage.metered.v1"]):
        with pytest.raises(RefusedError, match="begins with its reservation"):
            evolve(event, None)


def test_the_nonce_is_issued_once_while_the_reservation_holds() -> None:
    issued = challenge(fold(reserved()), hexed(3), UNTIL - 1)
    assert (issued.nonce, issued.node, issued.expires_ms) == (hexed(3), "node-a", UNTIL)
    with pytest.raises(ConflictError, match="has its nonce already"):
        challenge(fold(reserved(), challenged()), hexed(3), NOW)
    with pytest.raises(RefusedError, match="window is over"):
        challenge(fold(reserved()), hexed(3), UNTIL)


def test_a_fault_is_recorded_with_its_kind_and_telemetry_in_buckets() -> None:
    said = read_report(report("faulted", fuel=1000, memory_bytes=0))
    assert isinstance(said, FaultedReport)
    event = faulted(said, "token")
    assert (event.kind, event.detail, event.report) == ("trap", "unreachable", "token")
    assert (event.fuel_bucket, event.memory_bucket) == (10, 0)


@given(st.integers(0, 2**50))
def test_a_bucket_is_a_power_of_two(amount: int) -> None:
    at = bucket(amount)
    assert amount == 0 if at == 0 else 2 ** (at - 1) <= amount < 2**at


def test_whom_the_policy_names_is_told_once_in_the_order_named() -> None:
    rules = tuple(Notification(kind="notification", recipients=names) for names in (("b", "a"), ("a", "c")))
    told = notices(Policy(rules=rules), EXECUTION, "fuel")
    assert [notice.recipient for notice in told] == ["b", "a", "c"]
    assert {(notice.execution_id, notice.kind) for notice in told} == {(EXECUTION, "fuel")}
    assert notices(Policy(), EXECUTION, "fuel") == ()


@pytest.mark.parametrize("kind", ["completed", "faulted"])
def test_a_report_that_claims_more_than_the_bounds_is_refused(kind: str) -> None:
    running = accepted(accepted(fold(reserved(), challenged()), report("evidence")), report("started", 1))
    limits = running.reserved.limits
    for name, most in (("fuel", limits.fuel), ("memory_bytes", limits.memory_bytes)):
        for amount, passes in ((most, True), (most + 1, False)):
            said = report(kind, 2, running.last_report, **{name: amount})
            reason = refusal(running, said, read_report(said), NODE, NOW)
            assert (reason is None) is passes
            assert passes or "beyond its bounds" in str(reason)


def test_refused_reports_are_counted() -> None:
    late = ReportRefused(execution_id=EXECUTION, reason="late", report="l")
    assert fold(reserved(), late, late).refused_reports == 2
