"""Events about results."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from domain.decided import Decided
from domain.executions.events import Outcome
from domain.identifiers import Digest
from domain.message import Event, Value
from domain.policies.kinds import Word


class CacIssued(Event):
    """The CAC passed its gate. The document is final and kept as the enclave signed it."""

    TOPIC: ClassVar[str] = "cac.issued.v1"

    cac_id: str
    execution_id: str
    workload_id: str
    document: dict[str, Any]
    policy_version: int
    policy_digest: Digest


class CacRejected(Event):
    """The CAC did not pass its gate: the rule that it broke."""

    TOPIC: ClassVar[str] = "cac.rejected.v1"

    cac_id: str
    execution_id: str
    workload_id: str
    rule: str
    reason: str
    policy_version: int
    policy_digest: Digest


class CacOverturned(Event):
    """The resolvers of a scope overturned this CAC: it stands no more. In the CAC's own stream, after its issue.

    Attributes:
        dispute_id: which dispute; its stream in the scope's log.
        scope: origin of the scope's log.
        decision: version of the event there that decided it (`dispute.overturned.v1`).
        statements_digest: H(JCS of the list of the statements that the event holds).
    """

    TOPIC: ClassVar[str] = "cac.overturned.v1"

    cac_id: str
    execution_id: str
    dispute_id: str
    scope: Annotated[str, Field(min_length=1, max_length=255)]
    decision: Annotated[int, Field(ge=1)]
    statements_digest: Digest


class QuorumReached(Decided):
    """All independent enclaves of the attempt agree on outcome and output."""

    TOPIC: ClassVar[str] = "cac.quorum_reached.v1"

    workload_id: str
    attempt: int
    cacs: tuple[str, ...]
    outcome: str
    output_commitment: Digest


class EnclaveResult(Value):
    """What one of an attempt's enclaves gave: its outcome, and the salted commitment of its output."""

    execution_id: str
    cac_id: str
    outcome: Outcome
    output_commitment: Digest


class QuorumFailed(Decided):
    """They don't: one was rejected, faulted or diverged.

    `results` and `differing` tell of a divergence what each enclave gave, in the order of their places, and which
    executions are not of the majority; all of them where there is none. The first release did not tell.
    """

    TOPIC: ClassVar[str] = "cac.quorum_failed.v1"

    workload_id: str
    attempt: int
    cacs: tuple[str, ...]
    reason: Literal["divergence", "rejected", "fault"]
    results: Annotated[tuple[EnclaveResult, ...], Field(min_length=2, max_length=16)] | None = None
    differing: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_was_not_told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what only a divergence has: events of the first release keep their bytes."""
        members: dict[str, Any] = handler(self)
        return {name: value for name, value in members.items() if value is not None}


class UsageMetered(Event):
    """What one execution that got its inputs used: slots and memory for the time that it held them, and what it did.

    Releases before did not tell node, operator, tokens and bytes.

    Attributes:
        execution_id: which one; metered once, after its reset.
        slot_ms: slots x ms held.
        memory_mib_ms: MiB (rounded up) x ms held.
        fuel: as the node reported it; 0 where the node never reported the end.
        node: where it ran.
        operator: of that node.
        tokens: what its placement cost: one for each slot.
        bytes_in: sizes of its inputs, as the submission names them; 0 where they were never released.
        bytes_out: size of its output; 0 without one.
    """

    TOPIC: ClassVar[str] = "usage.metered.v1"

    execution_id: str
    slot_ms: int
    memory_mib_ms: int
    fuel: int
    node: Word | None = None
    operator: Word | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    bytes_in: Annotated[int, Field(ge=0)] | None = None
    bytes_out: Annotated[int, Field(ge=0)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_was_not_told(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its events keep their bytes."""
        members: dict[str, Any] = handler(self)
        return {name: value for name, value in members.items() if value is not None}
