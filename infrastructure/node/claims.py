"""What a node says of an execution: the members of its reports, but for chain and registered claims."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol

from domain.canonical import canonical
from infrastructure.attestation.attesting import Attester
from infrastructure.node.assignment import Assignment
from infrastructure.node.enclosed import NOTHING, Enclosed
from infrastructure.runtime.messages import Completed, Faulted, Prepare, Prepared

Claims = Mapping[str, Any]

STARTED: Final[Claims] = {"kind": "started"}
RESET: Final[Claims] = {"kind": "reset"}
LOST: Final[Claims] = {
    "kind": "faulted",
    "fault": "node_lost",
    "detail": "the node ended the run before its end",
    "fuel": 0,
    "memory_bytes": 0,
    "duration_ms": 0,
}
"""What a node says of an execution that had its inputs and that nobody will finish."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Members of an evidence report, and a platform's evidence that goes with it."""

    claims: Claims
    enclosed: Enclosed = NOTHING


class EvidencePort(Protocol):
    """Makes the evidence of a fresh enclave: by the node's key alone, or by the platform's hardware."""

    of_platform: bool
    """Whether hardware makes it."""

    def make(self, assignment: Assignment, prepared: Prepared) -> Evidence:
        """Return the evidence.

        Raises:
            LedgerError: when the platform gives none.
        """
        ...


class SoftwareEvidence:
    """Class software: the node's signature over the binding is the evidence itself."""

    of_platform = False

    def make(self, assignment: Assignment, prepared: Prepared) -> Evidence:
        """Return the members of the report."""
        return Evidence(
            {
                "kind": "evidence",
                "evidence_class": "software",
                "nonce": assignment.nonce.hex(),
                "report_data": prepared.report_data.hex(),
                "cac_key": prepared.cac_public_key.hex(),
                "hpke_kem_id": prepared.hpke_kem_id,
                "hpke_key": prepared.hpke_public_key.hex(),
                "engine": prepared.engine,
                "measurement": prepared.measurement,
            }
        )


class PlatformEvidence:
    """Evidence that a platform makes over the binding.

    Args:
        attester: the platform.
    """

    of_platform = True

    def __init__(self, attester: Attester) -> None:
        self._attester = attester

    def make(self, assignment: Assignment, prepared: Prepared) -> Evidence:
        """Return the members of the report, with the platform's evidence."""
        attested = self._attester.attest(prepared.report_data, prepared.measurement)
        claims = {**SoftwareEvidence().make(assignment, prepared).claims, **attested.members()}
        return Evidence(claims, Enclosed(evidence=attested.evidence, endorsements=attested.endorsements))


def evidence_of(attester: Attester | None) -> EvidencePort:
    """Return what makes evidence on a platform, or without one."""
    return SoftwareEvidence() if attester is None else PlatformEvidence(attester)


def prepare_request(assignment: Assignment) -> Prepare:
    """Return what the keep is asked to make of an assignment."""
    return Prepare(
        host=assignment.host,
        origin=assignment.origin,
        execution_id=assignment.execution_id,
        node_id=assignment.node,
        nonce=assignment.nonce,
        module=assignment.module,
        limits=assignment.limits,
        policy_digest=assignment.policy_digest,
        submission=assignment.submission,
    )


def ended(result: Completed | Faulted, duration_ms: int) -> Claims:
    """Return the members of the report that tells how a clause ended."""
    used = {"fuel": result.fuel_used, "memory_bytes": result.peak_memory_bytes, "duration_ms": duration_ms}
    if isinstance(result, Faulted):
        return {"kind": "faulted", "fault": result.fault, "detail": result.detail[:200], **used}
    return {
        "kind": "completed",
        "outcome": result.outcome,
        "output_commitment": result.output_commitment.hex(),
        "output_bytes": result.output_size_bytes,
        "output_digest": sha256(result.sealed_output).hexdigest(),
        "cac_digest": sha256(canonical(result.cac)).hexdigest(),
        **used,
    }
