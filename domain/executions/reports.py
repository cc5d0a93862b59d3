"""What a node reports of an execution: signed, in order, at least once (wire formats 4).

Invariants:
- Reports of one execution form a chain: seq from 0, prev = H(previous report).
- A report past the window, or of an execution that is over, changes nothing; it is recorded as refused.
- The node that reports is the node of the reservation, by the key that it enrolled.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from domain.errors import MalformedError, NotAuthorisedError
from domain.executions.events import FaultKind, Hex32, Hex64, Outcome
from domain.executions.state import Execution
from domain.identifiers import Digest
from domain.message import Value
from domain.policies.kinds import EvidenceClass
from domain.statements import REGISTERED_CLAIMS, REPORT, Signed


class _Report(Value):
    execution: str
    seq: Annotated[int, Field(ge=0)]
    prev: Digest


class EvidenceReport(_Report):
    """Evidence of a fresh enclave. Class software: the node's signature over the binding is the evidence itself."""

    kind: Literal["evidence"]
    evidence_class: EvidenceClass
    nonce: Hex32
    report_data: Hex64
    cac_key: Hex32
    hpke_kem_id: int
    hpke_key: Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){32,2048}$")]
    engine: Annotated[str, Field(max_length=200)]
    measurement: Digest


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
    fault: FaultKind
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
    if execution.status not in _EXPECTED_STATUS[report.kind]:
        return f"a report of kind {report.kind} has no place while the execution is {execution.status}"
    return None


def _within(report: CompletedReport | FaultedReport, execution: Execution) -> bool:
    limits = execution.reserved.limits
    return report.fuel <= limits.fuel and report.memory_bytes <= limits.memory_bytes


def bucket(amount: int) -> int:
    """Return the power-of-two bucket of an amount: 0 for 0, else the number of its bits."""
    return amount.bit_length()
