"""Events of one execution, in the order of its life."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.bounds import Bounds
from domain.decided import Decided
from domain.identifiers import ClauseName, Digest
from domain.message import Event
from domain.payloads import StoredPayload
from domain.policies.kinds import EvidenceClass, Word

FaultKind = Literal[
    "input_error", "simulation_failure", "trap", "fuel", "memory", "deadline", "output_invalid", "node_lost"
]
Outcome = Literal["PASS", "FAIL", "TRIGGER", "ESCALATE"]
Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class ExecutionReserved(Decided):
    """A place on a node is held for this execution in [from_ms, until_ms). The id is used once."""

    TOPIC: ClassVar[str] = "execution.reserved.v1"

    execution_id: str
    workload_id: str
    attempt: int
    k: int
    node: Word
    cac_id: str
    output_address: str
    clause_id: ClauseName
    module_digest: Digest
    limits: Bounds
    from_ms: int
    until_ms: int


class ExecutionChallenged(Event):
    """The nonce that this execution's evidence must answer: one open per execution, single use."""

    TOPIC: ClassVar[str] = "execution.challenged.v1"

    execution_id: str
    node: Word
    nonce: Hex32
    expires_ms: int


class EvidenceAppraised(Event):
    """The nonce is used up, whatever the verdict. The evidence is kept so that the appraisal can be repeated.

    `certificate`: the tenant's attestation key over the enclave's CAC key; there is none without an affirming verdict.
    """

    TOPIC: ClassVar[str] = "execution.evidence_appraised.v1"

    execution_id: str
    status: Literal["affirming", "contraindicated"]
    reason: str
    evidence: str
    evidence_digest: Digest
    evidence_class: EvidenceClass
    platform_id: str
    nonce: Hex32
    report_data: Hex64
    cac_key: Hex32
    hpke_kem_id: int
    hpke_key: str
    hpke_key_digest: Digest
    engine: str
    measurement: Digest
    certificate: str | None


class EnclaveProvisioned(Event):
    """The provisioning gate: the same rules, now with the evidence as appraised."""

    TOPIC: ClassVar[str] = "execution.enclave_provisioned.v1"

    execution_id: str
    passed: bool
    rule: str
    have: str
    need: str
    policy_version: int
    policy_digest: Digest


class InputsReleased(Event):
    """Durable before any ciphertext leaves; once per execution."""

    TOPIC: ClassVar[str] = "execution.inputs_released.v1"

    execution_id: str
    evidence_digest: Digest
    nonce: Hex32
    hpke_key_digest: Digest
    commitments: tuple[Digest, ...]
    payloads: tuple[StoredPayload, ...]
    released_by: Literal["custody: operator", "custody: tenant"]


class EnclaveStarted(Event):
    """The node reports that the clause runs."""

    TOPIC: ClassVar[str] = "execution.enclave_started.v1"

    execution_id: str
    report: str


class ExecutionCompleted(Event):
    """The clause came to an end. Telemetry is in buckets (powers of two)."""

    TOPIC: ClassVar[str] = "execution.completed.v1"

    execution_id: str
    report: str
    outcome: Outcome
    output_commitment: Digest
    output_bytes: int
    output: StoredPayload
    cac: StoredPayload
    fuel_bucket: int
    memory_bucket: int


class ExecutionFaulted(Event):
    """It failed. Nothing of this workload runs again until governance authorises it."""

    TOPIC: ClassVar[str] = "execution.faulted.v1"

    execution_id: str
    kind: FaultKind
    detail: Annotated[str, Field(max_length=200)]
    report: str | None
    fuel_bucket: int
    memory_bucket: int


class RuntimeReset(Event):
    """Instance and keys are gone; only now is the slot free."""

    TOPIC: ClassVar[str] = "execution.runtime_reset.v1"

    execution_id: str
    report: str | None


class ExecutionAbandoned(Event):
    """It ended before inputs were released, for a reason of the node or the gate; its place is free."""

    TOPIC: ClassVar[str] = "execution.abandoned.v1"

    execution_id: str
    reason: Literal["reservation_expired", "evidence_refused", "provisioning_denied", "workload_ended", "node_lost"]


class ReportRefused(Event):
    """A report came after the window, or a second time with another body. It is kept and changes nothing."""

    TOPIC: ClassVar[str] = "execution.report_refused.v1"

    execution_id: str
    reason: str
    report: str


class NoticeRequested(Event):
    """The tenant's policy wants somebody told of this fault. Delivery has events of its own."""

    TOPIC: ClassVar[str] = "notice.requested.v1"

    execution_id: str
    recipient: Word
    kind: FaultKind


class NoticeDelivered(Event):
    """A notice reached its recipient, who has shown so: by fetching it, or by the answer to a signed webhook."""

    TOPIC: ClassVar[str] = "notice.delivered.v1"

    execution_id: str
    recipient: Word
    kind: str
    how: Literal["fetched", "webhook"]
    tries: Annotated[int, Field(ge=1)]


class RetryAuthorized(Event):
    """Governance lets the workload run again: for this very fault, with these bounds, until then."""

    TOPIC: ClassVar[str] = "execution.retry_authorized.v1"

    execution_id: str
    workload_id: str
    fault_entry: Digest
    fault_leaf_index: int
    next_attempt: int
    bounds: Bounds
    not_after_ms: int
    policy_version: int
    policy_digest: Digest
    statements: tuple[str, ...]


class RetryRefused(Event):
    """Governance says that it stays held."""

    TOPIC: ClassVar[str] = "execution.retry_refused.v1"

    execution_id: str
    workload_id: str
    fault_entry: Digest
    statements: tuple[str, ...]
