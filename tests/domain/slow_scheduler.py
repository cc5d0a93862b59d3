"""A slow second scheduler: the rules read again, naively, over events; every choice by brute force.

It is told each event before it is folded elsewhere, and says where the decider broke a promise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations

from domain.decided import Decided
from domain.executions import events as executions
from domain.message import Event
from domain.nodes.events import NodeDrained, NodeEnrolled
from domain.platform.events import LevelsAdopted
from domain.policies import kinds
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.quotas import events as quotas
from domain.tenants.events import (
    ErasureOrdered,
    ErasureWithdrawn,
    PolicyAdopted,
    ScopeRegisteredBelow,
    TenantRegistered,
)
from domain.workloads import events as workloads
from tests.domain.slow_quotas import KeptQuota, SlowQuotas, amounts

MAX_REPLACEMENTS = 3
EU = {"DEU", "FRA", "ESP"}
"""The members that these tests use."""

Rules = tuple[kinds.Rule, ...]
Kept = tuple[tuple[str, ...], str, bool] | None
"""The nodes that are kept, for which workload's class, and whether quota is kept for it."""


def workload_ok(rules: Rules, facts: WorkloadFacts, at_ms: int) -> bool:
    """Tell whether the rules about the workload alone hold."""
    for rule in rules:
        if isinstance(rule, kinds.MaximumBounds):
            mine, most = facts.bounds, rule.bounds
            if mine.memory_bytes > most.memory_bytes or mine.fuel > most.fuel or mine.wall_ms > most.wall_ms:
                return False
        if isinstance(rule, kinds.Validity) and not rule.from_ms <= at_ms < rule.until_ms:
            return False
        if isinstance(rule, kinds.DomainBesideTrigger) and (facts.domain, facts.trigger) == (rule.domain, rule.trigger):
            return False
    return True


def broken_by_node(rules: Rules, facts: WorkloadFacts, node: NodeFacts) -> set[str]:
    """Return the rules that a node breaks by its own facts."""
    broken: set[str] = set()
    if not set(facts.required_attributes) <= set(node.attributes):
        broken.add("attributes")
    if node.memory_bytes < facts.bounds.memory_bytes or node.slots < facts.slots:
        broken.add("node_size")
    if node.admits is not None and facts.dao not in node.admits:
        broken.add("admission")
    return broken | {rule.kind for rule in rules if _breaks(rule, facts, node)}


def _breaks(rule: kinds.Rule, facts: WorkloadFacts, node: NodeFacts) -> bool:
    if isinstance(rule, kinds.Evidence):
        return node.evidence_class not in rule.classes and rule.domain in {None, facts.domain}
    if isinstance(rule, kinds.InCountry):
        inside = set(rule.countries) or (EU if facts.jurisdiction == "EU" else {facts.jurisdiction})
        holds = node.country in inside
    elif isinstance(rule, kinds.Operators):
        holds = node.operator not in rule.forbidden and (not rule.allowed or node.operator in rule.allowed)
    elif isinstance(rule, kinds.Overflow):
        return node.pool != "primary" and node.pool not in rule.pools and node.node not in rule.nodes
    elif isinstance(rule, kinds.NoColocation):
        friends = {facts.dao, *(rule.authorised or ())}
        holds = not rule.exclusive or (node.admits is not None and set(node.admits) <= friends)
    else:
        return isinstance(rule, kinds.IndependentAttestations) and not node.platform_ids
    return not holds or not node.platform_ids


def may_share(rules: Rules, facts: WorkloadFacts, other: WorkloadFacts) -> bool:
    """Tell whether one party's rules let the other live beside it."""
    if set(facts.forbid_tags) & set(other.tags):
        return False
    for rule in rules:
        if isinstance(rule, kinds.NoColocation):
            if rule.authorised is not None and other.dao not in {facts.dao, *rule.authorised}:
                return False
            if other.domain in rule.domains or set(rule.tags) & set(other.tags):
                return False
        if isinstance(rule, kinds.DomainBesideTrigger):
            for domain, trigger in ((facts.domain, other.trigger), (other.domain, facts.trigger)):
                if (domain, trigger) == (rule.domain, rule.trigger):
                    return False
    return True


def apart(nodes: tuple[NodeFacts, ...], distinct: set[str]) -> bool:
    """Tell whether nodes differ pairwise, all of them with a platform id when there are several."""
    if not all(node.platform_ids for node in nodes):
        return len(nodes) == 1
    for one, other in combinations(nodes, 2):
        if set(one.platform_ids) & set(other.platform_ids):
            return False
        if any(getattr(one, name) == getattr(other, name) for name in distinct - {"platform"}):
            return False
    return True


@dataclass
class Waiting:
    """One in the queue."""

    slot: int
    queued: workloads.WorkloadQueued
    arrived: int


@dataclass
class Living:
    """One that holds a place."""

    slot: int
    queued: workloads.WorkloadQueued
    node: str
    rules: Rules
    until_ms: int
    status: str = "reserved"


@dataclass(frozen=True)
class Told:
    """What a class was told last, when, and how often of tokens since one of it was placed."""

    rule: str
    at_ms: int
    retry_ms: int | None = None
    repeats: int = 0
    need: str = ""

    @property
    def reason(self) -> str:
        """The reason of which the rule is one."""
        return "quota" if self.rule.startswith("quota") else self.rule

    def passed(self, now_ms: int) -> bool:
        """Tell whether the instant that was told is over, and it is time to say so."""
        return self.retry_ms is not None and now_ms >= max(self.retry_ms, self.at_ms + 1_000 * 2**self.repeats)


@dataclass
class SlowScheduler:
    """What there is, from events alone."""

    now_ms: int = 0
    levels: tuple[str, ...] = ()
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    offers: dict[tuple[str, str], OfferStood] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    policies: dict[int, tuple[int, Rules]] = field(default_factory=dict)
    waiting: dict[str, Waiting] = field(default_factory=dict)
    living: dict[str, Living] = field(default_factory=dict)
    known: dict[str, Living] = field(default_factory=dict)
    queued: dict[str, workloads.WorkloadQueued] = field(default_factory=dict)
    slots: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    given: set[tuple[str, int]] = field(default_factory=set)
    told: dict[str, Told] = field(default_factory=dict)
    passed: dict[int, int] = field(default_factory=dict)
    quotas: SlowQuotas = field(default_factory=SlowQuotas)
    kept: Callable[[], Kept] = lambda: None  # as the act found it that is told
    kept_after: Callable[[], Kept] = lambda: None  # as it left it
    turn: int = 64
    bypasses: int = 64
    placements: int = 0
    kept_from: int = 0
    watched: dict[str, int] = field(default_factory=dict)
    short: dict[int, dict[str, int]] = field(default_factory=dict)
    spends: dict[int, int] = field(default_factory=dict)
    set_aside: dict[int, int] = field(default_factory=dict)
    advances: Callable[[], set[tuple[int, str]]] = set
    replaced: dict[str, int] = field(default_factory=dict)
    faulted: dict[str, bool] = field(default_factory=dict)
    arrivals: int = 0
    closed: set[int] = field(default_factory=set)

    def rules_of(self, waiting: Waiting) -> Rules:
        """Return tenant's and clause's rules together."""
        return (*self.policies.get(waiting.slot, (0, ()))[1], *waiting.queued.clause_rules)

    def level(self, waiting: Waiting) -> int:
        """Return the priority level; 0 is served first."""
        order = [*self.levels, waiting.queued.facts.domain]
        return order.index(waiting.queued.facts.domain)

    def candidates(self, rules: Rules, facts: WorkloadFacts) -> list[NodeFacts]:
        """Return the nodes whose own facts fit, drained ones too: they may return."""
        return [node for _, node in sorted(self.nodes.items()) if not broken_by_node(rules, facts, node)]

    def choices(self, rules: Rules, nodes: list[NodeFacts]) -> bool:
        """Tell whether enough of the nodes are independent of each other, by trying every combination.

        Not if none of them is what a workload can be denied for the lack of: a primary node.
        """
        asked = [rule for rule in rules if isinstance(rule, kinds.IndependentAttestations)]
        count = max([rule.count for rule in asked], default=1)
        distinct: set[str] = {name for rule in asked for name in rule.distinct}
        return any(apart(some, distinct) for some in combinations(nodes, count))

    def ever(self, waiting: Waiting) -> bool:
        """Tell whether nodes' own facts would ever let it run."""
        rules = self.rules_of(waiting)
        return self.choices(rules, [n for n in self.candidates(rules, waiting.queued.facts) if n.pool == "primary"])

    def shape(self, waiting: Waiting) -> str:
        """Return what equal workloads share: tenant, facts and rules, one said twice counted once."""
        own = self.policies.get(waiting.slot, (0, ()))[1]
        added = [rule for rule in waiting.queued.clause_rules if rule not in own]
        return repr((waiting.slot, waiting.queued.facts, own, added))

    def room(self, rules: Rules, facts: WorkloadFacts, node: NodeFacts) -> bool:
        """Tell whether a node has room beside everybody who lives there."""
        there = [living for living in self.living.values() if living.node == node.node]
        if sum(living.queued.facts.slots for living in there) + facts.slots > node.slots:
            return False
        if (
            sum(living.queued.facts.bounds.memory_bytes for living in there) + facts.bounds.memory_bytes
            > node.memory_bytes
        ):
            return False
        return all(
            may_share(rules, facts, living.queued.facts) and may_share(living.rules, living.queued.facts, facts)
            for living in there
        )

    def placeable(self, waiting: Waiting) -> bool:
        """Tell whether it could be placed right now."""
        return not self.hindrances(waiting)

    def enclaves(self, rules: Rules) -> int:
        """Return how many enclaves the rules ask for."""
        return max([rule.count for rule in rules if isinstance(rule, kinds.IndependentAttestations)], default=1)

    def hindrances(self, waiting: Waiting) -> set[str]:
        """Return everything that keeps it from being placed right now."""
        rules, facts = self.rules_of(waiting), waiting.queued.facts
        found: set[str] = set()
        if not workload_ok(rules, facts, self.now_ms):
            found.add("workload")
        asked = amounts(facts, self.enclaves(rules))
        if not self.quotas.tokens_for(waiting.slot, waiting.queued.workload_id, asked[0], self.now_ms):
            found.add("bandwidth")
        others = self.kept_quota(waiting)
        if self.quotas.lender(self.usage(), waiting.slot, asked, others) is None:
            found |= {"quota", *self.quotas.hindering(self.usage(), waiting.slot, asked, others)}
        if not self.choices(rules, self.places(waiting)):
            found.add("no_node_now")
        return found

    def kept_quota(self, waiting: Waiting) -> KeptQuota:
        """Return whose quota is kept, and how much, if it is not for this one's class."""
        kept = self.kept()
        if kept is None or not kept[2] or kept[1] in {one.queued.workload_id for one in self.alike(waiting)}:
            return None
        other = self.waiting[kept[1]]
        return other.slot, amounts(other.queued.facts, self.enclaves(self.rules_of(other)))

    def places(self, waiting: Waiting) -> list[NodeFacts]:
        """Return the nodes that could take an enclave of it now; secondary ones only where a primary one could."""
        rules, facts = self.rules_of(waiting), waiting.queued.facts
        candidates = self.candidates(rules, facts)
        kept = self.kept()
        if kept is not None and kept[1] not in {w.queued.workload_id for w in self.alike(waiting)}:
            candidates = [node for node in candidates if node.node not in kept[0]]
        if not any(node.pool == "primary" for node in self.candidates(rules, facts)):
            return []
        asked = amounts(facts, self.enclaves(rules))
        candidates = [node for node in candidates if node.pool == "primary" or self.takes_overflow(node, asked)]
        there = [node for node in candidates if node.node not in self.drained]
        return [node for node in there if self.room(rules, facts, node)]

    def takes_overflow(self, node: NodeFacts, asked: tuple[int, int]) -> bool:
        """Tell whether its operator's offer stands and leaves so much."""
        offer = self.offers.get((node.pool, node.operator))
        if offer is None or self.now_ms >= offer.until_ms:
            return False
        there = [self.nodes[living.node] for living in self.living.values()]
        of_pool = [(one.pool, one.operator) == (node.pool, node.operator) for one in there]
        facts = [living.queued.facts for living, mine in zip(self.living.values(), of_pool, strict=True) if mine]
        used = sum(one.slots for one in facts), sum(one.bounds.memory_bytes for one in facts)
        limits = (offer.slots, offer.memory_bytes)
        return all(most is None or used[at] + asked[at] <= most for at, most in enumerate(limits))

    def alike(self, waiting: Waiting) -> list[Waiting]:
        """Return its class."""
        return [one for one in self.waiting.values() if self.shape(one) == self.shape(waiting)]

    def usage(self) -> dict[int, tuple[int, int]]:
        """Return slots and memory that live executions hold, by tenant."""
        used: dict[int, tuple[int, int]] = {}
        for living in self.living.values():
            slots, memory = amounts(living.queued.facts, 1)
            before = used.get(living.slot, (0, 0))
            used[living.slot] = (before[0] + slots, before[1] + memory)
        return used

    def order(self, waiting: Waiting) -> tuple[int, ...]:
        """Return by what it is decided who comes first."""
        total = (sum(n.slots for n in self.nodes.values()), sum(n.memory_bytes for n in self.nodes.values()))
        level = self.level(waiting)
        late = self.passed.get(level, 0) >= self.turn
        return (not late, level, *self.quotas.shares(self.usage(), waiting.slot, total), waiting.arrived)

    def take(self, slot: int, event: Event, *, by_decider: bool) -> None:
        """Take one event in and check what it promises."""
        if by_decider and isinstance(event, Decided):
            assert event.tick == self.now_ms // 1000, "time went back, or ahead"
        self._of_the_cell(slot, event)
        self._executed(event)
        match event:
            case workloads.WorkloadQueued():
                self._queued(slot, event, by_decider=by_decider)
            case workloads.WorkloadPlaced():
                self._placed(slot, event)
            case workloads.WorkloadDenied():
                self._denied(event, by_decider=by_decider)
                self._ended(event.workload_id)
            case workloads.WorkloadExpired():
                assert self.waiting[event.workload_id].queued.not_after_ms <= self.now_ms, "expired too early"
                self._ended(event.workload_id)
            case workloads.WorkloadCancelled():
                self._ended(event.workload_id)
            case workloads.WorkloadDeferred():
                self._deferred(self.waiting[event.workload_id], event)
            case quotas.QuotaBorrowed() | quotas.QuotaLent():
                self.quotas.promised(slot, event)
            case executions.ExecutionReserved():
                self._reserved(event)

    def _of_the_cell(self, slot: int, event: Event) -> None:
        match event:
            case LevelsAdopted():
                self.levels = event.domains
                self.told.clear()
                self.watched.clear()
                self.short.clear()
                self.quotas.advances.clear()
                self.passed.clear()
            case quotas.QuotaGranted():
                self.quotas.grants[slot] = event
            case quotas.BandwidthGranted():
                self.quotas.granted(slot, event, self.now_ms)
                self._retell(slot)
            case TenantRegistered() | ScopeRegisteredBelow():
                self.quotas.parents[slot] = int(event.parent.rpartition("/")[2])
            case NodeEnrolled():
                self.nodes[event.facts.node] = event.facts
                self.drained.discard(event.facts.node)
            case NodeDrained():
                self.drained.add(event.node)
            case OfferStood():
                self.offers[event.pool, event.operator] = event
            case OfferWithdrawn():
                self.offers.pop((event.pool, event.operator), None)
            case PolicyAdopted() | ErasureOrdered() | ErasureWithdrawn():
                self._of_the_tenant(slot, event)

    def _of_the_tenant(self, slot: int, event: Event) -> None:
        match event:
            case PolicyAdopted():
                self.policies[slot] = (event.version, event.policy.rules)
                self.told = {shape: told for shape, told in self.told.items() if not shape.startswith(f"({slot},")}
                self.watched = {shape: since for shape, since in self.watched.items() if shape in self.told}
                self.short.pop(slot, None)
                for key in [key for key in self.quotas.advances if key[0] == slot]:
                    del self.quotas.advances[key]
            case ErasureOrdered():
                self.closed.add(slot)
            case ErasureWithdrawn():
                self.closed.discard(slot)

    def _retell(self, slot: int) -> None:
        """Tokens are granted anew: what was told is over where it is another instant now."""
        for shape, told in self.told.items():
            if told.rule == "bandwidth" and shape.startswith(f"({slot},"):
                cost = int(told.need.split()[0])
                if not self.quotas.passes_at(
                    slot, self._head(shape).queued.workload_id, cost, self.now_ms, told.retry_ms
                ):
                    self.told[shape] = replace(told, retry_ms=self.now_ms)

    def _head(self, shape: str) -> Waiting:
        return min((one for one in self.waiting.values() if self.shape(one) == shape), key=lambda one: one.arrived)

    def _deferred(self, waiting: Waiting, event: workloads.WorkloadDeferred) -> None:
        hindrances = self.hindrances(waiting)
        assert event.reason in hindrances, "deferred, and that is no hindrance"
        earlier = [other for other in self.alike(waiting) if other.arrived < waiting.arrived]
        assert not earlier, "the first of a class is told"
        assert event.rule in hindrances, "the rule that is told hinders nothing"
        before = self.told.get(self.shape(waiting))
        assert not self.holds(before, hindrances), "told again, and what was told before is still true"
        if event.reason == "bandwidth":
            cost = int(event.need.split()[0])
            assert self.quotas.passes_at(waiting.slot, event.workload_id, cost, self.now_ms, event.retry_ms), (
                "another instant"
            )
        again = before is not None and before.rule == "bandwidth" == event.rule
        repeats = min(before.repeats + 1, 6) if again and before is not None else 0
        self.told[self.shape(waiting)] = Told(event.rule, self.now_ms, event.retry_ms, repeats, event.need)
        if event.reason == "bandwidth":
            self.short.setdefault(waiting.slot, {}).setdefault(self.shape(waiting), self.spends.get(waiting.slot, 0))
            self.watched.pop(self.shape(waiting), None)
        elif before is None or before.rule == "bandwidth":
            self.watched[self.shape(waiting)] = self.placements
        self._check_kept_on(waiting, before, event)

    def holds(self, told: Told | None, hindrances: set[str]) -> bool:
        """Tell whether what a class was told is true, and no instant that it names has passed."""
        return told is not None and told.rule in hindrances and not told.passed(self.now_ms)

    def forget_empty_classes(self) -> None:
        """What was told to a class counts as long as somebody of it waits."""
        shapes = set(map(self.shape, self.waiting.values()))
        self.told = {shape: reason for shape, reason in self.told.items() if shape in shapes}
        self.watched = {shape: since for shape, since in self.watched.items() if shape in self.told}
        for slot, short in self.short.items():
            self.short[slot] = {shape: since for shape, since in short.items() if shape in self.told}
        levels = set(map(self.level, self.waiting.values()))
        self.passed = {level: count for level, count in self.passed.items() if level in levels}

    def _queued(self, slot: int, event: workloads.WorkloadQueued, *, by_decider: bool) -> None:
        workload = event.workload_id
        assert workload not in self.ended, "queued again after its end"
        if by_decider:
            assert slot not in self.closed, "queued again for a tenant that ends"
            assert workload not in self.held, "queued after a fault without governance"
            assert workload not in self.waiting, "queued twice"
            assert (workload, event.attempt - 1) not in self.given, "placed again after inputs were released"
            self.replaced[workload] = self.replaced.get(workload, 0) + 1
            assert self.replaced[workload] <= MAX_REPLACEMENTS
            before = self.queued[workload]
            assert event == before.model_copy(update={"attempt": before.attempt + 1}), "another workload"
        self.held.discard(workload)
        self.arrivals += 1
        self.waiting[workload] = Waiting(slot, event, self.arrivals)
        self.queued[workload] = event
        self.slots[workload] = slot

    def _placed(self, slot: int, event: workloads.WorkloadPlaced) -> None:
        workload = event.workload_id
        assert workload not in self.held, "placed after a fault without a new queueing"
        assert slot not in self.closed, "placed for a tenant that ends"
        waiting = self.waiting[workload]
        assert event.attempt == waiting.queued.attempt
        self._check_order(waiting)
        rules, facts = self.rules_of(waiting), waiting.queued.facts
        assert waiting.queued.not_after_ms > self.now_ms, "placed after its time"
        assert workload_ok(rules, facts, self.now_ms), "its own rules do not hold"
        assert event.policy_version == self.policies.get(slot, (0, ()))[0]
        chosen = tuple(self.nodes[place.node] for place in event.places)
        for node in chosen:
            assert node.node not in self.drained, "placed on a drained node"
            assert not broken_by_node(rules, facts, node), "a rule over the node does not hold"
            assert self.room(rules, facts, node), "no room, or somebody who may not be there"
        asked = [rule for rule in rules if isinstance(rule, kinds.IndependentAttestations)]
        assert len(chosen) == max([rule.count for rule in asked], default=1), "all or none"
        assert apart(chosen, {name for rule in asked for name in rule.distinct}), "not independent"
        self._check_overflow(waiting, chosen)
        taken = amounts(facts, len(chosen))
        assert self.quotas.tokens_for(slot, workload, taken[0], self.now_ms), "no tokens"
        lender = self.quotas.lender(self.usage(), slot, taken, self.kept_quota(waiting))
        assert lender is not None, "beyond a limit, or of what is kept for others"
        self.quotas.place(slot, workload, event.attempt, taken, lender, self.now_ms)
        self._check_kept_for_nobody_else(waiting, chosen)
        level, shape = self.level(waiting), self.shape(waiting)
        if shape in self.told:
            self.told[shape] = replace(self.told[shape], repeats=0)
        del self.waiting[workload]
        self.passed.pop(level, None)
        for other in {self.level(one) for one in self.waiting.values()}:
            if other > level:
                self.passed[other] = min(self.passed.get(other, 0) + 1, self.turn)
        self.forget_empty_classes()
        for place in event.places:
            assert place.execution_id not in self.known, "an execution id is used once"
            living = Living(slot, waiting.queued, place.node, rules, 0)
            self.living[place.execution_id] = self.known[place.execution_id] = living
        self._count(workload, shape)
        if slot in self.quotas.buckets:
            self._count_spending(slot, shape)

    def _count_spending(self, slot: int, shape: str) -> None:
        """Count a placement of who has a grant; check that tokens are set aside for the class whose turn it is."""
        self.spends[slot] = spends = self.spends.get(slot, 0) + 1
        short = self.short.setdefault(slot, {})
        if short.pop(shape, None) is not None:
            short[shape] = spends
        first = next(iter(short), None)
        if first is not None and spends - max(self.set_aside.get(slot, 0), short[first]) >= self.bypasses:
            self.set_aside[slot] = spends
            del short[first]
            short[first] = spends
            head = self._head(first)
            if (slot, head.queued.workload_id) not in self.quotas.advances:
                cost, _ = amounts(head.queued.facts, self.enclaves(self.rules_of(head)))
                self.quotas.set_aside(slot, head.queued.workload_id, cost, self.now_ms)
        assert set(self.quotas.advances) == self.advances(), "set aside for others than those whose turn it is"

    def _check_kept_for_nobody_else(self, waiting: Waiting, chosen: tuple[NodeFacts, ...]) -> None:
        kept = self.kept()
        if kept is not None and kept[1] not in {one.queued.workload_id for one in self.alike(waiting)}:
            assert not {node.node for node in chosen} & set(kept[0]), "placed on a node that is kept for others"

    def _count(self, workload: str, shape: str) -> None:
        """Count a placement; check that nodes are kept now for the class whose turn it is, and for it alone."""
        self.placements += 1
        if shape in self.watched:
            del self.watched[shape]
            self.watched[shape] = self.placements
        kept, after = self.kept(), self.kept_after()
        if kept is not None and kept[1] != workload:
            assert after == kept, "what is kept changes while it is waited for"
            return
        first = next(iter(self.watched), None)
        pause = min(self.placements - self.kept_from, self.placements - self.watched.get(first or "", self.placements))
        if first is None or pause < self.bypasses:
            assert after is None, "nodes are kept, and nobody was passed over so often"
            return
        self.kept_from = self.placements
        del self.watched[first]
        self.watched[first] = self.placements
        self._check_kept(self._head(first), after, self.told[first].reason, quota=False)

    def _check_kept_on(self, waiting: Waiting, before: Told | None, event: workloads.WorkloadDeferred) -> None:
        """Check what is kept when the class for which something is kept is told another reason."""
        kept, after = self.kept(), self.kept_after()
        mine = kept is not None and kept[1] in {one.queued.workload_id for one in self.alike(waiting)}
        if kept is None or not mine or before is None or before.reason == event.reason:
            return
        if event.reason == "bandwidth":
            assert after is None, "something is kept for who lacks tokens"
        else:
            self._check_kept(waiting, after, event.reason, quota=kept[2])

    def _check_kept(self, head: Waiting, kept: Kept, reason: str, *, quota: bool) -> None:
        """Check what is kept for a class: of nodes what it needs if those are what it lacks, else of quota."""
        rules, facts = self.rules_of(head), head.queued.facts
        fit = [node for node in self.candidates(rules, facts) if node.pool == "primary"]
        asked = amounts(facts, self.enclaves(rules))
        if kept is None:
            never = reason == "quota" and not self.quotas.could_make_way(self.usage(), head.slot, asked)
            there = [node for node in fit if node.node not in self.drained]
            assert never or not self.choices(rules, there), f"{head.queued.workload_id} was passed over for nothing"
            return
        assert kept[1] == head.queued.workload_id, "kept for another than the one whose turn it is"
        assert kept[2] == (quota or reason == "quota"), "quota is kept for who does not lack it, or not for who does"
        if reason == "quota":
            assert not kept[0], "nodes stand idle for who has no quota"
            return
        nodes = tuple(node for node in fit if node.node in kept[0])
        independent = [rule for rule in rules if isinstance(rule, kinds.IndependentAttestations)]
        distinct: set[str] = {name for rule in independent for name in rule.distinct}
        assert len(kept[0]) == len(nodes) == self.enclaves(rules), "not as many nodes as it has enclaves, all of use"
        assert apart(nodes, distinct), "it could not run on them together"

    def _check_order(self, placed: Waiting) -> None:
        mine = self.order(placed)
        for other in self.waiting.values():
            if self.order(other) < mine:
                assert not self.placeable(other), (
                    f"{other.queued.workload_id} at {self.order(other)} comes before {placed.queued.workload_id} at "
                    f"{mine}, and was passed"
                )

    def _check_overflow(self, waiting: Waiting, chosen: tuple[NodeFacts, ...]) -> None:
        if any(node.pool != "primary" for node in chosen):
            asked = amounts(waiting.queued.facts, len(chosen))
            taken = [self.takes_overflow(node, asked) for node in chosen if node.pool != "primary"]
            assert all(taken), "overflow, and no offer stands"
            primary = [node for node in self.places(waiting) if node.pool == "primary"]
            assert not self.choices(self.rules_of(waiting), primary), "overflow, and the primary pool has a place"

    def _reserved(self, event: executions.ExecutionReserved) -> None:
        living = self.living[event.execution_id]
        assert living.node == event.node
        assert event.limits == living.queued.facts.bounds
        assert event.until_ms > self.now_ms
        living.until_ms = event.until_ms

    def _denied(self, event: workloads.WorkloadDenied, *, by_decider: bool) -> None:
        if not by_decider or event.gate != "queue":
            return
        if event.rule == "erasure_ordered":
            queued = self.queued[event.workload_id]
            assert self.slots[event.workload_id] in self.closed, "denied for an erasure that nobody ordered"
            assert (event.workload_id, queued.attempt) not in self.given, "denied though it has its inputs"
            return
        waiting = self.waiting[event.workload_id]
        rules, facts = self.rules_of(waiting), waiting.queued.facts
        without = tuple(rule for rule in rules if rule.kind != event.rule)
        assert event.have
        assert event.need
        if not workload_ok(rules, facts, self.now_ms):
            one_less = [tuple(r for r in rules if r is not rule) for rule in rules if rule.kind == event.rule]
            assert workload_ok(without, facts, self.now_ms) or len({r.kind for r in rules}) > 1
            assert one_less, "the rule named is none of the policy's"
            assert not workload_ok(tuple(r for r in rules if r.kind == event.rule), facts, self.now_ms), "not true"
            return
        assert not self.ever(waiting), "denied, and it could be placed"
        there = [node for node in self.nodes.values() if node.pool == "primary"]
        broken = [broken_by_node(rules, facts, node) for node in there]
        counts = {rule: sum(rule in some for some in broken) for rule in set().union(*broken)}
        assert event.nodes == len(there)
        assert {item.rule: item.nodes for item in event.filtered} == counts, (event, counts)
        if event.rule != "independent_attestations" or not any(not some for some in broken):
            assert counts[event.rule] == max(counts.values()), "not the dominant rule"
        if {rule.kind for rule in rules} == set(counts) == {event.rule}:
            assert self.choices(without, [n for n in self.candidates(without, facts) if n.pool == "primary"]), (
                f"dropping the rule changes nothing: {event} {rules}"
            )

    def _ended(self, workload: str) -> None:
        assert workload not in self.ended, "it ended twice"
        self.ended.add(workload)
        self.quotas.advances.pop((self.slots[workload], workload), None)
        self.waiting.pop(workload, None)
        self.forget_empty_classes()

    def _executed(self, event: Event) -> None:
        match event:
            case executions.InputsReleased():
                execution = self.known[event.execution_id]
                execution.status = "released"
                self.given.add((execution.queued.workload_id, execution.queued.attempt))
            case executions.ExecutionCompleted():
                self.known[event.execution_id].status = "completed"
            case executions.ExecutionFaulted():
                execution = self.known[event.execution_id]
                if execution.status == "abandoned":
                    assert self.queued[execution.queued.workload_id].attempt == execution.queued.attempt
                    assert execution.queued.workload_id not in self.waiting, "held, and it waits"
                    self.faulted[event.execution_id] = True
                    return
                assert execution.status == "released", "a fault of something that does not run"
                execution.status = "faulted"
                self.faulted[event.execution_id] = False
                workload = execution.queued.workload_id
                if self.queued[workload].attempt == execution.queued.attempt:
                    self.held.add(workload)
                    assert workload not in self.waiting, "an attempt waits and runs"
            case executions.ExecutionAbandoned():
                execution = self.living.pop(event.execution_id)
                self._returned(execution)
                assert execution.status == "reserved", "abandoned, and it holds inputs"
                execution.status = "abandoned"
            case executions.RuntimeReset():
                execution = self.living.pop(event.execution_id)
                self._returned(execution)
                assert execution.status in {"completed", "faulted"}
                execution.status += " and reset"

    def _returned(self, ended: Living) -> None:
        attempt = (ended.slot, ended.queued.workload_id, ended.queued.attempt)
        if not any((e.slot, e.queued.workload_id, e.queued.attempt) == attempt for e in self.living.values()):
            self.quotas.open.pop(attempt, None)

    def check_at_rest(self) -> None:
        """Check that nothing more can be decided."""
        heads: dict[str, Waiting] = {}
        for name, waiting in self.waiting.items():
            assert not self.placeable(waiting), f"{name} waits, and there is a place"
            assert waiting.queued.not_after_ms > self.now_ms, f"{name} waits past its time"
            assert waiting.slot not in self.closed, f"{name} waits, and its tenant ends"
            if any(node.pool == "primary" for node in self.nodes.values()):
                assert self.ever(waiting), f"{name} can never be placed and waits"
            shape = self.shape(waiting)
            if shape not in heads or heads[shape].arrived > waiting.arrived:
                heads[shape] = waiting
        for head in heads.values():
            told = self.told.get(self.shape(head))
            assert self.holds(told, self.hindrances(head)), "the class was not told why it waits, or no longer true"
        self.quotas.check_books(self.usage())
        for name, living in self.living.items():
            assert living.until_ms > self.now_ms, f"{name} holds a place past its window"
            begun = (living.queued.workload_id, living.queued.attempt) in self.given
            assert begun or living.slot not in self.closed, f"{name} has not begun, and its tenant ends"
