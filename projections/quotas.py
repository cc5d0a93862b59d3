"""The tree of quotas with what is used of it now: grants as the logs tell them, use as the scheduler's state has it.

Invariants:
- Use is the sum of what lives below a node; what is borrowed is the part of it beyond the node's own nominal.
- It spans tenants, by slot: it is the operator's. A tenant is shown its own row and no other.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
    used = _used(state, by_origin)
    below: dict[str, list[Tenant]] = {}
    for one in sorted(people, key=lambda one: one.slot):
        below.setdefault(one.parent if one.parent in by_origin else "", []).append(one)
    return [_row(one, depth, used, by_origin) for one, depth in _walk(below, "", 0)]


def _walk(below: Mapping[str, Sequence[Tenant]], origin: str, depth: int) -> Iterator[tuple[Tenant, int]]:
    for one in below.get(origin, ()):
        yield one, depth
        yield from _walk(below, one.origin, depth + 1)


def _row(one: Tenant, depth: int, used: Mapping[Resource, Counter[str]], by_origin: Mapping[str, Tenant]) -> Row:
    above, grant = by_origin.get(one.parent), one.quota
    return {
        "slot": one.slot,
        "kind": one.kind or "tenant",
        "name": one.name or None,
        "above": above.slot if above else None,
        "depth": depth,
        "version": grant.version if grant else 0,
        "weight": grant.weight if grant else 1,
        **{name: _use(getattr(grant, name, None), used[name][one.origin]) for name in RESOURCES},
        "tokens": None if one.bandwidth is None else one.bandwidth.model_dump(exclude={"statements", "granted_by"}),
    }


def _use(quota: Quota | None, used: int) -> Row:
    if quota is None:
        return {"nominal": None, "borrow": None, "lend": None, "used": used, "borrowed": 0}
    return {**quota.model_dump(), "used": used, "borrowed": max(0, used - quota.nominal)}


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
