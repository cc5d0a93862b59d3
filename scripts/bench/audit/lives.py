"""Lives of workloads, event by event, as a ledger would have recorded them.

Invariants:
- Every statement, certificate and CAC is truly signed, and every event follows from those before it: `audit verify`
  accepts the log, and that is the test of this module.
- Only what no check reads is drawn at random: digests of payloads, the HPKE key, nonces.
"""

import os
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.attestation.appraise import platform_id
from domain.attestation.binding import Binding, report_data
from domain.hashing import sha256_hex
from domain.identifiers import cac_id_of_execution, execution_id, stream_of, uuid7, workload_id
from domain.time import DAY_MS, SECOND_MS
from infrastructure.credentials.data_integrity import ASSERTION_METHOD, CRYPTOSUITE, PROOF_TYPE
from infrastructure.credentials.timestamp import print_timestamp
from infrastructure.keys import ed25519
from infrastructure.keys.did_key import encode_base58, verification_method
from infrastructure.keys.plaintext import encode_json
from scripts.bench.audit.people import Chain
from scripts.bench.audit.tenant import COUNTRY, DAO, HOST, ORIGIN, Tenant

CLAUSE = "UNDRR::Disaster::Flood@1.0.0"
CLASS = "Disaster::Flood@v1"
BOUNDS = {"memory_bytes": 1_048_576, "fuel": 10_000_000, "wall_ms": 2_000}
MODULE = sha256_hex(b"module")
ENGINE = sha256_hex(b"engine")
HPKE_KEY_BYTES = 1216
"""MLKEM768-X25519."""

Content = dict[str, Any]
Step = tuple[UUID, str, Content]
"""Stream, topic, content."""

Life = Generator[Step, tuple[int, str], None]
"""Yields what happens next, and is sent the instant (ms) of the following entry and the leaf hash (hex) of this one."""


@dataclass
class Run:
    """One workload on its way: ids, and what later events repeat."""

    tenant: Tenant
    number: int
    at_ms: int
    not_after_ms: int = 0
    reserved_ms: int = 0
    submission_digest: str = ""
    appraised: Content = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.stream = uuid7(self.at_ms, int.from_bytes(os.urandom(10)))
        self.workload = workload_id(self.stream)
        self.execution = execution_id(ORIGIN, self.workload, 1, 0)
        self.cac = cac_id_of_execution(self.execution, self.at_ms)
        self.node = self.tenant.nodes[self.number % len(self.tenant.nodes)]
        self.chain = Chain(ORIGIN, self.execution)
        self.policy: Content = {"policy_version": 1, "policy_digest": self.tenant.policy.digest()}
        self.until_ms = self.at_ms + 600_000
        self.inputs = [self._input(size) for size in (29, 4)]
        self.enclave = Ed25519PrivateKey.generate()

    def decided(self) -> Content:
        """Return what every decision names."""
        return {"engine": ENGINE, "seen": self.number, "tick": self.at_ms // SECOND_MS, **self.policy}

    def report(self, at_ms: int, kind: str, **claims: Any) -> str:
        """Return the node's next report."""
        return self.node.report(self.chain, at_ms, {"kind": kind, **claims})

    def _input(self, size: int) -> Content:
        return {"commitment": _digest(), "size_bytes": size, "ciphertext_digest": _digest()}


def whole_life(tenant: Tenant, number: int, at_ms: int) -> Life:
    """Live from submission to CAC: 15 events with 7 signatures, and a deferral in two of five."""
    run = Run(tenant, number, at_ms)
    yield from _queued(run)
    if number % 5 in (0, 1):
        yield _deferred(run)
    leaves = yield from _provisioned(run)
    at_ms, _ = yield _execution(run, "enclave_started", report=run.report(run.at_ms, "started"))
    output = {"outcome": "PASS", "output_commitment": _digest(), "output_bytes": 2}
    stored, fuel, memory = _stored(), 1, 65_536
    said = {"output_digest": stored["plaintext_digest"], "cac_digest": _digest(), "fuel": fuel, "memory_bytes": memory}
    report = run.report(at_ms, "completed", **output, **said, duration_ms=5)
    cac = {**_stored(), "plaintext_digest": said["cac_digest"]}
    told = {"output": stored, "cac": cac, "fuel_bucket": 1, "memory_bucket": 17}
    at_ms, _ = yield _execution(run, "completed", report=report, **output, **told)
    at_ms, _ = yield from _over(run, at_ms)
    document = _document(run, leaves, output, at_ms)
    ids = {"cac_id": run.cac, "execution_id": run.execution, "workload_id": run.workload}
    yield stream_of(run.cac), "cac.issued.v1", {**ids, "document": document, **run.policy}


def faulted_life(tenant: Tenant, number: int, at_ms: int) -> Life:
    """Live to a fault, held for good."""
    run = Run(tenant, number, at_ms)
    yield from _queued(run)
    yield from _provisioned(run)
    at_ms, _ = yield _execution(run, "enclave_started", report=run.report(run.at_ms, "started"))
    used = {"fuel": 1, "memory_bytes": 65_536, "duration_ms": 5}
    report = run.report(at_ms, "faulted", fault="trap", detail="", **used)
    told = {"kind": "trap", "detail": "", "fuel_bucket": 1, "memory_bucket": 17}
    at_ms, _ = yield _execution(run, "faulted", report=report, **told)
    yield from _over(run, at_ms)


def denied_life(tenant: Tenant, number: int, at_ms: int) -> Life:
    """Be denied at the clause."""
    run = Run(tenant, number, at_ms)
    yield _submitted(run)
    yield run.stream, "workload.credential_checked.v1", _credential()
    reason = "the clause is not registered"
    refused = {"passed": False, "reason": reason, "module_digest": None, "clause_entry": None}
    yield run.stream, "workload.clause_verified.v1", refused
    told = {"gate": "clause", "rule": "clause", "reason": reason, "have": "", "need": "", "nodes": 0, "filtered": []}
    yield run.stream, "workload.denied.v1", {"workload_id": run.workload, **told, **run.decided()}


def submission(tenant: Tenant, number: int, at_ms: int) -> Life:
    """Be submitted, and nothing more: a statement in every entry."""
    yield _submitted(Run(tenant, number, at_ms))


def _queued(run: Run) -> Life:
    run.at_ms, _ = yield _submitted(run)
    run.at_ms, _ = yield run.stream, "workload.credential_checked.v1", _credential()
    told = "registered, open to the tenant, within its bounds"
    verified = {"passed": True, "reason": told, "module_digest": MODULE, "clause_entry": ENGINE}
    run.at_ms, _ = yield run.stream, "workload.clause_verified.v1", verified
    facts: Content = {
        "dao": DAO, "jurisdiction": COUNTRY, "resource_class": CLASS, "bounds": BOUNDS, "trigger": None, "tags": [],
        "forbid_tags": [], "required_attributes": [],
    }  # fmt: skip
    rest = {"clause_rules": [], "clause_id": CLAUSE, "module_digest": MODULE, "draft": False}
    queued = {"workload_id": run.workload, "attempt": 1, "facts": facts, "not_after_ms": run.not_after_ms, **rest}
    run.at_ms, _ = yield run.stream, "workload.queued.v1", queued


def _submitted(run: Run) -> Step:
    run.not_after_ms = run.at_ms + DAY_MS
    asked: Content = {
        "resource_class": CLASS, "bounds": BOUNDS, "trigger": None, "tags": [], "forbid_tags": [],
        "not_after_ms": run.not_after_ms,
    }  # fmt: skip
    said = {"workload": run.workload, "clause_id": CLAUSE, "inputs": run.inputs, **asked}
    token = run.tenant.submitter.sign(ORIGIN, run.at_ms, said)
    stored = [{**item, "payload": {**_stored(), "plaintext_digest": item["ciphertext_digest"]}} for item in run.inputs]
    told: Content = {
        "workload_id": run.workload, "tenant": {"dao": DAO, "jurisdiction": COUNTRY, "clause_id": CLAUSE}, **asked,
        "inputs": stored, "submission": token, "submission_digest": sha256_hex(token.encode()),
    }  # fmt: skip
    run.submission_digest = told["submission_digest"]
    return run.stream, "workload.submitted.v1", told


def _deferred(run: Run) -> Step:
    told = {"attempt": 1, "reason": "no_node_now", "place": 3, "wake": "slot", "nodes": 4, "filtered": []}
    return run.stream, "workload.deferred.v1", {"workload_id": run.workload, **told, **run.decided()}


def _provisioned(run: Run) -> Generator[Step, tuple[int, str], tuple[str, str]]:
    """Go from the placement to released inputs; return the leaf hashes of appraisal and release."""
    address = f"{ORIGIN}/cac/{run.cac}"
    place = {"execution_id": run.execution, "k": 0, "node": run.node.name, "cac_id": run.cac, "output_address": address}
    told = {"workload_id": run.workload, "attempt": 1, **run.decided()}
    run.reserved_ms = run.at_ms
    run.at_ms, _ = yield run.stream, "workload.placed.v1", {**told, "places": [place]}
    held = {"clause_id": CLAUSE, "module_digest": MODULE, "limits": BOUNDS, "from_ms": run.reserved_ms}
    yield _execution(run, "reserved", **told, **place, **held, until_ms=run.until_ms)
    nonce = os.urandom(32)
    yield _execution(run, "challenged", node=run.node.name, nonce=nonce.hex(), expires_ms=run.until_ms)
    appraised = _appraised(run, nonce)
    run.appraised = appraised
    _, evidence_leaf = yield _execution(run, "evidence_appraised", **appraised)
    gate = {"passed": True, "rule": "", "have": "", "need": "", **run.policy}
    yield _execution(run, "enclave_provisioned", **gate)
    same = {name: appraised[name] for name in ("evidence_digest", "nonce", "hpke_key_digest")}
    rest = {"payloads": [_stored(), _stored()], "released_by": "custody: operator"}
    commitments = [item["commitment"] for item in run.inputs]
    run.at_ms, release_leaf = yield _execution(run, "inputs_released", **same, commitments=commitments, **rest)
    return evidence_leaf, release_leaf


def _appraised(run: Run, nonce: bytes) -> Content:
    hpke_key, cac_key = os.urandom(HPKE_KEY_BYTES), ed25519.public_bytes(run.enclave)
    binding = Binding(
        host=HOST, origin=ORIGIN, execution_id=run.execution, node_id=run.node.name, nonce=nonce,
        module_digest=bytes.fromhex(MODULE), limits_digest=bytes.fromhex(sha256_hex(encode_json(BOUNDS))),
        policy_digest=bytes.fromhex(run.policy["policy_digest"]),
        submission_digest=bytes.fromhex(run.submission_digest), cac_key=cac_key, kem_id=25_722,
        hpke_key_digest=bytes.fromhex(sha256_hex(hpke_key)),
    )  # fmt: skip
    claims = {
        "evidence_class": "software", "nonce": nonce.hex(), "report_data": report_data(binding).hex(),
        "cac_key": cac_key.hex(), "hpke_kem_id": 25_722, "hpke_key": hpke_key.hex(), "engine": "wasmtime 50.0.1",
        "measurement": ENGINE,
    }  # fmt: skip
    evidence = run.report(run.at_ms, "evidence", **claims)
    digest = sha256_hex(evidence.encode())
    certified = {
        "act": "certify_enclave", "execution": run.execution, "cac_key": claims["cac_key"],
        "report_data": claims["report_data"], "evidence_digest": digest,
    }  # fmt: skip
    return {
        **claims, "status": "affirming", "reason": "the node's key vouches", "evidence": evidence,
        "evidence_digest": digest, "platform_id": platform_id(run.node.signer.kid),
        "hpke_key_digest": sha256_hex(hpke_key),
        "certificate": run.tenant.attestation.sign(ORIGIN, run.at_ms, certified),
    }  # fmt: skip


def _over(run: Run, at_ms: int) -> Generator[Step, tuple[int, str], tuple[int, str]]:
    yield _execution(run, "runtime_reset", report=run.report(at_ms, "reset"))
    used = {"slot_ms": 500, "memory_mib_ms": 500, "fuel": 1}
    return (yield stream_of(run.execution), "usage.metered.v1", {"execution_id": run.execution, **used})


def _execution(run: Run, topic: str, **content: Any) -> Step:
    return stream_of(run.execution), f"execution.{topic}.v1", {"execution_id": run.execution, **content}


def _document(run: Run, leaves: tuple[str, str], output: Content, at_ms: int) -> Content:
    taken = (
        "nonce", "report_data", "evidence_digest", "evidence_class", "engine", "measurement", "cac_key", "hpke_kem_id",
        "hpke_key_digest", "certificate",
    )  # fmt: skip
    document = {name: run.appraised[name] for name in taken} | {
        "type": "ClauseAttestedCompute", "version": 1, "cac_id": run.cac, "execution_id": run.execution,
        "workload": run.workload, "attempt": 1, "clause_id": CLAUSE, "module_digest": MODULE,
        "tenant_info": {
            "dao": DAO, "jurisdiction": COUNTRY, "resource_class": CLASS, "workload_id": run.execution,
        },
        "host": HOST, "scope": ORIGIN, "output_address": f"{ORIGIN}/cac/{run.cac}",
        "submission_digest": run.submission_digest, "input_commitments": [item["commitment"] for item in run.inputs],
        "policy": {"version": 1, "digest": run.policy["policy_digest"]}, "node": run.node.name,
        "evidence_entry": leaves[0], "release_entry": leaves[1], "hardware": "not applicable: software evidence",
        "limits": BOUNDS, "released_by": "custody: operator",
        "window": {"from_ms": run.reserved_ms, "until_ms": run.until_ms}, "outcome": output["outcome"],
        "outputs": [{"commitment": output["output_commitment"], "size_bytes": output["output_bytes"]}],
    }  # fmt: skip
    public = ed25519.public_bytes(run.enclave)
    options = {
        "type": PROOF_TYPE, "cryptosuite": CRYPTOSUITE, "created": print_timestamp(at_ms),
        "verificationMethod": verification_method(public), "proofPurpose": ASSERTION_METHOD, "domain": ORIGIN,
        "challenge": run.appraised["nonce"],
    }  # fmt: skip
    signed = b"".join(bytes.fromhex(sha256_hex(encode_json(part))) for part in (options, document))
    return {**document, "proof": {**options, "proofValue": encode_base58(run.enclave.sign(signed))}}


def _credential() -> Content:
    return {"passed": True, "reason": "in force", "credential_digest": ENGINE, "valid_until_ms": 2_000_000_000_000}


def _stored() -> Content:
    return {"digest": _digest(), "size_bytes": 1369, "plaintext_digest": _digest()}


def _digest() -> str:
    return os.urandom(32).hex()
