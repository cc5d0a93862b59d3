"""The nodes' signs of life in the scheduler: what their views change, and what is decided because of them.

Invariants:
- Whatever a node that is lost still had is settled once, and its places come back by the events that settle it.
- Waiting work is looked at again when a node becomes usable, not at every heartbeat.
"""

from collections.abc import Callable, Iterator

from domain.nodes.events import NodeLost, NodeSuspected
from domain.scheduling.silence import Held, shows_shortage
from domain.scheduling.tables import Live, Tables
from domain.scheduling.views import View


def told(state: Tables) -> Iterator[NodeSuspected | NodeLost]:
    """Yield what is to be said of nodes now, at most once of each."""
    yield from state.signs.due(state.now_ms)


def when_faulted(state: Tables, view: View, live: Live) -> None:
    """Note whether a fault shows that the node had less than the execution was given."""
    if "fault" in view and shows_shortage(
        view["fault"], view["fuel_bucket"], view["memory_bucket"], live.queued.facts.bounds
    ):
        state.signs.fell_short(live.node, live.slot, state.now_ms)


def when_abandoned(state: Tables, view: View, live: Live) -> None:
    """Note that a node which reports let a place expire that it should have had."""
    if view["reason"] == "reservation_expired":
        state.signs.fell_short(live.node, live.slot, state.now_ms)


def when_completed(state: Tables, view: View) -> None:
    """Note that an execution got what it was given."""
    live = state.live.get(view["execution_id"])
    if live is not None:
        state.signs.delivered(live.node)


def _when_telemetry(state: Tables, view: View) -> None:
    node = view["node"]
    facts = state.nodes.get(node)
    if facts is None:
        return  # a report of a node that the views before it do not know
    there = {name: live for name, live in state.live.items() if live.node == node}
    known = [live.queued.facts for live in there.values() if live.phase != "reserved"]
    held = Held(sum(one.slots for one in known), sum(one.bounds.memory_bytes for one in known))
    usable = state.signs.usable(node)
    state.signs.reported(view, state.now_ms, facts, held, settled=state.gone.isdisjoint(there))
    state.stirred = state.stirred or state.signs.usable(node) > usable


def _when_lost(state: Tables, view: View) -> None:
    state.signs.given_up(view)
    state.gone |= {name for name, live in state.live.items() if live.node == view["node"]}


def _when_returned(state: Tables, view: View) -> None:
    state.signs.welcome(view["node"])
    state.drained.discard(view["node"])


def _when_monitor(state: Tables, view: View) -> None:
    named = state.monitors.get(view["slot"], ())
    if view["name"] not in named:
        state.monitors[view["slot"]] = (*named, view["name"])


HANDLERS: dict[str, Callable[[Tables, View], None]] = {
    "telemetry": _when_telemetry,
    "suspected": lambda state, view: state.signs.suspected(view),
    "lost": _when_lost,
    "returned": _when_returned,
    "monitor": _when_monitor,
}

INERT_KINDS = frozenset({"telemetry", "suspected", "lost", "monitor"})
"""Kinds that free no place by themselves."""
