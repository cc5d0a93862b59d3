"""The tree of quotas: root, treaties, jurisdictions, tenants; and whether what was granted fits into what is above.

Invariants:
- A node without a limit on a resource limits nothing below it: those count towards the nearest limit above it.
- What is granted below a limit never sums to more than its nominal: what is one's own can be had at any time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from domain.quotas.events import Quota

Resource = Literal["slots", "memory_bytes"]
RESOURCES: Final[tuple[Resource, ...]] = ("slots", "memory_bytes")


@dataclass(frozen=True, slots=True)
class Quotas:
    """What is granted to one node of the tree. None: not limited here. `weight` counts in fair sharing."""

    slots: Quota | None = None
    memory_bytes: Quota | None = None
    weight: int = 1

    def of(self, resource: Resource) -> Quota | None:
        """Return the quota of a resource."""
        return self.slots if resource == "slots" else self.memory_bytes


@dataclass(frozen=True, slots=True)
class Holder:
    """A node of the tree: who (origin), what people call it, below whom (empty: the root), and what it was granted."""

    origin: str
    called: str
    parent: str
    quotas: Quotas


@dataclass(frozen=True, slots=True)
class Oversubscribed:
    """More was granted below a limit than it has."""

    resource: Resource
    above: Holder
    nominal: int
    granted: int


Tree = Mapping[str, Holder]
"""Every node by its origin."""


def oversubscribed(tree: Tree, origin: str) -> tuple[Oversubscribed, ...]:
    """Return the limits that a node's grant exceeds or falls short of: its own, and the nearest one above.

    Args:
        tree: with the grant already in it.
        origin: whose grant it is.
    """
    found: list[Oversubscribed] = []
    below = _children(tree)
    for resource in RESOURCES:
        concerned = (tree[origin], next(limits_above(tree, origin, resource), None))
        for holder in concerned:
            quota = None if holder is None else holder.quotas.of(resource)
            if holder is None or quota is None:
                continue
            granted = sum(_nominals(below, holder.origin, resource))
            if granted > quota.nominal:
                found.append(Oversubscribed(resource, holder, quota.nominal, granted))
    return tuple(found)


def concerned(tree: Tree, origin: str) -> frozenset[str]:
    """Return every other node whose grant `oversubscribed` reads: while those stay, what it says stays true."""
    found: set[str] = set()
    below = _children(tree)
    for resource in RESOURCES:
        limit = next(limits_above(tree, origin, resource), None)
        found |= {above.origin for above in _up(tree, origin, limit)}
        reached = [origin if limit is None else limit.origin]
        while reached:
            children = below.get(reached.pop(), ())
            found |= {child.origin for child in children}
            reached += [child.origin for child in children if child.quotas.of(resource) is None]
            reached += [child.origin for child in children if child.origin == origin]
    return frozenset(found - {origin})


def limits_above(tree: Tree, origin: str, resource: Resource) -> Iterator[Holder]:
    """Yield the nodes above one that limit a resource, the nearest first."""
    return (above for above in _up(tree, origin) if above.quotas.of(resource) is not None)


def _up(tree: Tree, origin: str, last: Holder | None = None) -> Iterator[Holder]:
    """Yield the nodes above one, up to the root or to `last`."""
    at = tree[origin].parent
    seen = {origin}
    while at in tree and at not in seen:  # a parent that can't be read any more, or a circle, ends the way up
        seen.add(at)
        yield tree[at]
        at = "" if tree[at] is last else tree[at].parent


def _children(tree: Tree) -> dict[str, list[Holder]]:
    below: dict[str, list[Holder]] = {}
    for holder in tree.values():
        below.setdefault(holder.parent, []).append(holder)
    return below


def _nominals(below: Mapping[str, list[Holder]], origin: str, resource: Resource) -> Iterator[int]:
    """Yield the nominals of the first limits below a node."""
    for child in below.get(origin, ()):
        quota = child.quotas.of(resource)
        if quota is not None:
            yield quota.nominal
        else:
            yield from _nominals(below, child.origin, resource)
