"""Orders of erasure: the acts of a tenant's admins. What carries them out is infrastructure.erasure."""

from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from domain.disputes.events import DisputeReferenced
from domain.executions.holds import open_holds
from domain.message import Event
from domain.statements import Signed
from domain.tenants.erasure import order_erasure, withdraw_erasure
from domain.tenants.events import ErasureOrdered
from domain.tenants.state import Tenant
from infrastructure.commands.referring import open_disputes
from infrastructure.commands.tenants import govern
from infrastructure.ledger import Answer, Ledger


def order(ledger: Ledger, tenant: Tenant, cooling_off_ms: int, tokens: Sequence[str]) -> Answer:
    """Order the destruction of a tenant's data keys. From then on the tenant takes nothing new.

    Raises:
        NotAuthorisedError: below the admins' threshold.
        RefusedError: while a fault or a dispute waits for a decision, or for a cooling-off that is out of range.
        ConflictError: when it is ordered already.
    """
    history = _Told(recorded.event for recorded in ledger.history(UUID(tenant.log_id)))
    holds = open_holds(history)
    disputes = open_disputes(ledger, tenant, history.references)
    now_ms = ledger.clock.now_ms()

    def decided(signed: Sequence[Signed]) -> ErasureOrdered:
        return order_erasure(tenant, cooling_off_ms, signed, holds=holds, disputes=disputes, now_ms=now_ms)

    return govern(ledger, tenant, tokens, decided)


def withdraw(ledger: Ledger, tenant: Tenant, tokens: Sequence[str]) -> Answer:
    """Take an order back while it cools off.

    Raises:
        NotAuthorisedError: below the admins' threshold.
        RefusedError: when nothing is ordered, or the cooling-off is over.
    """
    now_ms = ledger.clock.now_ms()
    return govern(ledger, tenant, tokens, lambda signed: withdraw_erasure(tenant, signed, now_ms=now_ms))


class _Told:
    """A history that is read once, and what of it refers to disputes."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = events
        self.references: list[Event] = []

    def __iter__(self) -> Iterator[Event]:
        for event in self._events:
            if isinstance(event, DisputeReferenced):
                self.references.append(event)
            yield event
