"""The choice of as many independent nodes as a policy asks for.

Invariants:
- A choice that is returned is the first one in the order given, or, where the search for it was given up, the first one
  that begins with the rarest nodes.
- That there is none is said only where that is certain: a search that was given up denies nothing.
"""

from collections import Counter
from collections.abc import Sequence

from domain.policies.facts import NodeFacts
from domain.policies.feasible import independent, independent_count
from domain.policies.kinds import Policy

_SEARCH_STEPS = 20_000
"""Bound on the search: three-dimensional matching has no better general answer; counted, so it is deterministic."""

FEW = 64
"""Nodes among which a choice is looked for first."""


def independent_choice(policy: Policy, nodes: Sequence[NodeFacts]) -> tuple[NodeFacts, ...]:
    """Return a choice of as many independent nodes as the policy asks for, or none.

    The first one in the order given among the first few nodes; if there is none, among all.
    """
    count, distinct = independent_count(policy)
    if count == 1:
        return tuple(nodes[:1])
    found = _search(nodes[:FEW], count, distinct)
    if not found and len(nodes) > FEW:
        found = _search(nodes, count, distinct)
    return found or ()


def can_be_chosen(policy: Policy, nodes: Sequence[NodeFacts]) -> bool:
    """Tell whether there may be such a choice: False is certain."""
    return _search(nodes, *independent_count(policy)) != ()


def _search(nodes: Sequence[NodeFacts], count: int, distinct: tuple[str, ...]) -> tuple[NodeFacts, ...] | None:
    """Return a choice; an empty one where there is none; None where the search was given up."""
    some = _of_each_kind(nodes, count, distinct)
    kinds = [{getattr(node, name) for node in some} for name in _fields(distinct)]
    if min(map(len, [some, *kinds])) < count:
        return ()
    for order in (some, _rarest_first(some)):
        steps = [_SEARCH_STEPS]
        found = _extend((), order, count, distinct, steps)
        if found or steps[0] >= 0:
            return found
    return None


def _of_each_kind(nodes: Sequence[NodeFacts], count: int, distinct: tuple[str, ...]) -> list[NodeFacts]:
    """Return of nodes that can stand for each other as many as a choice may hold, the first ones."""
    ids = Counter(one for node in nodes for one in node.platform_ids)
    by = _fields(distinct)
    most = 1 if by else count
    kinds: Counter[tuple[str, ...]] = Counter()
    found = []
    for node in nodes:
        kind = (*(getattr(node, name) for name in by), *(one for one in node.platform_ids if ids[one] > 1))
        if node.platform_ids and kinds[kind] < most:
            kinds[kind] += 1
            found.append(node)
    return found


def _fields(distinct: tuple[str, ...]) -> list[str]:
    return [name for name in ("operator", "vendor") if name in distinct]


def _rarest_first(nodes: Sequence[NodeFacts]) -> list[NodeFacts]:
    vendors, operators = Counter(node.vendor for node in nodes), Counter(node.operator for node in nodes)
    return sorted(nodes, key=lambda node: (vendors[node.vendor], operators[node.operator]))


def _extend(
    chosen: tuple[NodeFacts, ...], rest: Sequence[NodeFacts], count: int, distinct: tuple[str, ...], steps: list[int]
) -> tuple[NodeFacts, ...]:
    if len(chosen) == count:
        return chosen
    for at, node in enumerate(rest):
        steps[0] -= 1
        if steps[0] < 0:
            return ()
        if independent((*chosen, node), distinct):
            found = _extend((*chosen, node), rest[at + 1 :], count, distinct, steps)
            if found:
                return found
    return ()
