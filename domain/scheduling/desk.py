"""The few ways in which the tables, and all that is worked out from them, move on together.

Invariants:
- What is worked out follows the tables at every step: room, presence, usage, classes, instants.
- Whatever gives somebody more room, more quota or other rules calls exactly those whom it may help (domain.scheduling.
  wake). What takes away calls nobody, unless it lets in whom it did not before: a guard that names DAOs.
"""

from heapq import heapify, heappop, heappush

from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts
from domain.scheduling.choice import independent_choice
from domain.scheduling.classes import WorkClass
from domain.scheduling.colocation import bits
from domain.scheduling.quotas import MEMORY, SLOTS, Account, ancestors
from domain.scheduling.tables import PAST, Key, Live, Shape, Waiting
from domain.scheduling.tokens import retry_ms
from domain.scheduling.wake import NODES, Queues
from domain.scheduling.workings import Workings
from domain.time import MAX_INSTANT_MS
from domain.workloads.events import FilteredNodes

_SHAPES = 4096
"""So many classes of a tenant are remembered while they are empty."""

_SLACK = 4096
"""Entries of a heap that may be out of date before it is made anew."""


class Desk(Workings):
    """Moves tables and workings on."""

    # Who waits.

    def enqueue(self, waiting: Waiting) -> None:
        """Let a workload wait."""
        account = self.tree.of(waiting.slot)
        self.waiting[waiting.key] = waiting
        account.waiting[waiting.key] = None
        if len(self.expiring) > 2 * len(self.waiting) + _SLACK:
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
        work = self.class_of.pop(key)
        work.take(key)
        self._count(work, -1)
        if not work.members:
            self._dissolve(work)
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
        for key in account.waiting:
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
            if len(account.classes) >= _SHAPES:
                account.classes = {name: one for name, one in account.classes.items() if one.members}
            account.classes[key] = work
        if len(account.shapes) >= _SHAPES:
            account.shapes.clear()
        account.shapes[shape] = work
        return work

    def _dissolve(self, work: WorkClass) -> None:
        self.queues.leave(work)
        self.queues.untold.pop(work, None)
        work.told = ""

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
        self.queues.returned(ancestors(account))
        self._emptied(at)
        return live

    def _nearer(self, account: Account) -> None:
        """A tenant's share shrank: its classes may be nearer their turn, and what it lacked to borrow may be less."""
        for work in account.classes.values():
            if work.members:
                if work.line is not None and work.line.lent:
                    self.queues.look_at(work)
                elif work.order is not None:
                    work.order.push(work)

    # Nodes.

    def put_node(self, facts: NodeFacts) -> None:
        """Take a node in, or its new facts. Everybody is looked at again."""
        before = self.nodes.get(facts.node)
        self.nodes[facts.node] = facts
        at = self.eligibility.put(facts)
        there = [live.facts for live in self.living.get(facts.node, {}).values()]
        slots = facts.slots - sum(one.slots for one in there)
        self.capacity.put(at, slots, facts.memory_bytes - sum(one.bounds.memory_bytes for one in there))
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
        was = self.undrained & bit
        self.undrained = self.undrained | bit if node not in self.drained else self.undrained & ~bit
        if was != self.undrained & bit:
            self.epoch += 1
        could = self.usable & bit
        can = node not in self.drained and self.signs.usable(node)
        self.usable = self.usable | bit if can else self.usable & ~bit
        if can and not could:
            self._emptied(at)
        if not can and self.kept is not None and self.kept[0] == node:
            self.release_kept()

    def keep(self, at: int, work: WorkClass) -> None:
        """Keep a node free for a class that was passed over too often."""
        self.kept = (self.eligibility.facts[at].node, work.head.key)
        self.kept_bit = 1 << at
        self.queues.look_at(work)  # the node may have room by now, and its line doesn't speak of it any more

    def release_kept(self) -> None:
        """Let everybody have the node again that was kept."""
        bit, self.kept, self.kept_bit = self.kept_bit, None, 0
        if bit:
            self._emptied(bit.bit_length() - 1)

    def admits(self, work: WorkClass, at: int) -> bool:
        """Tell whether a node could take one enclave of a class now."""
        bit = 1 << at
        if not (work.eligible & self.usable & bit and self.capacity.fits(at, work.slots, work.memory)):
            return False
        if self.kept_bit & bit and not self.keeps(work):
            return False
        if self.presence.barred(work.manners.avoids) & bit:
            return False
        return not self.presence.closed_to(work.manners, bit)

    def keeps(self, work: WorkClass) -> bool:
        """Tell whether a node is kept free for this class."""
        return self.kept is not None and self.kept[1] in work.members

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
        if self.kept is not None and self.kept_bit >> at & 1:
            some.append(self.class_of[self.kept[1]])
        for work in some:
            if work.waits_for == NODES and self.admits(work, at):
                queues.look_at(work)

    def rebuild(self) -> None:
        """Begin anew with everybody to be looked at: nodes or the quota tree are others than before."""
        self.rebuilt = self.epoch
        self.tree.resize(*self.tree.total)
        self.queues = Queues()
        for account in self.tree.accounts.values():
            account.lines.clear()
            for work in account.classes.values():
                work.order = work.line = None
                work.waits_for = ""
                if work.members:
                    self.queues.look_at(work)

    def ensure(self, work: WorkClass) -> None:
        """Work out, if nodes have changed since, which nodes a class could run on and what excludes the others."""
        if work.epoch == self.epoch:
            return
        work.epoch = self.epoch
        demands = self.eligibility.by_demand(work.policy, work.facts)
        work.eligible = -1
        for _, mask in demands:
            work.eligible &= mask
        there = self.undrained & self.eligibility.primary
        counts = [(name, (there & ~mask).bit_count()) for name, mask in demands]
        work.filtered = tuple(FilteredNodes(rule=name, nodes=count) for name, count in sorted(counts) if count)
        work.within = there.bit_count()
        could = work.eligible & there
        if work.count > 1 and could:
            nodes = [self.eligibility.facts[at] for at in bits(could)]
            work.ever = bool(independent_choice(work.policy, nodes))
        else:
            work.ever = bool(could)

    # Instants.

    def expect(self, live: Live) -> None:
        """Note when an execution's window ends."""
        if len(self.ending) > 2 * len(self.live) + _SLACK:
            self.ending = [(live.until_ms, name) for name, live in self.live.items()]
            heapify(self.ending)
        heappush(self.ending, (live.until_ms, live.name))

    def retry(self, work: WorkClass) -> None:
        """Note when a class that waits for its tenant's tokens may have them."""
        slot = work.account.slot
        grant = self.bandwidths[slot]
        at_ms = retry_ms(grant, self.spent.get(slot, 0), work.slots_all, self.now_ms)
        if at_ms is not None:
            heappush(self.retrying, (at_ms, slot))

    def bury(self, slot: int, prefixed_id: str) -> None:
        """Forget the version of a stream that nothing is decided on any more, once PAST others have ended after it."""
        digits = prefixed_id[-32:]
        stream = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        if (slot, stream) in self.versions:
            self.past.pop((slot, stream), None)
            self.past[slot, stream] = None
            if len(self.past) > PAST:
                oldest = next(iter(self.past))
                del self.past[oldest]
                del self.versions[oldest]

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
