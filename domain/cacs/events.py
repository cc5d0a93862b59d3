"""Events about results."""

from typing import Any, ClassVar, Literal

from domain.decided import Decided
from domain.identifiers import Digest
from domain.message import Event


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


class QuorumReached(Decided):
    """All independent enclaves of the attempt agree on outcome and output."""

    TOPIC: ClassVar[str] = "cac.quorum_reached.v1"

    workload_id: str
    attempt: int
    cacs: tuple[str, ...]
    outcome: str
    output_commitment: Digest


class QuorumFailed(Decided):
    """They don't: one was rejected, faulted or diverged."""

    TOPIC: ClassVar[str] = "cac.quorum_failed.v1"

    workload_id: str
    attempt: int
    cacs: tuple[str, ...]
    reason: Literal["divergence", "rejected", "fault"]


class UsageMetered(Event):
    """What one execution used, for billing and token accounting."""

    TOPIC: ClassVar[str] = "usage.metered.v1"

    execution_id: str
    slot_ms: int
    memory_mib_ms: int
    fuel: int
