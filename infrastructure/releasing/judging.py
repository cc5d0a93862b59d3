"""What a tenant's releaser checks by itself before it re-encrypts: the ledger's word counts for nothing here.

Invariants:
- The entries are audited as an outsider audits a bundle: every signature, the submission by a key of the tenant, the
  reservation, the nonce, report_data recomputed from the binding, the certificate over the enclave's key. Nothing that
  they rest on may be missing.
- The root of all that is the tenant's admin keys, which the releaser knows from elsewhere.
- What other logs hold is judged here: node key and facts (by the node's credential), reference value of the runtime,
  the roots of hardware, and the tenant's policy over the node's facts, as of now by the releaser's own clock.
- Nothing is opened before all that holds. What is opened must be what was committed to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from domain.attestation.appraise import Expected, appraise, platform_id
from domain.attestation.binding import SALT_BYTES, input_info, salted_commitment
from domain.attestation.events import PlatformEvidenceAppraised
from domain.attestation.platform import accepted, as_appraised, judge_execution
from domain.attestation.refusal import EvidenceRefusedError
from domain.attestation.release import release_info
from domain.errors import ConflictError, LedgerError, MalformedError, VerificationError
from domain.executions.events import EvidenceAppraised
from domain.executions.releases import release_claims, releasers, require_awaited
from domain.executions.reports import EvidenceReport, read_report
from domain.executions.state import Execution
from domain.identifiers import stream_of
from domain.policies.feasible import feasible, told
from domain.statements import REPORT, Signed
from domain.tenants.state import Tenant
from domain.time import SECOND_MS
from domain.workloads.events import WorkloadQueued, WorkloadSubmitted
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.roots import Roots
from infrastructure.attestation.verifying import verify_under
from infrastructure.audit.executions import expected_of
from infrastructure.audit.history import HistoryAudit
from infrastructure.audit.known import Known
from infrastructure.keys import hpke
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.releasing.demands import Demands
from infrastructure.releasing.nodes import NodeTrust
from infrastructure.releasing.offered import Offered
from infrastructure.statements import jws


@dataclass(frozen=True, slots=True)
class Releaser:
    """Who releases, and whom it believes.

    Attributes:
        tenant: whose releaser it is, as DAO/JUR or by id.
        kid: thumbprint of the key that signs its statements.
        release: what opens the inputs.
        admins: thumbprints of the tenant's admin keys, from elsewhere.
        demands: what else it asks for.
        nodes: which nodes it believes.
        roots: of hardware that count: the vendors', and what was named by hand.
        measurement: reference value of the runtime where its demands name none.
    """

    tenant: str
    kid: str
    release: hpke.PrivateKey
    admins: frozenset[str]
    demands: Demands
    nodes: NodeTrust
    roots: tuple[Roots, ...]
    measurement: str


@dataclass(frozen=True, slots=True)
class Judged:
    """An offer that stands: what is signed and sealed next."""

    tenant: Tenant
    appraised: EvidenceAppraised
    submitted: WorkloadSubmitted

    def claims(self, sealed: Sequence[bytes]) -> dict[str, object]:
        """Return what the releaser says of inputs as it sealed them."""
        commitments = [item.commitment for item in self.submitted.inputs]
        return release_claims(self.appraised, commitments, [sha256(one).hexdigest() for one in sealed])


def judge(offered: Offered, execution_id: str, releaser: Releaser, now_ms: int) -> Judged:
    """Judge an offer; nothing is opened.

    Args:
        offered: as the ledger made it.
        execution_id: what was asked for.
        releaser: who judges.
        now_ms: by the releaser's own clock.

    Raises:
        VerificationError: naming the first thing that does not hold.
        ConflictError: when inputs were released already.
    """
    try:
        return _judge(offered, execution_id, releaser, now_ms)
    except (VerificationError, ConflictError):  # a conflict: its inputs were released already
        raise
    except (LedgerError, ValueError, LookupError) as error:
        raise VerificationError(str(error) if isinstance(error, LedgerError) else "the offer is inconsistent") from None


def seal(judged: Judged, offered: Offered, release: hpke.PrivateKey) -> list[bytes]:
    """Open the inputs with the release key and seal each to the enclave that was judged.

    Raises:
        VerificationError: when one does not open, or is not what the submission commits to.
    """
    key, report = bytes.fromhex(judged.appraised.hpke_key), bytes.fromhex(judged.appraised.report_data)
    sealed = []
    for index, (item, ciphertext) in enumerate(zip(judged.submitted.inputs, offered.inputs, strict=True)):
        commitment = bytes.fromhex(item.commitment)
        plain = release.open(ciphertext, release_info(offered.origin, index, commitment))
        if len(plain) < SALT_BYTES or salted_commitment(plain[:SALT_BYTES], plain[SALT_BYTES:]) != commitment:
            raise VerificationError(f"input {index} is not what the submission commits to")
        sealed.append(hpke.seal(key, plain, input_info(report, index, commitment)))
    return sealed


def _judge(offered: Offered, execution_id: str, releaser: Releaser, now_ms: int) -> Judged:
    _require(offered.execution == execution_id, "the offer is of another execution")
    known = _audited(offered)
    tenant = _own(known, offered, releaser)
    attempt, execution = known.attempts.get(stream_of(execution_id)), None
    if attempt is not None:
        execution = attempt.execution
    if attempt is None or execution is None or execution.id != execution_id:
        raise VerificationError("the entries do not hold the execution")
    workload = known.workloads.get(stream_of(execution.reserved.workload_id))
    if workload is None or workload.queued is None or workload.queued.attempt != execution.reserved.attempt:
        raise VerificationError("the entries do not hold the workload as it was queued")
    appraised = require_awaited(execution, now_ms)
    _require(attempt.bound and appraised.accepted, "the appraisal could not be repeated from the entries")
    said = _evidence(known, offered, execution, appraised)
    _demanded(releaser.demands, execution, appraised)
    releaser.nodes.require(offered.node, now_ms)
    expected = _expected(known, offered, execution, workload.submitted.submission_digest, releaser)
    policy = known.effective(workload.queued, tenant.policy_version)
    if policy is None:
        raise VerificationError("the tenant's policy is not among the entries")
    _appraised_now(offered, appraised, said, expected, releaser, known, workload.queued, now_ms)
    facts, issued_ms = as_appraised(offered.node.facts, appraised), _issued_ms(offered, execution)
    for finding in feasible(policy, workload.queued.facts, facts, (), now_ms, evidence_ms=issued_ms):
        rule, have, need = told(finding)
        _require(finding.passed, f"the tenant's policy forbids it: {rule}: have {have}, need {need}")
    digests = tuple(item.ciphertext_digest for item in workload.submitted.inputs)
    _require(digests == tuple(sha256(one).hexdigest() for one in offered.inputs), "other inputs than were submitted")
    return Judged(tenant, appraised, workload.submitted)


def _audited(offered: Offered) -> Known:
    """Fold the entries as an auditor does, with nothing that may be missing."""
    audit = HistoryAudit(
        offered.origin, lambda _: frozenset({0}), payload=lambda _, one: offered.payload(one.plaintext_digest)
    )
    for entry in offered.entries:
        audit.skip_to(entry.leaf)
        audit.follow(entry.opened())
    return audit.known


def _own(known: Known, offered: Offered, releaser: Releaser) -> Tenant:
    """Return the tenant, if it is the releaser's own."""
    tenant = known.registered
    if tenant is None or not tenant.dao:
        raise VerificationError("the entries do not begin with a tenant's registration")
    founders = {str(admin["kid"]) for admin in offered.entries[0].event["admins"]}
    _require(
        founders <= releaser.admins,
        "the tenant began with admin keys that this releaser does not know: name the thumbprints of all with --admin",
    )
    _require(releaser.tenant in {tenant.called, tenant.log_id}, "the entries are of another tenant")
    _require(tenant.custody == "tenant", "the tenant's inputs are in the operator's custody")
    _require(tenant.release_key == releaser.release.public.hex(), "the tenant's release key is not this wallet's")
    _require(releaser.kid in releasers(tenant), "this wallet's endorsement key is no releaser of the tenant")
    _require(tenant.erasure_not_before_ms is None, "the tenant's erasure is ordered")
    return tenant


def _evidence(known: Known, offered: Offered, execution: Execution, appraised: EvidenceAppraised) -> EvidenceReport:
    """Return what the node reported, by the key that it enrolled; its HPKE key is the one that inputs are sealed to."""
    node, public = offered.node, bytes.fromhex(offered.node.public_key)
    _require(thumbprint(public) == node.kid and node.facts.node == execution.reserved.node, "it is another node's key")
    payload = jws.verify(appraised.evidence, typ=REPORT, keys={node.kid: public}, aud=known.origin, now_s=None)
    said = read_report(Signed(appraised.evidence, node.kid, REPORT, payload))
    if not isinstance(said, EvidenceReport):
        raise VerificationError("the node's report is no evidence")
    _require(sha256(appraised.evidence.encode()).hexdigest() == appraised.evidence_digest, "another evidence digest")
    told = (said.hpke_key, said.hpke_kem_id, said.report_data, said.nonce)
    appears = (appraised.hpke_key, appraised.hpke_kem_id, appraised.report_data, appraised.nonce)
    _require(told == appears, "the appraisal is of another key, binding or nonce than the node reported")
    _require(said.hpke_kem_id == hpke.KEM_ID, "the enclave's HPKE key is of another KEM than releases use")
    hpke.check_public_key(bytes.fromhex(said.hpke_key))
    return said


def _demanded(demands: Demands, execution: Execution, appraised: EvidenceAppraised) -> None:
    """Hold what the releaser's own file asks for."""
    _among(execution.reserved.module_digest, demands.modules, "the clause's module")
    _among(execution.reserved.node, demands.nodes, "the node")
    _among(appraised.evidence_class, demands.evidence_classes, "the class of evidence")


def _among(found: str, allowed: Sequence[str] | None, what: str) -> None:
    _require(allowed is None or found in allowed, f"{what} is none that this releaser allows: {found}")


def _expected(
    known: Known, offered: Offered, execution: Execution, submission_digest: str, releaser: Releaser
) -> Expected:
    if execution.challenge is None or execution.appraised is None:
        raise VerificationError("the execution has no nonce, or no evidence")
    expected = expected_of(known, execution, execution.challenge, submission_digest)
    allowed = releaser.demands.measurements
    measurement = releaser.measurement
    if allowed is not None and execution.appraised.measurement in allowed:
        measurement = execution.appraised.measurement
    elif allowed is not None:
        raise VerificationError("the runtime is none that this releaser allows")
    return replace(expected, node=offered.node.facts, node_kid=offered.node.kid, measurement=measurement)


def _appraised_now(
    offered: Offered,
    appraised: EvidenceAppraised,
    said: EvidenceReport,
    expected: Expected,
    releaser: Releaser,
    known: Known,
    queued: WorkloadQueued,
    now_ms: int,
) -> None:
    """Appraise the evidence with the releaser's own roots, reference values and clock."""
    if not isinstance(appraised, PlatformEvidenceAppraised):
        _require(appraised.platform_id == platform_id(offered.node.kid), "the machine is another than the node's key")
        reason = appraise(expected, said, now_ms)
    else:
        policy = known.effective(queued, appraised.policy_version)
        evidence = [offered.payload(digest) for digest in (said.platform_evidence or "", *said.endorsements)]
        if policy is None or any(one is None for one in evidence):
            raise VerificationError("the platform's evidence, or the policy it was judged under, did not come along")
        first, *files = [one for one in evidence if one is not None]
        try:
            claims = verify_under(recognise(first), files, now_ms // SECOND_MS, releaser.roots)
        except (EvidenceRefusedError, MalformedError) as error:
            raise VerificationError(f"the platform's evidence: {error}") from None
        result = judge_execution(expected, said, claims, policy, queued.facts, now_ms)
        reason = None if accepted(result) else result.reason or result.status
    _require(reason is None, f"the evidence is not accepted: {reason}")


def _issued_ms(offered: Offered, execution: Execution) -> int:
    """Return when the nonce was issued."""
    stream = str(stream_of(execution.id))
    return next(one.at_ms for one in offered.entries if one.stream == stream and one.topic == "execution.challenged.v1")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise VerificationError(otherwise)
