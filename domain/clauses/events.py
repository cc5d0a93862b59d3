"""Clauses and their metadata."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from domain.bounds import Bounds
from domain.identifiers import ClauseName, DaoName, Digest, ResourceClass
from domain.jurisdictions import Jurisdiction
from domain.message import Event, Value
from domain.payloads import StoredPayload
from domain.policies.kinds import MAX_CLAUSE_RULES, Rule, Words


class ClauseMetadata(Value):
    """What is checked at ClauseVerified. Empty `daos` or `jurisdictions`: open to every endorsed tenant."""

    clause_id: ClauseName
    owner: DaoName
    title: Annotated[str, Field(max_length=200)] = ""
    daos: Annotated[tuple[DaoName, ...], Field(max_length=256)] = ()
    jurisdictions: Annotated[tuple[Jurisdiction, ...], Field(max_length=256)] = ()
    resource_classes: Annotated[tuple[ResourceClass, ...], Field(min_length=1, max_length=32)]
    maximum_bounds: Bounds
    required_attributes: Words = ()
    policies: Annotated[tuple[Rule, ...], Field(max_length=MAX_CLAUSE_RULES)] = ()
    inputs: Annotated[int, Field(ge=1, le=16)] = 1
    input_schema: Literal["series-csv/v1", "opaque/v1"] = "opaque/v1"
    simulation_required: bool = False


class ClauseRegistered(Event):
    """A program is governed: its metadata and the digest of its WebAssembly module, signed by the owner's admins."""

    TOPIC: ClassVar[str] = "clause.registered.v1"

    metadata: ClauseMetadata
    module_digest: Digest
    module_bytes: int
    module: StoredPayload
    owner_origin: str
    statements: tuple[str, ...]


class ClauseDeprecated(Event):
    """No new submission of it is accepted. Its trail stays."""

    TOPIC: ClassVar[str] = "clause.deprecated.v1"

    clause_id: ClauseName
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]
