"""The events of a decision about waiting work, as they are stored.

Invariants:
- A decision about a tenant goes into that tenant's log and names nobody else (wire formats 9): of limits above it only
  that they are full, of residents nothing. What a scope lends goes into the scope's log and names no borrower.
- Events are built from values that the types have checked before; they are not checked once more.
"""

from hashlib import sha256
from typing import Any, TypeVar
from uuid import UUID

from domain.canonical import canonical
from domain.executions.events import ExecutionReserved
from domain.hashing import sha256_hex
from domain.identifiers import cac_id_of_execution, execution_id, stream_of
from domain.message import Event, Value
from domain.policies.feasible import Finding, findings_of_node, findings_of_workload
from domain.quotas.events import QuotaBorrowed, QuotaLent
from domain.scheduling import tokens
from domain.scheduling.classes import WorkClass
from domain.scheduling.desk import Desk
from domain.scheduling.eligibility import lowest
from domain.scheduling.overflow import taken
from domain.scheduling.placement import Blocked, Chosen
from domain.scheduling.quotas import Loan
from domain.scheduling.tables import Decision, Waiting
from domain.scheduling.wake import BANDWIDTH
from domain.time import MINUTE_MS, TICK_MS, tick_of
from domain.workloads.events import (
    OverflowAccepted,
    OverflowClosed,
    OverflowOffered,
    Place,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadPlaced,
)

_Made = TypeVar("_Made", bound=Value)

SETUP_MS = 10 * MINUTE_MS
"""What a node has for evidence, release and reset besides the clause's own wall-clock bound."""

_WAKE = {
    "no_node_now": "when a place falls free, a node joins, or policy changes",
    "quota": "when something is given back below the limit, or more is granted",
    "bandwidth": "when tokens have come, or more are granted",
}


_set = object.__setattr__


def _built(kind: type[_Made], **members: Any) -> _Made:
    """Return an event of members that were checked when they came in: pydantic would take five times as long."""
    made = kind.__new__(kind)
    _set(made, "__dict__", members)
    _set(made, "__pydantic_fields_set__", set(members))
    _set(made, "__pydantic_extra__", None)
    _set(made, "__pydantic_private__", None)
    return made


def named_by(state: Desk, work: WorkClass, engine: str) -> dict[str, Any]:
    """Return what every decision that a tenant sees names."""
    return {
        "engine": engine,
        "policy_version": work.version,
        "policy_digest": work.policy_digest,
        "seen": state.seen.get(work.account.slot, 0),
        "tick": tick_of(state.now_ms),
    }


def named_of(state: Desk, waiting: Waiting, engine: str) -> dict[str, Any]:
    """Return the same for a workload that waits no more."""
    version, policy = state.effective(waiting)
    return {
        "engine": engine,
        "policy_version": version,
        "policy_digest": policy.digest(),
        "seen": state.seen.get(waiting.slot, 0),
        "tick": tick_of(state.now_ms),
    }


def on(state: Desk, slot: int, stream: UUID, *events: Event) -> list[Decision]:
    """Return decisions that follow each other on one stream."""
    version = state.versions.get((slot, str(stream)), -1)
    return [Decision(slot, stream, version + after, event) for after, event in enumerate(events, start=1)]


def denied_for_itself(state: Desk, work: WorkClass) -> Finding | None:
    """Return the rule that the workload itself breaks now, whatever node there is."""
    if work.from_ms <= state.now_ms < work.until_ms and not work.forbidden:
        return None
    findings = findings_of_workload(work.policy, work.facts, state.now_ms)
    return next((finding for finding in findings if not finding.passed), None)


def denied_by_nodes(state: Desk, work: WorkClass) -> Finding | None:
    """Return the rule that excludes every primary node for good, the one that excludes most."""
    if work.ever or not work.within:
        return None
    there = state.eligibility.primary
    could = (work.eligible & there).bit_count()
    if could or not work.filtered:
        need = f"{work.count} nodes distinct in {', '.join(work.distinct)}"
        return Finding("independent_attestations", "node", False, f"{could} nodes", need)  # noqa: FBT003
    rule = min(work.filtered, key=lambda item: (-item.nodes, item.rule)).rule
    masks = dict(state.eligibility.by_demand(work.policy, work.facts))
    node = state.eligibility.facts[lowest(there & ~masks[rule])]
    return next(
        finding
        for finding in findings_of_node(work.policy, work.facts, node)
        if finding.rule == rule and not finding.passed
    )


def denied(
    state: Desk, waiting: Waiting, finding: Finding, named: dict[str, Any], nodes: int = 0, filtered: Any = ()
) -> list[Decision]:
    """Return the denial of a workload by a rule."""
    event = WorkloadDenied(
        workload_id=waiting.key[1],
        gate="queue",
        rule=finding.rule,
        reason=f"{finding.rule}: have {finding.have}, need {finding.need}",
        have=finding.have,
        need=finding.need,
        nodes=nodes,
        filtered=filtered,
        **named,
    )
    return on(state, waiting.slot, stream_of(waiting.key[1]), event)


def deferred(state: Desk, work: WorkClass, blocked: Blocked, engine: str) -> list[Decision]:
    """Return what the head of a class is told of why its class waits."""
    rule, have, need, retry_ms = "no_node_now", "", "", None
    if blocked.reason == BANDWIDTH:
        grant, spent = state.bandwidths[work.account.slot], state.spent.get(work.account.slot, 0)
        advance = state.advances.get(work.head.key)
        if advance is not None:
            spent = advance - work.slots_all * grant.period_ms  # as it was for this one
        rule, need = "bandwidth", f"{work.slots_all} tokens"
        have = f"{tokens.available(grant, spent, state.now_ms)} tokens"
        retry_ms = state.has_tokens_at_ms(work)
    elif blocked.hindrance is not None:
        rule, have, need = _full(work, blocked)
    reason: Any = blocked.reason
    event = _built(
        WorkloadDeferred,
        workload_id=work.head.key[1],
        attempt=work.head.attempt,
        reason=reason,
        rule=rule,
        have=have,
        need=need,
        place=1,
        retry_ms=retry_ms,
        wake=_WAKE[blocked.reason],
        nodes=work.within,
        filtered=work.filtered,
        **named_by(state, work, engine),
    )
    return on(state, work.account.slot, stream_of(work.head.key[1]), event)


def _full(work: WorkClass, blocked: Blocked) -> tuple[str, str, str]:
    hindrance = blocked.hindrance
    if hindrance is None:
        raise AssertionError("a quota hinders")
    resource = hindrance.resource
    rule, need = blocked.rule, f"{(work.slots_all, work.memory_all)[resource]}"
    if hindrance.lenders is not None:
        return rule, "nothing that is lent above", need
    if hindrance.account is work.account:
        return rule, f"{hindrance.account.used[resource]} used of {hindrance.limit}", need
    full = hindrance.account.used[resource] >= hindrance.limit
    return rule, f"limit {hindrance.limit} reached" if full else "too little left above", need


def placed(state: Desk, work: WorkClass, chosen: Chosen, engine: str) -> tuple[Decision, ...]:
    """Return the placement of the head of a class, with its reservations, and what it borrows or overflows."""
    waiting, named = work.head, named_by(state, work, engine)
    slot, workload = waiting.key
    origin, attempt = state.origin(slot), waiting.attempt
    from_ms = tick_of(state.now_ms) * TICK_MS  # the cell's own clock is told to the second only (wire formats 9)
    until_ms = from_ms + work.facts.bounds.wall_ms + SETUP_MS
    nodes = state.eligibility.facts
    places = []
    for k, at in enumerate(chosen.nodes):
        execution = execution_id(origin, workload, attempt, k)
        cac = cac_id_of_execution(execution, from_ms)
        places.append(
            _built(
                Place,
                execution_id=execution,
                k=k,
                node=nodes[at].node,
                cac_id=cac,
                output_address=f"{origin}/cac/{cac}",
            )
        )
    events: list[Event] = [_built(WorkloadPlaced, workload_id=workload, attempt=attempt, places=tuple(places), **named)]
    lent: list[Decision] = []
    if chosen.loan is not None:
        borrowed, lent = _borrowed(state, waiting, chosen.loan, places[0].execution_id, named)
        events.append(borrowed)
    away = [at for at in chosen.nodes if not state.eligibility.primary >> at & 1]
    if away:
        events = _overflowed(state, waiting, away, until_ms, events, named)
    made = on(state, slot, stream_of(workload), *events)
    for place in places:
        reserved = _built(
            ExecutionReserved, execution_id=place.execution_id, workload_id=workload, attempt=attempt, k=place.k,
            node=place.node, cac_id=place.cac_id, output_address=place.output_address, clause_id=waiting.clause_id,
            module_digest=waiting.module_digest, limits=work.facts.bounds, from_ms=from_ms, until_ms=until_ms, **named,
        )  # fmt: skip
        made += on(state, slot, stream_of(place.execution_id), reserved)
    return (*made, *lent)


def _borrowed(
    state: Desk, waiting: Waiting, loan: Loan, first: str, named: dict[str, Any]
) -> tuple[QuotaBorrowed, list[Decision]]:
    """Return both sides of a borrowing. The id is derived, so neither side can be without the other."""
    digits = sha256(b"ledger borrow id v1\0" + first.encode()).hexdigest()[:32]
    amounts: dict[str, Any] = {"slots": loan.slots, "memory_bytes": loan.memory_bytes}
    borrowed = QuotaBorrowed(
        borrow_id=f"bor-0x{digits}", workload_id=waiting.key[1], attempt=waiting.attempt,
        lender=state.origin(loan.lender.slot), **amounts, **named,
    )  # fmt: skip
    lent = QuotaLent(borrow_id=f"bor-0x{digits}", tick=named["tick"], engine=named["engine"], **amounts)
    return borrowed, [Decision(loan.lender.slot, UUID(hex=digits), 0, lent)]


def _overflowed(
    state: Desk, waiting: Waiting, away: list[int], until_ms: int, events: list[Event], named: dict[str, Any]
) -> list[Event]:
    """Return the events with the offer to secondary nodes before them, which is accepted, and its end after."""
    origin, nodes = state.origin(waiting.slot), [state.eligibility.facts[at].node for at in away]
    preimage = b"\0".join((b"ledger offer id v1", origin.encode(), waiting.key[1].encode()))
    digits = sha256(preimage + waiting.attempt.to_bytes(4, "big")).hexdigest()[:32]
    common: dict[str, Any] = {
        "workload_id": waiting.key[1], "attempt": waiting.attempt, "offer_id": f"off-0x{digits}",
    }  # fmt: skip
    offered = OverflowOffered(**common, nodes=tuple(nodes), expires_ms=until_ms, **named)
    digest = sha256_hex(canonical(offered.payload()))
    accepted = OverflowAccepted(**common, offer_hash=digest, standing=taken(state, away))
    return [offered, accepted, *events, OverflowClosed(**common, reason="placed")]
