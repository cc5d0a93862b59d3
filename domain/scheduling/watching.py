"""The nodes' signs of life in the scheduler: what their views change, and what is decided because of them.

Invariants:
- Whatever a node that is lost still had is settled once, and its places come back by the events that settle it.
- Waiting work is looked at again when a node becomes usable or reports less load, not at every heartbeat.
"""

from collections.abc import Callable, Iterator

from domain.nodes.events import NodeLost, NodeSuspected
from domain.scheduling.desk import Desk
from domain.scheduling.silence import Held, shows_shortage
from domain.scheduling.tables import UNRELEASED, Live
from domain.scheduling.views import View


def told(state: Desk) -> Iterator[NodeSuspected | NodeLost]:
    """Yield what is to be said of nodes now, at most once of each."""
    yield from state.signs.due(state.now_ms)


def when_faulted(state: Desk, view: View, live: Live) -> None:
    """Note whether a fault shows that the node had less than the execution was given."""
    if "fault" in view and shows_shortage(view["fault"], view["fuel_bucket"], view["memory_bucket"], live.facts.bounds):
        state.signs.fell_short(live.node, live.slot, state.now_ms)
        state.renode(live.node)


def when_abandoned(state: Desk, view: View, live: Live) -> None:
    """Note that a node which reports let a place expire that it should have had."""
    if view["reason"] == "reservation_expired":
        state.signs.fell_short(live.node, live.slot, state.now_ms)
        state.renode(live.node)


def when_completed(state: Desk, view: View) -> None:
    """Note that an execution got what it was given."""
    live = state.live.get(view["execution_id"])
    if live is not None:
        state.signs.delivered(live.node)


def _when_telemetry(state: Desk, view: View) -> None:
    node = view["node"]
    facts = state.nodes.get(node)
    if facts is None:
        return  # a report of a node that the views before it do not know
    there = state.living.get(node, {})
    known = [live.facts for live in there.values() if live.phase not in UNRELEASED]
    held = Held(sum(one.slots for one in known), sum(one.bounds.memory_bytes for one in known))
    state.signs.reported(view, state.now_ms, facts, held, settled=state.gone.isdisjoint(there))
    state.renode(node)
    state.report_load(node, view["load_percent_bucket"])


def _when_lost(state: Desk, view: View) -> None:
    state.signs.given_up(view)
    state.gone |= set(state.living.get(view["node"], ()))
    state.renode(view["node"])


def _when_returned(state: Desk, view: View) -> None:
    state.signs.welcome(view["node"])
    state.drained.discard(view["node"])
    state.renode(view["node"])


def _when_suspected(state: Desk, view: View) -> None:
    state.signs.suspected(view)
    state.renode(view["node"])


def _when_monitor(state: Desk, view: View) -> None:
    named = state.monitors.get(view["slot"], ())
    if view["name"] not in named:
        state.monitors[view["slot"]] = (*named, view["name"])


HANDLERS: dict[str, Callable[[Desk, View], None]] = {
    "telemetry": _when_telemetry,
    "suspected": _when_suspected,
    "lost": _when_lost,
    "returned": _when_returned,
    "monitor": _when_monitor,
}
