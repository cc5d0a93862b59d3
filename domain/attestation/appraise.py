"""Appraisal of software evidence: pure, and repeatable from what the ledger keeps.

Invariants:
- The status is never better than the weakest claim: one that doesn't hold makes it contraindicated.
- The binding is recomputed from the ledger's own facts; of the evidence only its two fresh keys enter it.
- "software" says that the node's key vouches, and nothing about hardware. Policies can refuse the class.
"""

from dataclasses import dataclass
from functools import lru_cache

from domain.attestation.binding import Binding, report_data
from domain.bounds import Bounds
from domain.canonical import canonical
from domain.executions.events import ExecutionChallenged, ExecutionReserved
from domain.executions.reports import EvidenceReport
from domain.hashing import sha256_hex
from domain.policies.facts import NodeFacts


@dataclass(frozen=True, slots=True)
class Expected:
    """What the ledger knows and the evidence must answer to."""

    host: str
    origin: str
    reserved: ExecutionReserved
    challenge: ExecutionChallenged
    node: NodeFacts
    node_kid: str
    submission_digest: str
    measurement: str


def binding_of(expected: Expected, cac_key: str, hpke_kem_id: int, hpke_key: str) -> Binding:
    """Return the binding that this execution's enclave must have been made for (wire formats 6)."""
    reserved = expected.reserved
    return Binding(
        host=expected.host,
        origin=expected.origin,
        execution_id=reserved.execution_id,
        node_id=expected.node.node,
        nonce=bytes.fromhex(expected.challenge.nonce),
        module_digest=bytes.fromhex(reserved.module_digest),
        limits_digest=_limits_digest(reserved.limits),
        policy_digest=bytes.fromhex(reserved.policy_digest),
        submission_digest=bytes.fromhex(expected.submission_digest),
        cac_key=bytes.fromhex(cac_key),
        kem_id=hpke_kem_id,
        hpke_key_digest=bytes.fromhex(sha256_hex(bytes.fromhex(hpke_key))),
    )


@lru_cache(maxsize=256)
def _limits_digest(limits: Bounds) -> bytes:
    return bytes.fromhex(sha256_hex(canonical(limits.model_dump(mode="json"))))


def appraise(expected: Expected, evidence: EvidenceReport, now_ms: int) -> str | None:
    """Return why software evidence is contraindicated, or None when it affirms."""
    bound = report_data(binding_of(expected, evidence.cac_key, evidence.hpke_kem_id, evidence.hpke_key)).hex()
    checks = (
        (evidence.evidence_class == "software", "without a platform's evidence it is software evidence only"),
        (evidence.platform_evidence is None, "software evidence is the node's word, not a platform's"),
        (platform_id(expected.node_kid) in expected.node.platform_ids, "the machine is not one of this node's"),
        *claim_checks(expected, evidence, bound, now_ms),
    )
    return next((reason for holds, reason in checks if not holds), None)


def claim_checks(expected: Expected, evidence: EvidenceReport, bound: str, now_ms: int) -> tuple[tuple[bool, str], ...]:
    """Return what a report of evidence of any class must say, each with what is wrong where it does not hold."""
    return (
        (evidence.nonce == expected.challenge.nonce, "the evidence answers another nonce"),
        (now_ms < expected.challenge.expires_ms, "the nonce has expired"),
        (evidence.measurement == expected.measurement, "the runtime is not the one of the reference value"),
        (evidence.report_data == bound, "the binding is not this execution's"),
    )


def platform_id(node_kid: str) -> str:
    """Return the platform id of software evidence: the thumbprint of the node's key."""
    return f"software:{node_kid}"
