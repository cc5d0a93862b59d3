"""Checks what is signed inside the entries of one log: statements, certificates of enclaves, CACs.

Invariants:
- Keys come from the log itself, as enrolled at that position: the admin key set of the registration, then enrolments.
  Whether those admins are the tenant's is what the auditor asks the tenant (thumbprints).
- A governance act is decided again by the domain's own functions, so threshold, roles and content are checked with it.
- What other logs hold (node keys, endorsers of the scope above) can't be checked here and is counted as such.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatchmethod
from typing import Any

from domain.attestation.binding import Binding, report_data
from domain.cacs.events import CacIssued
from domain.canonical import canonical
from domain.errors import LedgerError, VerificationError
from domain.executions.events import EvidenceAppraised, RetryAuthorized
from domain.hashing import sha256_hex
from domain.message import Event, Recorded
from domain.nodes.events import NodeEnrolled
from domain.statements import ENDORSEMENT, GOVERNANCE, REPORT, SUBMISSION, Signed, require_claims
from domain.tenants.decisions import accept_registration, adopt_policy, enrol_principal
from domain.tenants.events import PolicyAdopted, PrincipalEnrolled, ScopeRegistered, TenantEndorsed, TenantRegistered
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from domain.time import SECOND_MS
from domain.workloads.decisions import cancel_claims
from domain.workloads.events import WorkloadCancelled, WorkloadSubmitted
from infrastructure.credentials.data_integrity import verify_proof
from infrastructure.keys.did_key import did_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

_REPORTS = "node reports (the node's key is in the platform log)"


@dataclass
class StatementAudit:
    """Folds a log's own events in leaf order and verifies what they embed."""

    origin: str
    tenant: Tenant | None = None
    certified: dict[str, EvidenceAppraised] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    sealed: int = 0
    uncertified: list[Recorded] = field(default_factory=list)

    def follow(self, history: Iterable[Recorded | None]) -> None:
        """Check every disclosed event.

        Raises:
            VerificationError: naming the entry whose signature or decision does not hold.
        """
        for recorded in history:
            if recorded is None:
                self.sealed += 1
                continue
            try:
                self._check(recorded.event, recorded.at_ms)
            except LedgerError as error:
                raise VerificationError(f"entry {recorded.leaf_index}: {error}") from None
            if isinstance(recorded.event, CacIssued) and recorded.event.execution_id not in self.certified:
                self.uncertified.append(recorded)
        if self.uncertified and not self.sealed:
            raise VerificationError(
                f"entry {self.uncertified[0].leaf_index}: the CAC's enclave was never certified here"
            )
        if self.uncertified:
            self.elsewhere["CACs whose execution's stream was not disclosed"] += len(self.uncertified)

    @singledispatchmethod
    def _check(self, event: Event, at_ms: int) -> None:  # noqa: ARG002 - most events embed nothing
        report = getattr(event, "report", None)
        if report is not None:
            jws.parse(report)
            self.elsewhere[_REPORTS] += 1
        for token in getattr(event, "statements", ()):
            jws.parse(token)
            self.elsewhere["statements whose keys are enrolled in another log"] += 1

    @_check.register
    def _(self, event: TenantRegistered | ScopeRegistered, at_ms: int) -> None:
        keys = {admin.kid: bytes.fromhex(admin.public_key) for admin in event.admins}
        accept_registration(event, self._signed(event.acceptances, GOVERNANCE, keys, at_ms))
        if event.origin != self.origin:
            raise VerificationError("the registration names another log")
        self.tenant = evolve_tenant(event, None)

    @_check.register
    def _(self, event: TenantEndorsed, at_ms: int) -> None:  # noqa: ARG002 - the keys are elsewhere
        if sha256_hex(canonical(event.credential)) != event.credential_digest:
            raise VerificationError("the credential is not the one of its digest")
        for token in event.statements:
            jws.parse(token)
        self.elsewhere["endorsements (the endorsers' keys are in the scope's log)"] += len(event.statements)
        self.tenant = evolve_tenant(event, self.tenant)

    @_check.register
    def _(self, event: PrincipalEnrolled, at_ms: int) -> None:
        tenant = self._known()
        signed = self._signed(event.statements, GOVERNANCE, self._keys(GOVERNANCE), at_ms)
        if enrol_principal(tenant, event.model_copy(update={"statements": ()}), signed) != event:
            raise VerificationError("the enrolment is not what its statements say")
        self.tenant = evolve_tenant(event, tenant)

    @_check.register
    def _(self, event: PolicyAdopted, at_ms: int) -> None:
        tenant = self._known()
        signed = self._signed(event.statements, GOVERNANCE, self._keys(GOVERNANCE), at_ms)
        if adopt_policy(tenant, event.policy, signed) != event:
            raise VerificationError("the policy is not what its statements say")
        self.tenant = evolve_tenant(event, tenant)

    @_check.register
    def _(self, event: WorkloadSubmitted, at_ms: int) -> None:
        signed = self._signed([event.submission], SUBMISSION, self._keys(SUBMISSION), at_ms)[0]
        said = signed.payload
        if sha256_hex(event.submission.encode()) != event.submission_digest or said["workload"] != event.workload_id:
            raise VerificationError("the submission is not the one that its event tells of")
        if said["clause_id"] != event.tenant.clause_id or said["bounds"] != event.bounds.model_dump(mode="json"):
            raise VerificationError("clause or bounds are not what was submitted")
        if [item["commitment"] for item in said["inputs"]] != [item.commitment for item in event.inputs]:
            raise VerificationError("the inputs are not those that were committed to")

    @_check.register
    def _(self, event: WorkloadCancelled, at_ms: int) -> None:
        signed = self._signed([event.statement], SUBMISSION, self._keys(SUBMISSION), at_ms)[0]
        require_claims(signed, cancel_claims(event.workload_id))

    @_check.register
    def _(self, event: RetryAuthorized, at_ms: int) -> None:
        signed = self._signed(event.statements, GOVERNANCE, self._keys(GOVERNANCE), at_ms)
        persons = [self._known().principals[one.kid].person for one in signed]
        if not signed or len(set(persons)) != len(persons):
            raise VerificationError("a retry was authorised by nobody, or by one person twice")
        told = event.model_dump(mode="json", exclude={"statements", "execution_id", "workload_id"})
        told |= {"execution": event.execution_id, "workload": event.workload_id, "decision": "authorize"}
        for one in signed:
            if any(one.payload.get(name) != value for name, value in told.items()):
                raise VerificationError("the retry is not the one that was signed for")

    @_check.register
    def _(self, event: NodeEnrolled, at_ms: int) -> None:
        self._signed([event.acceptance], REPORT, {event.kid: bytes.fromhex(event.public_key)}, at_ms)

    @_check.register
    def _(self, event: EvidenceAppraised, at_ms: int) -> None:
        if sha256_hex(event.evidence.encode()) != event.evidence_digest:
            raise VerificationError("the evidence is not the one of its digest")
        self.elsewhere[_REPORTS] += 1
        if event.certificate is None:
            return
        public = bytes.fromhex(self._known().attestation_key)
        signed = self._signed([event.certificate], ENDORSEMENT, {thumbprint(public): public}, at_ms)[0]
        if (signed.payload["cac_key"], signed.payload["execution"]) != (event.cac_key, event.execution_id):
            raise VerificationError("the certificate is of another enclave's key")
        self.certified[event.execution_id] = event

    @_check.register
    def _(self, event: CacIssued, at_ms: int) -> None:  # noqa: ARG002 - the proof carries its own instant
        document, appraised = event.document, self.certified.get(event.execution_id)
        if appraised is None:
            return  # `follow` says what that means
        if document["certificate"] != appraised.certificate:
            raise VerificationError("the CAC carries another certificate than its enclave was given")
        verify_proof(
            document,
            at_ms=None,
            controller=did_key(bytes.fromhex(appraised.cac_key)),
            domain=self.origin,
            challenge=appraised.nonce,
        )
        if bound_report_data(document) != document["report_data"] or document["report_data"] != appraised.report_data:
            raise VerificationError("report_data does not follow from the CAC")
        self.checked["CACs: the enclave's proof, its certificate, report_data recomputed"] += 1

    def _signed(self, tokens: Sequence[str], typ: str, keys: Mapping[str, bytes], at_ms: int) -> tuple[Signed, ...]:
        found = []
        for token in tokens:
            payload = jws.verify(token, typ=typ, keys=keys, aud=self.origin, now_s=at_ms // SECOND_MS)
            found.append(Signed(token, jws.peek(token)[0]["kid"], typ, payload))
        self.checked[f"statements of type {typ}: signature, enrolled key, audience, time"] += len(found)
        return tuple(found)

    def _keys(self, typ: str) -> dict[str, bytes]:
        principals = self._known().principals.values()
        return {p.kid: bytes.fromhex(p.public_key) for p in principals if p.statement_type == typ}

    def _known(self) -> Tenant:
        if self.tenant is None:
            raise VerificationError("the log's registration was not disclosed, so its keys are not known")
        return self.tenant


def bound_report_data(document: Mapping[str, Any]) -> str:
    """Recompute report_data from a CAC's own members (wire formats 6 and 7)."""
    binding = Binding(
        host=document["host"],
        origin=document["scope"],
        execution_id=document["execution_id"],
        node_id=document["node"],
        nonce=bytes.fromhex(document["nonce"]),
        module_digest=bytes.fromhex(document["module_digest"]),
        limits_digest=bytes.fromhex(sha256_hex(canonical(document["limits"]))),
        policy_digest=bytes.fromhex(document["policy"]["digest"]),
        submission_digest=bytes.fromhex(document["submission_digest"]),
        cac_key=bytes.fromhex(document["cac_key"]),
        kem_id=document["hpke_kem_id"],
        hpke_key_digest=bytes.fromhex(document["hpke_key_digest"]),
    )
    return report_data(binding).hex()
