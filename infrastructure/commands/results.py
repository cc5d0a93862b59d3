"""What follows a reset: the CAC gate, metering, and the quorum of independent enclaves."""

from typing import Any

from domain.cacs.events import CacIssued, CacRejected, QuorumFailed, QuorumReached, UsageMetered
from domain.cacs.gate import rejection
from domain.errors import LedgerError
from domain.executions.events import ExecutionCompleted
from domain.executions.reports import CompletedReport, FaultedReport, read_report
from domain.executions.state import Execution
from domain.identifiers import stream_of
from domain.message import Event, Pending
from domain.scheduling.state import Scheduling
from domain.statements import REPORT, Signed
from domain.time import tick_of
from domain.workloads.events import WorkloadPlaced
from infrastructure.commands.context import Context
from infrastructure.commands.provisioning import cac_record
from infrastructure.credentials.data_integrity import parse_document, verify_proof
from infrastructure.engine_digest import engine_digest
from infrastructure.keys.did_key import did_key
from infrastructure.ledger import Ledger
from infrastructure.statements import jws

MEBIBYTE = 1024 * 1024


def judge(ledger: Ledger, cell: Scheduling, context: Context) -> list[Pending]:
    """Return what is recorded with the reset of an execution: usage, CAC verdict, quorum verdict.

    Args:
        ledger: the ledger.
        cell: the scheduler's state, folded up to now.
        context: the execution before its reset, which a node reports or the decider decides.
    """
    execution, events = context.execution, []
    verdict: CacIssued | CacRejected | None = None
    used = _usage(ledger, context)
    if used is not None:
        stream = stream_of(execution.id)
        events.append(Pending(context.log_id, stream, execution.version + 2, used))
    if execution.completed is not None:
        verdict = _cac_verdict(ledger, cell, context, execution.completed)
        events.append(Pending(context.log_id, stream_of(execution.reserved.cac_id), 0, verdict))
    quorum = _quorum(ledger, context, verdict)
    if quorum is not None:
        stream = stream_of(context.workload.submitted.workload_id)
        events.append(Pending(context.log_id, stream, context.workload.version + 1, quorum))
    return events


def _cac_verdict(
    ledger: Ledger, cell: Scheduling, context: Context, completed: ExecutionCompleted
) -> CacIssued | CacRejected:
    reserved, policy = context.execution.reserved, context.policy()
    data = ledger.attached(context.log_id, stream_of(context.execution.id), completed.cac.digest)
    document, rejected = _opened(context, data)
    if rejected is None:
        rejected = rejection(
            document,
            cac_record(context),
            completed,
            policy=policy,
            residents=cell.residents(reserved.node, without=context.execution.id),
            attempt=context.attempt_nodes(ledger),
            at_ms=ledger.clock.now_ms(),
            evidence_ms=context.evidence_ms,
        )
    named: dict[str, Any] = {
        "cac_id": reserved.cac_id,
        "execution_id": reserved.execution_id,
        "workload_id": reserved.workload_id,
        "policy_version": context.tenant.policy_version,
        "policy_digest": policy.digest(),
    }
    if rejected is None:
        return CacIssued(document=document, **named)
    return CacRejected(rule=rejected[0], reason=rejected[1], **named)


def _opened(context: Context, data: bytes) -> tuple[dict[str, Any], tuple[str, str] | None]:
    """Verify the enclave's proof; return the document as signed, proof included, or why it is rejected."""
    appraised, challenge = context.execution.appraised, context.execution.challenge
    if appraised is None or challenge is None:
        return {}, ("binding", "the execution has no appraised enclave")
    try:
        document = parse_document(data)
        verify_proof(
            document,
            at_ms=None,
            controller=did_key(bytes.fromhex(appraised.cac_key)),
            domain=context.tenant.origin,
            challenge=challenge.nonce,
        )
    except LedgerError as error:
        return {}, ("proof", str(error)[:200])
    return document, None


def _usage(ledger: Ledger, context: Context) -> UsageMetered | None:
    ended = context.execution.completed or context.execution.faulted
    if ended is None or ended.report is None:
        return None
    header, content = jws.peek(ended.report)
    said = read_report(Signed(ended.report, header["kid"], REPORT, content))
    if not isinstance(said, CompletedReport | FaultedReport):
        return None
    held_ms = max(0, ledger.clock.now_ms() - context.execution.reserved.from_ms)
    memory_mib = -(-context.execution.reserved.limits.memory_bytes // MEBIBYTE)
    slot_ms = context.queued.facts.slots * held_ms
    return UsageMetered(
        execution_id=context.execution.id, slot_ms=slot_ms, memory_mib_ms=memory_mib * held_ms, fuel=said.fuel
    )


def _quorum(ledger: Ledger, context: Context, verdict: CacIssued | CacRejected | None) -> Event | None:
    """Return the quorum's verdict when this was the last of several independent enclaves of the attempt."""
    placed = context.placed
    if len(placed.places) == 1:
        return None
    others = context.siblings(ledger)
    if not all(other.terminal for other in others):
        return None
    named = _named(ledger, context, placed)
    completed = [other.completed for other in (*others, context.execution)]
    if any(item is None for item in completed):
        return QuorumFailed(reason="fault", **named)
    if not isinstance(verdict, CacIssued) or not all(_issued(ledger, context, other) for other in others):
        return QuorumFailed(reason="rejected", **named)
    results = {(item.outcome, item.output_commitment) for item in completed if item is not None}
    if len(results) != 1:
        return QuorumFailed(reason="divergence", **named)
    outcome, commitment = results.pop()
    return QuorumReached(outcome=outcome, output_commitment=commitment, **named)


def _named(ledger: Ledger, context: Context, placed: WorkloadPlaced) -> dict[str, Any]:
    return {
        "workload_id": placed.workload_id,
        "attempt": placed.attempt,
        "cacs": tuple(place.cac_id for place in placed.places),
        "engine": engine_digest(),
        "policy_version": context.tenant.policy_version,
        "policy_digest": context.policy().digest(),
        "seen": ledger.head(context.log_id).size - 1,
        "tick": tick_of(ledger.clock.now_ms()),
    }


def _issued(ledger: Ledger, context: Context, other: Execution) -> bool:
    stream = ledger.stream(context.log_id, stream_of(other.reserved.cac_id))
    return any(isinstance(item.event, CacIssued) for item in stream)
