"""What the demo counts and shows: a fold of the cell's events, in feed order.

It spans tenants, so it is the operator's view of a demo; no tenant ever sees such a thing (wire formats 9).
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from domain.attestation.events import PlatformEvidenceAppraised
from domain.cacs import events as cacs
from domain.executions import events as executions
from domain.message import Event, Recorded
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.quotas import events as quotas
from domain.scheduling.state import NODE_REASONS
from domain.time import rfc3339
from domain.workloads import events as workloads


@dataclass
class Standing:
    """One tenant, as counts: who waits and runs now, and what became of the rest."""

    submitted: int = 0
    waiting: int = 0
    running: int = 0
    cacs: int = 0
    denied: int = 0
    held: int = 0
    expired: int = 0


@dataclass(frozen=True, slots=True)
class Living:
    """An execution that holds a place on a node."""

    tenant: str
    workload: str
    node: str


@dataclass
class Board:
    """Counts over all logs. `names` tells which log is whose, once it is known; `nodes` are those that stand."""

    names: dict[UUID, str] = field(default_factory=dict)
    tenants: dict[str, Standing] = field(default_factory=dict)
    nodes: list[NodeFacts] = field(default_factory=list)
    living: dict[str, Living] = field(default_factory=dict)
    denied: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    placed: Counter[str] = field(default_factory=Counter)
    waited_ms: Counter[str] = field(default_factory=Counter)
    asked: dict[str, WorkloadFacts] = field(default_factory=dict)
    since_ms: dict[str, int] = field(default_factory=dict)
    clauses: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    last_denied: str = ""
    last_cac: str = ""

    def know(self, log_id: UUID, name: str) -> None:
        """Name a tenant's log."""
        self.names[log_id] = name
        self.tenants[name] = Standing()

    def fold(self, recorded: Recorded) -> None:
        """Take one event in."""
        name = self.names.get(recorded.log_id)
        handler = _HANDLERS.get(type(recorded.event))
        if name is not None and handler is not None:
            handler(self, name, recorded.event, recorded.at_ms)

    def note(self, line: str) -> None:
        """Keep a line for those who look on."""
        self.lines.append(line)


def _submitted(board: Board, name: str, event: workloads.WorkloadSubmitted, at_ms: int) -> None:  # noqa: ARG001
    board.counts["submitted"] += 1
    board.tenants[name].submitted += 1
    board.clauses[event.workload_id] = event.tenant.clause_id


def _queued(board: Board, name: str, event: workloads.WorkloadQueued, at_ms: int) -> None:
    standing = board.tenants[name]
    standing.waiting += 1
    standing.held -= event.attempt > 1
    board.asked[event.workload_id] = event.facts
    board.since_ms[event.workload_id] = at_ms


def _placed(board: Board, name: str, event: workloads.WorkloadPlaced, at_ms: int) -> None:
    standing, domain = board.tenants[name], board.asked[event.workload_id].domain
    standing.waiting -= 1
    standing.running += len(event.places)
    for place in event.places:
        board.living[place.execution_id] = Living(name, event.workload_id, place.node)
    board.order.append(domain)
    board.placed[domain] += 1
    board.waited_ms[domain] += at_ms - board.since_ms[event.workload_id]


def _deferred(board: Board, name: str, event: workloads.WorkloadDeferred, at_ms: int) -> None:  # noqa: ARG001
    board.counts["deferred"] += 1
    if event.retry_ms is not None:
        board.note(
            f"deferred: {name}, {event.rule}: have {event.have}, need {event.need}; at {rfc3339(event.retry_ms)}"
        )


def _borrowed(board: Board, name: str, event: quotas.QuotaBorrowed, at_ms: int) -> None:  # noqa: ARG001
    board.counts["borrowed"] += 1
    board.note(f"borrowed: {name} runs {event.slots} slot(s) beyond its own, lent by {event.lender}")


def _offered(board: Board, name: str, event: workloads.OverflowOffered, at_ms: int) -> None:  # noqa: ARG001
    board.counts["overflowed"] += 1
    board.note(f"overflow: {name} is offered {', '.join(event.nodes)}, as no primary node has room")


def _denied(board: Board, name: str, event: workloads.WorkloadDenied, at_ms: int) -> None:  # noqa: ARG001
    standing = board.tenants[name]
    standing.denied += 1
    if event.gate == "queue":
        standing.waiting -= 1
    board.denied[event.rule] += 1
    if event.filtered:  # the most to explain: every node, and what excluded it
        board.last_denied = event.workload_id
    told = event.reason if event.reason.startswith(event.rule) else f"{event.rule}: {event.reason}"
    line = f"{name} asked for {board.clauses[event.workload_id]}; {event.gate} gate, {told}"
    board.examples.setdefault(event.rule, line)
    board.note(f"denied: {line}")


def _expired(board: Board, name: str, event: workloads.WorkloadExpired, at_ms: int) -> None:  # noqa: ARG001
    board.counts["expired"] += 1
    board.tenants[name].waiting -= 1
    board.tenants[name].expired += 1
    board.note(f"expired: {name} wanted {board.clauses[event.workload_id]} sooner than a place fell free")


def _started(board: Board, name: str, event: executions.EnclaveStarted, at_ms: int) -> None:  # noqa: ARG001
    board.counts["executed"] += 1


def _completed(board: Board, name: str, event: executions.ExecutionCompleted, at_ms: int) -> None:  # noqa: ARG001
    board.outcomes[event.outcome] += 1


def _faulted(board: Board, name: str, event: executions.ExecutionFaulted, at_ms: int) -> None:  # noqa: ARG001
    board.counts["faulted"] += 1
    board.faults[event.kind] += 1
    living = board.living.get(event.execution_id)
    if living is None:  # it was abandoned, and its workload counts as held since
        board.note(f"held: {name}'s work was not placed again ({event.kind}: {event.detail})")
        return
    board.tenants[name].held += 1
    clause = board.clauses[living.workload]
    board.note(f"held: {name}'s {clause} ended in a fault ({event.kind}: {event.detail})")


def _freed(
    board: Board,
    name: str,
    event: executions.RuntimeReset | executions.ExecutionAbandoned,
    at_ms: int,  # noqa: ARG001
) -> None:
    board.living.pop(event.execution_id, None)
    board.tenants[name].running -= 1


def _appraised(board: Board, name: str, event: PlatformEvidenceAppraised, at_ms: int) -> None:  # noqa: ARG001
    board.counts["appraised"] += 1
    if not event.accepted:
        board.note(f"evidence refused: {name}, {event.kept.evidence_format}: {event.reason}; placed again")


def _abandoned(board: Board, name: str, event: executions.ExecutionAbandoned, at_ms: int) -> None:
    _freed(board, name, event, at_ms)
    board.tenants[name].held += event.reason in NODE_REASONS  # until it is queued again, at once


def _authorised(board: Board, name: str, event: executions.RetryAuthorized, at_ms: int) -> None:  # noqa: ARG001
    board.counts["reauthorised"] += 1
    board.note(f"re-authorised: {name}, attempt {event.next_attempt}, by {len(event.statements)} signature(s)")


def _issued(board: Board, name: str, event: cacs.CacIssued, at_ms: int) -> None:  # noqa: ARG001
    board.counts["cacs"] += 1
    board.tenants[name].cacs += 1
    board.last_cac = event.cac_id


def _rejected(board: Board, name: str, event: cacs.CacRejected, at_ms: int) -> None:  # noqa: ARG001
    board.counts["rejected"] += 1
    board.note(f"CAC rejected: {name}: {event.reason}")


def _agreed(board: Board, name: str, event: cacs.QuorumReached, at_ms: int) -> None:  # noqa: ARG001
    board.counts["quorums"] += 1
    board.note(f"quorum: {len(event.cacs)} independent enclaves of {name} agree on {event.outcome}")


def _overturned(board: Board, name: str, event: cacs.CacOverturned, at_ms: int) -> None:  # noqa: ARG001
    board.counts["overturned"] += 1
    board.note(f"overturned: {name}'s {event.cac_id} stands no more, by dispute {event.dispute_id}")


_HANDLERS: dict[type[Event], Any] = {
    workloads.WorkloadSubmitted: _submitted,
    workloads.WorkloadQueued: _queued,
    workloads.WorkloadPlaced: _placed,
    workloads.WorkloadDeferred: _deferred,
    workloads.WorkloadDenied: _denied,
    workloads.WorkloadExpired: _expired,
    PlatformEvidenceAppraised: _appraised,
    executions.EnclaveStarted: _started,
    executions.ExecutionCompleted: _completed,
    executions.ExecutionFaulted: _faulted,
    executions.RuntimeReset: _freed,
    executions.ExecutionAbandoned: _abandoned,
    executions.RetryAuthorized: _authorised,
    cacs.CacIssued: _issued,
    cacs.CacRejected: _rejected,
    cacs.QuorumReached: _agreed,
    cacs.CacOverturned: _overturned,
    quotas.QuotaBorrowed: _borrowed,
    workloads.OverflowOffered: _offered,
}
