"""Which nodes a workload could run on by the nodes' own facts, as bitsets: bit i is node i in order of enrolment.

Invariants:
- Derived from `findings_of_demand`, asked once for each distinct value of the facts that a demand reads (NODE_READS):
  a property test holds it equal to `findings_of_node`, asked for each node.
- Nothing here depends on who lives where, on drained or silent nodes, or on time.
"""

from collections.abc import Sequence
from typing import Any

from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.feasible import NODE_READS, WORKLOAD_READS, Demand, demands_of_node, findings_of_demand
from domain.policies.kinds import PRIMARY, Policy

_SPARSE = 8
_MASKS = 1 << 14


class Eligibility:
    """The cell's nodes by their facts. Masks are worked out when first asked for, and forgotten when nodes change."""

    def __init__(self) -> None:
        self.index: dict[str, int] = {}
        self.facts: list[NodeFacts] = []
        self.primary = 0
        self.pools: dict[tuple[str, str], int] = {}  # the nodes of each pool but the primary one, by operator
        self._groups: dict[tuple[str, ...], list[tuple[NodeFacts, int]]] = {}
        self._masks: dict[tuple[Any, ...], int] = {}

    def put(self, facts: NodeFacts) -> int:
        """Take a node in, or its new facts; return its number."""
        at = self.index.setdefault(facts.node, len(self.facts))
        if at == len(self.facts):
            self.facts.append(facts)
        else:
            before = self.facts[at].pool, self.facts[at].operator
            if before in self.pools:
                self.pools[before] &= ~(1 << at)
            self.facts[at] = facts
        if facts.pool != PRIMARY:
            pool = facts.pool, facts.operator
            self.pools[pool] = self.pools.get(pool, 0) | 1 << at
        self.primary = self.primary & ~(1 << at) | (facts.pool == PRIMARY) << at
        self._groups.clear()
        self._masks.clear()
        return at

    def by_demand(self, policy: Policy, workload: WorkloadFacts) -> list[tuple[str, int]]:
        """Return for each demand its name and the nodes that meet it."""
        found: dict[str, int] = {}
        for demand in demands_of_node(policy):
            name = demand if isinstance(demand, str) else demand.kind
            mask = self._mask(name, demand, workload)
            found[name] = found[name] & mask if name in found else mask
        return list(found.items())

    def _mask(self, name: str, demand: Demand, workload: WorkloadFacts) -> int:
        reads = tuple(str(getattr(workload, read)) for read in WORKLOAD_READS.get(name, ()))
        key = (name if isinstance(demand, str) else demand.model_dump_json(), *reads)
        mask = self._masks.get(key)
        if mask is None:
            mask = 0
            for facts, nodes in self._alike(NODE_READS[name]):
                if all(finding.passed for finding in findings_of_demand(demand, workload, facts)):
                    mask |= nodes
            if len(self._masks) >= _MASKS:
                self._masks.clear()
            self._masks[key] = mask
        return mask

    def _alike(self, reads: tuple[str, ...]) -> list[tuple[NodeFacts, int]]:
        """Return one node of each kind of those that are equal in these facts, with all of its kind."""
        groups = self._groups.get(reads)
        if groups is None:
            found: dict[tuple[Any, ...], list[int]] = {}
            for at, facts in enumerate(self.facts):
                value = (bool(facts.platform_ids), *(getattr(facts, read) for read in reads))
                found.setdefault(value, []).append(at)
            groups = [(self.facts[nodes[0]], mask_of(nodes)) for nodes in found.values()]
            self._groups[reads] = groups
        return groups


def mask_of(nodes: Sequence[int]) -> int:
    """Return the bitset of some nodes."""
    if not nodes:
        return 0
    octets = bytearray(max(nodes) // 8 + 1)
    for at in nodes:
        octets[at >> 3] |= 1 << (at & 7)
    return int.from_bytes(octets, "little")


def lowest(mask: int) -> int:
    """Return the lowest node of a bitset that isn't empty."""
    return (mask & -mask).bit_length() - 1


def bits(mask: int) -> list[int]:
    """Return the nodes of a bitset, in order."""
    found = []
    if mask.bit_count() > _SPARSE:
        digits = bin(mask)[:1:-1]
        at = digits.find("1")
        while at >= 0:
            found.append(at)
            at = digits.find("1", at + 1)
        return found
    while mask:
        found.append((mask & -mask).bit_length() - 1)
        mask &= mask - 1
    return found
