"""A tenant (or scope) as its own stream tells it."""

from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any, Literal

from domain.access.token_issuers import TokenIssuer, key_digest
from domain.errors import RefusedError
from domain.message import Event
from domain.policies.kinds import Policy
from domain.quotas.events import BandwidthGranted, QuotaGranted
from domain.statements import GOVERNANCE, Principal
from domain.tenants.events import (
    ErasureOrdered,
    ErasureWithdrawn,
    IssuerEnrolled,
    IssuerRevoked,
    MonitorAppointed,
    PolicyAdopted,
    PrincipalEnrolled,
    PrincipalRevoked,
    ReaderEnrolled,
    ScopeRegistered,
    ScopeRegisteredBelow,
    TenantEndorsed,
    TenantRegistered,
    TokenIssuerAdmitted,
    TokenIssuerRevoked,
)


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a log belongs to, who acts for it and which policy is in force. `dao` is empty for a scope.

    Attributes:
        name: of a scope; empty for a tenant.
        kind: of a scope: root, treaty or jurisdiction; empty for a tenant.
        parent: origin of the scope above; empty for the root.
        quota: the newest grant of quotas; None while there is none.
        bandwidth: the newest grant of tokens; None while there is none.
        custody: who holds what opens its inputs and outputs: operator, or the tenant itself.
        monitors: who was appointed to be told of faults.
        token_issuers: what is admitted of OpenID providers, by issuer.
        held_token_keys: digests of the keys that were ever admitted of those, by issuer.
        former_token_keys: digests of the keys that were ever admitted of those that were revoked.
        erasure_not_before_ms: when its data keys may be destroyed; None while that is not ordered.
    """

    log_id: str
    dao: str
    jurisdiction: str
    origin: str
    slot: int
    did: str
    threshold: int
    principals: dict[str, Principal]
    version: int = 0
    endorsed: bool = False
    credential: dict[str, Any] | None = None
    policy_version: int = 0
    policy: Policy = Policy()  # noqa: RUF009 - frozen
    attestation_key: str = ""
    release_key: str = ""
    output_key: str = ""
    custody: Literal["operator", "tenant"] = "operator"
    issuers: tuple[str, ...] = ()
    former_issuers: frozenset[str] = frozenset()
    revoked: frozenset[str] = frozenset()
    erasure_not_before_ms: int | None = None
    name: str = ""
    kind: str = ""
    parent: str = ""
    quota: QuotaGranted | None = None
    bandwidth: BandwidthGranted | None = None
    monitors: tuple[str, ...] = ()
    token_issuers: dict[str, TokenIssuer] = field(default_factory=dict)
    held_token_keys: dict[str, frozenset[str]] = field(default_factory=dict)
    former_token_keys: frozenset[str] = frozenset()

    @property
    def called(self) -> str:
        """Return what people call it: DAO/JUR, or a scope's name."""
        return f"{self.dao}/{self.jurisdiction}" if self.dao else self.name

    @property
    def admins(self) -> frozenset[str]:
        """Return the role that governs this log."""
        return frozenset({"admin"})


@singledispatch
def evolve(event: Event, tenant: Tenant | None) -> Tenant:  # noqa: ARG001 - the default ignores the event
    """Return the tenant after one more event of its stream."""
    if tenant is None:
        raise RefusedError("a tenant's stream begins with its registration")
    return replace(tenant, version=tenant.version + 1)


@evolve.register
def _(event: TenantRegistered, tenant: Tenant | None) -> Tenant:  # noqa: ARG001 - the first event
    return Tenant(
        log_id=event.tenant_id,
        dao=event.dao,
        jurisdiction=event.jurisdiction,
        origin=event.origin,
        slot=event.slot,
        did=event.did,
        threshold=event.threshold,
        principals=_admins(event),
        attestation_key=event.attestation_key,
        release_key=event.release_key,
        output_key=event.output_key,
        custody=event.custody or "operator",
        parent=event.parent,
    )


@evolve.register
def _(event: ScopeRegistered, tenant: Tenant | None) -> Tenant:  # noqa: ARG001 - the first event
    return Tenant(
        log_id=event.scope_id, dao="", jurisdiction="INTL", origin=event.origin, slot=event.slot, did=event.did,
        threshold=event.threshold, principals=_admins(event), endorsed=True, issuers=event.issuers,
        name=event.name, kind="root",
    )  # fmt: skip


@evolve.register
def _(event: ScopeRegisteredBelow, tenant: Tenant | None) -> Tenant:  # noqa: ARG001 - the first event
    return Tenant(
        log_id=event.scope_id, dao="", jurisdiction="INTL", origin=event.origin, slot=event.slot, did=event.did,
        threshold=event.threshold, principals=_admins(event), endorsed=True, issuers=event.issuers,
        name=event.name, kind=event.kind, parent=event.parent,
    )  # fmt: skip


@evolve.register
def _(event: TenantEndorsed, tenant: Tenant | None) -> Tenant:
    return _next(tenant, endorsed=True, credential=event.credential)


@evolve.register
def _(event: PrincipalEnrolled, tenant: Tenant | None) -> Tenant:
    known = tenant.principals if tenant else {}
    enrolled = Principal(event.kid, event.public_key, event.person, event.role, event.statement_type)
    return _next(tenant, principals={**known, event.kid: enrolled})


@evolve.register
def _(event: ReaderEnrolled, tenant: Tenant | None) -> Tenant:
    known = tenant.principals if tenant else {}
    enrolled = Principal(
        event.kid, event.public_key, event.person, event.role, event.statement_type,
        event.jurisdictions, event.from_ms, event.until_ms,
    )  # fmt: skip
    return _next(tenant, principals={**known, event.kid: enrolled})


@evolve.register
def _(event: PrincipalRevoked, tenant: Tenant | None) -> Tenant:
    known = tenant.principals if tenant else {}
    left = {kid: principal for kid, principal in known.items() if kid != event.kid}
    revoked = (tenant.revoked if tenant else frozenset()) | {event.kid}
    return _next(tenant, principals=left, revoked=revoked)


@evolve.register
def _(event: IssuerEnrolled, tenant: Tenant | None) -> Tenant:
    return _next(tenant, issuers=(*(tenant.issuers if tenant else ()), event.did))


@evolve.register
def _(event: IssuerRevoked, tenant: Tenant | None) -> Tenant:
    left = tuple(did for did in (tenant.issuers if tenant else ()) if did != event.did)
    former = (tenant.former_issuers if tenant else frozenset()) | {event.did}
    return _next(tenant, issuers=left, former_issuers=former)


@evolve.register
def _(event: TokenIssuerAdmitted, tenant: Tenant | None) -> Tenant:
    known, held = (tenant.token_issuers, tenant.held_token_keys) if tenant else ({}, {})
    issuer, keys = event.admitted.issuer, {key_digest(key) for key in event.admitted.keys}
    return _next(
        tenant,
        token_issuers={**known, issuer: event.admitted},
        held_token_keys={**held, issuer: held.get(issuer, frozenset()) | keys},
    )


@evolve.register
def _(event: TokenIssuerRevoked, tenant: Tenant | None) -> Tenant:
    known = tenant.token_issuers if tenant else {}
    held = tenant.held_token_keys if tenant else {}
    former = tenant.former_token_keys if tenant else frozenset()
    return _next(
        tenant,
        token_issuers={issuer: admitted for issuer, admitted in known.items() if issuer != event.issuer},
        held_token_keys={issuer: keys for issuer, keys in held.items() if issuer != event.issuer},
        former_token_keys=former | held.get(event.issuer, frozenset()),
    )


@evolve.register
def _(event: PolicyAdopted, tenant: Tenant | None) -> Tenant:
    return _next(tenant, policy_version=event.version, policy=event.policy)


@evolve.register
def _(event: QuotaGranted, tenant: Tenant | None) -> Tenant:
    return _next(tenant, quota=event)


@evolve.register
def _(event: BandwidthGranted, tenant: Tenant | None) -> Tenant:
    return _next(tenant, bandwidth=event)


@evolve.register
def _(event: MonitorAppointed, tenant: Tenant | None) -> Tenant:
    return _next(tenant, monitors=(*(tenant.monitors if tenant else ()), event.name))


@evolve.register
def _(event: ErasureOrdered, tenant: Tenant | None) -> Tenant:
    return _next(tenant, erasure_not_before_ms=event.not_before_ms)


@evolve.register
def _(event: ErasureWithdrawn, tenant: Tenant | None) -> Tenant:  # noqa: ARG001 - it says only that
    return _next(tenant, erasure_not_before_ms=None)


def _next(tenant: Tenant | None, **changes: Any) -> Tenant:
    if tenant is None:
        raise RefusedError("a tenant's stream begins with its registration")
    return replace(tenant, version=tenant.version + 1, **changes)


def _admins(event: TenantRegistered | ScopeRegistered | ScopeRegisteredBelow) -> dict[str, Principal]:
    return {
        admin.kid: Principal(admin.kid, admin.public_key, admin.person, "admin", GOVERNANCE) for admin in event.admins
    }
