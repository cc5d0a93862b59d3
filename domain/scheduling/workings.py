"""The tables with all that is worked out from them, and what others ask of both.

Invariants:
- What is worked out follows the tables at every step: room, presence, usage, classes, instants. `Desk` moves both on.
"""

from collections import deque
from dataclasses import dataclass, field

from domain.identifiers import origin
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.kinds import Policy
from domain.scheduling.capacity import Capacity
from domain.scheduling.classes import WorkClass
from domain.scheduling.colocation import Presence
from domain.scheduling.eligibility import Eligibility
from domain.scheduling.quotas import QuotaTree
from domain.scheduling.tables import Key, Live, Shape, Tables, Waiting
from domain.scheduling.wake import Queues


@dataclass
class Workings(Tables):
    """Tables and what is worked out from them."""

    eligibility: Eligibility = field(default_factory=Eligibility)
    capacity: Capacity = field(default_factory=Capacity)
    presence: Presence = field(default_factory=Presence)
    tree: QuotaTree = field(default_factory=QuotaTree)
    queues: Queues = field(default_factory=Queues)
    class_of: dict[Key, WorkClass] = field(default_factory=dict)
    living: dict[str, dict[str, Live]] = field(default_factory=dict)
    lives_of: dict[Key, dict[str, Live]] = field(default_factory=dict)
    usable: int = 0
    undrained: int = 0
    kept_bit: int = 0
    epoch: int = 0
    rebuilt: int = 0
    numbers: int = 0
    by_level: dict[int, int] = field(default_factory=dict)
    expiring: list[tuple[int, int, Waiting]] = field(default_factory=list)
    ending: list[tuple[int, str]] = field(default_factory=list)
    ripe: dict[Key, Waiting] = field(default_factory=dict)
    overdue: dict[str, Live] = field(default_factory=dict)
    outdated: list[tuple[int, int, WorkClass]] = field(default_factory=list)
    retrying: list[tuple[int, int]] = field(default_factory=list)
    stamps: int = 0
    watched: deque[tuple[int, WorkClass]] = field(default_factory=deque)
    shapes: dict[str, Shape] = field(default_factory=dict)

    # What others ask.

    def policy_of(self, slot: int) -> tuple[int, Policy]:
        """Return a tenant's policy version and policy; version 0 has no rules."""
        return self.policies.get(slot, (0, Policy()))

    def effective(self, waiting: Waiting) -> tuple[int, Policy]:
        """Return the policy version and the effective policy for a waiting workload."""
        work = self.class_of.get(waiting.key)
        if work is not None and self.waiting.get(waiting.key) is waiting:
            return work.version, work.policy
        version, policy = self.policy_of(waiting.slot)
        return version, effective_policy(policy, waiting.shape.clause_rules)

    def level(self, facts: WorkloadFacts) -> int:
        """Return the priority level: 0 is served first; a domain that isn't named comes last."""
        if facts.level is not None:
            return facts.level
        return self.levels.index(facts.domain) if facts.domain in self.levels else len(self.levels)

    def residents(self, node: str, *, without: str = "") -> tuple[Resident, ...]:
        """Return who lives on a node now, in the order of their ids."""
        return tuple(live.resident for name, live in sorted(self.living.get(node, {}).items()) if name != without)

    def free(self, node: NodeFacts) -> tuple[int, int]:
        """Return free slots and free bytes of memory of a node."""
        at = self.eligibility.index[node.node]
        return self.capacity.slots[at], self.capacity.memory[at]

    def origin(self, slot: int) -> str:
        """Return the origin of the tenant in a slot."""
        return origin(self.host, slot)

    def told(self, key: Key) -> str:
        """Return what was last said of why a workload's class waits, "" where nothing was."""
        work = self.class_of.get(key)
        return work.told if work is not None else ""

    def at_rest(self, slot: int) -> bool:
        """Tell whether nothing of a tenant waits or runs, and nothing more will be decided for it."""
        account = self.tree.of(slot)
        return not (account.waiting or account.living or any(key[0] == slot for key in (*self.again, *self.unsettled)))
