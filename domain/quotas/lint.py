"""What a grant of quotas or tokens would do that people may not mean: told, never refused.

Invariants:
- Warnings rest on the grant, on what the grantee itself uses and waits for, and on what its scopes lend.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from domain.quotas.events import BandwidthGranted
from domain.quotas.tree import RESOURCES, Resource, Tree, limits_above
from domain.time import rfc3339


class Need(NamedTuple):
    """What one placement of something takes: slots and bytes over all its enclaves, and so many tokens."""

    name: str
    slots: int
    memory_bytes: int

    def of(self, resource: Resource) -> int:
        """Return what it takes of a resource."""
        return self.slots if resource == "slots" else self.memory_bytes


def quota_warnings(tree: Tree, origin: str, used: Mapping[Resource, int], needs: Iterable[Need]) -> tuple[str, ...]:
    """Return warnings about what a node of the tree is granted.

    Args:
        tree: with the grant in it.
        origin: whose grant it is.
        used: what lives below the node now.
        needs: what the grantee runs or waits for.
    """
    wanted = list(needs)
    return tuple(text for resource in RESOURCES for text in _of(tree, origin, resource, used[resource], wanted))


def _of(tree: Tree, origin: str, resource: Resource, used: int, needs: Iterable[Need]) -> Iterator[str]:
    quota = tree[origin].quotas.of(resource)
    if quota is None:
        return
    above = [holder.quotas.of(resource) for holder in limits_above(tree, origin, resource)]
    if quota.borrow and not any(limit.lend for limit in above if limit is not None):
        yield f"{resource}: nothing above {tree[origin].called} lends any, so none can be borrowed"
    most = quota.nominal + quota.borrow
    if not most:
        yield f"{resource}: nothing can run with none"
        return
    if used > most:
        yield f"{resource}: {used} are used now; nothing is taken back, and nothing starts until it fits into {most}"
    for need in needs:
        if need.of(resource) > most:
            yield f"{resource}: {need.name} takes {need.of(resource)} at once and never fits into {most}"


def token_warnings(grant: BandwidthGranted, needs: Iterable[Need], now_ms: int) -> tuple[str, ...]:
    """Return warnings about tokens: over, not begun, or a burst that something can never have at once."""
    return (
        *([f"they are over since {rfc3339(grant.until_ms)}: nothing starts"] if now_ms >= grant.until_ms else ()),
        *([f"nothing starts before {rfc3339(grant.from_ms)}"] if now_ms < grant.from_ms else ()),
        *(
            f"{need.name} takes {need.slots} tokens at once, and the burst is {grant.burst}: it never starts"
            for need in needs
            if need.slots > grant.burst
        ),
    )
