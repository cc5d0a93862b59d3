"""Nodes of the cell."""

from typing import Annotated, Any, ClassVar

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
