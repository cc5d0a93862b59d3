"""The few ways in which the tables and what is worked out from them move on together.

Invariants:
- What is worked out follows the tables at every step: room, presence, usage, classes, instants.
- Whatever gives somebody more room, more quota or other rules calls exactly those whom it may help (domain.scheduling.
  wake). What takes away calls nobody, unless it lets in whom it did not before: a guard that names DAOs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush

from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts
from domain.scheduling.classes import WorkClass
from domain.scheduling.eligibility import bits, mask_of
from domain.scheduling.headroom import Headroom
from domain.scheduling.quotas import MEMORY, SLOTS, Account, ancestors
from domain.scheduling.tables import Key, Live, Shape, Waiting
from domain.scheduling.wake import BANDWIDTH, NODES, Queues
from domain.scheduling.workings import Workings
from domain.time import MAX_INSTANT_MS

_SHAPES = 4096
"""Classes of a tenant that are remembered while they are empty, besides as many as have members."""

_SLACK = 4096
"""Entries of a heap or list that may be out of date before it is made anew, besides as many as there are who wait."""


@dataclass
class Desk(Workings):
    """Moves tables and workings on."""

    # Who waits.

    def enqueue(self, waiting: Waiting) -> None:
        """Let a workload wait."""
        account = self.tree.of(waiting.slot)
        self.waiting[waiting.key] = waiting
        account.waiting[waiting.key] = None
        if self.crowded(len(self.expiring)):
            self.expiring = [item for item in self.expiring if self.waiting.get(item[2].key) is item[2]]
            heapify(self.expiring)
        heappush(self.expiring, (waiting.not_after_ms, waiting.arrived, waiting))
        self._join(account, waiting)

    def dequeue(self, key: Key) -> Waiting | None:
        """Let a workload wait no more."""
        waiting = self.waiting.pop(key, None)
        if waiting is None:
            return None
        self.tree.of(key[0]).waiting.pop(key, None)
        self.advances.pop(key, None)
        work = self.class_of.pop(key)
        work.take(key)
        self._count(work, -1)
        if not work.members:
            self._dissolve(work)
        elif work.head.arrived > waiting.arrived:
            self.queues.next_of(work)
        if self.kept is not None and self.kept[1] == key:
            self.release_kept()
        return waiting

    def regroup(self, account: Account) -> None:
        """Sort a tenant's workloads into classes anew: its policy changed, or the levels did."""
        passes = dict(self.passes)
        for work in account.classes.values():
            if work.members:
                self._count(work, -len(work.members))
                work.members.clear()
                self._dissolve(work)
        account.classes.clear()
        account.shapes.clear()
        if self.kept is not None and self.kept[1][0] == account.slot:
            self.release_kept()  # other rules may not let it have that node
        for key in account.waiting:
            self.advances.pop(key, None)  # by other rules it may ask for another number of enclaves
            self._join(account, self.waiting[key])
        self.passes = {level: count for level, count in passes.items() if level in self.by_level}

    def _join(self, account: Account, waiting: Waiting) -> None:
        work: WorkClass | None = account.shapes.get(waiting.shape)
        if work is None:
            work = self._class(account, waiting.shape)
        if not work.members:
            work.put(waiting)
            self.queues.look_at(work)
            if work.until_ms <= MAX_INSTANT_MS and not work.listed:
                work.listed = True
                if self.crowded(len(self.outdated)):
                    for _, _, other in self.outdated:
                        other.listed = bool(other.members)
                    self.outdated = [item for item in self.outdated if item[2].members]
                    heapify(self.outdated)
                heappush(self.outdated, (work.until_ms, work.number, work))
        else:
            work.put(waiting)
        self.class_of[waiting.key] = work
        self._count(work, 1)

    def _class(self, account: Account, shape: Shape) -> WorkClass:
        version, own = self.policy_of(account.slot)
        policy = effective_policy(own, shape.clause_rules)
        key = (shape.key, policy.digest())
        work: WorkClass | None = account.classes.get(key)
        if work is None:
            self.numbers += 1
            work = WorkClass(self.numbers, account, shape.facts, version, policy, self.level(shape.facts))
            if len(account.classes) > 2 * account.in_use + _SHAPES:
                account.classes = {name: one for name, one in account.classes.items() if one.members}
                account.in_use = len(account.classes)
                account.shapes.clear()  # it leads to those that are forgotten now, too
            account.classes[key] = work
        if len(account.shapes) > 2 * account.in_use + _SHAPES:
            account.shapes.clear()
        account.shapes[shape] = work
        return work

    def crowded(self, entries: int) -> bool:
        """Tell whether of so many entries, two at most for each of those who wait, too many are out of date."""
        return entries > 2 * len(self.waiting) + _SLACK

    def sweep(self) -> None:
        """Forget lines in which nobody waits, when there are too many."""
        queues = self.queues
        if self.crowded(len(queues.quota_lines) + len(queues.spots)):
            queues.sweep(self.tree.accounts.values())

    def _dissolve(self, work: WorkClass) -> None:
        self.queues.leave(work)
        self.queues.untold.pop(work, None)
        work.untell()

    def _count(self, work: WorkClass, by: int) -> None:
        count = self.by_level.get(work.level, 0) + by
        if count:
            self.by_level[work.level] = count
        else:
            del self.by_level[work.level]
            self.passes.pop(work.level, None)

    # Who lives.

    def settle(self, live: Live) -> None:
        """Let an execution take its place."""
        at = self.eligibility.index[live.node]
        self.live[live.name] = live
        self.living.setdefault(live.node, {})[live.name] = live
        self.lives_of.setdefault(live.key, {})[live.name] = live
        facts = live.facts
        slots, memory = facts.slots, facts.bounds.memory_bytes
        self.capacity.take(at, slots, memory)
        self.presence.settle(at, live.manners)
        account = self.tree.of(live.slot)
        account.living[live.name] = None
        self.tree.use(account, slots, memory)
        self.expect(live)
        self.overflow(at, slots, memory)
        self._touch(at)

    def leave(self, name: str) -> Live | None:
        """Let an execution give its place back."""
        live = self.live.pop(name, None)
        if live is None:
            return None
        at = self.eligibility.index[live.node]
        del self.living[live.node][name]
        lives = self.lives_of[live.key]
        del lives[name]
        if not lives:
            del self.lives_of[live.key]
        facts = live.facts
        slots, memory = facts.slots, facts.bounds.memory_bytes
        self.capacity.take(at, -slots, -memory)
        self.presence.leave(at, live.manners)
        account = self.tree.of(live.slot)
        del account.living[name]
        self.tree.use(account, -slots, -memory)
        borrow = live.borrow
        if borrow is not None:
            borrow.left -= 1
            if not borrow.left:
                lent = self.tree.of(borrow.lender).lent
                lent[SLOTS] -= borrow.slots
                lent[MEMORY] -= borrow.memory_bytes
        self._nearer(account)
        if self.kept_quota:
            self.requota()
        self.queues.returned(ancestors(account))
        pool = self.overflow(at, -slots, -memory)
        offer = None if pool is None else self.offers.get(pool)
        if pool is None or offer is None or (offer.slots is None and offer.memory_bytes is None):
            self._emptied(at)
        else:
            self.reopen(pool)  # what its offer leaves is more, on all of its nodes
        return live

    def reopen(self, pool: tuple[str, str]) -> None:
        """Call those whom the nodes of a pool may help: more is offered there, or something was given back."""
        for at in bits(self.eligibility.pools.get(pool, 0)):
            self._emptied(at)

    def _nearer(self, account: Account) -> None:
        """A tenant gave something back: what it lacked to borrow may be less."""
        for work in list(account.borrowers):
            if work.proof is not None:
                self.queues.unproved(work)
                self.queues.not_told(work)
            if work.line is not None and work.line.lent:
                self.queues.look_at(work)

    # Nodes.

    def put_node(self, facts: NodeFacts) -> None:
        """Take a node in, or its new facts. Everybody is looked at again."""
        before = self.nodes.get(facts.node)
        self.nodes[facts.node] = facts
        at = self.eligibility.put(facts)
        there = [live.facts for live in self.living.get(facts.node, {}).values()]
        slots = facts.slots - sum(one.slots for one in there)
        self.capacity.put(at, slots, facts.memory_bytes - sum(one.bounds.memory_bytes for one in there))
        if self.kept is not None and facts.node in self.kept[0]:
            self.release_kept()
        if before is not None and (before.pool, before.operator) != (facts.pool, facts.operator):
            self.recount_overflow()
        total = self.tree.total
        more = (facts.slots, facts.memory_bytes) if before is None else (
            facts.slots - before.slots, facts.memory_bytes - before.memory_bytes
        )  # fmt: skip
        self.tree.total = [total[SLOTS] + more[SLOTS], total[MEMORY] + more[MEMORY]]
        self.renode(facts.node)
        self.epoch += 1

    def renode(self, node: str) -> None:
        """Take note that a node was drained or let in again, or is in doubt or no longer."""
        at = self.eligibility.index.get(node)
        if at is None:
            return
        bit = 1 << at
        could = self.usable & bit
        can = node not in self.drained and self.signs.usable(node)
        self.usable = self.usable | bit if can else self.usable & ~bit
        if can and not could:
            self._emptied(at)
        if not can and self.kept is not None and node in self.kept[0]:
            self.release_kept()

    def report_load(self, node: str, bucket: int) -> None:
        """Take note of the load that a node reports: with less than before it may help somebody."""
        at, before = self.eligibility.index[node], self.loads.get(node)
        self.loads[node] = bucket
        bit = 1 << at
        self.calm = [mask | bit if bucket <= limit else mask & ~bit for limit, mask in enumerate(self.calm)]
        if self.kept is not None and node in self.kept[0] and not self.admits_load(self.class_of[self.kept[1]], at):
            self.release_kept()  # who knows when it will be calm enough again
        if before is None or bucket < before:
            self._emptied(at)

    def keep(self, nodes: Sequence[int], work: WorkClass, *, quota: bool) -> None:
        """Keep for a class that was passed over too often nodes, one for each enclave, or its quota, or both."""
        if self.kept is not None:
            self.release_kept()
        self.kept_quota = quota
        self.kept = (tuple(self.eligibility.facts[at].node for at in nodes), work.head.key)
        self.kept_nodes = mask_of(nodes)
        self.requota()
        self.queues.look_at(work)  # they may have room by now, and its line doesn't speak of them any more

    def release_kept(self) -> None:
        """Let everybody have the nodes and the quota again that were kept."""
        nodes, self.kept, self.kept_nodes = bits(self.kept_nodes), None, 0
        headroom, self.headroom, self.kept_quota = self.headroom, None, False
        for at in nodes:
            self._emptied(at)
        if headroom is not None:
            self.queues.returned(headroom.accounts)

    def requota(self) -> None:
        """Take note that what hinders the class for which quota is kept may be something else."""
        if self.kept is not None and self.kept_quota:
            work = self.class_of[self.kept[1]]
            self.headroom = Headroom.at(work.account, work.all)

    def _emptied(self, at: int) -> None:
        """Call those whom what fell free on a node may help."""
        self.queues.freed(at, self.capacity.slots[at], self.capacity.memory[at])
        self._touch(at)

    def _touch(self, at: int) -> None:
        """Call those whom who lives on a node now lets in by name, and the one for whom it is kept."""
        if self.capacity.slots[at] <= 0:
            return
        queues, presence = self.queues, self.presence
        some: list[WorkClass] = []
        if at in presence.guards:
            for dao in presence.let_in(at):
                some += queues.by_dao.get(dao, ())
        if queues.guarding and at in presence.daos:
            some += [
                work for work in queues.guarding.get(next(iter(presence.daos[at])), ())
                if work.manners.guard is not None and presence.daos[at].keys() <= work.manners.guard
            ]  # fmt: skip
        if self.kept is not None:
            work = self.class_of[self.kept[1]]
            if self.kept_nodes >> at & 1 or (work.count > 1 and self._begun(work)):
                some.append(work)
        for work in some:
            if work.waits_for == NODES and self.admits(work, at):
                queues.look_at(work)

    def _begun(self, work: WorkClass) -> bool:
        """Tell whether of the nodes that are kept for a class one is ready: with any other it may be enough by now."""
        return any(self.admits(work, at) for at in bits(self.kept_nodes))

    def rebuild(self) -> None:
        """Begin anew with everybody to be looked at: nodes or the quota tree are others than before."""
        self.rebuilt = self.epoch
        self.choosable.clear()
        self.tree.resize(*self.tree.total)
        self.queues = Queues()
        for account in self.tree.accounts.values():
            account.lines.clear()
            account.borrowers.clear()
            for work in account.classes.values():
                work.order = work.line = work.proof = None
                work.waits_for = ""
                if work.members:
                    self.queues.look_at(work)

    # Instants.

    def expect(self, live: Live) -> None:
        """Note when an execution's window ends."""
        if len(self.ending) > 2 * len(self.live) + _SLACK:
            self.ending = [(live.until_ms, name) for name, live in self.live.items()]
            heapify(self.ending)
        heappush(self.ending, (live.until_ms, live.name))

    def retry(self, work: WorkClass) -> None:
        """Note when a class that waits for its tenant's tokens may have them."""
        if self.crowded(len(self.retrying)):
            self.retrying = []
            for works in self.queues.tokens.values():
                for other in works:
                    self._retry(other)
        self._retry(work)

    def _retry(self, work: WorkClass) -> None:
        slot = work.account.slot
        at_ms = self.retry_of(work)
        if at_ms is not None:
            heappush(self.retrying, (at_ms, slot))

    def retry_of(self, work: WorkClass) -> int | None:
        """Return when a class that waits for tokens is to be looked at: they suffice, or what was told has passed."""
        at_ms = self.has_tokens_at_ms(work)
        again_ms = work.again_ms if work.told == BANDWIDTH else None
        return again_ms if at_ms is None else at_ms if again_ms is None else min(at_ms, again_ms)

    def ripen(self) -> None:
        """Sort out what has come due."""
        now = self.now_ms
        while self.expiring and self.expiring[0][0] <= now:
            _, _, waiting = heappop(self.expiring)
            if self.waiting.get(waiting.key) is waiting:
                self.ripe[waiting.key] = waiting
        while self.ending and self.ending[0][0] <= now:
            until_ms, name = heappop(self.ending)
            live = self.live.get(name)
            if live is not None and live.until_ms == until_ms:
                self.overdue[name] = live
        while self.outdated and self.outdated[0][0] <= now:
            _, _, work = heappop(self.outdated)
            work.listed = False
            if work.members:
                self.queues.look_at(work)
        while self.retrying and self.retrying[0][0] <= now:
            _, slot = heappop(self.retrying)
            for work in list(self.queues.tokens.get(slot, ())):
                self.queues.look_at(work)
