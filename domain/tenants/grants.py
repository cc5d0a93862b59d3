"""What the scope above grants: quotas and tokens, each the next version of its kind, in the grantee's own log.

Invariants:
- The scope above signs, by its own admins at its own threshold; the root, which has nobody above it, signs for itself.
- A grant counts from its position on. Nothing of an earlier one is taken back from what runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import ValidationError

from domain.errors import MalformedError, NotAuthorisedError, RefusedError
from domain.message import Event
from domain.quotas.events import BandwidthGranted, Quota, QuotaGranted
from domain.quotas.tree import RESOURCES, Holder, Quotas, Tree, oversubscribed
from domain.statements import Signed, require_threshold
from domain.tenants.erasure import require_nothing_new
from domain.tenants.state import Tenant

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Tokens: `tokens` each `period_ms`, at most `burst` at once, in [from_ms, until_ms)."""

    tokens: int
    period_ms: int
    burst: int
    from_ms: int
    until_ms: int


def granter(tenant: Tenant) -> str:
    """Return the origin of the scope that grants to a tenant or scope: the one above, or the root itself."""
    return tenant.parent or tenant.origin


def holder_of(tenant: Tenant) -> Holder:
    """Return a tenant or scope as a node of the tree of quotas."""
    grant = tenant.quota
    quotas = Quotas() if grant is None else Quotas(grant.slots, grant.memory_bytes, grant.weight)
    return Holder(tenant.origin, tenant.called, tenant.parent, quotas)


def grant_quota(
    scope: Tenant, grantee: Tenant, quotas: Quotas, signatures: Sequence[Signed], *, tree: Tree
) -> QuotaGranted:
    """Grant quotas to a tenant or scope.

    Args:
        scope: who grants.
        grantee: who gets them.
        quotas: what.
        signatures: the granting scope's admins' statements.
        tree: every node of the cell as it is granted now.

    Raises:
        RefusedError: when more would be lent than is nominal, or more granted below a limit than it has.
        NotAuthorisedError: when another scope grants, or below its threshold.
    """
    _require_above(scope, grantee)
    version = next_quota(grantee)
    _require_threshold(scope, signatures, quota_claims(grantee, version, quotas))
    for resource in RESOURCES:
        asked = quotas.of(resource)
        if asked is not None and asked.lend > asked.nominal:
            raise RefusedError(f"{resource}: {asked.lend} can't be lent of a nominal {asked.nominal}")
    granted = {**tree, grantee.origin: Holder(grantee.origin, grantee.called, grantee.parent, quotas)}
    for over in oversubscribed(granted, grantee.origin):
        raise RefusedError(
            f"{over.resource}: {over.granted} would be granted below {over.above.called}, whose nominal is "
            f"{over.nominal}; grant less, or let {over.above.called} be granted more first"
        )
    return _made(
        QuotaGranted,
        version=version,
        slots=quotas.slots,
        memory_bytes=quotas.memory_bytes,
        weight=quotas.weight,
        granted_by=scope.origin,
        statements=tuple(signed.token for signed in signatures),
    )


def next_quota(grantee: Tenant) -> int:
    """Return the version of a tenant's or scope's next grant of quotas."""
    return 1 if grantee.quota is None else grantee.quota.version + 1


def quota_claims(grantee: Tenant, version: int, quotas: Quotas) -> dict[str, Any]:
    """Return what the admins of the scope above say when they grant quotas."""
    return {
        "act": "grant_quota",
        "to": grantee.log_id,
        "granted_by": granter(grantee),
        "version": version,
        "slots": _told(quotas.slots),
        "memory_bytes": _told(quotas.memory_bytes),
        "weight": quotas.weight,
    }


def grant_tokens(
    scope: Tenant, grantee: Tenant, allowance: Allowance, signatures: Sequence[Signed]
) -> BandwidthGranted:
    """Grant tokens to a tenant. Arguments as for `grant_quota`.

    Raises:
        RefusedError: for a scope, or when they would end before they begin.
        NotAuthorisedError: when another scope grants, or below its threshold.
    """
    if not grantee.dao:
        raise RefusedError("tokens are granted to tenants: a scope runs nothing, and they are never handed on")
    _require_above(scope, grantee)
    version = next_bandwidth(grantee)
    _require_threshold(scope, signatures, bandwidth_claims(grantee, version, allowance))
    if allowance.until_ms <= allowance.from_ms:
        raise RefusedError("tokens must begin before they end: until is not after from")
    return _made(
        BandwidthGranted,
        version=version,
        tokens=allowance.tokens,
        period_ms=allowance.period_ms,
        burst=allowance.burst,
        from_ms=allowance.from_ms,
        until_ms=allowance.until_ms,
        granted_by=scope.origin,
        statements=tuple(signed.token for signed in signatures),
    )


def next_bandwidth(grantee: Tenant) -> int:
    """Return the version of a tenant's next grant of tokens."""
    return 1 if grantee.bandwidth is None else grantee.bandwidth.version + 1


def bandwidth_claims(grantee: Tenant, version: int, allowance: Allowance) -> dict[str, Any]:
    """Return what the admins of the scope above say when they grant tokens."""
    return {
        "act": "grant_tokens",
        "to": grantee.log_id,
        "granted_by": granter(grantee),
        "version": version,
        "tokens": allowance.tokens,
        "period_ms": allowance.period_ms,
        "burst": allowance.burst,
        "from_ms": allowance.from_ms,
        "until_ms": allowance.until_ms,
    }


def _require_above(scope: Tenant, grantee: Tenant) -> None:
    require_nothing_new(grantee)
    if scope.origin != granter(grantee):
        raise NotAuthorisedError(f"{grantee.called} is granted to by the scope above it, {granter(grantee)}")


def _require_threshold(scope: Tenant, signatures: Sequence[Signed], expected: dict[str, Any]) -> None:
    require_threshold(signatures, scope.principals, roles=scope.admins, threshold=scope.threshold, expected=expected)


def _made(kind: type[EventT], **members: Any) -> EventT:
    """Return an event. A number that is out of range is an error of ours."""
    try:
        return kind(**members)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise MalformedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def _told(quota: Quota | None) -> dict[str, int] | None:
    return None if quota is None else quota.model_dump()
