"""The tree of quotas with what is used of it now: grants as the logs tell them, use as the scheduler's state has it.

Invariants:
- Use is the sum of what lives below a node. What a tenant has borrowed, and what a scope has lent, are the borrowings
  that are open: those of attempts of which something still lives.
- It spans tenants, by slot: it is the operator's. A tenant is shown its own row and no other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from domain.quotas.events import Quota
from domain.quotas.tree import RESOURCES, Resource
from domain.scheduling.state import Scheduling
from domain.tenants.state import Tenant

Row = dict[str, Any]


def quotas(state: Scheduling, people: Sequence[Tenant]) -> list[Row]:
    """Return a row for each node of the tree, those below a node after it, by slot.

    Args:
        state: the scheduler's.
        people: every tenant and scope.
    """
    by_origin = {one.origin: one for one in people}
    used, loans = _used(state, by_origin), _open_loans(state)
    below: dict[str, list[Tenant]] = {}
    for one in sorted(people, key=lambda one: one.slot):
        below.setdefault(one.parent if one.parent in by_origin else "", []).append(one)
    return [_row(one, depth, used, loans, by_origin) for one, depth in _walk(below, "", 0)]


def _walk(below: Mapping[str, Sequence[Tenant]], origin: str, depth: int) -> Iterator[tuple[Tenant, int]]:
    for one in below.get(origin, ()):
        yield one, depth
        yield from _walk(below, one.origin, depth + 1)


def _row(
    one: Tenant,
    depth: int,
    used: Mapping[Resource, Counter[str]],
    loans: Sequence["_Open"],
    by_origin: Mapping[str, Tenant],
) -> Row:
    above, grant = by_origin.get(one.parent), one.quota
    return {
        "slot": one.slot,
        "kind": one.kind or "tenant",
        "name": one.name or None,
        "above": above.slot if above else None,
        "depth": depth,
        "version": grant.version if grant else 0,
        "weight": grant.weight if grant else 1,
        **{name: _use(getattr(grant, name, None), used[name][one.origin], name, one.slot, loans) for name in RESOURCES},
        "tokens": None if one.bandwidth is None else one.bandwidth.model_dump(exclude={"statements", "granted_by"}),
    }


def _use(quota: Quota | None, used: int, resource: Resource, slot: int, loans: Sequence["_Open"]) -> Row:
    limits = {"nominal": None, "borrow": None, "lend": None} if quota is None else quota.model_dump()
    borrowed = sum(loan.of(resource) for loan in loans if loan.borrower == slot)
    lent = sum(loan.of(resource) for loan in loans if loan.lender == slot)
    return {**limits, "used": used, "borrowed": borrowed, "lent": lent}


class _Open(NamedTuple):
    """A borrowing that is open: by whom, of whom (slots), and how much."""

    borrower: int
    lender: int
    slots: int
    memory_bytes: int

    def of(self, resource: Resource) -> int:
        """Return how much of a resource."""
        return self.slots if resource == "slots" else self.memory_bytes


def _open_loans(state: Scheduling) -> list[_Open]:
    """Return the open borrowings: an attempt's executions share one."""
    found: dict[tuple[tuple[int, str], int], _Open] = {}
    for live in state.live.values():
        loan = getattr(live, "borrow", None)
        if loan is not None:
            found[live.key, live.queued.attempt] = _Open(live.slot, loan.lender, loan.slots, loan.memory_bytes)
    return list(found.values())


def _used(state: Scheduling, by_origin: Mapping[str, Tenant]) -> dict[Resource, Counter[str]]:
    """Return what lives below each node now."""
    by_slot = {one.slot: one for one in by_origin.values()}
    used: dict[Resource, Counter[str]] = {name: Counter() for name in RESOURCES}
    for live in state.live.values():
        facts, at = live.queued.facts, by_slot.get(live.slot)
        seen: set[str] = set()
        while at is not None and at.origin not in seen:
            seen.add(at.origin)
            used["slots"][at.origin] += facts.slots
            used["memory_bytes"][at.origin] += facts.bounds.memory_bytes
            at = by_origin.get(at.parent)
    return used
