"""Nobody is passed over for ever: turns for lower levels; nodes, quota and tokens kept for who has no luck.

Invariants:
- A level of which somebody waits is passed over by at most LEVEL_TURN placements of higher levels; then its next class
  that can be placed goes first. With n levels, whoever is next of a level waits for fewer than LEVEL_TURN + n others.
- Of the classes that were told that they have no room, or that a quota which they share is used up, whatever their
  level, size and number of enclaves, the one that was told or served longest ago is next. Once BYPASSES placements went
  to others since, and since something was kept last, that is kept for it until it is placed: of quota what it needs
  (domain.scheduling.headroom), of nodes as many as it has enclaves, on which it could run together. If it turns out
  to lack the other, too, that is kept as well; quota is not let go again, nodes are while it lacks quota. So a class
  before which m others were told waits for at most (m + 1) * BYPASSES placements, and for those whose windows are open
  where it is kept, once for quota and twice for nodes: each comes to its end, and nobody follows.
- It is kept for one class at a time, and for at most one in BYPASSES placements: that bounds what it costs.
- Its tenant's own limit and its tenant's tokens are nobody else's: nothing is kept of others for who lacks those.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice

from domain.scheduling.choice import FEW, independent_choice
from domain.scheduling.classes import WorkClass
from domain.scheduling.desk import Desk
from domain.scheduling.headroom import fits_alone, is_full
from domain.scheduling.wake import NODES, QUOTA

LEVEL_TURN = 64
BYPASSES = 64
WATCHED = frozenset({NODES, QUOTA})
"""The reasons for which something is kept for a class."""


def urgency(state: Desk, level: int) -> tuple[int, int]:
    """Return the key by which levels are served: whose turn has come first, then from 0 on."""
    return (0 if state.passes.get(level, 0) >= LEVEL_TURN else 1), level


def count_placement(state: Desk, work: WorkClass) -> None:
    """Count a placement. To be called when it has taken its place.

    Args:
        state: of which the placement is a part by now.
        work: the class that got it.
    """
    level = work.level
    work.repeats = 0
    state.placements += 1
    state.passes.pop(level, None)
    for other in state.by_level:
        if other > level:
            state.passes[other] = min(state.passes.get(other, 0) + 1, LEVEL_TURN)
    if work.told in WATCHED and work.members:
        count_telling(state, work)
    if state.kept is None and state.placements - state.kept_from >= BYPASSES:
        _keep_for_next(state)


def count_telling(state: Desk, work: WorkClass) -> None:
    """Begin to watch a class that was told that it has no room, behind the others."""
    state.stamps += 1
    work.stamp, work.since = state.stamps, state.placements
    if work.told in WATCHED:
        if state.crowded(len(state.watched)):
            state.watched = deque(item for item in state.watched if _counts(*item))
        state.watched.append((work.stamp, work))


def watch_list(state: Desk) -> Iterator[WorkClass]:
    """Yield the classes that are watched, the next one first."""
    return (work for stamp, work in state.watched if _counts(stamp, work))


def _counts(stamp: int, work: WorkClass) -> bool:
    return work.stamp == stamp and work.told in WATCHED and bool(work.members)


def _keep_for_next(state: Desk) -> None:
    """Keep nodes for the next class that is watched, if it is time. From then on it is last, even if none would do."""
    watched = state.watched
    while watched and not _counts(*watched[0]):
        watched.popleft()
    if not watched:
        return
    _, work = watched[0]
    if state.placements - work.since < BYPASSES:
        return
    state.kept_from = state.placements
    watched.popleft()
    count_telling(state, work)
    nodes = _together(state, work)
    if nodes and (work.told == NODES or _may_have_quota(work)):
        state.keep(nodes if work.told == NODES else (), work, quota=work.told == QUOTA)


def keep_other(state: Desk, work: WorkClass) -> None:
    """Keep on for the class for which something is kept what it lacks now: it was told another reason."""
    if work.told == QUOTA and _may_have_quota(work):
        state.keep(
            (), work, quota=True
        )  # its nodes would only stand idle until it has its quota, which it will not lose again
    elif work.told == NODES and (nodes := _together(state, work)):
        state.keep(nodes, work, quota=state.kept_quota)
    else:
        state.release_kept()  # its tokens may take longer than others can be made to wait


def keep_on(state: Desk) -> None:
    """Keep quota on as the tree is now, unless that is of no use any more."""
    if state.kept is not None and state.kept_quota:
        if _may_have_quota(state.class_of[state.kept[1]]):
            state.requota()
        else:
            state.release_kept()


def _may_have_quota(work: WorkClass) -> bool:
    """Tell whether it is not its tenant's own limit that is in its way, and others can make way for it above."""
    return not is_full(work.account, work.all) and fits_alone(work.account, work.all)


def _together(state: Desk, work: WorkClass) -> tuple[int, ...]:
    """Return nodes on which a class could run if nobody else was there, the roomiest; none where there are none."""
    state.ensure(work)
    nodes = work.eligible & state.usable & state.eligibility.primary
    if work.calm is not None:
        nodes &= state.calm[work.calm]
    ready = state.capacity.roomiest(nodes)
    if work.count == 1:
        return tuple(islice(ready, 1))
    facts = state.eligibility.facts
    few = [facts[at] for at in islice(ready, FEW)]
    chosen = independent_choice(work.policy, few)
    if not chosen and len(few) == FEW:
        chosen = independent_choice(work.policy, [*few, *(facts[at] for at in ready)])
    return tuple(state.eligibility.index[one.node] for one in chosen)
