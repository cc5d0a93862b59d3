"""Decides a whole cell again, from its stored views alone, and compares with what was decided."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.executions.events import ExecutionAbandoned, ExecutionReserved, RuntimeReset
from domain.message import Event, Recorded, Sealed
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.views import view_of
from domain.workloads.events import WorkloadDeferred, WorkloadDenied, WorkloadExpired, WorkloadPlaced
from infrastructure.engine_digest import engine_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.stored_views import StoredViews

Key = tuple[int, str, int]


@dataclass
class Redecided:
    """The state folded from views, how many decisions were made again, and how many of them of logs without a key."""

    state: Scheduling = field(default_factory=Scheduling)
    decisions: int = 0
    unreadable: int = 0


def redecide(ledger: Ledger) -> Redecided:
    """Fold every stored view from the first; make each decision again where it was made; compare byte for byte."""
    found, open_decisions = Redecided(), dict[Key, Event]()
    rows = Feed(ledger.datastore).read_feed(0, 100_000)
    for row, folded in StoredViews(ledger).follow(rows):
        history = ledger.history(row.log_id, first=row.first_index, size=row.first_index + row.count)
        for recorded, (view, read) in zip(history, folded, strict=True):
            assert read is None, "every view is stored"
            key = (view["slot"], view["stream"], view["version"])
            if key not in open_decisions:
                open_decisions = _decided(found.state) if _of_the_decider(recorded, view) else {}
            if key in open_decisions:
                _compare(open_decisions[key], recorded, view)
                found.decisions += 1
                found.unreadable += isinstance(recorded.event, Sealed)
            else:
                assert not _of_the_decider(recorded, view), f"nobody would decide this: {view}"
            found.state.fold(view)
    return found


def _decided(state: Scheduling) -> dict[Key, Event]:
    made = next_act(state, engine_digest())
    return {(one.slot, str(one.stream_id), one.version): one.event for one in made}


def _of_the_decider(recorded: Recorded, view: dict[str, Any]) -> bool:
    match recorded.event:
        case WorkloadDeferred() | WorkloadPlaced() | ExecutionReserved() | WorkloadExpired():
            return True
        case WorkloadDenied():
            return recorded.event.gate == "queue"
        case ExecutionAbandoned():
            return recorded.event.reason in {"reservation_expired", "workload_ended", "node_lost"}
        case RuntimeReset():
            return recorded.event.report is None
    return view["kind"] in {"deferred", "placed", "reserved", "suspected", "lost"}


def _compare(decided: Event, recorded: Recorded, view: dict[str, Any]) -> None:
    if not isinstance(recorded.event, Sealed):
        assert decided == recorded.event
    at = Recorded(
        recorded.log_id, view["leaf"], UUID(view["stream"]), view["version"], view["at_ms"], decided, b""
    )  # fmt: skip
    assert view_of(at, view["slot"]) == view
