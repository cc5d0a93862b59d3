"""The scheduler's state as a projection of the whole cell: it wraps the one fold of domain.scheduling."""

from collections.abc import Iterable
from typing import Any

from domain.message import Recorded
from domain.scheduling.state import Scheduling
from domain.scheduling.views import view_of

NAME = "scheduling_v1"


def folded(history: Iterable[tuple[int, Recorded]]) -> Scheduling:
    """Fold (slot, event) pairs in feed order."""
    state = Scheduling()
    for slot, recorded in history:
        state.fold(view_of(recorded, slot))
    return state


def queue(state: Scheduling) -> list[dict[str, Any]]:
    """Return who waits, in the order in which they would be served. For the operator: it spans tenants, by slot."""
    waiting = sorted(state.waiting.values(), key=lambda w: (state.level(w.facts), w.arrived))
    return [
        {
            "slot": item.slot,
            "workload": item.key[1],
            "attempt": item.attempt,
            "level": state.level(item.facts),
            "deferred": state.told(item.key) != "",
        }
        for item in waiting
    ]


def nodes(state: Scheduling) -> list[dict[str, Any]]:
    """Return every node with its facts and what is free on it."""
    rows = []
    for name, facts in sorted(state.nodes.items()):
        slots, memory = state.free(facts)
        free = {"free_slots": slots, "free_memory_bytes": memory, "drained": name in state.drained}
        rows.append({**facts.model_dump(mode="json"), **free})
    return rows
