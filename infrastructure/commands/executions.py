"""What a node asks and reports: assignment with nonce, evidence, start, end, reset; each whole or not at all."""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Final

from domain.attestation.appraise import appraise, platform_id
from domain.errors import LedgerError, MalformedError, NotAuthorisedError, RefusedError, UnavailableError
from domain.executions.decisions import challenge, faulted, notices
from domain.executions.events import (
    EnclaveStarted,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionCompleted,
    ReportRefused,
    RuntimeReset,
    SoftwareEvidenceAppraised,
)
from domain.executions.reports import (
    CompletedReport,
    EvidenceReport,
    FaultedReport,
    ResetReport,
    StartedReport,
    bucket,
    gone_while_waiting,
    nothing_to_reset,
    read_report,
    refusal,
)
from domain.identifiers import stream_of
from domain.message import Pending
from domain.statements import ENDORSEMENT, REPORT, Signed
from infrastructure.commands.batches import Batch
from infrastructure.commands.border import verified_or_known
from infrastructure.commands.clauses import load_module
from infrastructure.commands.context import Context, known_first, load_context, on_execution
from infrastructure.commands.evidence import ExecutionAppraisal, GivenEvidence, appraise_platform, told_by
from infrastructure.commands.loading import load_clause
from infrastructure.commands.provisioning import provision
from infrastructure.commands.residence import Residence
from infrastructure.commands.results import judge
from infrastructure.commands.tenants import statement_command
from infrastructure.keys import hpke
from infrastructure.ledger import Answer, Attachment, Command, Ledger, Step
from infrastructure.node.assignment import Assignment
from infrastructure.node.enclosed import NOTHING, Enclosed
from infrastructure.postgres.records import Guard, MovedOnError, StreamMovedError
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

_ATTEMPTS = 7
_MOVED = (MovedOnError, StreamMovedError)
_ACCEPTED: Final = {"accepted": True, "reason": ""}
MAX_REFUSED_REPORTS = 8
"""Reports of one execution that are recorded as refused; more are refused without a trace."""


def assign(ledger: Ledger, execution_id: str) -> Assignment:
    """Issue the execution's nonce and return its assignment; a repeat returns the same.

    Raises:
        RefusedError: when the execution is past that point.
    """
    context = load_context(ledger, execution_id)  # what is answered again stores nothing, so no guard would notice
    issued = context.execution.challenge
    if context.execution.status == "reserved":
        issued = challenge(context.execution, ledger.entropy.bytes(32).hex(), ledger.clock.now_ms())
        ledger.append([Pending(context.log_id, stream_of(execution_id), context.execution.version + 1, issued)])
    elif context.execution.status != "challenged" or issued is None:
        raise RefusedError(f"the execution is {context.execution.status}; it has no assignment any more")
    reserved = context.execution.reserved
    clause = load_clause(ledger, reserved.clause_id)
    if clause is None or clause.module_digest != reserved.module_digest:
        raise RefusedError("the clause's module is not the one that was reserved for")
    return Assignment(
        host=context.host,
        origin=context.tenant.origin,
        execution_id=execution_id,
        node=reserved.node,
        nonce=bytes.fromhex(issued.nonce),
        module=load_module(ledger, reserved.clause_id, clause.payload_digest),
        module_digest=reserved.module_digest,
        limits=reserved.limits,
        until_ms=reserved.until_ms,
        policy_digest=bytes.fromhex(reserved.policy_digest),
        submission=context.workload.submitted.submission,
    )


def report(
    ledger: Ledger, cell: Residence, token: str, enclosed: Enclosed | None = None, batch: Batch | None = None
) -> Answer:
    """Take a node's report in.

    Args:
        ledger: the ledger.
        cell: the scheduler's state, folded up to now: who lives where, which policies are in force.
        token: the signed report; its bytes where it is one of a batch.
        enclosed: what comes with a completed report.
        batch: the verified batch that names it.

    Returns:
        {"accepted": bool, "reason": str}. A report that changes nothing is recorded as refused.

    Raises:
        NotAuthorisedError: when another than the reserved node's key signed it.
        MalformedError: when it is not of its form.
        ConflictError: when its command id came with another body.
    """
    given = enclosed or NOTHING
    try:
        return known_first(lambda known: _report(ledger, cell, token, given, batch, known=known))
    except _MOVED:
        for _ in range(_ATTEMPTS):  # a policy, key or sibling moved on meanwhile: decided again, over what is now
            with suppress(*_MOVED):
                return _report(ledger, cell, token, given, batch, known=False)
    raise UnavailableError("what this report is decided on keeps changing: send it again")


def report_together(
    ledger: Ledger, cell: Residence, given: Sequence[tuple[str, Enclosed]], batch: Batch
) -> list[Answer] | None:
    """Take in several reports of one execution that a batch names, in one transaction, each after those before it.

    Returns:
        Their answers, each as `report` gives it; None, and nothing but the batch's entry is stored, unless every one of
        them is the next and counts: then they have to be looked at one by one.

    Raises:
        UnavailableError: when the database does not answer.
    """
    steps: list[Step] = []
    try:
        context, _ = _signed(ledger, given[0][0], batch, known=True)
        for token, enclosed in given:
            signed = batch.signed(token)
            if signed.payload.get("execution") != context.execution.id:
                return None
            decided = _decided(ledger, cell, context, signed, enclosed, batch)
            if not isinstance(decided, Step):
                return None
            steps.append(decided)
            own = [one for one in decided.pending if one.stream_id == stream_of(context.execution.id)]
            context = context.after(own, ledger.clock.now_ms())
        return ledger.append_together(steps)
    except UnavailableError:
        raise
    except LedgerError:
        return None


def _report(
    ledger: Ledger, cell: Residence, token: str, enclosed: Enclosed, batch: Batch | None, *, known: bool
) -> Answer:
    context, signed = _signed(ledger, token, batch, known=known)
    decided = _decided(ledger, cell, context, signed, enclosed, batch)
    if isinstance(decided, Step):
        return ledger.append(
            decided.pending, command=decided.command, attachments=decided.attachments, claims=decided.claims,
            guards=decided.guards,
        )  # fmt: skip
    if known:
        raise StreamMovedError  # perhaps: what is not the next report of what is known may be that of what is stored
    if not decided:
        return Answer(_ACCEPTED, ())
    return _refused(ledger, context, signed, decided, batch)


def _decided(
    ledger: Ledger, cell: Residence, context: Context, signed: Signed, enclosed: Enclosed, batch: Batch | None
) -> Step | str:
    """Return what a report leads to; or why it changes nothing, empty where it was said already."""
    now_ms = ledger.clock.now_ms()
    said = read_report(signed)
    token, command = signed.token, statement_command(context.log_id, [signed], _ACCEPTED)
    if nothing_to_reset(context.execution, said) and signed.kid == context.node.enrolled.kid:
        return ""
    reason = refusal(context.execution, signed, said, context.node.enrolled.kid, now_ms)
    if reason is not None:
        return reason
    attachments: Sequence[Attachment] = ()
    claims: Sequence[Command] = ()
    guards: Sequence[Guard] = ()
    match said:
        case EvidenceReport():
            guards = context.guards()
            answered = _appraised(ledger, context, signed, said, enclosed)
            claims = [*_enclave_keys(ledger, said), *answered.claims]
            guards = [*guards, *answered.guards]
            pending, released = _provisioned(ledger, cell, context, answered.event)
            attachments = [*answered.attachments, *released]
        case StartedReport():
            started = EnclaveStarted(execution_id=said.execution, report=token, received=_received(ledger, batch))
            pending = on_execution(context, [started])
        case CompletedReport():
            completed, attachments = _completed(ledger, context, token, said, enclosed)
            completed = completed.model_copy(update={"received": _received(ledger, batch)})
            pending = on_execution(context, [completed])
        case FaultedReport():
            guards = context.guards()
            pending = _faulted(context, said, token, _received(ledger, batch))
        case ResetReport():
            guards = context.guards()
            reset = RuntimeReset(execution_id=said.execution, report=token, received=_received(ledger, batch))
            pending = [*on_execution(context, [reset]), *judge(ledger, cell, context)]
    return Step(pending, command, attachments, claims, guards)


def _signed(ledger: Ledger, token: str, batch: Batch | None, *, known: bool) -> tuple[Context, Signed]:
    """Return a report as its node signed it, by itself or in a batch, and the execution that it is of."""
    named = None if batch is None else batch.signed(token)
    claimed = (jws.peek(token)[1] if named is None else named.payload).get("execution")
    if not isinstance(claimed, str):
        raise MalformedError("report is malformed at execution")
    context = load_context(ledger, claimed, known=known)
    if batch is not None and batch.log_id != context.log_id:
        raise NotAuthorisedError("a batch is of one log: this report is of another's")
    keys, aud = context.node.keys, context.tenant.origin
    return context, named or verified_or_known(ledger, context.log_id, token, typ=REPORT, keys=keys, aud=aud)


def _received(ledger: Ledger, batch: Batch | None) -> int | None:
    """Keep the batch that names a report, now that the report is about to be recorded; return its entry's place."""
    return None if batch is None else batch.keep(ledger)


def _refused(ledger: Ledger, context: Context, signed: Signed, reason: str, batch: Batch | None) -> Answer:
    """Record a report that changes nothing, at most so many of an execution; one that was taken gets its answer."""
    command = statement_command(context.log_id, [signed], _ACCEPTED)
    known = ledger.answered(command)  # a repeat is never the next report of its chain
    if known is not None:
        return Answer(known, ())
    if context.execution.refused_reports >= MAX_REFUSED_REPORTS:
        raise RefusedError(f"{reason}; so many were refused that they are not recorded any more")
    received = _received(ledger, batch)
    event = ReportRefused(execution_id=context.execution.id, reason=reason, report=signed.token, received=received)
    refused = statement_command(context.log_id, [signed], {"accepted": False, "reason": reason})
    return ledger.append(on_execution(context, [event]), command=refused)


def _faulted(context: Context, said: FaultedReport, token: str, received: int | None) -> list[Pending]:
    if gone_while_waiting(context.execution, said):
        gone = ExecutionAbandoned(execution_id=said.execution, reason="enclave_lost", report=token, received=received)
        return on_execution(context, [gone])
    told = notices(context.policy(), said.execution, said.fault, context.tenant.monitors)
    return on_execution(context, [faulted(said, token, received), *told])


def _enclave_keys(ledger: Ledger, said: EvidenceReport) -> list[Command]:
    """Claim an enclave's two keys for its execution, for ever: no key serves two executions, let alone two DAOs."""
    platform = ledger.platform().log_id
    keys = (said.cac_key, said.hpke_key)
    return [
        Command(platform, "enclave-key", sha256(bytes.fromhex(key)).hexdigest(), said.execution.encode(), {})
        for key in keys
    ]


def _provisioned(
    ledger: Ledger, cell: Residence, context: Context, event: EvidenceAppraised
) -> tuple[list[Pending], Sequence[Attachment]]:
    """Use up the nonce, whatever the verdict; an accepted one goes on to the provisioning gate and the release."""
    if not event.accepted:
        abandoned = ExecutionAbandoned(execution_id=event.execution_id, reason="evidence_refused")
        return on_execution(context, [event, abandoned]), ()
    return provision(ledger, cell, context, event)


def _appraised(
    ledger: Ledger, context: Context, signed: Signed, said: EvidenceReport, enclosed: Enclosed
) -> ExecutionAppraisal:
    token = signed.token
    unusable = _unusable(said)
    if said.platform_evidence is not None:
        given = GivenEvidence(enclosed.evidence or b"", enclosed.endorsements)
        return appraise_platform(ledger, context, said, token, given, unusable, _certificate)
    reason = unusable or appraise(context.expected(), said, ledger.clock.now_ms())
    event = SoftwareEvidenceAppraised(
        status="affirming" if reason is None else "contraindicated",
        reason=reason or "the node's key vouches for this runtime and binding; no hardware does",
        evidence_class=said.evidence_class,
        platform_id=platform_id(signed.kid),
        certificate=None if reason else _certificate(ledger, context, said, sha256(token.encode()).hexdigest()),
        **told_by(said, token),
    )
    return ExecutionAppraisal(event)


def _unusable(said: EvidenceReport) -> str | None:
    """Return why inputs could not be sealed to the enclave's key [a node binds whatever key it likes]."""
    if said.hpke_kem_id != hpke.KEM_ID:
        return "the HPKE key is of another KEM than the one that releases use"
    try:
        hpke.seal(bytes.fromhex(said.hpke_key), b"", b"")
    except MalformedError as error:
        return f"inputs can't be sealed to it: {error}"
    return None


def _certificate(ledger: Ledger, context: Context, said: EvidenceReport, evidence_digest: str) -> str:
    """Certify the enclave's key by the tenant's attestation key."""
    claims = {
        "act": "certify_enclave",
        "execution": said.execution,
        "cac_key": said.cac_key,
        "report_data": said.report_data,
        "evidence_digest": evidence_digest,
    }
    content = payload(
        iss=context.tenant.did,
        aud=context.tenant.origin,
        claims=claims,
        now_ms=ledger.clock.now_ms(),
        entropy=ledger.entropy,
    )
    return jws.sign(ENDORSEMENT, ledger.keys(context.log_id).attestation_key(), content)


def _completed(
    ledger: Ledger, context: Context, token: str, said: CompletedReport, enclosed: Enclosed
) -> tuple[ExecutionCompleted, Sequence[Attachment]]:
    if enclosed.output is None or sha256(enclosed.output).hexdigest() != said.output_digest:
        raise MalformedError("the output is not the one that the report names")
    if enclosed.cac is None or sha256(enclosed.cac).hexdigest() != said.cac_digest:
        raise MalformedError("the CAC is not the one that the report names")
    stream = stream_of(said.execution)
    sealed_output, sealed_cac = (
        ledger.attach(context.log_id, stream, data) for data in (enclosed.output, enclosed.cac)
    )
    event = ExecutionCompleted(
        execution_id=said.execution,
        report=token,
        outcome=said.outcome,
        output_commitment=said.output_commitment,
        output_bytes=said.output_bytes,
        output=sealed_output.reference(),
        cac=sealed_cac.reference(),
        fuel_bucket=bucket(said.fuel),
        memory_bucket=bucket(said.memory_bytes),
        wall_bucket=bucket(said.duration_ms),
    )
    return event, (sealed_output, sealed_cac)
