"""What a node reports of itself: heartbeat and load, signed, in buckets, as a chain of its own (wire formats 4).

Invariants:
- Reports of one node form a chain over its whole life: seq from 0, prev = H(previous report).
- The statement itself holds buckets only: nothing finer is ever in an event.
- At most one report in an interval is recorded; one that comes earlier leaves no trace, and its number stays free.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from domain.errors import ConflictError, MalformedError, NotAuthorisedError
from domain.executions.reports import bucket
from domain.executions.state import NO_REPORT
from domain.hashing import sha256_hex
from domain.identifiers import Digest
from domain.message import Value
from domain.nodes.events import TelemetryReported
from domain.policies.kinds import Word
from domain.statements import REGISTERED_CLAIMS, REPORT, Signed
from domain.time import SECOND_MS

INTERVAL_MS = 10 * SECOND_MS
"""Shortest time between two reports of one node that are recorded."""


class TelemetryReport(Value):
    """A heartbeat: share of the processor that is busy and free memory in buckets of powers of two, free slots."""

    kind: Literal["telemetry"]
    node: Word
    seq: Annotated[int, Field(ge=0)]
    prev: Digest
    load_percent_bucket: Annotated[int, Field(ge=0, le=7)]
    free_slots: Annotated[int, Field(ge=0, le=4096)]
    free_memory_bucket: Annotated[int, Field(ge=0, le=64)]


def telemetry_claims(
    node: str, seq: int, prev: str, *, load_percent: int, free_slots: int, free_memory_bytes: int
) -> dict[str, str | int]:
    """Return what a node says of itself, put into buckets."""
    return {
        "kind": "telemetry",
        "node": node,
        "seq": seq,
        "prev": prev,
        "load_percent_bucket": bucket(load_percent),
        "free_slots": free_slots,
        "free_memory_bucket": bucket(free_memory_bytes),
    }


def read_telemetry(signed: Signed) -> TelemetryReport:
    """Read a report's members.

    Raises:
        MalformedError: naming the member that is missing, too many or out of range.
    """
    members = {name: value for name, value in signed.payload.items() if name not in REGISTERED_CLAIMS}
    try:
        return TelemetryReport.model_validate(members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "top"
        raise MalformedError(f"telemetry is malformed at {where}: {first['msg']}") from None


def next_report(previous: TelemetryReported | None) -> tuple[int, str]:
    """Return seq and prev of the report that follows."""
    return (0, NO_REPORT) if previous is None else (previous.seq + 1, sha256_hex(previous.report.encode()))


def report_telemetry(previous: TelemetryReported | None, signed: Signed, node_kid: str) -> TelemetryReported:
    """Take a node's report as the next one of its chain.

    Raises:
        NotAuthorisedError: when another key than the node's signed it.
        MalformedError: when it is not of its form.
        ConflictError: when it is not the next one: replayed, or out of order.
    """
    if signed.typ != REPORT or signed.kid != node_kid:
        raise NotAuthorisedError("telemetry is signed by the node that it speaks of")
    said = read_telemetry(signed)
    seq, prev = next_report(previous)
    if said.seq < seq:
        raise ConflictError(f"telemetry report {said.seq} was taken before: report {seq} is expected")
    if said.seq > seq or said.prev != prev:
        raise ConflictError(f"telemetry is out of order: report {seq}, over its predecessor's hash, is expected")
    return TelemetryReported(
        node=said.node,
        seq=said.seq,
        load_percent_bucket=said.load_percent_bucket,
        free_slots=said.free_slots,
        free_memory_bucket=said.free_memory_bucket,
        report=signed.token,
    )
