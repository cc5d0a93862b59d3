"""What the logs of affected tenants say of a dispute: that there is one, who is to be told, and what is overturned.

Invariants:
- A tenant's log gets the dispute's id and its own execution, and nothing else of the dispute or of other tenants.
- A tenant whose data key was destroyed is passed over: nobody can write its log any more.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.cacs.events import CacIssued, CacOverturned
from domain.canonical import canonical
from domain.disputes import decisions
from domain.disputes.deciding import Standing
from domain.disputes.events import Affected, DisputeOverturned, DisputeReferenced
from domain.disputes.state import Dispute
from domain.errors import UnknownError
from domain.executions.decisions import notices
from domain.executions.events import DisputeNotice
from domain.executions.state import Execution
from domain.hashing import sha256_hex
from domain.identifiers import stream_of
from domain.message import Event, Pending, Recorded
from domain.policies.effective import effective_policy
from domain.tenants.events import ErasureOrdered, ErasureWithdrawn
from domain.tenants.state import Tenant
from infrastructure.commands.loading import fold_execution, load_execution, load_tenant, load_workload, scopes_above
from infrastructure.commands.voices import load_dispute
from infrastructure.ledger import Ledger


def readable(ledger: Ledger, affected: Iterable[Affected]) -> list[tuple[UUID, Affected]]:
    """Return what a dispute is about with its log, without what nobody can read or write any more."""
    logs = {log.slot: log.log_id for log in ledger.logs()}
    return [(logs[one.slot], one) for one in affected if not ledger.erased(logs[one.slot])]


def told(
    ledger: Ledger, scope: Tenant, log_id: UUID, one: Affected, dispute_id: str, what: DisputeNotice
) -> list[Pending]:
    """Return what an affected execution's stream says of a dispute: that there is one, and who is to be told."""
    execution, stream = load_execution(ledger, log_id, one.execution_id)
    tenant = load_tenant(ledger, log_id)
    queued = load_workload(ledger, log_id, execution.reserved.workload_id).queued
    policy = effective_policy(tenant.policy, () if queued is None else queued.clause_rules)
    rule = decisions.resolution(scope)
    asked = notices(policy, one.execution_id, what, (*tenant.monitors, *rule.recipients, one.operator), dispute_id)
    referenced = [DisputeReferenced(dispute_id=dispute_id, execution_id=one.execution_id)]
    events: list[Event] = [*(referenced if what == "dispute_opened" else ()), *asked]
    place, version = stream_of(one.execution_id), stream[-1].version + 1
    return [Pending(log_id, place, version + at, event) for at, event in enumerate(events)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an affected execution: the CAC of it that stands, and whether there may still come one."""

    log_id: UUID
    affected: Affected
    cac_id: str | None
    pending: bool


def outcomes(ledger: Ledger, concerned: Sequence[tuple[UUID, Affected]]) -> list[Outcome]:
    """Return what became of executions, whether a dispute about them named their CACs or not."""
    runs = ledger.streams([(log_id, stream_of(one.execution_id)) for log_id, one in concerned])
    executions = [fold_execution(stream) for stream in runs]
    places = [(log_id, stream_of(run.reserved.cac_id)) for (log_id, _), run in zip(concerned, executions, strict=True)]
    found = zip(concerned, executions, ledger.streams(places), strict=True)
    return [_outcome(log_id, one, run, verdict) for (log_id, one), run, verdict in found]


def _outcome(log_id: UUID, one: Affected, run: Execution, verdict: Sequence[Recorded]) -> Outcome:
    stands = len(verdict) == 1 and isinstance(verdict[0].event, CacIssued)
    pending = not verdict and not run.terminal and run.faulted is None
    return Outcome(log_id, one, run.reserved.cac_id if stands else None, pending)


def standing(found: Iterable[Outcome]) -> Standing:
    """Return which CACs stand, and what may still yield one."""
    known = list(found)
    return Standing(
        cacs=tuple(one.cac_id for one in known if one.cac_id is not None),
        pending=tuple(one.affected.execution_id for one in known if one.pending),
    )


def overturned(scope: Tenant, dispute: Dispute, event: DisputeOverturned, one: Outcome) -> list[Pending]:
    """Return the compensating event of a CAC that a decision names, the second one of the CAC's stream."""
    if one.cac_id is None or one.cac_id not in event.cacs:
        return []
    told_so = CacOverturned(
        cac_id=one.cac_id, execution_id=one.affected.execution_id, dispute_id=dispute.id, scope=scope.origin,
        decision=dispute.version + 1, statements_digest=sha256_hex(canonical(list(event.statements))),
    )  # fmt: skip
    return [Pending(one.log_id, stream_of(one.cac_id), 1, told_so)]


def open_disputes(ledger: Ledger, tenant: Tenant, history: Iterable[Event]) -> list[str]:
    """Return the disputes that a tenant's log refers to and that hold up an erasure: those that may still be decided.

    Once an erasure is ordered only those count that the log referred to before: what is disputed later is decided
    before the keys go, or not at all [who opens one after the other would hold the erasure up for ever].

    Args:
        ledger: the ledger.
        tenant: whose log.
        history: its events, in leaf order.
    """
    named: dict[str, None] = {}
    before: list[str] | None = None
    for event in history:
        if isinstance(event, DisputeReferenced):
            named[event.dispute_id] = None
        elif isinstance(event, ErasureOrdered):
            before = list(named)
        elif isinstance(event, ErasureWithdrawn):
            before = None
    counted = list(named) if before is None else before
    above = scopes_above(ledger, tenant) if counted else ()
    return [dispute_id for dispute_id in counted if any(_is_open(ledger, scope, dispute_id) for scope in above)]


def _is_open(ledger: Ledger, scope: Tenant, dispute_id: str) -> bool:
    try:
        dispute = load_dispute(ledger, scope, dispute_id)
    except UnknownError:
        return False
    return dispute.undecided(ledger.clock.now_ms())
