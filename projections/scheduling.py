"""The scheduler's state as a projection of the whole cell: it wraps the one fold of domain.scheduling."""

from typing import Any

from domain.scheduling.state import Scheduling

NAME = "scheduling_v1"


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
        told = {"standing": state.signs.standing(name), "load_percent_bucket": state.loads.get(name)}
        rows.append({**facts.model_dump(mode="json"), **free, **told})
    return rows


def nodes_for_tenants(state: Scheduling) -> list[dict[str, Any]]:
    """Return what every tenant may know of the nodes: their own facts and whether they take work, not who is there."""
    hidden = ("free_slots", "free_memory_bytes", "load_percent_bucket")
    rows = [{name: value for name, value in row.items() if name not in hidden} for row in nodes(state)]
    return [{**row, "standing": _FOR_TENANTS.get(row["standing"], "in service")} for row in rows]


_FOR_TENANTS = {"lost": "lost", "silent": "in doubt", "capacity_claims": "in doubt"}
"""Why a node is in doubt tells what others' executions showed."""


def own_queue(state: Scheduling, slot: int) -> list[dict[str, Any]]:
    """Return which of a tenant's workloads wait, by arrival, and whether they were told why; nothing of others."""
    own = sorted((item for item in state.waiting.values() if item.slot == slot), key=lambda item: item.arrived)
    return [{"workload": item.key[1], "attempt": item.attempt, "deferred": state.told(item.key) != ""} for item in own]
