"""One execution up to its CAC: the ledger's record of it, evidence that affirms, and the document that follows."""

from dataclasses import replace
from typing import Any

from domain.attestation.appraise import Expected, platform_id
from domain.cacs.document import CacRecord, bound_report_data, draft_document
from domain.executions.reports import EvidenceReport
from tests.domain import samples
from tests.domain.samples import appraised, challenged, hexed, queued, released, reserved


def expected(**changes: Any) -> Expected:
    """Return what the ledger knows of the execution."""
    usual: dict[str, Any] = {
        "host": samples.HOST,
        "origin": samples.ORIGIN,
        "reserved": reserved(),
        "challenge": challenged(),
        "node": samples.node(platform_ids=(platform_id(samples.KID),)),
        "node_kid": samples.KID,
        "submission_digest": hexed(20),
        "measurement": hexed(9),
    }
    return Expected(**{**usual, **changes})


def bound(of: Expected) -> str:
    """Return the report_data that evidence over the sample's keys must carry."""
    return bound_report_data(of, appraised())


def evidence(of: Expected, **changes: Any) -> EvidenceReport:
    """Return evidence that affirms."""
    sample = appraised()
    usual: dict[str, Any] = {
        "execution": samples.EXECUTION,
        "seq": 0,
        "prev": "0" * 64,
        "kind": "evidence",
        "evidence_class": "software",
        "nonce": of.challenge.nonce,
        "report_data": bound(of),
        "cac_key": sample.cac_key,
        "hpke_kem_id": sample.hpke_kem_id,
        "hpke_key": sample.hpke_key,
        "engine": sample.engine,
        "measurement": of.measurement,
    }
    return EvidenceReport(**{**usual, **changes})


def record(**changes: Any) -> CacRecord:
    """Return the ledger's record of an execution that got its inputs."""
    of = expected()
    usual = CacRecord(
        expected=of,
        queued=queued(),
        appraised=appraised(report_data=bound(of)),
        released=released(),
        evidence_entry=hexed(30),
        release_entry=hexed(31),
    )
    return replace(usual, **changes)


def document(of: CacRecord) -> dict[str, Any]:
    """Return the document as the enclave signs it."""
    ended = samples.completed()
    outputs = [{"commitment": ended.output_commitment, "size_bytes": ended.output_bytes}]
    return {**draft_document(of), "outcome": ended.outcome, "outputs": outputs, "proof": {"type": "DataIntegrityProof"}}
