"""Nodes of the cell."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from domain.identifiers import Digest
from domain.message import Event
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Word


class NodeEnrolled(Event):
    """A machine joins: facts from its credential and enrolment, its report key, and that key's own acceptance."""

    TOPIC: ClassVar[str] = "node.enrolled.v1"

    facts: NodeFacts
    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    credential: dict[str, Any]
    credential_digest: Digest
    acceptance: str


class NodeDrained(Event):
    """The node takes no new work; what runs there ends by itself."""

    TOPIC: ClassVar[str] = "node.drained.v1"

    node: Word
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]


class TelemetryReported(Event):
    """A node's heartbeat and load, in buckets: powers of two, as `domain.executions.reports.bucket` makes them."""

    TOPIC: ClassVar[str] = "node.telemetry_reported.v1"

    node: Word
    seq: Annotated[int, Field(ge=0)]
    load_percent_bucket: Annotated[int, Field(ge=0, le=100)]
    free_slots: Annotated[int, Field(ge=0, le=4096)]
    free_memory_bucket: Annotated[int, Field(ge=0, le=64)]
    report: str


class NodeSuspected(Event):
    """No sign of life for so long: the node gets no new work until it reports again."""

    TOPIC: ClassVar[str] = "node.suspected.v1"

    node: Word
    reason: Literal["silent", "capacity_claims"]
    since_ms: Annotated[int, Field(ge=0)]


class NodeLost(Event):
    """Silent for longer: what runs there counts as faulted. It returns with its next report, once that is settled."""

    TOPIC: ClassVar[str] = "node.lost.v1"

    node: Word
    since_ms: Annotated[int, Field(ge=0)]


class NodeReturned(Event):
    """The operator vouches for a node that was drained, in doubt or lost: it takes work again."""

    TOPIC: ClassVar[str] = "node.returned.v1"

    node: Word
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]
