"""The choice of as many independent nodes as a policy asks for."""

from collections.abc import Sequence

from domain.policies.facts import NodeFacts
from domain.policies.feasible import independent, independent_count
from domain.policies.kinds import Policy

_SEARCH_STEPS = 20_000
"""Bound on the search: three-dimensional matching has no better general answer; counted, so it is deterministic."""

_FEW = 64


def independent_choice(policy: Policy, nodes: Sequence[NodeFacts]) -> tuple[NodeFacts, ...]:
    """Return a choice of as many independent nodes as the policy asks for, or none.

    The first one in the order given among the first few nodes; if there is none, among all.
    """
    count, distinct = independent_count(policy)
    if count == 1:
        return tuple(nodes[:1])
    found = _extend((), nodes[:_FEW], count, distinct, [_SEARCH_STEPS])
    if found or len(nodes) <= _FEW:
        return found
    return _extend((), nodes, count, distinct, [_SEARCH_STEPS])


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
