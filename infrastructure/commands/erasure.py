"""Orders of erasure: the acts of a tenant's admins. What carries them out is infrastructure.erasure."""

from collections.abc import Sequence
from uuid import UUID

from domain.executions.holds import open_holds
from domain.tenants.erasure import order_erasure, withdraw_erasure
from domain.tenants.state import Tenant
from infrastructure.commands.tenants import govern
from infrastructure.ledger import Answer, Ledger


def order(ledger: Ledger, tenant: Tenant, cooling_off_ms: int, tokens: Sequence[str]) -> Answer:
    """Order the destruction of a tenant's data keys. From then on the tenant takes nothing new.

    Raises:
        NotAuthorisedError: below the admins' threshold.
        RefusedError: while a fault waits for governance, or for a cooling-off that is out of range.
        ConflictError: when it is ordered already.
    """
    holds = open_holds(recorded.event for recorded in ledger.history(UUID(tenant.log_id)))
    now_ms = ledger.clock.now_ms()
    return govern(
        ledger, tenant, tokens, lambda signed: order_erasure(tenant, cooling_off_ms, signed, holds=holds, now_ms=now_ms)
    )


def withdraw(ledger: Ledger, tenant: Tenant, tokens: Sequence[str]) -> Answer:
    """Take an order back while it cools off.

    Raises:
        NotAuthorisedError: below the admins' threshold.
        RefusedError: when nothing is ordered, or the cooling-off is over.
    """
    now_ms = ledger.clock.now_ms()
    return govern(ledger, tenant, tokens, lambda signed: withdraw_erasure(tenant, signed, now_ms=now_ms))
