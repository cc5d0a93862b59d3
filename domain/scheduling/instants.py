"""When something comes due by time alone: expiry, windows, tokens, validity, silence.

Invariants:
- Exact: at that instant something is decided, and not before it, if nothing else happens.
"""

from heapq import heappop, heapreplace

from domain.scheduling.desk import Desk


def due_ms(state: Desk) -> int | None:
    """Return the next instant at which something comes due, if anything can."""
    instants = [
        instant
        for instant in (_expiry(state), _window(state), _validity(state), _tokens(state), state.signs.due_ms())
        if instant is not None
    ]
    return min(instants, default=None)


def _expiry(state: Desk) -> int | None:
    for waiting in state.ripe.values():
        if state.waiting.get(waiting.key) is waiting:
            return waiting.not_after_ms
    heap = state.expiring
    while heap and state.waiting.get(heap[0][2].key) is not heap[0][2]:
        heappop(heap)
    return heap[0][0] if heap else None


def _window(state: Desk) -> int | None:
    for name, due in state.overdue.items():
        if state.live.get(name) is due:
            return due.until_ms
    heap = state.ending
    while heap:
        until_ms, name = heap[0]
        live = state.live.get(name)
        if live is not None and live.until_ms == until_ms:
            return until_ms
        heappop(heap)
    return None


def _validity(state: Desk) -> int | None:
    heap = state.outdated
    while heap and not heap[0][2].members:
        heappop(heap)[2].listed = False
    return heap[0][0] if heap else None


def _tokens(state: Desk) -> int | None:
    heap = state.retrying
    while heap:
        instant, slot = heap[0]
        real = [
            at_ms for work in state.queues.tokens.get(slot, ()) if (at_ms := state.retry_of(work)) is not None
        ]  # fmt: skip
        if not real:
            heappop(heap)
        elif min(real) == instant:
            return instant
        else:
            heapreplace(heap, (min(real), slot))
    return None
