"""What nodes report: in order, in time, by the right node, as often as they like; and what is wrong with evidence."""

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from domain.cacs.events import CacIssued, CacRejected
from domain.errors import ConflictError, MalformedError, NotAuthorisedError, RefusedError, UnknownError
from domain.executions.events import (
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionFaulted,
    InputsReleased,
    ReportRefused,
)
from domain.time import HOUR_MS
from domain.workloads.events import WorkloadDenied
from infrastructure.client import acts
from infrastructure.commands.executions import MAX_REFUSED_REPORTS, assign
from infrastructure.commands.provisioning import released_inputs
from infrastructure.credentials.data_integrity import canonical_bytes
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from tests.commands.cell import BOUNDS, ENTROPY, FAMILIES, Cell, Member
from tests.commands.driver import Driver, bound

WINDOW_MS = HOUR_MS


def placed(cell: Cell, **member: Any) -> tuple[Member, Driver]:
    """Return a new tenant with one placed execution."""
    joined = cell.join(**member)
    (execution,) = cell.place(joined)
    return joined, Driver(cell, execution)


def refused(cell: Cell, member: Member) -> list[str]:
    """Return the reasons of refused reports."""
    return [event.reason for event in cell.events(member, ReportRefused)]


def test_a_lost_answer_at_every_step_is_safe_to_repeat(cell: Cell) -> None:
    member, node = placed(cell)
    for step in (node.evidence, node.started, node.completed, node.reset):
        answer = step()
        assert answer.answer == {"accepted": True, "reason": ""}
        with cell.nothing_written():
            for token, enclosed in node.tokens:
                again = node.send(token, enclosed)
                assert (again.answer, again.recorded) == (answer.answer, ())
                assert node.send(token, None).answer == answer.answer
    assert len(cell.events(member, CacIssued)) == 1


def test_repeating_the_assignment_gives_the_same_nonce_and_appends_nothing(cell: Cell) -> None:
    _, node = placed(cell)
    first = node.assign()
    with cell.nothing_written():
        assert assign(cell.ledger, node.execution) == first
    node.evidence()
    with cell.nothing_written(), pytest.raises(RefusedError, match="released"):
        node.assign()


def test_released_inputs_are_the_same_bytes_each_time(cell: Cell) -> None:
    member, node = placed(cell)
    with pytest.raises(RefusedError, match="no inputs"):
        released_inputs(cell.ledger, node.execution)
    node.evidence()
    first = released_inputs(cell.ledger, node.execution)
    assert released_inputs(cell.ledger, node.execution) == first
    assert len(cell.events(member, InputsReleased)) == 1
    node.started()
    node.completed()
    with pytest.raises(RefusedError, match="no inputs"):
        released_inputs(cell.ledger, node.execution)


def test_a_report_after_the_window_is_recorded_as_refused_and_changes_nothing(cell: Cell) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    cell.clock.advance_to(cell.clock.now_ms() + WINDOW_MS)
    answer = node.completed()
    assert answer.answer["accepted"] is False
    assert refused(cell, member) == ["late: the execution's window is over"]
    with cell.nothing_written():
        assert node.send(*node.tokens[-1]).answer == answer.answer
    cell.settle()
    lost = ["execution.faulted.v1", "execution.runtime_reset.v1", "usage.metered.v1"]
    assert cell.topics(member)[-3:] == lost
    node.reset()
    assert refused(cell, member)[-1].startswith("late")
    assert cell.topics(member)[-1] == "execution.report_refused.v1"


def test_a_report_of_an_execution_that_is_over_is_recorded_as_refused(cell: Cell) -> None:
    member, node = placed(cell)
    node.whole()
    node.tell({"kind": "started"})
    assert refused(cell, member) == ["the execution is over"]
    assert len(cell.events(member, CacIssued)) == 1


@pytest.mark.parametrize("changes", [{"seq": 2}, {"seq": 0}, {"prev": "f" * 64}])
def test_a_report_out_of_order_is_recorded_as_refused_and_the_right_one_still_counts(
    cell: Cell, changes: dict[str, Any]
) -> None:
    member, node = placed(cell)
    node.evidence()
    token = node.token({"kind": "started", **changes})
    assert node.send(token).answer["accepted"] is False
    assert refused(cell, member) == ["out of order: report 1 is expected"]
    assert node.started().answer["accepted"] is True


@pytest.mark.parametrize("kind", ["completed", "faulted", "reset", "started"])
def test_a_report_before_its_time_is_recorded_as_refused(cell: Cell, kind: str) -> None:
    member, node = placed(cell)
    node.assign()
    used = {"fuel": 1, "memory_bytes": 1, "duration_ms": 1}
    claims: dict[str, dict[str, Any]] = {
        "completed": {
            "outcome": "PASS", "output_commitment": "0" * 64, "output_bytes": 0, "output_digest": "0" * 64,
            "cac_digest": "0" * 64, **used,
        },
        "faulted": {"fault": "trap", "detail": "", **used},
    }  # fmt: skip
    node.tell({"kind": kind, **claims.get(kind, {})})
    assert refused(cell, member) == [f"a report of kind {kind} has no place while the execution is challenged"]


def test_another_nodes_report_is_refused_and_not_recorded(cell: Cell) -> None:
    _, node = placed(cell)
    node.assign()
    others = [wallet for name, wallet in cell.nodes.items() if wallet is not node.wallet]
    for wallet in (*others, cell.wallet("stranger")):
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            node.send(node.token({"kind": "started"}, wallet))


def test_a_report_with_a_key_of_another_purpose_or_for_another_log_is_refused(cell: Cell) -> None:
    _, node = placed(cell)
    other = cell.join()
    assert node.wallet is not None
    said = jws.peek(node.token({"kind": "started"}))[1]
    wrong = [
        jws.sign(jws.REPORT, node.wallet.key(Purpose.SUBMISSION), said),
        jws.sign(jws.GOVERNANCE, node.wallet.key(Purpose.REPORT), said),
        jws.sign(jws.REPORT, node.wallet.key(Purpose.REPORT), {**said, "aud": other.tenant.origin}),
    ]
    for token in wrong:
        with cell.nothing_written(), pytest.raises(NotAuthorisedError):
            node.send(token)


def test_a_report_may_not_be_said_in_somebody_elses_name(cell: Cell) -> None:
    """The issuer is part of the command's name: another's could be taken before that one speaks."""
    member, node = placed(cell)
    node.assign()
    with cell.nothing_written(), pytest.raises(NotAuthorisedError, match="iss"):
        node.send(node.token({"kind": "started"}, iss=member.tenant.did))


def test_a_report_of_nothing_or_of_something_else_than_an_execution_is_refused(cell: Cell) -> None:
    _, node = placed(cell)
    node.assign()
    workload = cell.decider.state.live[node.execution].queued.workload_id
    for named, error in (("exec-0x" + "0" * 32, UnknownError), (workload, UnknownError), ("x", MalformedError)):
        with cell.nothing_written(), pytest.raises(error):
            node.send(node.token({"kind": "started", "execution": named}))


@pytest.mark.parametrize(
    "claims",
    [
        {"kind": "dance"},
        {"kind": "started", "extra": 1},
        {"kind": "started", "seq": -1},
        {"kind": "started", "prev": ""},
    ],
    ids=str,
)
def test_a_malformed_report_is_refused_and_not_recorded(cell: Cell, claims: dict[str, Any]) -> None:
    _, node = placed(cell)
    node.assign()
    with cell.nothing_written(), pytest.raises(MalformedError):
        node.send(node.token(claims))


def test_a_known_report_id_with_another_body_is_a_conflict(cell: Cell) -> None:
    _, node = placed(cell)
    node.evidence()
    jti = jws.peek(node.tokens[0][0])[1]["jti"]
    with cell.nothing_written(), pytest.raises(ConflictError, match="another body"):
        node.send(node.token({"kind": "started"}, jti=jti))
    with cell.nothing_written(), pytest.raises(ConflictError, match="another body"):
        node.send(node.token({"kind": "reset"}, jti=jti))


def test_output_and_cac_must_be_those_that_the_report_names(cell: Cell) -> None:
    _, node = placed(cell)
    node.evidence()
    node.started()
    document = node.signed(node.document())
    wrong: list[dict[str, Any]] = [{"output_digest": "0" * 64}, {"cac_digest": "0" * 64}]
    for changes in wrong:
        with cell.nothing_written(), pytest.raises(MalformedError, match="the one that the report names"):
            node.completed(document, **changes)
    token = node.token({"kind": "reset"})
    with cell.nothing_written(), pytest.raises(MalformedError):
        node.completed(document, output_bytes=2**53)
    assert node.send(token).answer["accepted"] is False


# Evidence


def _other_nonce(node: Driver) -> dict[str, Any]:
    return {"nonce": "0" * 64}


def _other_nonce_bound(node: Driver) -> dict[str, Any]:
    return {"nonce": "0" * 64, "report_data": node.report_data(nonce=bytes(32))}


def _binding_of_another_execution(node: Driver) -> dict[str, Any]:
    return {"report_data": node.report_data(execution=b"exec-0x" + b"0" * 32)}


def _binding_to_another_key(node: Driver) -> dict[str, Any]:
    return {"hpke_key": hpke.generate(ENTROPY).public.hex()}


def _another_cac_key(node: Driver) -> dict[str, Any]:
    return {"cac_key": ed25519.public_bytes(ed25519.private_key(ENTROPY.bytes(32))).hex()}


def _other_measurement(node: Driver) -> dict[str, Any]:
    return {"measurement": "0" * 64}


def _other_class(node: Driver) -> dict[str, Any]:
    return {"evidence_class": "vendor"}


def _key_of_no_kem(node: Driver) -> dict[str, Any]:
    key = bytes(40)
    return {"hpke_key": key.hex(), "report_data": node.report_data(hpke_key=hashlib.sha256(key).digest())}


def _key_of_another_kem(node: Driver) -> dict[str, Any]:
    return {"hpke_kem_id": 0x20, "report_data": node.report_data(kem=b"\0\x20")}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (_other_nonce, "another nonce"), (_other_nonce_bound, "another nonce"),
        (_binding_of_another_execution, "binding"), (_binding_to_another_key, "binding"),
        (_another_cac_key, "binding"), (_other_measurement, "reference value"),
        (_other_class, "software evidence only"),
        (_key_of_no_kem, "HPKE"), (_key_of_another_kem, "KEM"),
    ],
)  # fmt: skip
def test_wrong_evidence_uses_the_nonce_up_and_abandons_without_a_certificate(
    cell: Cell, changes: Callable[[Driver], dict[str, Any]], reason: str
) -> None:
    member, node = placed(cell)
    node.assign()
    answer = node.evidence(**changes(node))
    assert answer.answer["accepted"] is True  # it is the next report of its chain; what it says is another matter
    assert cell.topics(member)[-2:] == ["execution.evidence_appraised.v1", "execution.abandoned.v1"]
    (appraised,) = cell.events(member, EvidenceAppraised)
    assert (appraised.status, appraised.certificate) == ("contraindicated", None)
    assert reason in appraised.reason
    with pytest.raises(RefusedError):
        released_inputs(cell.ledger, node.execution)
    with pytest.raises(RefusedError):
        node.assign()
    cell.settle()
    assert cell.topics(member)[-3:] == ["workload.queued.v1", "workload.placed.v1", "execution.reserved.v1"]
    cell.rest()


@pytest.mark.parametrize("changes", [{"nonce": "0"}, {"hpke_key": "0" * 65}, {"cac_key": "x"}, {"hpke_kem_id": 1.5}])
def test_malformed_evidence_is_refused_and_leaves_the_nonce(cell: Cell, changes: dict[str, Any]) -> None:
    _, node = placed(cell)
    node.assign()
    with cell.nothing_written(), pytest.raises(MalformedError):
        node.evidence(**changes)
    assert Driver(cell, node.execution, node.wallet).evidence().answer["accepted"] is True
    cell.rest()


def test_an_attempt_that_fails_for_the_node_is_placed_again_at_most_three_times_then_held(cell: Cell) -> None:
    member = cell.join()
    workload = cell.submit(member)
    for _ in range(3):
        cell.settle()
        (execution,) = cell.executions(member, workload)
        node = Driver(cell, execution)
        node.evidence(measurement="0" * 64)
    cell.settle()
    fault = cell.history(member)[-1].event
    assert isinstance(fault, ExecutionFaulted)
    assert (fault.execution_id, fault.kind) == (cell.executions(member, workload)[0], "node_lost")
    executions = [event.execution_id for event in cell.events(member, ExecutionAbandoned)]
    assert len(set(executions)) == len(executions) == 3


def test_a_reservation_that_no_node_takes_up_expires_and_is_placed_again(cell: Cell) -> None:
    member, node = placed(cell)
    cell.advance(WINDOW_MS)
    assert [event.reason for event in cell.events(member, ExecutionAbandoned)] == ["reservation_expired"]
    with pytest.raises(RefusedError):
        node.assign()
    cell.rest()


def test_a_policy_adopted_after_placement_is_asked_at_the_provisioning_gate(cell: Cell) -> None:
    member, node = placed(cell)
    member.adopt({"kind": "in_country", "countries": ["JPN"]})
    node.evidence()
    assert cell.topics(member)[-4:] == [
        "execution.evidence_appraised.v1", "execution.enclave_provisioned.v1", "execution.abandoned.v1",
        "workload.denied.v1",
    ]  # fmt: skip
    verdict = cell.history(member)[-1].event
    assert isinstance(verdict, WorkloadDenied)
    assert (verdict.gate, verdict.rule, verdict.policy_version) == ("provisioning", "in_country", 1)
    with pytest.raises(RefusedError):
        released_inputs(cell.ledger, node.execution)
    cell.settle()
    assert cell.topics(member)[-1] == "workload.denied.v1"


def test_a_credential_that_expires_after_placement_denies_at_the_provisioning_gate(cell: Cell) -> None:
    joined = cell.join(valid_ms=60_000)
    (execution,) = cell.place(joined)
    cell.clock.advance_to(cell.clock.now_ms() + 60_000)
    Driver(cell, execution).evidence()
    verdict = cell.history(joined)[-1].event
    assert isinstance(verdict, WorkloadDenied)
    assert (verdict.gate, verdict.rule) == ("provisioning", "credential")


def test_a_policy_adopted_during_the_run_is_asked_at_the_cac_gate(cell: Cell) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    member.adopt({"kind": "nodes", "forbidden": list(cell.nodes)})
    node.completed()
    node.reset()
    (rejected,) = cell.events(member, CacRejected)
    assert (rejected.rule, rejected.policy_version) == ("nodes", 1)


# The CAC


@pytest.mark.parametrize(
    ("member_name", "value", "rule"),
    [
        ("tenant_info", {"dao": "Other", "jurisdiction": "DEU"}, "tenant_info"),
        ("scope", "ledger.example/t/0", "tenant_info"),
        ("host", "other.example", "document"), ("attempt", 2, "document"), ("attempt", True, "document"),
        ("node", "other", "document"), ("outcome", "FAIL", "document"),
        ("outputs", [], "document"), ("certificate", "x", "document"), ("report_data", "0" * 128, "document"),
        ("extra", 1, "document"), ("@context", [1.5], "document"), ("input_commitments", [], "document"),
        ("released_by", "custody: tenant", "document"), ("policy", {"version": 7, "digest": "0" * 64}, "document"),
    ],
)  # fmt: skip
def test_a_cac_that_the_node_tampered_with_is_rejected_at_the_gate(
    cell: Cell, member_name: str, value: Any, rule: str
) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    node.completed(node.signed(node.document(**{member_name: value})))
    assert node.reset().answer["accepted"] is True
    (rejected,) = cell.events(member, CacRejected)
    assert rejected.rule == rule
    assert cell.events(member, CacIssued) == []
    cell.settle()
    assert node.execution not in cell.decider.state.live


def test_a_cac_with_a_wrong_proof_is_rejected_at_the_gate(cell: Cell) -> None:
    stranger = ed25519.private_key(ENTROPY.bytes(32))

    def other_signature(node: Driver) -> Any:
        document, other = node.signed(node.document()), node.signed(node.document(outcome="FAIL"))
        return {**document, "proof": {**document["proof"], "proofValue": other["proof"]["proofValue"]}}

    wrong: list[Callable[[Driver], Any]] = [
        lambda node: node.signed(node.document(), key=stranger),
        lambda node: node.signed(node.document(), domain="ledger.example/t/0"),
        lambda node: node.signed(node.document(), challenge="0" * 64),
        lambda node: node.signed(node.document(), purpose="authentication"),
        lambda node: node.document(),
        other_signature,
        lambda _: b"no JSON",
        lambda _: b'{"a":1,"a":2}',
        lambda _: b'{"a":NaN}',
        lambda _: b"[" * 5000,
        lambda _: b"\xff",
    ]
    for cac in wrong:
        member, node = placed(cell)
        node.evidence()
        node.started()
        node.completed(cac(node))
        node.reset()
        assert [event.rule for event in cell.events(member, CacRejected)] == ["proof"]
        assert cell.events(member, CacIssued) == []


def test_outcome_and_output_of_the_report_must_be_those_of_the_cac(cell: Cell) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    node.completed(node.signed(node.document(output=b'{"a":1}')), output=b"{}")
    node.reset()
    assert [event.rule for event in cell.events(member, CacRejected)] == ["document"]


def test_a_draft_never_yields_a_cac(cell: Cell) -> None:
    cell.register("UNDRR::Disaster::Flood@0.1.0", "flood", inputs=2)
    member = cell.join()
    (execution,) = cell.place(member, clause_id="UNDRR::Disaster::Flood@0.1.0")
    Driver(cell, execution).whole()
    assert [event.rule for event in cell.events(member, CacRejected)] == ["draft"]
    assert cell.events(member, CacIssued) == []


def test_report_data_is_what_the_format_says(cell: Cell) -> None:
    _, node = placed(cell)
    given = node.assign()
    assert bytes.fromhex(node.report_data()) == bound(
        b"ledger.example", given.origin.encode(), node.execution.encode(), given.node.encode(), given.nonce,
        hashlib.sha256(given.module).digest(),
        hashlib.sha256(
            b'{"fuel":%d,"memory_bytes":%d,"wall_ms":%d}' % (BOUNDS.fuel, BOUNDS.memory_bytes, BOUNDS.wall_ms)
        ).digest(),
        given.policy_digest, hashlib.sha256(given.submission.encode()).digest(), ed25519.public_bytes(node.cac_key),
        hpke.KEM_ID.to_bytes(2, "big"), hashlib.sha256(node.hpke_key.public).digest(),
    )  # fmt: skip
    node.whole()


def test_a_renewed_credential_of_smaller_scope_counts_at_the_provisioning_gate(cell: Cell) -> None:
    member, node = placed(cell)
    acts.renew_credential(
        cell.ledger, member.tenant, [cell.root], families=FAMILIES, resource_classes=["Disaster::Other@v1"]
    )
    node.evidence()
    verdict = cell.history(member)[-1].event
    assert isinstance(verdict, WorkloadDenied)
    assert verdict.rule == "credential"


def test_numbers_written_otherwise_make_another_document(cell: Cell) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    data = canonical_bytes(node.signed(node.document()))
    assert b'"attempt":1,' in data
    node.completed(data.replace(b'"attempt":1,', b'"attempt":1.0,'))
    node.reset()
    assert [event.rule for event in cell.events(member, CacRejected)] == ["document"]


def test_a_node_that_goes_on_reporting_nonsense_is_recorded_so_many_times_only(cell: Cell) -> None:
    member, node = placed(cell)
    node.evidence()
    for _ in range(MAX_REFUSED_REPORTS):
        node.send(node.token({"kind": "reset", "seq": 9}))
    assert len(refused(cell, member)) == MAX_REFUSED_REPORTS
    with cell.nothing_written(), pytest.raises(RefusedError, match="not recorded any more"):
        node.send(node.token({"kind": "reset", "seq": 9}))
    assert node.started().answer["accepted"] is True


@pytest.mark.parametrize("name", ["cac_key", "hpke_key"])
def test_no_enclave_key_serves_two_executions(cell: Cell, name: str) -> None:
    (_, first), (other, second) = placed(cell), placed(cell)
    first.evidence()
    setattr(second, name, getattr(first, name))
    second.assign()
    size = len(cell.history(other))
    with cell.nothing_written(), pytest.raises(ConflictError):
        second.evidence()
    assert len(cell.history(other)) == size
    cell.rest()
