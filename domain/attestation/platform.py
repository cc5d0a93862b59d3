"""Platform evidence judged for an execution or an enrolment: pure, and repeatable from what the ledger keeps.

Invariants:
- The appraiser of RFC 9334 judges hardware, code, machine and binding; what only the ledger knows (nonce, expiry, what
  the report itself claims) is judged here. Status is never better than the weakest.
- Whose roots count and whether a warning passes follows from the tenant's policy; where no rule speaks of evidence, any
  root that the cell trusts.
- A node without platform ids (VLEK) may bring evidence without one, and nobody else's: policies that ask for a machine
  fail over its facts.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from typing import Final

from domain.attestation.appraise import Expected, binding_of, claim_checks
from domain.attestation.appraiser import AppraisalPolicy, AttestationResult, ReferenceValues, appraise
from domain.attestation.binding import report_data
from domain.attestation.claims import EvidenceFormat, VerifiedClaims
from domain.attestation.events import NodeEvidenceAppraised
from domain.attestation.trust_vector import UNRECOGNISED, Tier, weakest
from domain.errors import MalformedError, NotAuthorisedError
from domain.executions.events import EvidenceAppraised
from domain.executions.reports import EvidenceReport
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.kinds import Evidence, Policy
from domain.time import HOUR_MS, MINUTE_MS, SECOND_MS

ENROLMENT_POLICY = "ledger enrolment v1"
VOUCHED = "the platform vouches for this runtime and binding"
VOUCHED_FOR_NODE = "the platform vouches for the node's key"
"""The reasons of appraisals that affirm."""
EXPIRED: Final = "the nonce has expired"
NONCE_LIFE_MS: Final = 10 * MINUTE_MS
"""How long a nonce for a machine's evidence counts."""
PROOF_LIFE_S: Final = 24 * HOUR_MS // SECOND_MS
"""How long a proved machine may wait for its node's enrolment."""

_RUNTIME = b"ledger runtime measurement v1\0"
_NODE_EVIDENCE = b"ledger node evidence v1\0"
_MAX_PART = 0xFFFF


def reference_measurement(runtime: str, form: EvidenceFormat) -> str:
    """Return the measurement (hex) that a platform shows of the runtime: 32 bytes in SGX, 48 in TDX and SEV-SNP.

    Args:
        runtime: the runtime's own measurement, 64 hex digits.
        form: the evidence's format.
    """
    if form is EvidenceFormat.SGX_V3:
        return runtime
    return hashlib.sha384(_RUNTIME + bytes.fromhex(runtime)).hexdigest()


def node_report_data(host: str, node: str, nonce: bytes, public_key: bytes) -> bytes:
    """Return what a machine's evidence at enrolment is bound to (64 bytes): each part behind its u16 length."""
    digest = hashlib.sha512(_NODE_EVIDENCE)
    for part in (host.encode("ascii"), node.encode("ascii"), nonce, hashlib.sha256(public_key).digest()):
        if not 0 < len(part) <= _MAX_PART:
            raise MalformedError("a part of a node's evidence is empty or too long")
        digest.update(struct.pack(">H", len(part)) + part)
    return digest.digest()


def judge_execution(
    expected: Expected,
    said: EvidenceReport,
    claims: VerifiedClaims,
    policy: Policy,
    workload: WorkloadFacts,
    now_ms: int,
) -> AttestationResult:
    """Judge verified evidence for an execution.

    Args:
        expected: what the ledger knows.
        said: the node's report.
        claims: what the verifier proved.
        policy: the effective policy in force.
        workload: what it is about.
        now_ms: the instant.
    """
    bound = report_data(binding_of(expected, said.cac_key, said.hpke_kem_id, said.hpke_key))
    machines = frozenset(expected.node.platform_ids)
    rules = evidence_rules(policy, workload)
    approved = _approved(rules, reference_measurement(expected.measurement, claims.format))
    reference = ReferenceValues(measurements=approved, platform_ids=machines or None)
    result = appraise(claims, reference, appraisal_policy(policy, rules, claims), bound)
    checks = (
        *claim_checks(expected, said, bound.hex(), now_ms),
        (said.evidence_class == claims.evidence_class.value, "the report claims another class than the evidence has"),
        (said.evidence_format == claims.format.value, "the report claims another format than the evidence has"),
        (bool(machines) or claims.platform_id is None, "the machine is not one of this node's"),
    )
    return with_reasons(result, (reason for holds, reason in checks if not holds))


def judge_enrolment(claims: VerifiedClaims, bound: bytes) -> AttestationResult:
    """Judge verified evidence of a machine over a node's key. Code is judged with each execution, by its policy.

    Args:
        claims: what the verifier proved, under a root that it was told.
        bound: what it must be bound to (`node_report_data`).
    """
    policy = AppraisalPolicy(policy_id=ENROLMENT_POLICY, roots=frozenset({claims.root}))
    return appraise(claims, None, policy, bound)


def evidence_rules(policy: Policy, workload: WorkloadFacts) -> tuple[Evidence, ...]:
    """Return the rules about evidence that concern a workload. Each must hold."""
    rules = (rule for rule in policy.rules if isinstance(rule, Evidence))
    return tuple(rule for rule in rules if rule.domain in {None, workload.domain})


def appraisal_policy(policy: Policy, rules: Sequence[Evidence], claims: VerifiedClaims) -> AppraisalPolicy:
    """Return what a tenant's policy accepts of platforms. Every rule that concerns the workload must."""
    named = (frozenset[str](rule.roots) for rule in rules)
    return AppraisalPolicy(
        policy_id=policy.digest(),
        roots=frozenset.intersection(*named) if rules else frozenset({claims.root}),
        warning_accepted=bool(rules) and all(rule.least_status == "warning" for rule in rules),
    )


def with_reasons(result: AttestationResult, reasons: Iterable[str]) -> AttestationResult:
    """Return a result with further reasons against it, which make it contraindicated."""
    found = list(reasons)
    if not found:
        return result
    identity = max(UNRECOGNISED, result.trust_vector.instance_identity or 0)
    return result.model_copy(
        update={
            "status": weakest(result.status, Tier.CONTRAINDICATED),
            "trust_vector": result.trust_vector.model_copy(update={"instance_identity": identity}),
            "reason": "; ".join([*found, *([result.reason] if result.reason else [])]),
        }
    )


def require_proofs(facts: NodeFacts, proofs: Iterable[NodeEvidenceAppraised]) -> None:
    """Require that accepted appraisals over a node's key prove its machines, its class and its root.

    Raises:
        NotAuthorisedError: when they do not.
    """
    told = (facts.evidence_class, facts.evidence_root)
    proved = {proof.platform_id for proof in proofs if (proof.evidence_class, proof.kept.root) == told}
    needed: set[str | None] = {*facts.platform_ids} or {None}  # a machine that names none has none
    if not needed <= proved:
        raise NotAuthorisedError("its machines, or class and root of their evidence, were not proved over this key")


def accepted(result: AttestationResult) -> bool:
    """Tell whether a result lets an enclave have its inputs, or proves a machine; the policy is in it already."""
    return result.status in {Tier.AFFIRMING, Tier.WARNING}


def as_appraised(node: NodeFacts, appraised: EvidenceAppraised) -> NodeFacts:
    """Return a node's facts with class and root of evidence as they were appraised for an execution."""
    told = {"evidence_class": appraised.evidence_class, "evidence_root": appraised.evidence_root}
    return node.model_copy(update=told)


def _approved(rules: Sequence[Evidence], own: str) -> frozenset[str]:
    named = [frozenset[str](rule.measurements) for rule in rules if rule.measurements]
    return frozenset.intersection(*named) if named else frozenset({own})
