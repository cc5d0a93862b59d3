"""What a node reports of an execution: signed, in order, at least once (wire formats 4).

Invariants:
- Reports of one execution form a chain: seq from 0, prev = H(previous report).
- A report past the window, or of an execution that is over, changes nothing; it is recorded as refused.
- In a batch a report is its bare members, and H(report) is over these bytes. Evidence is a statement: it is never bare.
- The node that reports is the node of the reservation, by the key that it enrolled.
"""

from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from domain.canonical import parse_canonical
from domain.errors import MalformedError, NotAuthorisedError
from domain.executions.events import Hex32, Hex64, NodeFault, Outcome
from domain.executions.state import Execution
from domain.hashing import sha256_hex
from domain.identifiers import Digest
from domain.message import Value
from domain.policies.kinds import EvidenceClass
from domain.statements import REGISTERED_CLAIMS, REPORT, Signed

EvidenceFormatName = Literal["sgx-quote-v3", "tdx-quote-v4", "tdx-quote-v5", "sev-snp-report"]
"""As `domain.attestation.claims.EvidenceFormat` names them."""
MAX_BATCH = 100
"""Reports in one batch."""
BATCHED: Final = "report"
"""In whose name the command of a report in a batch stands: its id is the report's digest, which says it all."""
MAX_ENDORSEMENTS = 8
"""Files that come with one piece of evidence."""


class _Report(Value):
    execution: str
    seq: Annotated[int, Field(ge=0)]
    prev: Digest


class EvidenceReport(_Report):
    """Evidence of a fresh enclave. Class software: the node's signature over the binding is the evidence itself.

    Other classes: `platform_evidence` is the SHA-256 of what the platform made over the binding, `endorsements` are
    those of what comes with it; the bytes travel beside the report.
    """

    kind: Literal["evidence"]
    evidence_class: EvidenceClass
    nonce: Hex32
    report_data: Hex64
    cac_key: Hex32
    hpke_kem_id: int
    hpke_key: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){32,2048}$")]
    engine: Annotated[str, Field(max_length=200)]
    measurement: Digest
    evidence_format: EvidenceFormatName | None = None
    platform_evidence: Digest | None = None
    endorsements: Annotated[tuple[Digest, ...], Field(strict=False, max_length=MAX_ENDORSEMENTS)] = ()

    @model_validator(mode="after")
    def _of_a_platform_or_not(self) -> "EvidenceReport":
        if (self.platform_evidence is None) != (self.evidence_format is None):
            raise ValueError("evidence_format and platform_evidence come together")
        if self.endorsements and self.platform_evidence is None:
            raise ValueError("endorsements come with a platform's evidence")
        return self


class StartedReport(_Report):
    """The clause runs."""

    kind: Literal["started"]


class CompletedReport(_Report):
    """The clause ended by itself."""

    kind: Literal["completed"]
    outcome: Outcome
    output_commitment: Digest
    output_bytes: Annotated[int, Field(ge=0)]
    output_digest: Digest
    cac_digest: Digest
    fuel: Annotated[int, Field(ge=0)]
    memory_bytes: Annotated[int, Field(ge=0)]
    duration_ms: Annotated[int, Field(ge=0)]


class FaultedReport(_Report):
    """The clause failed."""

    kind: Literal["faulted"]
    fault: NodeFault
    detail: Annotated[str, Field(max_length=200)]
    fuel: Annotated[int, Field(ge=0)]
    memory_bytes: Annotated[int, Field(ge=0)]
    duration_ms: Annotated[int, Field(ge=0)]


class ResetReport(_Report):
    """Instance and keys are gone."""

    kind: Literal["reset"]


Report = EvidenceReport | StartedReport | CompletedReport | FaultedReport | ResetReport
_ADAPTER: TypeAdapter[Report] = TypeAdapter(Annotated[Report, Field(discriminator="kind")])

_EXPECTED_STATUS = {
    "evidence": {"challenged"},
    "started": {"released"},
    "completed": {"started"},
    "faulted": {"started", "released"},
    "reset": {"completed", "faulted"},
}


def read_report(signed: Signed) -> Report:
    """Read a report's members.

    Raises:
        MalformedError: when one has not its form.
    """
    members = {name: value for name, value in signed.payload.items() if name not in REGISTERED_CLAIMS}
    try:
        return _ADAPTER.validate_python(members)  # strings and integers only: read alike from Python and from JSON
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top"
        raise MalformedError(f"report is malformed at {where}: {first['msg']}") from None


class ReportBatch(Value):
    """One statement over many reports of one log: their SHA-256 digests, in the order in which they are to be taken."""

    kind: Literal["batch"]
    reports: Annotated[tuple[Digest, ...], Field(strict=False, min_length=1, max_length=MAX_BATCH)]

    @model_validator(mode="after")
    def _each_once(self) -> "ReportBatch":
        if len(set(self.reports)) != len(self.reports):
            raise ValueError("a report is named twice")
        return self


def read_batch(signed: Signed) -> ReportBatch:
    """Read a batch's members.

    Raises:
        MalformedError: when it has not its form.
    """
    members = {name: value for name, value in signed.payload.items() if name not in REGISTERED_CLAIMS}
    try:
        return ReportBatch.model_validate(members)
    except ValidationError as error:
        raise MalformedError(f"a batch of reports is malformed: {error.errors()[0]['msg']}") from None


def batched(report: str, kid: str) -> Signed:
    """Return a report that a batch names as what its node's key signed. Who asks has verified the batch.

    Args:
        report: its bytes: JCS of its members, without registered claims.
        kid: the key that signed the batch.

    Raises:
        MalformedError: when it is not of that form, or is evidence, which is signed by itself.
    """
    members = parse_canonical(report.encode())
    if not isinstance(members, dict) or REGISTERED_CLAIMS & members.keys():
        raise MalformedError("a report in a batch is one JSON object without claims of its own")
    if members.get("kind") == "evidence":
        raise MalformedError("evidence is a statement of its own: it is signed by itself, not in a batch")
    return Signed(report, kid, REPORT, {**members, "iss": BATCHED, "jti": sha256_hex(report.encode())})


def refusal(execution: Execution, signed: Signed, report: Report, node_kid: str, now_ms: int) -> str | None:
    """Return why a report changes nothing, or None when it is the next one.

    Raises:
        NotAuthorisedError: when another key than the reserved node's signed it. Nothing is recorded then.
    """
    if signed.typ != REPORT or signed.kid != node_kid:
        raise NotAuthorisedError("a report is signed by the node that holds the reservation")
    if now_ms >= execution.reserved.until_ms:
        return "late: the execution's window is over"
    if execution.terminal:
        return "the execution is over"
    if isinstance(report, CompletedReport | FaultedReport) and not _within(report, execution):
        return "beyond its bounds: the report claims more fuel or memory than the execution was given"
    if report.seq != execution.reports or report.prev != execution.last_report:
        return f"out of order: report {execution.reports} is expected"
    if execution.status not in _EXPECTED_STATUS[report.kind] and not gone_while_waiting(execution, report):
        return f"a report of kind {report.kind} has no place while the execution is {execution.status}"
    return None


def gone_while_waiting(execution: Execution, report: Report) -> bool:
    """Tell whether a node says that an enclave is gone whose inputs were still waited for: that is no fault."""
    return execution.status == "provisioned" and isinstance(report, FaultedReport) and report.fault == "node_lost"


def nothing_to_reset(execution: Execution, report: Report) -> bool:
    """Tell whether a reset is reported after a node gave up an enclave that never got inputs: it is said already."""
    chained = (report.seq, report.prev) == (execution.reports, execution.last_report)
    return isinstance(report, ResetReport) and execution.status == "abandoned" and chained


def _within(report: CompletedReport | FaultedReport, execution: Execution) -> bool:
    limits = execution.reserved.limits
    return report.fuel <= limits.fuel and report.memory_bytes <= limits.memory_bytes


def bucket(amount: int) -> int:
    """Return the power-of-two bucket of an amount: 0 for 0, else the number of its bits."""
    return amount.bit_length()
