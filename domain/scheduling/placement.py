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
    hindrance = blocked.hindrance
    line = _node_line(state, work) if hindrance is None else _quota_line(state, work, hindrance)
    state.queues.wait(work, blocked.reason, line, aside=work.count > 1 or line.opened())


def _node_line(state: Desk, work: WorkClass) -> Line:
    place = (work.eligible, work.slots, work.memory)
    spot = state.queues.spots.get(place)
    if spot is None:
        spot = state.queues.spots[place] = Spot(*place)
    avoids, apart = work.manners.avoids, work.manners.guard is not None
    key = (work.level, avoids, apart)
    line = spot.lines.get(key)
    if line is None:

        def opened() -> bool:
            presence = state.presence
            nodes = place[0] & state.usable & ~state.kept_bit & ~presence.barred(avoids)
            nodes &= ~(presence.occupied if apart else presence.guarded)
            return state.capacity.first(nodes, place[1], place[2]) is not None

        line = spot.lines[key] = Line(work.level, opened)
    return line


def _quota_line(state: Desk, work: WorkClass, hindrance: Hindrance) -> Line:
    account, asked = hindrance.account, (work.slots_all, work.memory_all)
    lenders = hindrance.lenders
    key = (work.level, account.slot, lenders is None, *asked)
    line = state.queues.quota_lines.get(key)
    if line is None:
        opened = _not_full(account, asked) if lenders is None else _lent(account, asked, lenders)
        line = state.queues.quota_lines[key] = Line(work.level, opened, lent=lenders is not None)
    for one in (account, *(lenders or ())):
        one.lines[line] = None
    return line


def _not_full(account: Account, asked: tuple[int, int]) -> Callable[[], bool]:
    def opened() -> bool:
        return all(
            limit is None or account.used[resource] + asked[resource] <= limit.nominal + limit.borrow
            for resource, limit in enumerate(account.limits)
        )

    return opened


def _lent(account: Account, asked: tuple[int, int], lenders: tuple[Account, ...]) -> Callable[[], bool]:
    def opened() -> bool:
        if any(lends(one, resource) > 0 for one in lenders for resource in (0, 1)):
            return True
        return all(
            limit is None or account.used[resource] + asked[resource] <= limit.nominal
            for resource, limit in enumerate(account.limits)
        )

    return opened
