"""Events of disputes. They stand in a stream of the resolver scope's log; an affected tenant's log only refers to them.

A dispute is decided for what was disputed (`upheld`: it stands) or against it (`overturned`: of its CACs those that are
named stand no more; each one's own log says so, `cac.overturned.v1`).
"""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.canonical import MAX_INTEGER
from domain.identifiers import ClauseName, Digest
from domain.jurisdictions import Jurisdiction
from domain.message import Event, Value
from domain.payloads import StoredPayload
from domain.policies.kinds import Word
from domain.time import MAX_INSTANT_MS

MAX_AFFECTED = 128
"""Executions that one dispute is about; of more, each span of time is a dispute of its own."""
MAX_EVIDENCE = 4096
"""Pieces of evidence in one dispute."""
MAX_OF_A_PARTY = 16
"""Pieces of evidence that one party shows: none takes the room of others."""
MAX_OF_RESOLVERS = 64
"""Pieces of evidence that the resolvers add."""
MAX_TEXT = 1000
"""Characters of what somebody says; more of it is a document, attached as evidence."""

DisputeId = Annotated[str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")]
"""A UUIDv7: the dispute's stream."""
CacName = Annotated[str, Field(pattern=r"^cac-0x[0-9a-f]{32}$")]
ExecutionName = Annotated[str, Field(pattern=r"^exec-0x[0-9a-f]{32}$")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT)]
Instant = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
LeafIndex = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Slot = Annotated[int, Field(ge=1, le=MAX_INTEGER)]
Origin = Annotated[str, Field(min_length=1, max_length=255)]
Tokens = Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
Role = Literal["tenant", "operator", "resolver"]


class AboutCac(Value):
    """One CAC."""

    kind: Literal["cac"]
    cac_id: CacName


class AboutExecution(Value):
    """One execution, whether it has a CAC or not."""

    kind: Literal["execution"]
    execution_id: ExecutionName


class AboutClause(Value):
    """What ran of a clause and was reserved in [from_ms, to_ms)."""

    kind: Literal["clause"]
    clause_id: ClauseName
    from_ms: Instant
    to_ms: Instant


class AboutNode(Value):
    """What was reserved on a node in [from_ms, to_ms)."""

    kind: Literal["node"]
    node: Word
    from_ms: Instant
    to_ms: Instant


class AboutOperator(Value):
    """What was reserved on any node of an operator in [from_ms, to_ms)."""

    kind: Literal["operator"]
    operator: Word
    from_ms: Instant
    to_ms: Instant


class AboutJurisdiction(Value):
    """What tenants of a jurisdiction had reserved in [from_ms, to_ms)."""

    kind: Literal["jurisdiction"]
    jurisdiction: Jurisdiction
    from_ms: Instant
    to_ms: Instant


class AboutSpan(Value):
    """Everything that was reserved in [from_ms, to_ms)."""

    kind: Literal["span"]
    from_ms: Instant
    to_ms: Instant


Subject = Annotated[
    AboutCac | AboutExecution | AboutClause | AboutNode | AboutOperator | AboutJurisdiction | AboutSpan,
    Field(discriminator="kind"),
]
"""What is disputed."""


class Affected(Value):
    """One execution that a dispute is about: its tenant by slot, where it ran, and its CAC if one stands."""

    slot: Slot
    execution_id: ExecutionName
    cac_id: CacName | None
    node: Word
    operator: Word


class Party(Value):
    """Who speaks: a tenant (by its origin), an operator (by its name), or the resolvers (by their scope's origin).

    `keys` are the raw public keys (hex) of a tenant's signatories, in the order of the statements: they are enrolled in
    the tenant's own log. Those of the others are enrolled in the scope's.
    """

    role: Role
    name: Origin
    keys: Annotated[tuple[Digest, ...], Field(max_length=16)] = ()


class DisputeOpened(Event):
    """A result or a machine is disputed. `affected` is what its signatories said it is about, and the ledger found so.

    Attributes:
        answer_by_ms: until then those concerned are heard.
        decide_by_ms: afterwards nothing is decided any more.
    """

    TOPIC: ClassVar[str] = "dispute.opened.v1"

    dispute_id: DisputeId
    subject: Subject
    grounds: Text
    party: Party
    affected: Annotated[tuple[Affected, ...], Field(min_length=1, max_length=MAX_AFFECTED)]
    answer_by_ms: Instant
    decide_by_ms: Instant
    statements: Tokens


class DisputeAnswered(Event):
    """One of those concerned answered; each does once."""

    TOPIC: ClassVar[str] = "dispute.answered.v1"

    dispute_id: DisputeId
    party: Party
    text: Text
    statements: Tokens


class NamedEntry(Value):
    """An entry of a log, by its place and leaf hash."""

    origin: Origin
    leaf_index: LeafIndex
    leaf_hash: Digest


class DisputeEvidenceAttached(Event):
    """A document (sealed under the dispute's stream, in full) or an entry of a log was put before the resolvers.

    `number` counts from 0. Exactly one of `document` and `entry` is there.
    """

    TOPIC: ClassVar[str] = "dispute.evidence_attached.v1"

    dispute_id: DisputeId
    number: Annotated[int, Field(ge=0, le=MAX_EVIDENCE - 1)]
    party: Party
    title: Text
    document: StoredPayload | None
    entry: NamedEntry | None
    statements: Tokens


class DisputeUpheld(Event):
    """The resolvers decided: what was disputed stands."""

    TOPIC: ClassVar[str] = "dispute.upheld.v1"

    dispute_id: DisputeId
    reason: Text
    statements: Tokens


class DisputeOverturned(Event):
    """The resolvers decided against what was disputed: these CACs stand no more. None, where none was issued."""

    TOPIC: ClassVar[str] = "dispute.overturned.v1"

    dispute_id: DisputeId
    reason: Text
    cacs: Annotated[tuple[CacName, ...], Field(max_length=MAX_AFFECTED)]
    statements: Tokens


class DisputeWithdrawn(Event):
    """Who opened the dispute took it back before it was decided."""

    TOPIC: ClassVar[str] = "dispute.withdrawn.v1"

    dispute_id: DisputeId
    reason: Text
    party: Party
    statements: Tokens


class DisputeReferenced(Event):
    """In an affected tenant's log, in the execution's stream: a dispute is about this execution. Nothing else of it."""

    TOPIC: ClassVar[str] = "dispute.referenced.v1"

    dispute_id: DisputeId
    execution_id: ExecutionName
