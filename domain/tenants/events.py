"""Events of a tenant or scope about itself."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from domain.access.token_issuers import IssuerUrl, TokenIssuer
from domain.identifiers import DaoName, Digest
from domain.jurisdictions import Jurisdiction
from domain.message import Event
from domain.platform.events import AdminKey
from domain.policies.kinds import Policy, Word
from domain.time import DAY_MS, MAX_INSTANT_MS

StatementType = Literal["ledger-submission+jwt", "ledger-report+jwt", "ledger-governance+jwt", "ledger-endorsement+jwt"]
MonitorKind = Literal["treaty_monitor", "parent_dao"]
ScopeKind = Literal["treaty", "jurisdiction"]
CoolingOff = Annotated[int, Field(ge=DAY_MS, le=365 * DAY_MS)]
IssuerDid = Annotated[str, Field(pattern=r"^did:[a-z0-9]{1,32}:[A-Za-z0-9._:%-]{1,256}$")]
Threshold = Annotated[int, Field(ge=1, le=16)]
Admins = Annotated[tuple[AdminKey, ...], Field(min_length=1, max_length=16)]


class ScopeRegistered(Event):
    """A scope of the tree begins: the root of authority above tenants. Its keys accept by signing its origin.

    `issuers` are the DIDs that may issue credentials in its name.
    """

    TOPIC: ClassVar[str] = "scope.registered.v1"

    scope_id: str
    name: Word
    origin: str
    slot: int
    did: str
    admins: Admins
    threshold: Threshold
    acceptances: tuple[str, ...]
    issuers: Annotated[tuple[str, ...], Field(max_length=16)]


class TenantRegistered(Event):
    """A DAO in one jurisdiction begins. Its root of authority is the admin key set, with those keys' own acceptance.

    `custody` is there where the tenant itself holds what opens its inputs and outputs: then release and output key are
    its own, and the ledger has their public halves only. Without it the ledger holds both (`custody: operator`).
    """

    TOPIC: ClassVar[str] = "tenant.registered.v1"

    tenant_id: str
    dao: DaoName
    jurisdiction: Jurisdiction
    jurisdiction_as_given: Annotated[str, Field(max_length=64)]
    origin: str
    slot: int
    did: str
    admins: Admins
    threshold: Threshold
    acceptances: tuple[str, ...]
    attestation_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    release_key: str
    output_key: str
    parent: str
    custody: Literal["tenant"] | None = None

    @model_serializer(mode="wrap")
    def _without_no_custody(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what the first release did not have: its events keep their bytes."""
        members: dict[str, Any] = handler(self)
        if members.get("custody") is None:
            members.pop("custody", None)
        return members


class TenantEndorsed(Event):
    """The scope above confirms the tenant and grants its TEEExecutorVC."""

    TOPIC: ClassVar[str] = "tenant.endorsed.v1"

    statements: tuple[str, ...]
    credential: dict[str, Any]
    credential_digest: Digest


class PrincipalEnrolled(Event):
    """A key may sign statements of one type from this position on, for one person in one role."""

    TOPIC: ClassVar[str] = "tenant.principal_enrolled.v1"

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    person: Word
    role: Word
    statement_type: StatementType
    statements: tuple[str, ...]


class HolderEnrolled(PrincipalEnrolled):
    """As `tenant.principal_enrolled.v1`, with the key's own acceptance: whoever holds it wanted to act for this log.

    `acceptance` is a statement of the enrolled type by the key itself, naming the log as its audience. The admins'
    statements cover it.
    """

    TOPIC: ClassVar[str] = "tenant.principal_enrolled.v3"

    acceptance: Annotated[str, Field(min_length=5, max_length=4096)]


class ReaderEnrolled(Event):
    """A key may ask for tokens from this position on, and signs nothing else: for one person in one role.

    `jurisdictions`: of whose tenants it may learn, where this is a scope's log; empty: of all. It counts from `from_ms`
    until `until_ms`; None: until it is revoked.
    """

    TOPIC: ClassVar[str] = "tenant.principal_enrolled.v2"

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    person: Word
    role: Word
    statement_type: Literal["ledger-assertion+jwt"]
    jurisdictions: Annotated[tuple[Jurisdiction, ...], Field(max_length=64)]
    from_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)] | None
    statements: tuple[str, ...]


class PrincipalRevoked(Event):
    """A key signs nothing more from this position on. It is never enrolled again."""

    TOPIC: ClassVar[str] = "tenant.principal_revoked.v1"

    kid: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]


class IssuerEnrolled(Event):
    """A DID may issue credentials in this scope's name from this position on."""

    TOPIC: ClassVar[str] = "scope.issuer_enrolled.v1"

    did: IssuerDid
    statements: tuple[str, ...]


class IssuerRevoked(Event):
    """A DID issues nothing more from this position on, and what it issued ends. It is never enrolled again."""

    TOPIC: ClassVar[str] = "scope.issuer_revoked.v1"

    did: IssuerDid
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]


class TokenIssuerAdmitted(Event):
    """Tokens of an OpenID provider show who may read this log from this position on, in place of what was before."""

    TOPIC: ClassVar[str] = "tenant.token_issuer_admitted.v1"

    admitted: TokenIssuer
    statements: tuple[str, ...]


class TokenIssuerRevoked(Event):
    """No token of an OpenID provider counts from this position on. Its keys are never admitted again."""

    TOPIC: ClassVar[str] = "tenant.token_issuer_revoked.v1"

    issuer: IssuerUrl
    reason: Annotated[str, Field(max_length=200)]
    statements: tuple[str, ...]


class PolicyAdopted(Event):
    """A policy is in force from this position on."""

    TOPIC: ClassVar[str] = "tenant.policy_adopted.v1"

    version: Annotated[int, Field(ge=1)]
    policy: Policy
    digest: Digest
    statements: tuple[str, ...]


class ScopeRegisteredBelow(Event):
    """A scope below another begins: a treaty body or a jurisdiction. Its keys accept by signing its origin."""

    TOPIC: ClassVar[str] = "scope.registered.v2"

    scope_id: str
    name: Word
    kind: ScopeKind
    origin: str
    slot: int
    did: str
    admins: Admins
    threshold: Threshold
    acceptances: tuple[str, ...]
    issuers: Annotated[tuple[str, ...], Field(max_length=16)]
    parent: str
    endorsements: tuple[str, ...]


class MonitorAppointed(Event):
    """A treaty monitor or parent DAO is told of this tenant's faults from here on."""

    TOPIC: ClassVar[str] = "tenant.monitor_appointed.v1"

    name: Word
    kind: MonitorKind
    statements: tuple[str, ...]


class KeyDisclosed(Event):
    """Stream keys were handed out: how many, of which streams (H over their sorted ids), to whom, what for."""

    TOPIC: ClassVar[str] = "tenant.key_disclosed.v1"

    streams: Annotated[int, Field(ge=1)]
    streams_digest: Digest
    everything: bool
    recipient: Annotated[str, Field(max_length=200)]


class DataKeyRotated(Event):
    """From about here on entries are sealed with this generation of the data key; this one is the first."""

    TOPIC: ClassVar[str] = "tenant.data_key_rotated.v1"

    generation: Annotated[int, Field(ge=1, le=0xFFFF_FFFF)]


class ErasureOrdered(Event):
    """The tenant's admins want its data keys destroyed, not before an instant. It takes nothing new from here on."""

    TOPIC: ClassVar[str] = "tenant.erasure_ordered.v1"

    cooling_off_ms: CoolingOff
    not_before_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    statements: tuple[str, ...]


class ErasureWithdrawn(Event):
    """The tenant's admins took their order back while it was cooling off. It takes work again."""

    TOPIC: ClassVar[str] = "tenant.erasure_withdrawn.v1"

    statements: tuple[str, ...]
