"""Nobody is passed over for ever: turns for lower levels, and a node kept free for who is too large to slip in.

Invariants:
- A level of which somebody waits is passed over by at most LEVEL_TURN placements of higher levels; then its next class
  that can be placed goes first. With n levels, whoever is next of a level waits for fewer than LEVEL_TURN + n others.
- Of the classes that wait for room one is watched at a time, each in its turn. If BYPASSES placements in a row went to
  classes that come after it, the roomiest of its nodes takes nobody else until it is placed. One node is kept at most.
"""

from collections.abc import Iterator

from domain.scheduling.classes import WorkClass
from domain.scheduling.colocation import bits
from domain.scheduling.desk import Desk
from domain.scheduling.fairness import Turn, turn_of
from domain.scheduling.wake import NODES

LEVEL_TURN = 64
BYPASSES = 64


def urgency(state: Desk, level: int) -> tuple[int, int]:
    """Return the key by which levels are served: whose turn has come first, then from 0 on."""
    return (0 if state.passes.get(level, 0) >= LEVEL_TURN else 1), level


def count_placement(state: Desk, work: WorkClass, turn: Turn) -> None:
    """Count a placement. To be called when it has taken its place.

    Args:
        state: of which the placement is a part by now.
        work: the class that got it.
        turn: its key before it did.
    """
    level = work.level
    state.passes.pop(level, None)
    for other in state.by_level:
        if other > level:
            state.passes[other] = min(state.passes.get(other, 0) + 1, LEVEL_TURN)
    if work.told == NODES and work.members:
        count_telling(state, work)
    watched = next(_watched(state), None)
    if watched is None or state.kept is not None:
        return
    if watched is not work and (watched.level, turn_of(watched)) < (level, turn):
        watched.bypassed += 1
        if watched.bypassed >= BYPASSES:
            _keep(state, watched)
    else:
        _rotate(state, watched)


def count_telling(state: Desk, work: WorkClass) -> None:
    """Begin to watch a class that was told that it has no room, behind the others."""
    state.stamps += 1
    work.stamp, work.bypassed = state.stamps, 0
    if work.told == NODES and work.count == 1:
        state.watched.append((work.stamp, work))


def watch_list(state: Desk) -> Iterator[WorkClass]:
    """Yield the classes that are watched, in turn."""
    return (work for stamp, work in state.watched if _counts(stamp, work))


def _watched(state: Desk) -> Iterator[WorkClass]:
    while state.watched:
        stamp, work = state.watched[0]
        if _counts(stamp, work):
            yield work
            return
        state.watched.popleft()


def _counts(stamp: int, work: WorkClass) -> bool:
    return work.stamp == stamp and work.told == NODES and bool(work.members)


def _rotate(state: Desk, work: WorkClass) -> None:
    work.bypassed = 0
    state.watched.rotate(-1)


def _keep(state: Desk, work: WorkClass) -> None:
    _rotate(state, work)
    state.ensure(work)
    nodes = [
        at for at in bits(work.eligible & state.usable & state.eligibility.primary)
        if state.eligibility.facts[at].slots >= work.slots
    ]  # fmt: skip
    if nodes:
        capacity = state.capacity
        state.keep(max(nodes, key=lambda at: (capacity.slots[at], capacity.memory[at], -at)), work)
