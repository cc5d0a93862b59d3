"""Status and delegation of credentials at the ledger's two checks: denied with a typed reason, as an event."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.executions.events import EnclaveProvisioned
from domain.policies.facts import NodeFacts
from domain.tenants.state import Tenant
from domain.time import DAY_MS, HOUR_MS
from domain.workloads.events import CredentialChecked
from infrastructure.client import acts, governance
from infrastructure.commands.loading import load_node
from infrastructure.credentials import status_register, verifying
from infrastructure.credentials.data_integrity import Document
from infrastructure.credentials.executor import Delegation, ExecutorSubject, issue_executor
from infrastructure.credentials.node import NodeSubject, issue_node
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.status_entry import REVOCATION, SUSPENSION
from infrastructure.keys import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.keys.wallet import Purpose, Wallet
from tests.commands.cell import CLASS, ENTROPY, FAMILIES, Cell, Member
from tests.commands.driver import Driver

LIST_MS = 7 * DAY_MS
LONG_MS = 3000 * DAY_MS


class Issuer:
    """Somebody who issues credentials and publishes their statuses into the ledger's store."""

    def __init__(self, cell: Cell, wallet: Wallet) -> None:
        self.cell, self.wallet = cell, wallet
        self.key = wallet.key(Purpose.CREDENTIAL)
        self.did = wallet.did(Purpose.CREDENTIAL)
        store = Path(cell.ledger.data_dir or "") / verifying.DIRECTORY / verifying.STATUS
        self.directory = store / self.did.removeprefix("did:key:")
        method = did_key.verification_method(wallet.public(Purpose.CREDENTIAL))
        if not (self.directory / status_register.REGISTER).is_file():
            status_register.create(self.directory, f"https://{wallet.name}.example/{self.did[-8:]}", method)

    def publish(self, *, key: Any = None) -> None:
        """Sign the lists now."""
        with status_register.opened(self.directory) as register:
            now_ms = self.cell.clock.now_ms()
            status_register.publish(self.directory, register, key or self.key, now_ms=now_ms, valid_ms=LIST_MS)

    def times(self, credential_id: str) -> dict[str, Any]:
        """Return when a new credential holds, its id and its status."""
        now_ms = self.cell.clock.now_ms()
        with status_register.opened(self.directory) as register:
            entries = register.allocate(credential_id, ENTROPY)
        return {
            "valid_from_ms": now_ms, "valid_until_ms": now_ms + LONG_MS, "created_ms": now_ms,
            "credential_id": credential_id, "status": entries,
        }  # fmt: skip

    def mark(self, credential_id: str, purpose: str) -> None:
        """Revoke or suspend, and publish."""
        with status_register.opened(self.directory) as register:
            register.mark(register.index_of(credential_id), purpose, at_ms=self.cell.clock.now_ms(), reason="")
        self.publish()

    def reinstate(self, credential_id: str) -> None:
        """Take a suspension back, and publish."""
        with status_register.opened(self.directory) as register:
            register.reinstate(register.index_of(credential_id))
        self.publish()

    def unpublish(self) -> None:
        """Take the lists away."""
        for file in self.directory.glob("*.json"):
            file.unlink()


def subject_of(member: Member, **changes: Any) -> ExecutorSubject:
    tenant = member.tenant
    named: dict[str, Any] = {
        "id": tenant.did, "dao": tenant.dao, "jurisdiction": tenant.jurisdiction, "clause_families": FAMILIES,
        "resource_classes": (CLASS,), "maximum_memory_bytes": 1 << 24,
    }  # fmt: skip
    return ExecutorSubject(**{**named, **changes})


def grant(cell: Cell, member: Member, credential: Document) -> None:
    acts.renew_credential(cell.ledger, member.tenant, [cell.root], issued=credential)


def revocable(cell: Cell) -> tuple[Member, Issuer, str]:
    """Return a tenant whose credential has a status, its issuer, and the credential's id."""
    member, issuer = cell.join(), Issuer(cell, cell.root)
    credential_id = f"urn:x:{member.tenant.slot}"
    issuer.publish()
    grant(cell, member, issue_executor(subject_of(member), issuer.key, **issuer.times(credential_id)))
    return member, issuer, credential_id


def checked(cell: Cell, member: Member) -> str:
    """Submit, and return the reason of the check, empty where it passed."""
    cell.submit(member)
    found: CredentialChecked = cell.events(member, CredentialChecked)[-1]
    assert (cell.topics(member)[-1] == "workload.queued.v1") is found.passed
    cell.rest()
    return "" if found.passed else found.reason


def test_a_credential_whose_status_is_good_passes(cell: Cell) -> None:
    assert checked(cell, revocable(cell)[0]) == ""


def test_revocation_and_suspension_deny_from_the_next_check_on(cell: Cell) -> None:
    member, issuer, credential_id = revocable(cell)
    issuer.mark(credential_id, SUSPENSION)
    assert checked(cell, member).startswith("suspended: ")
    issuer.reinstate(credential_id)
    assert checked(cell, member) == ""
    issuer.mark(credential_id, REVOCATION)
    assert checked(cell, member).startswith("revoked: ")


def test_a_list_that_is_away_stale_or_anothers_denies(cell: Cell) -> None:
    member, issuer, _ = revocable(cell)
    issuer.unpublish()
    assert checked(cell, member).startswith("status_unreachable: ")
    issuer.publish()
    assert checked(cell, member) == ""
    cell.advance(LIST_MS)
    assert checked(cell, member).startswith("status_stale: ")
    issuer.publish()
    assert checked(cell, member) == ""
    for file in issuer.directory.glob("*.json"):
        file.write_bytes(file.read_bytes().replace(b"proofValue", b"proofvalue"))
    assert checked(cell, member).startswith("status_malformed: ")
    issuer.publish()
    assert checked(cell, member) == ""


def test_an_older_list_put_back_is_stale(cell: Cell) -> None:
    member, issuer, credential_id = revocable(cell)
    assert checked(cell, member) == ""
    old = {file: file.read_bytes() for file in issuer.directory.glob("*.json")}
    cell.advance(HOUR_MS)
    issuer.mark(credential_id, REVOCATION)
    assert checked(cell, member).startswith("revoked: ")
    for file, data in old.items():
        file.write_bytes(data)
    assert checked(cell, member).startswith("status_stale: ")


def test_a_credential_revoked_after_placement_gets_no_inputs(cell: Cell) -> None:
    member, issuer, credential_id = revocable(cell)
    driver = Driver(cell, cell.place(member)[0])
    issuer.mark(credential_id, REVOCATION)
    driver.evidence()
    gate: EnclaveProvisioned = cell.events(member, EnclaveProvisioned)[-1]
    assert (gate.passed, gate.rule) == (False, "credential")
    assert gate.have.startswith("revoked: ")


@pytest.mark.parametrize(("purpose", "reason"), [(REVOCATION, "revoked"), (SUSPENSION, "suspended")])
def test_what_a_parent_loses_its_children_lose(cell: Cell, purpose: str, reason: str) -> None:
    member, root, body = cell.join(), Issuer(cell, cell.root), Issuer(cell, cell.wallet("treaty"))
    parent_id, child_id = (f"urn:{one}:{member.tenant.slot}" for one in ("parent", "child"))
    for issuer in (root, body):
        issuer.publish()
    delegation = Delegation(issuer=body.did, depth=1)
    parent = issue_executor(subject_of(member, delegation=delegation), root.key, **root.times(parent_id))
    with pytest.raises(CredentialRefusedError) as error:  # without its parent, nothing is trusted
        grant(cell, member, issue_executor(subject_of(member), body.key, **body.times("urn:alone")))
    assert error.value.reason is Refusal.ISSUER_NOT_TRUSTED
    child = issue_executor(subject_of(member), body.key, **body.times(child_id), parent=parent)
    grant(cell, member, child)
    assert checked(cell, member) == ""
    root.mark(parent_id, purpose)
    assert checked(cell, member).startswith(f"{reason}: its parent: ")


def test_a_refused_credential_registers_nobody_and_leaves_no_log(cell: Cell) -> None:
    member = cell.join()
    logs = len(cell.ledger.logs())
    times: dict[str, Any] = {"valid_from_ms": 0, "valid_until_ms": cell.clock.now_ms(), "created_ms": 0}
    issued = issue_executor(subject_of(member), cell.root.key(Purpose.CREDENTIAL), **times)
    people = [cell.wallet("somebody")]
    for credential in (issued, {**issued, "issuer": "did:web:x.example"}):
        with pytest.raises(NotAuthorisedError):
            acts.register_tenant(
                cell.ledger, dao="Refused", jurisdiction="DEU", admins=people, root_admins=[cell.root],
                issued=credential,
            )  # fmt: skip
    assert len(cell.ledger.logs()) == logs


def node_credential(issuer: Issuer, wallet: Wallet, credential_id: str) -> Document:
    software = f"software:{thumbprint(wallet.public(Purpose.REPORT))}"
    subject = NodeSubject(
        id=wallet.did(Purpose.REPORT), operator="OpZ", country_of_operation="DEU", vendor="soft",
        platform_ids=(software,),
    )  # fmt: skip
    return issue_node(subject, issuer.key, **issuer.times(credential_id))


def test_a_nodes_status_is_checked_at_enrolment_and_before_inputs_are_released(cell: Cell) -> None:
    issuer, wallet = Issuer(cell, cell.root), cell.wallet("delta")
    issuer.unpublish()
    credential = node_credential(issuer, wallet, "urn:node:delta")
    facts = NodeFacts(node="delta", operator="OpZ", country="DEU", vendor="soft", memory_bytes=1 << 28, slots=8)
    with pytest.raises(CredentialRefusedError) as error:
        acts.enrol_node(cell.ledger, wallet, cell.root, facts, issued=credential)
    assert error.value.reason is Refusal.STATUS_UNREACHABLE
    issuer.publish()
    acts.enrol_node(cell.ledger, wallet, cell.root, facts, issued=credential)
    assert load_node(cell.ledger, "delta").enrolled.credential == credential
    cell.nodes["delta"] = wallet
    member = cell.join()
    member.adopt({"kind": "operators", "allowed": ["OpZ"]})
    driver = Driver(cell, cell.place(member)[0])
    issuer.mark("urn:node:delta", REVOCATION)
    driver.evidence()
    gate: EnclaveProvisioned = cell.events(member, EnclaveProvisioned)[-1]
    assert (gate.passed, gate.rule) == (False, "node_credential")
    assert gate.have.startswith("revoked: ")
    acts.drain_node(cell.ledger, [cell.root], "delta", "its credential is gone")


def test_issuers_rotate_and_what_a_withdrawn_one_issued_ends(cell: Cell) -> None:
    member, body = cell.join(), Issuer(cell, cell.wallet("second-issuer"))
    body.publish()
    issued = issue_executor(subject_of(member), body.key, **body.times("urn:second"))
    root = acts.root_scope(cell.ledger)
    with pytest.raises(CredentialRefusedError):
        grant(cell, member, issued)
    governance.enrol_issuer(cell.ledger, root, [cell.root], body.did)
    grant(cell, member, issued)
    assert checked(cell, member) == ""
    with pytest.raises(ConflictError):
        governance.enrol_issuer(cell.ledger, acts.root_scope(cell.ledger), [cell.root], body.did)
    governance.revoke_issuer(cell.ledger, acts.root_scope(cell.ledger), [cell.root], body.did, "stolen")
    assert checked(cell, member).startswith("issuer_not_trusted: ")
    refused: list[Callable[[Tenant], object]] = [
        lambda now: governance.enrol_issuer(cell.ledger, now, [cell.root], body.did),
        lambda now: governance.revoke_issuer(cell.ledger, now, [cell.root], body.did, "again"),
        lambda now: governance.enrol_issuer(cell.ledger, now, [cell.wallet("stranger")], "did:web:x.example"),
        lambda _: governance.enrol_issuer(cell.ledger, member.tenant, member.admins, "did:web:x.example"),
    ]
    for act in refused:
        with pytest.raises(RefusedError):
            act(acts.root_scope(cell.ledger))
    assert body.did not in acts.root_scope(cell.ledger).issuers
