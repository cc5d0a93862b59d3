"""Events of one execution, in the order of its life."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from domain.bounds import Bounds
from domain.decided import Decided
from domain.disputes.events import DisputeId
from domain.identifiers import ClauseName, Digest
from domain.message import Event
from domain.payloads import StoredPayload
from domain.policies.kinds import EvidenceClass, Word

NodeFault = Literal[
    "input_error", "simulation_failure", "trap", "fuel", "memory", "deadline", "output_invalid", "node_lost"
]
"""What a node may report."""
HeldKind = Literal["node_lost", "release_refused", "release_awaited"]
"""Why a workload is held whose attempts ended before inputs were released: by what the last one ended."""
FaultKind = NodeFault | HeldKind
DisputeNotice = Literal["dispute_opened", "dispute_upheld", "dispute_overturned", "dispute_withdrawn"]
NoticeKind = FaultKind | Literal["divergence"] | DisputeNotice
"""What somebody is told of: a fault, that independent enclaves of one attempt gave different results, or a dispute."""

Outcome = Literal["PASS", "FAIL", "TRIGGER", "ESCALATE"]
MOST_REASON = 300
"""Characters of a releaser's reason."""
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

    `evidence` is the node's signed report. `certificate`: the tenant's attestation key over the enclave's CAC key; none
    without a verdict that is accepted. Stored are its two kinds: `SoftwareEvidenceAppraised`, and that of platforms
    (domain.attestation.events).
    """

    execution_id: str
    status: str
    reason: str
    evidence: str
    evidence_digest: Digest
    evidence_class: EvidenceClass
    platform_id: str | None
    nonce: Hex32
    report_data: Hex64
    cac_key: Hex32
    hpke_kem_id: int
    hpke_key: str
    hpke_key_digest: Digest
    engine: str
    measurement: Digest
    certificate: str | None

    @property
    def accepted(self) -> bool:
        """Whether the enclave may be given inputs, as far as its evidence goes."""
        return self.certificate is not None

    @property
    def evidence_root(self) -> Digest | None:
        """The root that a platform's evidence rests on."""
        return None


class SoftwareEvidenceAppraised(EvidenceAppraised):
    """The node's key vouches, and no hardware does."""

    TOPIC: ClassVar[str] = "execution.evidence_appraised.v1"

    status: Literal["affirming", "contraindicated"]
    platform_id: str


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


class ReleaseAwaited(Event):
    """The gate is passed and the inputs are not ours to open: the tenant's releaser has until then, or never comes."""

    TOPIC: ClassVar[str] = "execution.release_awaited.v1"

    execution_id: str
    until_ms: Annotated[int, Field(ge=0)]


class ReleaseRefused(Event):
    """The tenant's releaser does not let this execution have the inputs, and says why. The attempt ends with it."""

    TOPIC: ClassVar[str] = "execution.release_refused.v1"

    execution_id: str
    reason: Annotated[str, Field(min_length=1, max_length=MOST_REASON)]
    statement: str


class InputsReleased(Event):
    """Durable before any ciphertext leaves; once per execution.

    `statement` is the tenant's releaser's, under `custody: tenant`; there is none under `custody: operator`.
    """

    TOPIC: ClassVar[str] = "execution.inputs_released.v1"

    execution_id: str
    evidence_digest: Digest
    nonce: Hex32
    hpke_key_digest: Digest
    commitments: tuple[Digest, ...]
    payloads: tuple[StoredPayload, ...]
    released_by: Literal["custody: operator", "custody: tenant"]
    statement: str | None = None

    @model_serializer(mode="wrap")
    def _without_no_statement(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the operator's releases do not have: their events keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("statement") is None:
            members.pop("statement", None)
        return members


class ReportsReceived(Event):
    """A node signed one statement over the SHA-256 of many reports (wire formats 4); it is kept once, here.

    Each report's own event carries that report's bytes, and the leaf index of this entry.
    """

    TOPIC: ClassVar[str] = "reports.received.v1"

    node: Word
    batch: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    statement: str


class _Reported(Event):
    """What a node reported. `received`: leaf index of the batch's entry; None where the report is itself signed."""

    LATER: ClassVar[tuple[str, ...]] = ("received", "wall_bucket")

    received: Annotated[int, Field(ge=0)] | None = None

    @model_serializer(mode="wrap")
    def _without_later(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its events keep their bytes."""
        members: dict[str, Any] = handler(self)
        for name in self.LATER:
            if name in members and members[name] is None:
                del members[name]
        return members


class EnclaveStarted(_Reported):
    """The node reports that the clause runs."""

    TOPIC: ClassVar[str] = "execution.enclave_started.v1"

    execution_id: str
    report: str


class _Measured(_Reported):
    """What a run used, in buckets (powers of two). The first release did not tell the time that it took (ms)."""

    fuel_bucket: int
    memory_bucket: int
    wall_bucket: Annotated[int, Field(ge=0, le=64)] | None = None


class ExecutionCompleted(_Measured):
    """The clause came to an end. Telemetry is in buckets (powers of two)."""

    TOPIC: ClassVar[str] = "execution.completed.v1"

    execution_id: str
    report: str
    outcome: Outcome
    output_commitment: Digest
    output_bytes: int
    output: StoredPayload
    cac: StoredPayload


class ExecutionFaulted(_Measured):
    """It failed. Nothing of this workload runs again until governance authorises it."""

    TOPIC: ClassVar[str] = "execution.faulted.v1"

    execution_id: str
    kind: FaultKind
    detail: Annotated[str, Field(max_length=200)]
    report: str | None


class RuntimeReset(_Reported):
    """Instance and keys are gone; only now is the slot free."""

    TOPIC: ClassVar[str] = "execution.runtime_reset.v1"

    execution_id: str
    report: str | None


class ExecutionAbandoned(_Reported):
    """It ended before inputs were released, for a reason of node, gate or releaser; its place is free.

    `report` is the node's, where it is the node that says so: its enclave was gone before the inputs came.
    """

    TOPIC: ClassVar[str] = "execution.abandoned.v1"
    LATER: ClassVar[tuple[str, ...]] = ("received", "report")

    execution_id: str
    reason: Literal[
        "reservation_expired", "evidence_refused", "provisioning_denied", "workload_ended", "node_lost",
        "release_expired", "enclave_lost", "release_refused",
    ]  # fmt: skip
    report: str | None = None


class ReportRefused(_Reported):
    """A report came after the window, or a second time with another body. It is kept and changes nothing."""

    TOPIC: ClassVar[str] = "execution.report_refused.v1"

    execution_id: str
    reason: str
    report: str


class _OfANotice(Event):
    """What a request and its delivery name. `dispute`: which one, where the notice is of a dispute."""

    execution_id: str
    recipient: Word
    dispute: DisputeId | None = None

    @model_serializer(mode="wrap")
    def _without_no_dispute(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what notices of faults do not have: they keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("dispute") is None:
            members.pop("dispute", None)
        return members


class NoticeRequested(_OfANotice):
    """Somebody is to be told: of this fault or divergence, as the tenant's policy wants, or of a dispute.

    Delivery has events of its own.
    """

    TOPIC: ClassVar[str] = "notice.requested.v1"

    kind: NoticeKind


class NoticeDelivered(_OfANotice):
    """A notice reached its recipient, who has shown so: by fetching it, or by the answer to a signed webhook."""

    TOPIC: ClassVar[str] = "notice.delivered.v1"

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
