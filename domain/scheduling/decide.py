"""The decision: a pure function of the folded state.

Invariants:
- `next_act` changes nothing that can be seen. The caller applies what it returns and asks again, until it is at rest.
- Order: what has expired, what has not begun of a tenant whose erasure is ordered, what an ended attempt leaves behind,
  then waiting workloads by (level, arrival).
- A denial is final and rests on the workload and on nodes' own facts; everything else waits as `no_node_now`.
- A decision about a tenant goes into that tenant's log and names nobody else (wire formats 9).
"""

from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

from domain.cacs.events import QuorumFailed
from domain.executions.decisions import notices
from domain.executions.events import ExecutionAbandoned, ExecutionFaulted, ExecutionReserved, RuntimeReset
from domain.identifiers import PLATFORM_SLOT, cac_id_of_execution, execution_id, node_stream, stream_of
from domain.message import Event
from domain.policies.facts import NodeFacts
from domain.policies.feasible import Finding, findings_of_workload, independent_count
from domain.policies.kinds import Policy
from domain.scheduling import watching
from domain.scheduling.placement import Candidates, eligible_nodes, independent_choice, places_now
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision, Live, Waiting
from domain.time import MINUTE_MS, TICK_MS, tick_of
from domain.workloads.events import (
    Place,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadExpired,
    WorkloadPlaced,
    WorkloadQueued,
)

SETUP_MS = 10 * MINUTE_MS
"""What a node has for evidence, release and reset besides the clause's own wall-clock bound."""

MAX_FAILURES = 3
"""Attempts that may end for a node's reason before the workload is given up."""


def next_act(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    """Return the next decisions, which are stored together, or nothing: then the state is at rest.

    Args:
        state: everything folded and applied.
        engine: digest of this engine, named by every decision.
    """
    # One kind at a time: an execution that is overdue and over as well must not get two events at one version.
    for settled in (
        _expired(state, engine),
        _told(state),
        _gone(state),
        _closed(state, engine),
        _over(state),
        _again(state, engine),
        _unsettled(state, engine),
    ):
        decisions = tuple(settled)
        if decisions:
            return decisions
    return _waiting(state, engine) if state.stirred else ()


def _waiting(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    deferrals: list[Decision] = []
    heads: set[str] = set()
    for waiting in sorted(state.waiting.values(), key=lambda w: (state.level(w.queued.facts), w.arrived)):
        version, policy = state.effective(waiting)
        key = waiting.queued.facts.class_key(policy, waiting.slot)
        if key in heads:
            continue  # it waits behind the head of its own class
        heads.add(key)
        named = _named(state, waiting, version, policy, engine)
        denied = _denied_for_itself(state, waiting, policy, named)
        if denied:
            return (denied,)
        candidates = eligible_nodes(state, waiting, policy)
        if candidates.nodes and not independent_choice(policy, candidates.eligible):
            return (_denied_by_nodes(state, waiting, policy, candidates, named),)
        chosen = places_now(state, waiting, policy, candidates.eligible)
        if chosen:
            return tuple(_placed(state, waiting, chosen, named))
        if waiting.key not in state.deferred:
            deferrals.append(_deferred(state, waiting, candidates, named))
    if not deferrals:
        state.stirred = False  # only what was worked out is remembered: the state is what it was
    return tuple(deferrals)


def _expired(state: Scheduling, engine: str) -> Iterator[Decision]:
    for waiting in list(state.waiting.values()):
        if waiting.queued.not_after_ms <= state.now_ms:
            version, policy = state.effective(waiting)
            event = WorkloadExpired(
                workload_id=waiting.queued.workload_id, **_named(state, waiting, version, policy, engine)
            )
            yield _on(state, waiting.slot, stream_of(waiting.queued.workload_id), event)
    for execution, live in sorted(state.live.items()):
        if live.until_ms <= state.now_ms:
            yield from _overdue(state, execution, live)


def _overdue(state: Scheduling, execution: str, live: Live) -> Iterator[Decision]:
    return _ended(state, execution, live, "reservation_expired", "no report within the window")


def _ended(
    state: Scheduling, execution: str, live: Live, reason: Literal["reservation_expired", "node_lost"], detail: str
) -> Iterator[Decision]:
    """End an execution that its node says nothing more of, as the phase demands that it is in."""
    stream = stream_of(execution)
    if live.phase == "reserved":
        yield _on(state, live.slot, stream, ExecutionAbandoned(execution_id=execution, reason=reason))
        return
    if live.phase == "finished":  # the node never reported its reset, and would be refused now as late
        yield _on(state, live.slot, stream, RuntimeReset(execution_id=execution, report=None))
        return
    fault = ExecutionFaulted(
        execution_id=execution, kind="node_lost", detail=detail, report=None,
        fuel_bucket=0, memory_bucket=0,
    )  # fmt: skip
    told = notices(live.resident.policy, execution, fault.kind, state.monitors.get(live.slot, ()))
    for after, event in enumerate((fault, *told, RuntimeReset(execution_id=execution, report=None))):
        yield _on(state, live.slot, stream, event, after=after)


def _told(state: Scheduling) -> Iterator[Decision]:
    """Say of nodes that they are in doubt, or lost."""
    for event in watching.told(state):
        yield _on(state, PLATFORM_SLOT, node_stream(event.node), event)


def _gone(state: Scheduling) -> Iterator[Decision]:
    """End what a lost node still had: what has its inputs is a fault, what has not is placed again."""
    for execution in sorted(state.gone):
        yield from _ended(state, execution, state.live[execution], "node_lost", "the node is lost")


def _closed(state: Scheduling, engine: str) -> Iterator[Decision]:
    """End what has not begun of tenants whose erasure is ordered; what has its inputs comes to its own end."""
    for waiting in list(state.waiting.values()):
        if waiting.slot in state.closed:
            yield _withdrawn(state, waiting.slot, waiting.queued, engine)
    placed = {
        live.key: live for name, live in state.live.items() if live.slot in state.closed and name not in state.over
    }
    for key, live in sorted(placed.items()):
        if key not in state.ran:
            yield _withdrawn(state, live.slot, live.queued, engine)


def _withdrawn(state: Scheduling, slot: int, queued: WorkloadQueued, engine: str) -> Decision:
    finding = Finding("erasure_ordered", "workload", False, "an erasure that is ordered", "a tenant that takes work")  # noqa: FBT003
    waiting = Waiting(slot, queued, 0)
    named = _named(state, waiting, *state.effective(waiting), engine)
    return _denied(state, waiting, finding, Candidates((), 0, (), None), named)


def _over(state: Scheduling) -> Iterator[Decision]:
    for execution in sorted(state.over):
        event = ExecutionAbandoned(execution_id=execution, reason="workload_ended")
        yield _on(state, state.live[execution].slot, stream_of(execution), event)


def _again(state: Scheduling, engine: str) -> Iterator[Decision]:
    """Place an attempt again that ended for a node's reason, at most MAX_FAILURES times."""
    for (slot, workload), queued in sorted(state.again.items(), key=lambda item: item[0]):
        failures = state.failures[slot, workload]
        if slot in state.closed:
            yield _withdrawn(state, slot, queued, engine)
            continue
        if failures < MAX_FAILURES:
            event: Event = queued.model_copy(update={"attempt": queued.attempt + 1})
        else:
            waiting = Waiting(slot, queued, 0)
            named = _named(state, waiting, *state.effective(waiting), engine)
            event = WorkloadDenied(
                workload_id=workload, gate="provisioning", rule="node_failures",
                reason=f"{MAX_FAILURES} attempts ended before inputs were released", have=f"{failures}",
                need=f"fewer than {MAX_FAILURES}", nodes=0, filtered=(), **named,
            )  # fmt: skip
        yield _on(state, slot, stream_of(workload), event)


def _unsettled(state: Scheduling, engine: str) -> Iterator[Decision]:
    """Say of an attempt of several enclaves, some of which had their inputs, that it will never agree."""
    for key, queued in sorted(state.unsettled.items(), key=lambda item: item[0]):
        waiting = Waiting(key[0], queued, 0)
        event = QuorumFailed(
            workload_id=key[1],
            attempt=queued.attempt,
            cacs=state.attempts[key][1],
            reason="fault",
            **_named(state, waiting, *state.effective(waiting), engine),
        )
        yield _on(state, key[0], stream_of(key[1]), event)


def _denied_for_itself(state: Scheduling, waiting: Waiting, policy: Policy, named: dict[str, Any]) -> Decision | None:
    findings = findings_of_workload(policy, waiting.queued.facts, state.now_ms)
    failed = next((finding for finding in findings if not finding.passed), None)
    return _denied(state, waiting, failed, Candidates((), 0, (), None), named) if failed else None


def _denied_by_nodes(
    state: Scheduling, waiting: Waiting, policy: Policy, candidates: Candidates, named: dict[str, Any]
) -> Decision:
    count, distinct = independent_count(policy)
    finding = candidates.dominant
    if candidates.eligible or finding is None:
        need = f"{count} nodes distinct in {', '.join(distinct)}"
        finding = Finding("independent_attestations", "node", False, f"{len(candidates.eligible)} nodes", need)  # noqa: FBT003
    return _denied(state, waiting, finding, candidates, named)


def _denied(
    state: Scheduling, waiting: Waiting, finding: Finding, candidates: Candidates, named: dict[str, Any]
) -> Decision:
    event = WorkloadDenied(
        workload_id=waiting.queued.workload_id,
        gate="queue",
        rule=finding.rule,
        reason=f"{finding.rule}: have {finding.have}, need {finding.need}",
        have=finding.have,
        need=finding.need,
        nodes=candidates.nodes,
        filtered=candidates.filtered,
        **named,
    )
    return _on(state, waiting.slot, stream_of(waiting.queued.workload_id), event)


def _deferred(state: Scheduling, waiting: Waiting, candidates: Candidates, named: dict[str, Any]) -> Decision:
    event = WorkloadDeferred(
        workload_id=waiting.queued.workload_id,
        attempt=waiting.queued.attempt,
        reason="no_node_now",
        rule="no_node_now",
        have="",
        need="",
        place=1,
        retry_ms=None,
        wake="when a place falls free, a node joins, or policy changes",
        nodes=candidates.nodes,
        filtered=candidates.filtered,
        **named,
    )
    return _on(state, waiting.slot, stream_of(waiting.queued.workload_id), event)


def _placed(
    state: Scheduling, waiting: Waiting, chosen: tuple[NodeFacts, ...], named: dict[str, Any]
) -> Iterator[Decision]:
    queued, origin = waiting.queued, state.origin(waiting.slot)
    from_ms = tick_of(state.now_ms) * TICK_MS  # the cell's own clock is told to the second only (wire formats 9)
    places = []
    for k, node in enumerate(chosen):
        execution = execution_id(origin, queued.workload_id, queued.attempt, k)
        cac = cac_id_of_execution(execution, from_ms)
        places.append(
            Place(execution_id=execution, k=k, node=node.node, cac_id=cac, output_address=f"{origin}/cac/{cac}")
        )
    placed = WorkloadPlaced(workload_id=queued.workload_id, attempt=queued.attempt, places=tuple(places), **named)
    yield _on(state, waiting.slot, stream_of(queued.workload_id), placed)
    for place in places:
        reserved = ExecutionReserved(
            **place.model_dump(),
            workload_id=queued.workload_id,
            attempt=queued.attempt,
            clause_id=queued.clause_id,
            module_digest=queued.module_digest,
            limits=queued.facts.bounds,
            from_ms=from_ms,
            until_ms=from_ms + queued.facts.bounds.wall_ms + SETUP_MS,
            **named,
        )
        yield _on(state, waiting.slot, stream_of(place.execution_id), reserved)


def _named(state: Scheduling, waiting: Waiting, version: int, policy: Policy, engine: str) -> dict[str, Any]:
    return {
        "engine": engine,
        "policy_version": version,
        "policy_digest": policy.digest(),
        "seen": state.seen.get(waiting.slot, 0),
        "tick": tick_of(state.now_ms),
    }


def _on(state: Scheduling, slot: int, stream: UUID, event: Event, after: int = 0) -> Decision:
    return Decision(slot, stream, state.next_version(slot, stream) + after, event)
