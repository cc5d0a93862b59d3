"""The tables with all that is worked out from them for speed, and what can be asked of both.

Invariants:
- Nothing that is worked out is dumped; who moves the tables on (domain.scheduling.desk) moves it on as well.
"""

from collections import deque
from dataclasses import dataclass, field

from domain.identifiers import execution_id, origin
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.kinds import Policy
from domain.scheduling import tokens
from domain.scheduling.capacity import Capacity
from domain.scheduling.choice import can_be_chosen
from domain.scheduling.classes import WorkClass
from domain.scheduling.colocation import Presence
from domain.scheduling.eligibility import Eligibility, bits
from domain.scheduling.headroom import Headroom
from domain.scheduling.quotas import QuotaTree
from domain.scheduling.tables import PAST, Key, Live, Shape, Tables, Waiting
from domain.scheduling.wake import Queues
from domain.workloads.events import FilteredNodes

_BUCKETS = 8
"""Of load in percent: 0, 1, 2 to 3, and so on up to 64 and more."""
_CHOOSABLE = 4096


@dataclass
class Workings(Tables):
    """Tables and what is worked out from them.

    Attributes:
        calm: `calm[b]`: the nodes that last reported a load of bucket b or less.
        overflown: what live executions hold on nodes of a pool and operator, but for the primary pool.
    """

    eligibility: Eligibility = field(default_factory=Eligibility)
    capacity: Capacity = field(default_factory=Capacity)
    presence: Presence = field(default_factory=Presence)
    tree: QuotaTree = field(default_factory=QuotaTree)
    queues: Queues = field(default_factory=Queues)
    class_of: dict[Key, WorkClass] = field(default_factory=dict)
    living: dict[str, dict[str, Live]] = field(default_factory=dict)
    lives_of: dict[Key, dict[str, Live]] = field(default_factory=dict)
    usable: int = 0
    kept_nodes: int = 0
    headroom: Headroom | None = None
    overflown: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    calm: list[int] = field(default_factory=lambda: [0] * _BUCKETS)
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
    choosable: dict[tuple[int, int, tuple[str, ...]], bool] = field(default_factory=dict)
    stamps: int = 0
    watched: deque[tuple[int, WorkClass]] = field(default_factory=deque)
    shapes: dict[str, Shape] = field(default_factory=dict)
    firsts: dict[str, Key] = field(default_factory=dict)

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

    def first_of(self, waiting: Waiting) -> str:
        """Return the first execution of the attempt that a workload is at."""
        return execution_id(self.origin(waiting.slot), waiting.key[1], waiting.attempt, 0)

    def failed(self, execution: str) -> Waiting | None:
        """Return the workload that is to be placed again, whose attempt began with an execution."""
        if execution not in self.firsts:
            self.firsts = {self.first_of(waiting): key for key, waiting in self.again.items()}
        key = self.firsts.get(execution)
        waiting = None if key is None else self.again.get(key)
        return waiting if waiting is not None and self.first_of(waiting) == execution else None

    def told(self, key: Key) -> str:
        """Return what was last said of why a workload's class waits, "" where nothing was."""
        work = self.class_of.get(key)
        return work.told if work is not None else ""

    def at_rest(self, slot: int) -> bool:
        """Tell whether nothing of a tenant waits or runs, and nothing more will be decided for it."""
        account = self.tree.of(slot)
        return not (account.waiting or account.living or any(key[0] == slot for key in (*self.again, *self.unsettled)))

    def admits(self, work: WorkClass, at: int) -> bool:
        """Tell whether a node could take one enclave of a class now."""
        bit = 1 << at
        if not (work.eligible & self.usable & bit and self.capacity.fits(at, work.slots, work.memory)):
            return False
        if self.kept_nodes & bit and not self.keeps(work):
            return False
        if not self.admits_load(work, at) or not self.takes(at, work.slots_all, work.memory_all):
            return False
        if self.presence.barred(work.manners.avoids) & bit:
            return False
        return not self.presence.closed_to(work.manners, bit)

    def admits_load(self, work: WorkClass, at: int) -> bool:
        """Tell whether the load that a node reports lets a class in."""
        return work.calm is None or bool(self.calm[work.calm] >> at & 1)

    def keeps(self, work: WorkClass) -> bool:
        """Tell whether nodes are kept free for this class."""
        return self.kept is not None and self.kept[1] in work.members

    def standing(self, slots: int, memory: int) -> int:
        """Return the nodes of other pools than the primary one on which so much overflow is taken now."""
        found = 0
        for pool, offer in self.offers.items():
            if self.now_ms < offer.until_ms:
                used = self.overflown.get(pool, (0, 0))
                if (offer.slots is None or used[0] + slots <= offer.slots) and (
                    offer.memory_bytes is None or used[1] + memory <= offer.memory_bytes
                ):
                    found |= self.eligibility.pools.get(pool, 0)
        return found

    def takes(self, at: int, slots: int, memory: int) -> bool:
        """Tell whether a node takes so much of an attempt: a primary one, or by a standing offer."""
        return bool(self.eligibility.primary >> at & 1 or self.standing(slots, memory) >> at & 1)

    def has_tokens(self, work: WorkClass) -> bool:
        """Tell whether the next of a class has its tokens."""
        slot = work.account.slot
        grant = self.bandwidths.get(slot)
        if grant is None:
            return True
        advance = self.advances.get(work.head.key) if self.advances else None
        if advance is not None:
            return tokens.passes(grant, advance, 0, self.now_ms)
        return tokens.passes(grant, self.spent.get(slot, 0), work.slots_all, self.now_ms)

    def has_tokens_at_ms(self, work: WorkClass) -> int | None:
        """Return the first instant from now on at which the next of a class has its tokens; None: not by this grant."""
        slot, advance = work.account.slot, self.advances.get(work.head.key)
        if advance is not None:
            return tokens.retry_ms(self.bandwidths[slot], advance, 0, self.now_ms)
        return tokens.retry_ms(self.bandwidths[slot], self.spent.get(slot, 0), work.slots_all, self.now_ms)

    def ensure(self, work: WorkClass) -> None:
        """Work out, if nodes have changed since, which nodes a class could run on and what excludes the others."""
        if work.epoch == self.epoch:
            return
        work.epoch = self.epoch
        demands = self.eligibility.by_demand(work.policy, work.facts)
        work.eligible = -1
        for _, mask in demands:
            work.eligible &= mask
        there = self.eligibility.primary
        counts = [(name, (there & ~mask).bit_count()) for name, mask in demands]
        work.filtered = tuple(FilteredNodes(rule=name, nodes=count) for name, count in sorted(counts) if count)
        work.within = there.bit_count()
        could = work.eligible & there
        if work.count > 1 and could:
            work.ever = self._choosable(work, could)
        else:
            work.ever = bool(could)

    def _choosable(self, work: WorkClass, could: int) -> bool:
        key = (could, work.count, work.distinct)
        found = self.choosable.get(key)
        if found is None:
            if len(self.choosable) >= _CHOOSABLE:
                self.choosable.clear()
            nodes = [self.eligibility.facts[at] for at in bits(could)]
            found = self.choosable[key] = can_be_chosen(work.policy, nodes)
        return found

    def overflow(self, at: int, slots: int, memory: int) -> tuple[str, str] | None:
        """Take note of what a node of another pool than the primary one holds; return its pool and operator."""
        if self.eligibility.primary >> at & 1:
            return None
        facts = self.eligibility.facts[at]
        pool = facts.pool, facts.operator
        used = self.overflown.get(pool, (0, 0))
        self.overflown[pool] = used[0] + slots, used[1] + memory
        return pool

    def recount_overflow(self) -> None:
        """Count anew what overflow holds: a node may be of another pool or operator than before."""
        self.overflown.clear()
        for live in self.live.values():
            self.overflow(self.eligibility.index[live.node], live.facts.slots, live.facts.bounds.memory_bytes)

    def bury(self, slot: int, prefixed_id: str) -> None:
        """Forget the version of a stream that nothing is decided on any more, once PAST others have ended after it."""
        stream = _stream(prefixed_id)
        if (slot, stream) in self.versions:
            self.past.pop((slot, stream), None)
            self.past[slot, stream] = None
            if len(self.past) > PAST:
                oldest = next(iter(self.past))
                del self.past[oldest]
                del self.versions[oldest]

    def unearth(self, slot: int, prefixed_id: str) -> None:
        """Keep the version of a stream after all: something may be decided on it yet."""
        self.past.pop((slot, _stream(prefixed_id)), None)


def _stream(prefixed_id: str) -> str:
    """Return the stream of an id, as views name it."""
    digits = prefixed_id[-32:]
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
