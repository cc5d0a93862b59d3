"""The CAC document (wire formats 7): what is known before the run; the enclave adds outcome, outputs and its proof."""

from dataclasses import dataclass
from typing import Any

from domain.attestation.appraise import Expected, binding_of
from domain.attestation.binding import report_data
from domain.attestation.events import PlatformEvidenceAppraised
from domain.errors import RefusedError
from domain.executions.events import EvidenceAppraised, InputsReleased
from domain.workloads.events import WorkloadQueued

VERSION = 1
NO_HARDWARE = "not applicable: software evidence"


@dataclass(frozen=True, slots=True)
class CacRecord:
    """The ledger's own record of one execution, with the leaf hashes (hex) of its appraisal and of its release."""

    expected: Expected
    queued: WorkloadQueued
    appraised: EvidenceAppraised
    released: InputsReleased
    evidence_entry: str
    release_entry: str


def draft_document(record: CacRecord) -> dict[str, Any]:
    """Return all members that do not depend on the run.

    Raises:
        RefusedError: when the evidence was not affirmed.
    """
    expected, appraised, released = record.expected, record.appraised, record.released
    reserved, facts = expected.reserved, record.queued.facts
    if appraised.certificate is None:
        raise RefusedError("without an affirming appraisal there is no CAC")
    return {
        "type": "ClauseAttestedCompute",
        "version": VERSION,
        "cac_id": reserved.cac_id,
        "execution_id": reserved.execution_id,
        "workload": reserved.workload_id,
        "attempt": reserved.attempt,
        "clause_id": reserved.clause_id,
        "module_digest": reserved.module_digest,
        "tenant_info": {
            "dao": facts.dao,
            "jurisdiction": facts.jurisdiction,
            "resource_class": facts.resource_class,
            "workload_id": reserved.execution_id,
        },
        "host": expected.host,
        "scope": expected.origin,
        "output_address": reserved.output_address,
        "submission_digest": expected.submission_digest,
        "input_commitments": list(released.commitments),
        "policy": {"version": reserved.policy_version, "digest": reserved.policy_digest},
        "node": reserved.node,
        "nonce": expected.challenge.nonce,
        "report_data": appraised.report_data,
        "evidence_digest": appraised.evidence_digest,
        "evidence_class": appraised.evidence_class,
        "evidence_entry": record.evidence_entry,
        "release_entry": record.release_entry,
        "engine": appraised.engine,
        "measurement": appraised.measurement,
        "hardware": hardware_of(appraised),
        "limits": reserved.limits.model_dump(mode="json"),
        "cac_key": appraised.cac_key,
        "hpke_kem_id": appraised.hpke_kem_id,
        "hpke_key_digest": appraised.hpke_key_digest,
        "certificate": appraised.certificate,
        "released_by": released.released_by,
        "window": {"from_ms": reserved.from_ms, "until_ms": reserved.until_ms},
    }


def hardware_of(appraised: EvidenceAppraised) -> str:
    """Return what hardware the evidence is of: its format, its root, and the machine where it names one."""
    if not isinstance(appraised, PlatformEvidenceAppraised) or appraised.kept.evidence_format is None:
        return NO_HARDWARE
    machine = appraised.platform_id or "no machine named"
    return f"{appraised.kept.evidence_format.value} under root {appraised.kept.root}: {machine}"


def bound_report_data(expected: Expected, appraised: EvidenceAppraised) -> str:
    """Recompute report_data from the ledger's facts and the appraised keys."""
    return report_data(binding_of(expected, appraised.cac_key, appraised.hpke_kem_id, appraised.hpke_key)).hex()
