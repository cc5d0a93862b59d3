"""Events of one workload: submission, checks, queue, placement, ends."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.bounds import Bounds
from domain.decided import Decided
from domain.identifiers import ClauseName, DaoName, Digest, ResourceClass
from domain.jurisdictions import Jurisdiction
from domain.message import Event, Value
from domain.payloads import StoredPayload
from domain.policies.facts import WorkloadFacts
from domain.policies.kinds import Rule, Word, Words

Gate = Literal["credential", "clause", "queue", "provisioning", "cac"]


class TenantTag(Value):
    """The mission's tenant segment: who, where, which program."""

    dao: DaoName
    jurisdiction: Jurisdiction
    clause_id: ClauseName


class NamedInput(Value):
    """One input as a submission names it: salted commitment, size, and H(ciphertext to the tenant's release key)."""

    commitment: Digest
    size_bytes: Annotated[int, Field(ge=0, le=1_048_576)]
    ciphertext_digest: Digest


class SealedInput(NamedInput):
    """One input as it is kept: the ciphertext lies sealed under the workload's stream."""

    payload: StoredPayload


class WorkloadSubmitted(Event):
    """A signed submission was accepted for checking. The statement is kept whole."""

    TOPIC: ClassVar[str] = "workload.submitted.v1"

    workload_id: str
    tenant: TenantTag
    resource_class: ResourceClass
    bounds: Bounds
    trigger: Word | None
    tags: Words
    forbid_tags: Words
    inputs: Annotated[tuple[SealedInput, ...], Field(min_length=1, max_length=16)]
    not_after_ms: int
    submission: str
    submission_digest: Digest


class CredentialChecked(Event):
    """The tenant's TEEExecutorVC was checked against the submission."""

    TOPIC: ClassVar[str] = "workload.credential_checked.v1"

    passed: bool
    reason: str
    credential_digest: Digest | None
    valid_until_ms: int | None


class ClauseVerified(Event):
    """Clause and governance metadata were checked."""

    TOPIC: ClassVar[str] = "workload.clause_verified.v1"

    passed: bool
    reason: str
    module_digest: Digest | None
    clause_entry: Digest | None


class WorkloadQueued(Event):
    """The workload waits for a place, with all that the scheduler reads of it."""

    TOPIC: ClassVar[str] = "workload.queued.v1"

    workload_id: str
    attempt: Annotated[int, Field(ge=1)]
    facts: WorkloadFacts
    clause_rules: tuple[Rule, ...]
    clause_id: ClauseName
    module_digest: Digest
    not_after_ms: int
    draft: bool


class FilteredNodes(Value):
    """How many nodes a rule over their own facts excluded."""

    rule: str
    nodes: int


class WorkloadDenied(Decided):
    """A gate said no: the rule, the tenant's own have and need. Final for this submission."""

    TOPIC: ClassVar[str] = "workload.denied.v1"

    workload_id: str
    gate: Gate
    rule: str
    reason: str
    have: str
    need: str
    nodes: int
    filtered: tuple[FilteredNodes, ...]


NODE_FAILURES = "node_failures"
"""The rule that denies after too many attempts that ended for a node's reason. Only a decider counts them.

Earlier releases denied so; now the workload is held (`execution.faulted.v1`).
"""


class WorkloadDeferredV1(Decided):
    """As the first release wrote it: `no_node_now` was all there was to wait for."""

    TOPIC: ClassVar[str] = "workload.deferred.v1"

    workload_id: str
    attempt: int
    reason: Literal["no_node_now"]
    place: int
    wake: str
    nodes: int
    filtered: tuple[FilteredNodes, ...]


class WorkloadDeferred(Decided):
    """Not now, and what for: one event for the head of a class, and again when what was told is over.

    Told again is another reason or rule, and another instant when the one that was told has passed.
    `no_node_now` covers capacity and residents alike; `quota` names the limit that is full, `have` and `need` being the
    tenant's own; `bandwidth` the tokens, with the instant from which on they suffice.

    Attributes:
        place: within its own class, from 1.
        retry_ms: the instant from which on it would pass, if nothing else happens; None where only an event can help.
        wake: what is waited for, in words.
    """

    TOPIC: ClassVar[str] = "workload.deferred.v2"

    workload_id: str
    attempt: int
    reason: Literal["no_node_now", "quota", "bandwidth"]
    rule: str
    have: str
    need: str
    place: int
    retry_ms: int | None
    wake: str
    nodes: int
    filtered: tuple[FilteredNodes, ...]


OfferId = Annotated[str, Field(pattern=r"^off-0x[0-9a-f]{32}$")]


class OverflowOffered(Decided):
    """No primary node now: the workload is offered to one secondary node, until `expires_ms`."""

    TOPIC: ClassVar[str] = "workload.overflow_offered.v1"

    workload_id: str
    attempt: int
    offer_id: OfferId
    nodes: Annotated[tuple[Word, ...], Field(min_length=1, max_length=16)]
    expires_ms: int


class OverflowAcceptedV1(Event):
    """As it was told before there were signed standing offers: the pool was taken to stand open."""

    TOPIC: ClassVar[str] = "workload.overflow_accepted.v1"

    workload_id: str
    attempt: int
    offer_id: OfferId
    offer_hash: Digest
    standing: bool
    statement: str | None


class StandingOffer(Value):
    """A pool operator's standing offer, as the platform log holds it; `statement` is H(its signed statement)."""

    pool: Word
    operator: Word
    number: Annotated[int, Field(ge=0)]
    statement: Digest


class OverflowAccepted(Event):
    """The operators of the pools take the offer, by the standing offers that are in force for the nodes."""

    TOPIC: ClassVar[str] = "workload.overflow_accepted.v2"

    workload_id: str
    attempt: int
    offer_id: OfferId
    offer_hash: Digest
    standing: Annotated[tuple[StandingOffer, ...], Field(min_length=1, max_length=16)]


class OverflowClosed(Event):
    """The offer is over: what came of it."""

    TOPIC: ClassVar[str] = "workload.overflow_closed.v1"

    workload_id: str
    attempt: int
    offer_id: OfferId
    reason: Literal["placed", "refused", "expired", "withdrawn"]


class Place(Value):
    """One of the attempt's enclaves: where, under which execution id, and where its CAC will be found."""

    execution_id: str
    k: int
    node: Word
    cac_id: str
    output_address: str


class WorkloadPlaced(Decided):
    """The attempt has its places, all or none."""

    TOPIC: ClassVar[str] = "workload.placed.v1"

    workload_id: str
    attempt: int
    places: Annotated[tuple[Place, ...], Field(min_length=1, max_length=16)]


class WorkloadExpired(Decided):
    """The workload's own time is over and it never ran to its end."""

    TOPIC: ClassVar[str] = "workload.expired.v1"

    workload_id: str


class WorkloadCancelled(Event):
    """Its submitter took it back before it ran."""

    TOPIC: ClassVar[str] = "workload.cancelled.v1"

    workload_id: str
    statement: str
