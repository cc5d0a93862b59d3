"""What policies are evaluated over: facts of a workload, of a node, and of who lives on a node.

These fields are exactly what `feasible` reads; the class of equal workloads is the digest of them (scheduler design).
"""

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from domain.bounds import Bounds, SimulatedBounds
from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.identifiers import DaoName, Digest, ResourceClass, priority_domain
from domain.jurisdictions import Country, Jurisdiction
from domain.message import Value
from domain.policies.kinds import PRIMARY, EvidenceClass, Policy, Word, Words

PlatformId = Annotated[str, Field(pattern=r"^(?:amd|intel|software):[A-Za-z0-9_-]{1,128}$")]


class WorkloadFacts(Value):
    """A workload as a policy sees it.

    `level`, and bounds beyond those that a submission may have, are of simulations: no command sets them.
    """

    dao: DaoName
    jurisdiction: Jurisdiction
    resource_class: ResourceClass
    bounds: Annotated[Bounds | SimulatedBounds, Field(union_mode="left_to_right")]
    trigger: Word | None = None
    tags: Words = ()
    forbid_tags: Words = ()
    required_attributes: Words = ()
    slots: Annotated[int, Field(ge=1, le=4096)] = 1
    level: Annotated[int, Field(ge=0, le=4096)] | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_new(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its events keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("slots") == 1:
            del members["slots"]
        if members.get("level") is None:
            members.pop("level", None)
        return members

    @property
    def domain(self) -> str:
        """Return the priority domain: the first part of the resource class."""
        return priority_domain(self.resource_class)

    def class_key(self, policy: Policy, slot: int) -> str:
        """Return the key of the class of equal workloads: tenant, facts and effective policy."""
        shape = {"slot": slot, "facts": self.model_dump(mode="json"), "policy": policy.model_dump(mode="json")}
        return sha256_hex(canonical(shape))[:32]


class NodeFacts(Value):
    """A node as a policy sees it: from its credential, its enrolment and (once appraised) its evidence.

    `evidence_root` is the root of its platform's evidence: SHA-256 of the root key's SPKI.
    """

    node: Word
    operator: Word
    country: Country
    vendor: Word
    pool: Word = PRIMARY
    memory_bytes: Annotated[int, Field(ge=1)]
    slots: Annotated[int, Field(ge=1, le=4096)]
    attributes: Words = ()
    platform_ids: Annotated[tuple[PlatformId, ...], Field(max_length=16)] = ()
    evidence_class: EvidenceClass = "software"
    evidence_root: Digest | None = None
    admits: Annotated[tuple[DaoName, ...], Field(max_length=256)] | None = None

    @model_serializer(mode="wrap")
    def _without_no_root(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what nodes with software evidence don't have: their events keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("evidence_root") is None:
            members.pop("evidence_root", None)
        return members


class Resident(Value):
    """An execution that lives on a node now: its facts and the policy that it brought along."""

    execution_id: str
    workload: WorkloadFacts
    policy: Policy
