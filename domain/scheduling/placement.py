"""Whether the next of a class can be placed now, and where; else what hinders it.

Invariants:
- What was told to a class holds as long as it is true: that hindrance is looked at first. So what is decided is a
  function of the state, whenever somebody was looked at before.
- Nodes of other pools than the primary one are used when no primary node has room, never for a policy that no primary
  node satisfies.
"""

from collections.abc import Callable
from dataclasses import dataclass

from domain.scheduling import tokens
from domain.scheduling.choice import independent_choice
from domain.scheduling.classes import WorkClass
from domain.scheduling.colocation import bits
from domain.scheduling.desk import Desk
from domain.scheduling.quotas import Account, Hindrance, Loan, lends
from domain.scheduling.wake import BANDWIDTH, NODES, QUOTA, Line, Spot

_REASONS = (BANDWIDTH, QUOTA, NODES)


@dataclass(frozen=True, slots=True)
class Blocked:
    """Why not now; of a quota what hinders."""

    reason: str
    hindrance: Hindrance | None = None


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
            if _without_tokens(state, work):
                return Blocked(BANDWIDTH)
        elif reason == QUOTA:
            judged = state.tree.judge(work.account, work.slots_all, work.memory_all)
            if isinstance(judged, Hindrance):
                return Blocked(QUOTA, judged)
            loan = judged
        elif not nodes:
            nodes = _nodes(state, work)
            if not nodes:
                return Blocked(NODES)
    return Chosen(nodes, loan)


def _without_tokens(state: Desk, work: WorkClass) -> bool:
    slot = work.account.slot
    grant = state.bandwidths.get(slot)
    return grant is not None and not tokens.passes(grant, state.spent.get(slot, 0), work.slots_all, state.now_ms)


def _nodes(state: Desk, work: WorkClass) -> tuple[int, ...]:
    capacity, presence, who = state.capacity, state.presence, work.manners
    nodes = work.eligible & state.usable & ~presence.barred(who.avoids)
    if state.kept_bit and not state.keeps(work):
        nodes &= ~state.kept_bit
    if who.guard is not None or nodes & presence.guarded:
        nodes = capacity.roomy(nodes, work.slots, work.memory)
        nodes &= ~presence.closed_to(who, nodes)
    primary = state.eligibility.primary
    pools = [nodes & primary]
    if work.eligible & primary & state.undrained:
        pools.append(nodes & ~primary)
    if work.count == 1:
        for pool in pools:
            found = capacity.first(pool, work.slots, work.memory)
            if found is not None:
                return (found,)
        return ()
    ready = [at for pool in pools for at in capacity.all(pool, work.slots, work.memory)]
    chosen = independent_choice(work.policy, [state.eligibility.facts[at] for at in ready])
    return tuple(state.eligibility.index[facts.node] for facts in chosen)


def hang(state: Desk, work: WorkClass, blocked: Blocked) -> None:
    """Let a class wait for what hinders it."""
    if blocked.reason == work.told:
        state.queues.untold.pop(work, None)
    else:
        state.queues.untold[work] = None
    if blocked.reason == BANDWIDTH:
        state.queues.wait(work, BANDWIDTH, None, aside=False)
        state.retry(work)
        return
    if blocked.hindrance is not None:
        line = _quota_line(state, work, blocked.hindrance)
        state.queues.wait(work, QUOTA, line, aside=line.opened(line))
        return
    # Several enclaves fit nowhere together, or not for the class that is known by name at some node: it stands aside.
    several = work.count > 1
    known = several and state.presence.knows(work.manners, work.eligible)
    line = _node_line(state, work, known=known)
    if several and not known:
        line.called = 0  # there is nothing for it, so there is nothing for the others of its line
    state.queues.wait(work, NODES, line, aside=known or line.opened(line))


def _node_line(state: Desk, work: WorkClass, *, known: bool) -> Line:
    place = (work.eligible, work.slots, work.memory)
    spot = state.queues.spots.get(place)
    if spot is None:
        spot = state.queues.spots[place] = Spot(*place)
    key = (work.level, work.manners.avoids, work.manners.guard is not None, work.count, work.distinct, known)
    line = spot.lines.get(key)
    if line is None:
        line = spot.lines[key] = _line_for(state, work)
    return line


def _line_for(state: Desk, work: WorkClass) -> Line:
    """Return a line of classes that look for the same room, whatever their names.

    Whom somebody's guard lets in, or who is alone on a node with its own kind, is called by itself.
    """
    avoids, apart, several, slots, memory = (
        work.manners.avoids, work.manners.guard is not None, work.count > 1, work.slots, work.memory
    )  # fmt: skip
    presence, capacity = state.presence, state.capacity

    def admits(at: int) -> bool:
        bit = 1 << at
        if not state.usable & bit or state.kept_bit & bit or presence.bars(avoids, at):
            return False
        return several or not (presence.occupied if apart else presence.guarded) & bit

    def opened(line: Line) -> bool:
        for at in bits(line.called):
            if capacity.fits(at, slots, memory) and admits(at):
                return True
            line.called &= ~(1 << at)
        return False

    return Line(work.level, opened, admits=admits)


def _quota_line(state: Desk, work: WorkClass, hindrance: Hindrance) -> Line:
    account, asked = hindrance.account, (work.slots_all, work.memory_all)
    lenders = hindrance.lenders
    # What a tenant itself gives back is looked at by itself (Line.lent): all below one scope wait for the same lenders.
    shared = account.parent if lenders and account is work.account else account
    key = (work.level, account.slot if shared is None else shared.slot, lenders is None, *asked)
    line = state.queues.quota_lines.get(key)
    if line is None:
        own = None if shared is not account else account
        opened = _not_full(account, asked) if lenders is None else _lent(own, asked, lenders)
        line = state.queues.quota_lines[key] = Line(work.level, opened, lent=lenders is not None)
    for one in (shared or account, *(lenders or ())):
        one.lines[line] = None
    return line


def _not_full(account: Account, asked: tuple[int, int]) -> Callable[[Line], bool]:
    def opened(_: Line) -> bool:
        return all(
            limit is None or account.used[resource] + asked[resource] <= limit.nominal + limit.borrow
            for resource, limit in enumerate(account.limits)
        )

    return opened


def _lent(account: Account | None, asked: tuple[int, int], lenders: tuple[Account, ...]) -> Callable[[Line], bool]:
    lending = [
        (one, resource) for one in lenders for resource, limit in enumerate(one.limits) if limit is not None
    ]  # fmt: skip

    def opened(_: Line) -> bool:
        for one, resource in lending:
            if lends(one, resource) > 0:
                return True
        return account is not None and all(
            limit is None or account.used[resource] + asked[resource] <= limit.nominal
            for resource, limit in enumerate(account.limits)
        )

    return opened
