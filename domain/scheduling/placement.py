"""Which nodes could take a workload ever, and which can take it now.

Invariants:
- `eligible_nodes` reads a node's own facts only, so what it counts may be told to the tenant; `places_now` adds
  capacity and residents.
- Of equal choices the tightest node wins (fewest free slots, then least free memory), then the lowest name.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from domain.policies.facts import NodeFacts
from domain.policies.feasible import (
    Finding,
    allowed,
    feasible,
    findings_of_node,
    independent,
    independent_count,
)
from domain.policies.kinds import Policy
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Waiting
from domain.workloads.events import FilteredNodes


@dataclass(frozen=True, slots=True)
class Candidates:
    """Nodes whose own facts fit, how many there are, and what excluded the others (a node counts once per rule)."""

    eligible: tuple[NodeFacts, ...]
    nodes: int
    filtered: tuple[FilteredNodes, ...]
    dominant: Finding | None


def eligible_nodes(state: Scheduling, waiting: Waiting, policy: Policy) -> Candidates:
    """Return the nodes whose own facts satisfy the policy, whoever lives there."""
    eligible: list[NodeFacts] = []
    counts: Counter[str] = Counter()
    examples: dict[str, Finding] = {}
    nodes = [facts for name, facts in sorted(state.nodes.items()) if name not in state.drained]
    for node in nodes:
        failed = [f for f in findings_of_node(policy, waiting.queued.facts, node) if not f.passed]
        if not failed:
            eligible.append(node)
        for finding in {f.rule: f for f in reversed(failed)}.values():
            counts[finding.rule] += 1
            examples.setdefault(finding.rule, finding)
    filtered = tuple(FilteredNodes(rule=rule, nodes=count) for rule, count in sorted(counts.items()))
    dominant = min(counts, key=lambda rule: (-counts[rule], rule), default=None)
    return Candidates(tuple(eligible), len(nodes), filtered, examples[dominant] if dominant else None)


def places_now(
    state: Scheduling, waiting: Waiting, policy: Policy, eligible: Sequence[NodeFacts]
) -> tuple[NodeFacts, ...]:
    """Return the places for every enclave that the policy asks for, all or none."""
    facts = waiting.queued.facts
    ready: list[tuple[tuple[int, int, str], NodeFacts]] = []
    for node in eligible:
        slots, memory = state.free(node)
        if not state.signs.usable(node.node):
            continue  # in doubt: it may come back, so this is no denial
        if slots < 1 or memory < facts.bounds.memory_bytes:
            continue
        if allowed(feasible(policy, facts, node, state.residents(node.node), state.now_ms)):
            ready.append(((slots, memory, node.node), node))
    ready.sort(key=lambda item: item[0])
    return independent_choice(policy, [node for _, node in ready])


def independent_choice(policy: Policy, nodes: Sequence[NodeFacts]) -> tuple[NodeFacts, ...]:
    """Return the first choice, in the order given, of as many independent nodes as the policy asks for, or none."""
    count, distinct = independent_count(policy)
    if count == 1:
        return tuple(nodes[:1])
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


_SEARCH_STEPS = 20_000
"""Bound on the search: three-dimensional matching has no better general answer; counted, so it is deterministic."""
