"""Whose key certified an enclave, whose workload it was, and what a divergence leads to: at the gate of CACs."""

from typing import Any

import pytest

from domain.cacs.events import CacIssued, CacRejected, QuorumFailed
from domain.errors import ConflictError
from domain.executions.events import EvidenceAppraised, ExecutionFaulted, NoticeRequested
from domain.identifiers import stream_of
from infrastructure.audit.export import export_bundle
from infrastructure.audit.verify import verify_bundle
from infrastructure.commands import executions
from infrastructure.commands.context import Context
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.ledger import Ledger
from infrastructure.notices.outbox import Outbox
from infrastructure.statements import jws
from tests.commands.cell import Cell, MakeCell, Member
from tests.commands.driver import Driver
from tests.commands.redeciding import redecide

QUORUM = {"kind": "independent_attestations", "count": 2}
TOLD: dict[str, Any] = {"kind": "notification", "recipients": ["TreatyBody"]}


def certified_by(key: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger's certificates be signed by another key, as a keyring that was mixed up would."""
    real = executions._certificate

    def other(ledger: Ledger, context: Context, *rest: object) -> str:
        payload = jws.peek(real(ledger, context, *rest))[1]  # type: ignore[arg-type]
        return jws.sign(jws.ENDORSEMENT, key, payload)  # type: ignore[arg-type]

    monkeypatch.setattr(executions, "_certificate", other)


def test_an_enclave_whose_key_another_daos_key_certified_gets_no_cac(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, other = cell.join(), cell.join()
    certified_by(cell.ledger.keyring.get(other.log_id).attestation_key(), monkeypatch)
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    assert cell.events(member, CacIssued) == []
    (rejected,) = cell.events(member, CacRejected)
    assert rejected.rule == "certificate"
    assert "this tenant's attestation key" in rejected.reason


def test_a_cac_of_another_tenants_workload_is_rejected(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The record of the workload says another DAO than the log's registration: no document can make up for it."""
    member = cell.join()
    (execution,) = cell.place(member)
    node = Driver(cell, execution)
    for step in (node.evidence, node.started, node.completed):
        step()
    real = vars(Context)["queued"].fget
    other = lambda self: (it := real(self)).model_copy(  # noqa: E731
        update={"facts": it.facts.model_copy(update={"dao": "VictimDAO"})}
    )
    monkeypatch.setattr(Context, "queued", property(other))
    node.reset()
    (rejected,) = cell.events(member, CacRejected)
    assert rejected.rule == "tenant_info"


def diverged(cell: Cell, *rules: dict[str, Any]) -> tuple[Member, Driver, Driver]:
    """Let two enclaves of one attempt give different outputs."""
    member = cell.join()
    member.adopt(QUORUM, *rules)
    first, second = cell.place(member)
    one, other = Driver(cell, first).whole(), Driver(cell, second)
    other.evidence()
    other.started()
    other.completed(output=b'{"other":1}')
    other.reset()
    return member, one, other


def test_a_divergence_names_what_each_enclave_gave_and_who_differs(cell: Cell) -> None:
    member, one, other = diverged(cell)
    (failed,) = cell.events(member, QuorumFailed)
    assert failed.results is not None
    assert failed.differing == tuple(result.execution_id for result in failed.results)
    assert {result.execution_id for result in failed.results} == {one.execution, other.execution}
    assert len({result.output_commitment for result in failed.results}) == 2
    issued = {event.cac_id: event.document for event in cell.events(member, CacIssued)}
    for result in failed.results:
        (output,) = issued[result.cac_id]["outputs"]
        assert (result.outcome, result.output_commitment) == (issued[result.cac_id]["outcome"], output["commitment"])


def test_a_divergence_is_escalated_to_whom_the_policy_names_and_to_nobody_for_a_fault(cell: Cell) -> None:
    with_fault, _, _ = diverged(cell)
    assert cell.events(with_fault, NoticeRequested) == []
    member, _, other = diverged(cell, TOLD)
    told = [(event.recipient, event.kind, event.execution_id) for event in cell.events(member, NoticeRequested)]
    assert told == [("TreatyBody", "divergence", other.execution)]
    assert cell.events(member, ExecutionFaulted) == []


def test_the_notice_of_a_divergence_is_delivered_as_that_of_a_fault(
    cell: Cell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    member, _, other = diverged(cell, TOLD)
    outbox = Outbox(cell.ledger, tmp_path_factory.mktemp("outbox") / "notices")
    outbox.catch_up()
    (parcel,) = [one for one in outbox.parcels() if one.notice.execution_id == other.execution]
    key = bytes.fromhex(member.tenant.attestation_key)
    said = jws.verify(
        outbox.statement(parcel), typ=jws.ENDORSEMENT, keys={thumbprint(key): key}, aud=member.tenant.origin, now_s=None
    )
    assert (said["kind"], said["execution"]) == ("divergence", other.execution)
    assert outbox.delivered(parcel, "fetched")
    assert parcel.notice.recipient == "TreatyBody"
    stream = cell.ledger.stream(member.log_id, stream_of(other.execution))
    assert stream[-1].event.TOPIC == "notice.delivered.v1"


def test_an_auditor_follows_a_divergence_and_its_notice(cell: Cell, tmp_path_factory: pytest.TempPathFactory) -> None:
    member, _, _ = diverged(cell, TOLD)
    bundle = tmp_path_factory.mktemp("bundle") / "b"
    export_bundle(cell.ledger, member.log_id, bundle, with_keys="all")
    verdict = verify_bundle(bundle)
    assert (verdict.ok, verdict.first_error) == (True, None)


def test_an_enclaves_key_is_its_executions_alone(cell: Cell) -> None:
    member, other = cell.join(), cell.join()
    (mine,), (theirs,) = cell.place(member), cell.place(other)
    one, two = Driver(cell, mine), Driver(cell, theirs)
    one.evidence()
    two.cac_key = one.cac_key
    with pytest.raises(ConflictError, match="taken"):
        two.evidence()
    assert cell.events(other, EvidenceAppraised) == []


def test_a_cac_of_another_execution_is_no_result_of_this_one(cell: Cell) -> None:
    """A replay: byte for byte what an enclave of the same tenant, clause and inputs signed."""
    member = cell.join()
    (first,) = cell.place(member)
    Driver(cell, first).whole()
    (issued,) = cell.events(member, CacIssued)
    (second,) = cell.place(member)
    node = Driver(cell, second)
    node.evidence()
    node.started()
    node.completed(dict(issued.document))
    node.reset()
    (rejected,) = cell.events(member, CacRejected)
    assert (rejected.execution_id, rejected.rule) == (second, "proof")
    resigned = {name: value for name, value in issued.document.items() if name != "proof"}
    (third,) = cell.place(member)
    node = Driver(cell, third)
    node.evidence()
    node.started()
    node.completed(node.signed(resigned))
    node.reset()
    assert [event.rule for event in cell.events(member, CacRejected)] == ["proof", "document"]
    assert len(cell.events(member, CacIssued)) == 1


@pytest.mark.parametrize("reported", [True, False])
def test_a_cell_with_a_divergence_is_decided_again_alike(make_cell: MakeCell, *, reported: bool) -> None:
    """The verdict follows the last reset, whether its node reports it or the decider decides it."""
    cell = make_cell()
    member = cell.join()
    member.adopt(QUORUM, TOLD)
    first, second = cell.place(member)
    Driver(cell, first).whole()
    other = Driver(cell, second)
    other.evidence()
    other.started()
    other.completed(output=b'{"other":1}')
    if reported:
        other.reset()
    cell.rest()
    (failed,) = cell.events(member, QuorumFailed)
    assert failed.reason == "divergence"
    (notice,) = cell.events(member, NoticeRequested)
    assert (notice.execution_id, notice.kind) == (second, "divergence")
    assert redecide(cell.ledger).decisions > 0
