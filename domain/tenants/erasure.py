"""The end of a tenant's data keys: ordered by its admins, cooling off, taken back or carried out (wire formats 10).

Invariants:
- Nobody but the tenant's own admins, at their threshold, orders an erasure or takes it back; the operator carries out.
- Between order and destruction lies the cooling-off that the admins signed, at least a day; after it nothing is taken
  back, so what a destruction rests on does not change under it.
- A fault that governance has still to decide, or a dispute that resolvers have, holds an erasure up: its evidence would
  go. What is disputed after the order is given holds nothing up.
"""

from collections.abc import Sequence
from typing import Any, Final

from domain.errors import ConflictError, RefusedError
from domain.statements import Signed, require_threshold
from domain.tenants.events import ErasureOrdered, ErasureWithdrawn
from domain.tenants.state import Tenant
from domain.time import DAY_MS, rfc3339

COOLING_OFF_MS: Final = 7 * DAY_MS
"""Between an order and the destruction, where the admins ask for nothing else."""


def order_erasure(
    tenant: Tenant,
    cooling_off_ms: int,
    signatures: Sequence[Signed],
    *,
    holds: Sequence[str],
    disputes: Sequence[str] = (),
    now_ms: int,
) -> ErasureOrdered:
    """Order the destruction of a tenant's data keys.

    Args:
        tenant: whose keys.
        cooling_off_ms: how long the order may be taken back, 1 to 365 days.
        signatures: its admins' statements.
        holds: its workloads that wait for governance after a fault (domain.executions.holds).
        disputes: those about its executions that may still be decided.
        now_ms: decision time.

    Raises:
        ConflictError: when it is ordered already.
        RefusedError: for a scope, while a fault or dispute waits for a decision, or for another time.
        NotAuthorisedError: below the admins' threshold.
    """
    if not tenant.dao:
        raise RefusedError("a scope's keys are not destroyed: tenants rest on them")
    if tenant.erasure_not_before_ms is not None:
        raise ConflictError(f"the erasure is ordered already; not before {rfc3339(tenant.erasure_not_before_ms)}")
    if not DAY_MS <= cooling_off_ms <= 365 * DAY_MS:
        raise RefusedError("the cooling-off is 1 to 365 days")
    if holds:
        raise RefusedError(f"{holds[0]} is held after a fault: authorise or refuse its retry first ({len(holds)} held)")
    require_undisputed(disputes)
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=order_claims(tenant, cooling_off_ms),
    )
    return ErasureOrdered(
        cooling_off_ms=cooling_off_ms,
        not_before_ms=now_ms + cooling_off_ms,
        statements=tuple(signed.token for signed in signatures),
    )


def order_claims(tenant: Tenant, cooling_off_ms: int) -> dict[str, Any]:
    """Return what admins say when they order the erasure."""
    return {"act": "order_erasure", "tenant": tenant.log_id, "cooling_off_ms": cooling_off_ms}


def withdraw_erasure(tenant: Tenant, signatures: Sequence[Signed], *, now_ms: int) -> ErasureWithdrawn:
    """Take an order back.

    Raises:
        RefusedError: when nothing is ordered, or the cooling-off is over.
        NotAuthorisedError: below the admins' threshold.
    """
    if tenant.erasure_not_before_ms is None:
        raise RefusedError("no erasure is ordered")
    if now_ms >= tenant.erasure_not_before_ms:
        raise RefusedError(f"the cooling-off was over at {rfc3339(tenant.erasure_not_before_ms)}")
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=withdrawal_claims(tenant),
    )
    return ErasureWithdrawn(statements=tuple(signed.token for signed in signatures))


def withdrawal_claims(tenant: Tenant) -> dict[str, Any]:
    """Return what admins say when they take their order back: this very one, by its instant."""
    return {
        "act": "withdraw_erasure",
        "tenant": tenant.log_id,
        "not_before_ms": tenant.erasure_not_before_ms,
    }


def require_cooled_off(tenant: Tenant, now_ms: int) -> None:
    """Check that a tenant's data keys may be destroyed now, as far as its own log tells.

    Raises:
        RefusedError: when that is not ordered, or it is too early.
    """
    if tenant.erasure_not_before_ms is None:
        raise RefusedError("the tenant's admins have not ordered its erasure (`tenant order-erasure`)")
    if now_ms < tenant.erasure_not_before_ms:
        raise RefusedError(
            f"the order is cooling off until {rfc3339(tenant.erasure_not_before_ms)}; its admins may take it back"
        )


def require_undisputed(disputes: Sequence[str]) -> None:
    """Refuse to let evidence go that resolvers may still need.

    Raises:
        RefusedError: naming a dispute that may still be decided.
    """
    if disputes:
        raise RefusedError(f"dispute {disputes[0]} is not decided yet ({len(disputes)} open): its evidence would go")


def require_nothing_new(tenant: Tenant) -> None:
    """Check that a tenant still takes work.

    Raises:
        RefusedError: when its erasure is ordered.
    """
    if tenant.erasure_not_before_ms is not None:
        raise RefusedError("the tenant's erasure is ordered: it takes nothing new")
