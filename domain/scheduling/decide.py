"""The decision: a pure function of the folded state.

Invariants:
- `next_act` changes nothing that can be seen. The caller applies what it returns and asks again, until it is at rest.
- Order: what is over (domain.scheduling.ends); then waiting work by level, fair share and arrival: the first that can
  be placed is placed, or denied; when nobody can, those are told why they wait who were not told so yet.
- A denial is final and rests on the workload and on nodes' own facts; everything else waits.
"""

from domain.scheduling.acts import (
    SETUP_MS,
    deferred,
    denied,
    denied_by_nodes,
    denied_for_itself,
    named_by,
    placed,
)
from domain.scheduling.classes import WorkClass
from domain.scheduling.ends import MAX_FAILURES, over_by_now
from domain.scheduling.passing import urgency
from domain.scheduling.placement import Blocked, hang, look
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision

__all__ = ["MAX_FAILURES", "SETUP_MS", "next_act"]

_TOLD_AT_ONCE = 64
"""So many classes are told in one act why they wait."""


def next_act(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    """Return the next decisions, which are stored together, or nothing: then the state is at rest.

    Args:
        state: everything folded and applied.
        engine: digest of this engine, named by every decision.
    """
    if state.epoch != state.rebuilt:
        state.rebuild()
    state.ripen()
    return over_by_now(state, engine) or _waiting(state, engine)


def _waiting(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    while (work := _next(state)) is not None:
        found = look(state, work)
        finding = denied_for_itself(state, work)
        if finding is not None:
            return tuple(denied(state, work.head, finding, named_by(state, work, engine)))
        finding = denied_by_nodes(state, work)
        if finding is not None:
            named = named_by(state, work, engine)
            return tuple(denied(state, work.head, finding, named, work.within, work.filtered))
        if not isinstance(found, Blocked):
            return placed(state, work, found, engine)
        hang(state, work, found)
    return _told(state, engine)


def _next(state: Scheduling) -> WorkClass | None:
    """Return who is next of those who have to be looked at."""
    levels = state.queues.levels()
    if len(levels) > 1:
        levels.sort(key=lambda level: urgency(state, level))
    for level in levels:
        work = state.queues.best(level)
        if work is not None:
            return work
    return None


def _told(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    """Tell the heads of classes why they wait, where that is not what they were told last."""
    made: list[Decision] = []
    count = 0
    for work in state.queues.to_tell():
        if count == _TOLD_AT_ONCE:
            break
        found = look(state, work)
        if not isinstance(found, Blocked):
            state.queues.look_at(work)
            return _waiting(state, engine)
        if found.reason != work.waits_for or found.hindrance is not None:
            hang(state, work, found)
        if found.known(work, state.now_ms):
            state.queues.untold.pop(work, None)
            continue
        made += deferred(state, work, found, engine)
        count += 1
    return tuple(made)
