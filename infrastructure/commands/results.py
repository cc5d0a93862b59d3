"""What follows a reset: the CAC gate, metering, and the quorum of independent enclaves."""

from collections.abc import Sequence
from typing import Any

from domain.cacs.events import CacIssued, CacRejected, EnclaveResult, QuorumFailed, QuorumReached, UsageMetered
from domain.cacs.gate import rejection
from domain.cacs.quorum import agreed, differing
from domain.errors import LedgerError
from domain.executions.decisions import notices
from domain.executions.events import EvidenceAppraised, ExecutionCompleted
from domain.executions.reports import CompletedReport, FaultedReport, batched, read_report
from domain.executions.state import Execution
from domain.identifiers import stream_of
from domain.message import Pending
from domain.statements import REPORT, Signed
from domain.time import tick_of
from domain.workloads.events import WorkloadPlaced
from infrastructure.commands.context import Context
from infrastructure.commands.provisioning import cac_record
from infrastructure.commands.residence import Residence
from infrastructure.credentials.data_integrity import parse_document, verify_proof
from infrastructure.engine_digest import engine_digest
from infrastructure.keys.did_key import did_key
from infrastructure.ledger import Ledger
from infrastructure.statements import jws
from infrastructure.statements.certificate import verify_certificate

MEBIBYTE = 1024 * 1024


def judge(ledger: Ledger, cell: Residence, context: Context, reset: int | None = None) -> list[Pending]:
    """Return what is recorded with the reset of an execution: usage, CAC verdict, quorum verdict.

    Args:
        ledger: the ledger.
        cell: the scheduler's state, folded up to now.
        context: the execution before its reset, which a node reports or the decider decides.
        reset: version of the reset; None: the next one of the stream.
    """
    execution, events = context.execution, []
    version = execution.version + 1 if reset is None else reset
    verdict: CacIssued | CacRejected | None = None
    used = _usage(ledger, context)
    if used is not None:
        events.append(Pending(context.log_id, stream_of(execution.id), version + 1, used))
    if execution.completed is not None:
        verdict = _cac_verdict(ledger, cell, context, execution.completed)
        events.append(Pending(context.log_id, stream_of(execution.reserved.cac_id), 0, verdict))
    quorum = _quorum(ledger, context, verdict)
    if quorum is not None:
        stream = stream_of(context.workload.submitted.workload_id)
        events.append(Pending(context.log_id, stream, context.workload.version + 1, quorum))
        events += _escalated(context, quorum, version + (1 if used is None else 2))
    return events


def _escalated(context: Context, quorum: QuorumReached | QuorumFailed, version: int) -> list[Pending]:
    """Return the notices of a divergence: those whom policy and appointments name are told, as of a fault."""
    if not isinstance(quorum, QuorumFailed) or quorum.reason != "divergence":
        return []
    told = notices(context.policy(), context.execution.id, "divergence", context.tenant.monitors)
    stream = stream_of(context.execution.id)
    return [Pending(context.log_id, stream, version + at, event) for at, event in enumerate(told)]


def _cac_verdict(
    ledger: Ledger, cell: Residence, context: Context, completed: ExecutionCompleted
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
            tenant=(context.tenant.dao, context.tenant.jurisdiction),
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
    return document, _uncertified(context, appraised)


def _uncertified(context: Context, appraised: EvidenceAppraised) -> tuple[str, str] | None:
    """Return why the enclave's key is not certified by this tenant's own attestation key, or None.

    The ledger made the certificate itself: this stops one that was made with another DAO's key, or put there since.
    """
    claims = {
        "act": "certify_enclave",
        "execution": context.execution.id,
        "cac_key": appraised.cac_key,
        "report_data": appraised.report_data,
        "evidence_digest": appraised.evidence_digest,
    }
    try:
        verify_certificate(
            appraised.certificate or "",
            origin=context.tenant.origin,
            claims=claims,
            attestation_key=bytes.fromhex(context.tenant.attestation_key),
        )
    except LedgerError as error:
        return "certificate", str(error)[:200]
    return None


def _usage(ledger: Ledger, context: Context) -> UsageMetered | None:
    """Return what an execution used that got its inputs, whoever says that it ended; None for any other."""
    execution, slots = context.execution, context.queued.facts.slots
    if execution.released is None:
        return None
    held_ms = max(0, ledger.clock.now_ms() - execution.reserved.from_ms)
    memory_mib = -(-execution.reserved.limits.memory_bytes // MEBIBYTE)
    return UsageMetered(
        execution_id=execution.id,
        slot_ms=slots * held_ms,
        memory_mib_ms=memory_mib * held_ms,
        fuel=_fuel(execution),
        node=execution.reserved.node,
        operator=context.node.enrolled.facts.operator,
        tokens=slots,
        bytes_in=sum(one.size_bytes for one in context.workload.submitted.inputs),
        bytes_out=0 if execution.completed is None else execution.completed.output_bytes,
    )


def _fuel(execution: Execution) -> int:
    """Return the fuel that the node reported; none where it is silent."""
    ended = execution.completed or execution.faulted
    if ended is None or ended.report is None:
        return 0
    said = read_report(_as_signed(ended.report) if ended.received is None else batched(ended.report, ""))
    return said.fuel if isinstance(said, CompletedReport | FaultedReport) else 0


def _as_signed(token: str) -> Signed:
    header, content = jws.peek(token)
    return Signed(token, header["kid"], REPORT, content)


def _quorum(
    ledger: Ledger, context: Context, verdict: CacIssued | CacRejected | None
) -> QuorumReached | QuorumFailed | None:
    """Return the quorum's verdict when this was the last of several independent enclaves of the attempt."""
    placed = context.placed
    if len(placed.places) == 1:
        return None
    others = context.siblings
    if not all(other.terminal for other in others):
        return None
    named = _named(ledger, context, placed)
    results = _results(placed, (*others, context.execution))
    if results is None:
        return QuorumFailed(reason="fault", **named)
    if not isinstance(verdict, CacIssued) or not all(_issued(ledger, context, other) for other in others):
        return QuorumFailed(reason="rejected", **named)
    same = agreed(results)
    if same is None:
        return QuorumFailed(reason="divergence", results=results, differing=differing(results), **named)
    return QuorumReached(outcome=same[0], output_commitment=same[1], **named)


def _results(placed: WorkloadPlaced, executions: Sequence[Execution]) -> tuple[EnclaveResult, ...] | None:
    """Return what each enclave of an attempt gave, in the order of their places; None when one did not complete."""
    by_id = {execution.id: execution for execution in executions}
    results = []
    for place in placed.places:
        completed = by_id[place.execution_id].completed
        if completed is None:
            return None
        results.append(
            EnclaveResult(
                execution_id=place.execution_id,
                cac_id=place.cac_id,
                outcome=completed.outcome,
                output_commitment=completed.output_commitment,
            )
        )
    return tuple(results)


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
