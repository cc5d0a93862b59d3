"""What moves on between a decision and its transaction: it is decided again or refused, never stored as it was."""

from collections.abc import Callable
from typing import Any

import pytest

from domain.cacs.events import CacIssued, CacRejected, QuorumFailed, QuorumReached
from domain.errors import ConflictError, NotAuthorisedError
from domain.executions.events import ExecutionCompleted, InputsReleased
from domain.workloads.events import WorkloadDenied
from infrastructure.client import acts
from infrastructure.keys.wallet import Purpose
from infrastructure.ledger import Answer, Ledger
from tests.commands.cell import Cell, Member
from tests.commands.driver import Driver


def before_the_next_append(monkeypatch: pytest.MonkeyPatch, rival: Callable[[], Any]) -> None:
    """Let a rival act just before the next append of this process: after everything was read and decided."""
    append = Ledger.append

    def raced(self: Ledger, *given: Any, **named: Any) -> Answer:
        monkeypatch.setattr(Ledger, "append", append)
        rival()
        return append(self, *given, **named)

    monkeypatch.setattr(Ledger, "append", raced)


def placed(cell: Cell) -> tuple[Member, Driver]:
    member = cell.join()
    (execution,) = cell.place(member)
    return member, Driver(cell, execution)


def forbid_every_node(cell: Cell, member: Member) -> Callable[[], None]:
    return lambda: member.adopt({"kind": "nodes", "forbidden": list(cell.nodes)})


def test_a_policy_adopted_while_the_gate_decides_is_asked_by_the_gate(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, node = placed(cell)
    node.assign()
    before_the_next_append(monkeypatch, forbid_every_node(cell, member))
    node.evidence()
    assert not cell.events(member, InputsReleased)
    (denied,) = cell.events(member, WorkloadDenied)
    assert (denied.gate, denied.rule, denied.policy_version) == ("provisioning", "nodes", 1)


def test_a_policy_adopted_while_the_cac_gate_decides_is_asked_by_the_gate(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    node.completed()
    before_the_next_append(monkeypatch, forbid_every_node(cell, member))
    node.reset()
    assert not cell.events(member, CacIssued)
    (rejected,) = cell.events(member, CacRejected)
    assert (rejected.rule, rejected.policy_version) == ("nodes", 1)


def test_a_result_is_not_lost_because_the_tenant_adopted_a_policy_meanwhile(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member, node = placed(cell)
    node.evidence()
    node.started()
    before_the_next_append(monkeypatch, lambda: member.adopt({"kind": "in_country"}))
    assert node.completed().answer["accepted"]
    assert len(cell.events(member, ExecutionCompleted)) == 1


def test_a_submission_whose_key_is_withdrawn_meanwhile_is_refused(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    member = cell.join()
    kid = member.admins[0].thumbprint(Purpose.SUBMISSION)
    before_the_next_append(
        monkeypatch,
        lambda: acts.revoke(cell.ledger, member.tenant, member.admins, kid, "stolen"),
    )
    with pytest.raises(ConflictError):
        cell.submit(member)
    assert "workload.submitted.v1" not in cell.topics(member)
    with pytest.raises(NotAuthorisedError):
        cell.submit(member)


def two_enclaves(cell: Cell) -> tuple[Member, Driver, Driver]:
    for number, operator in enumerate(("OpQ", "OpR")):
        name = f"twin-{len(cell.nodes)}-{number}"
        cell.enrol(name, operator=f"{operator}{len(cell.nodes)}")
    member = cell.join()
    member.adopt({"kind": "independent_attestations", "count": 2})
    one, other = cell.place(member)
    return member, Driver(cell, one), Driver(cell, other)


def test_two_last_resets_at_once_still_get_one_verdict(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    member, one, other = two_enclaves(cell)
    for node in (one, other):
        node.evidence()
        node.started()
        node.completed()
    before_the_next_append(monkeypatch, other.reset)
    one.reset()
    assert len(cell.events(member, QuorumReached)) + len(cell.events(member, QuorumFailed)) == 1


def test_no_inputs_are_released_when_a_sibling_faults_meanwhile(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    member, one, other = two_enclaves(cell)
    one.evidence()
    one.started()
    other.assign()
    before_the_next_append(monkeypatch, one.faulted)
    other.evidence()
    assert len(cell.events(member, InputsReleased)) == 1
