"""Whether the next of a class can be placed now, and where; else what hinders it.

Invariants:
- What was told to a class holds as long as it is true: that hindrance is looked at first. So what is decided is a
  function of the state, whenever somebody was looked at before.
- Nodes of other pools than the primary one are used when no primary node has room, never for a policy that no primary
  node satisfies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from domain.scheduling.capacity import floor
from domain.scheduling.choice import FEW, independent_choice
from domain.scheduling.classes import WorkClass
from domain.scheduling.desk import Desk
from domain.scheduling.eligibility import bits
from domain.scheduling.quotas import RESOURCES, Account, Hindrance, Loan, lends
from domain.scheduling.wake import BANDWIDTH, NODES, QUOTA, Line, Spot

_REASONS = (BANDWIDTH, QUOTA, NODES)
QUOTA_RULES = tuple(f"quota_{resource}" for resource in RESOURCES)
_RESOURCE_OF = {rule: resource for resource, rule in enumerate(QUOTA_RULES)}


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why not now; of a quota what hinders."""

    reason: str
    hindrance: Hindrance | None = None

    @property
    def rule(self) -> str:
        """What is told of it."""
        return self.reason if self.hindrance is None else QUOTA_RULES[self.hindrance.resource]

    def known(self, work: WorkClass, now_ms: int) -> bool:
        """Tell whether that is what a class was told last, and no instant that was told has passed."""
        if self.reason != work.told or self.rule != work.rule:
            return False
        return self.reason != BANDWIDTH or work.again_ms is None or work.again_ms > now_ms


@dataclass(frozen=True, slots=True)
class Chosen:
    """The nodes, by number, and what has to be borrowed."""

    nodes: tuple[int, ...]
    loan: Loan | None


def look(state: Desk, work: WorkClass) -> Blocked | Chosen:
    """Look whether the next of a class can be placed."""
    state.ensure(work)
    nodes: tuple[int, ...] = ()
    loan: Loan | None = None
    reasons = _REASONS if work.told in {"", BANDWIDTH} else (work.told, *_REASONS)
    for reason in reasons:
        if reason == BANDWIDTH:
            if not state.has_tokens(work):
                return Blocked(BANDWIDTH)
        elif reason == QUOTA:
            told, headroom = _RESOURCE_OF.get(work.rule), state.headroom
            if headroom is None or state.keeps(work):
                judged = state.tree.judge(work.account, work.slots_all, work.memory_all, told)
            else:
                judged = headroom.beside(state.tree, work.account, work.all, told)
            if isinstance(judged, Hindrance):
                return Blocked(QUOTA, judged)
            loan = judged
        elif not nodes:
            nodes = _nodes(state, work)
            if not nodes:
                return Blocked(NODES)
    return Chosen(nodes, loan)


def _nodes(state: Desk, work: WorkClass) -> tuple[int, ...]:
    capacity, presence, who = state.capacity, state.presence, work.manners
    nodes = work.eligible & state.usable & ~presence.barred(who.avoids)
    if work.calm is not None:
        nodes &= state.calm[work.calm]
    if state.kept_nodes and not state.keeps(work):
        nodes &= ~state.kept_nodes
    if who.guard is not None or nodes & presence.guarded:
        nodes = capacity.roomy(nodes, work.slots, work.memory)
        nodes &= ~presence.closed_to(who, nodes)
    primary = state.eligibility.primary
    away = nodes & ~primary if work.eligible & primary else 0
    if away:
        away &= state.standing(work.slots_all, work.memory_all)
    pools = (nodes & primary, away) if away else (nodes & primary,)
    if work.count == 1:
        for pool in pools:
            found = capacity.first(pool, work.slots, work.memory)
            if found is not None:
                return (found,)
        return ()
    facts = state.eligibility.facts
    ready = (facts[at] for pool in pools for at in capacity.all(pool, work.slots, work.memory))
    few = list(islice(ready, FEW))
    chosen = independent_choice(work.policy, few)
    if not chosen and len(few) == FEW:
        chosen = independent_choice(work.policy, [*few, *ready])
    if not chosen and state.kept_nodes and state.keeps(work):  # they would do together: a search that was given up
        kept = state.kept_nodes
        return tuple(bits(kept)) if capacity.roomy(nodes & kept, work.slots, work.memory) == kept else ()
    return tuple(state.eligibility.index[facts.node] for facts in chosen)


def hang(state: Desk, work: WorkClass, blocked: Blocked) -> None:
    """Let a class wait for what hinders it. What it was told last may hold again when all is at rest."""
    proof: Line | None = None
    if blocked.known(work, state.now_ms):
        state.queues.untold.pop(work, None)
    else:
        if blocked.reason != BANDWIDTH and work.told == QUOTA:
            there = work.line is not None and work.line.rule == work.rule
            proof = work.line if there else work.proof
        if proof is None:
            state.queues.not_told(work)
    if blocked.reason == BANDWIDTH:
        state.queues.wait(work, BANDWIDTH, None, aside=False)
        state.retry(work)
        return
    if blocked.hindrance is not None:
        line = _quota_line(state, work, blocked.hindrance)
        state.queues.wait(work, QUOTA, line, aside=line.opened(line))
        if proof is not None:
            state.queues.proved(work, proof)
        return
    # Several enclaves fit nowhere together, or not for the class that is known by name at some node: it stands aside.
    several = work.count > 1
    known = several and state.presence.knows(work.manners, work.eligible)
    line = _node_line(state, work, known=known)
    if several and not known and floor(work.memory) == work.memory:
        line.called = 0  # there is nothing for it, so there is nothing for the others of its line, who ask for no less
    state.queues.wait(work, NODES, line, aside=known or line.opened(line))
    if proof is not None:
        state.queues.proved(work, proof)


def _node_line(state: Desk, work: WorkClass, *, known: bool) -> Line:
    state.sweep()
    place = (work.eligible, work.slots, floor(work.memory))
    spot = state.queues.spots.get(place)
    if spot is None:
        spot = state.queues.spots[place] = Spot(*place)
    key = (work.level, work.manners.avoids, work.manners.guard is not None, work.count, work.distinct, known, work.calm)
    line = spot.lines.get(key)
    if line is None:
        line = spot.lines[key] = _line_for(state, work)
    return line


def _line_for(state: Desk, work: WorkClass) -> Line:
    """Return a line of classes that look for about the same room, whatever their names: none asks for less memory.

    One that asks for more than the line knows of stands aside in it while there is only so much. Whom somebody's guard
    lets in, or who is alone on a node with its own kind, is called by itself.
    """
    avoids, apart, several, slots, memory = (
        work.manners.avoids, work.manners.guard is not None, work.count > 1, work.slots, floor(work.memory)
    )  # fmt: skip
    presence, capacity, calm = state.presence, state.capacity, work.calm
    all_slots, all_memory = slots * work.count, memory * work.count

    def admits(at: int) -> bool:
        bit = 1 << at
        if calm is not None and not state.calm[calm] & bit:
            return False
        if not state.usable & bit or state.kept_nodes & bit or presence.bars(avoids, at):
            return False
        if not state.takes(at, all_slots, all_memory):
            return False
        return several or not (presence.occupied if apart else presence.guarded) & bit

    def opened(line: Line) -> bool:
        for at in bits(line.called):
            if capacity.fits(at, slots, memory) and admits(at):
                return True
            line.called &= ~(1 << at)
        return False

    return Line(work.level, opened, rule=NODES, admits=admits)


def _quota_line(state: Desk, work: WorkClass, hindrance: Hindrance) -> Line:
    state.sweep()
    account, asked = hindrance.account, (work.slots_all, floor(work.memory_all))
    lenders, resource = hindrance.lenders, hindrance.resource
    # What a tenant itself gives back is looked at by itself (Line.lent): all below one scope wait for the same lenders.
    shared = account.parent if lenders and account is work.account else account
    where = (work.level, account.slot if shared is None else shared.slot, resource)
    mine = state.headroom is not None and state.keeps(work)
    key = (*where, lenders is None, shared is account, mine, *asked)
    line = state.queues.quota_lines.get(key)
    if line is None:
        own, desk = None if shared is not account else account, None if mine else state
        if lenders is None:
            opened = _not_full(desk, account, asked, resource)
        else:
            opened = _lent(desk, own, asked, resource, lenders)
        rule = QUOTA_RULES[resource]
        line = state.queues.quota_lines[key] = Line(work.level, opened, rule=rule, lent=lenders is not None)
    for one in (shared or account, *(lenders or ())):
        one.lines[line] = None
    return line


def _not_full(state: Desk | None, account: Account, asked: tuple[int, int], resource: int) -> Callable[[Line], bool]:
    """Tell when a limit may let a class in, and (with a state) what is kept for another."""

    def opened(_: Line) -> bool:
        limit = account.limits[resource]
        if limit is not None and account.used[resource] + asked[resource] > limit.nominal + limit.borrow:
            return False
        headroom = None if state is None else state.headroom
        return headroom is None or not headroom.full(account, asked[resource], resource)

    return opened


def _lent(
    state: Desk | None, account: Account | None, asked: tuple[int, int], named: int, lenders: tuple[Account, ...]
) -> Callable[[Line], bool]:
    lending = [
        (one, resource) for one in lenders for resource, limit in enumerate(one.limits) if limit is not None
    ]  # fmt: skip

    def opened(_: Line) -> bool:
        headroom = None if state is None else state.headroom
        for one, resource in lending:
            if lends(one, resource) > 0 and not (headroom is not None and one in headroom.accounts):
                return True
        if account is None:
            return False
        limit = account.limits[named]
        return limit is None or account.used[named] + asked[named] <= limit.nominal

    return opened
