"""What a node asks and reports: assignment with nonce, evidence, start, end, reset. Each report is one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from domain.attestation.appraise import appraise, platform_id
from domain.bounds import Bounds
from domain.errors import MalformedError, RefusedError, UnavailableError
from domain.executions.decisions import challenge, faulted, notices
from domain.executions.events import (
    EnclaveStarted,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionCompleted,
    ReportRefused,
    RuntimeReset,
)
from domain.executions.reports import (
    CompletedReport,
    EvidenceReport,
    FaultedReport,
    ResetReport,
    StartedReport,
    bucket,
    read_report,
    refusal,
)
from domain.identifiers import stream_of
from domain.message import Pending
from domain.scheduling.state import Scheduling
from domain.statements import ENDORSEMENT, REPORT, Signed
from infrastructure.commands.border import verified
from infrastructure.commands.clauses import load_module
from infrastructure.commands.context import Context, load_context, on_execution
from infrastructure.commands.loading import load_clause
from infrastructure.commands.provisioning import provision
from infrastructure.commands.results import judge
from infrastructure.commands.tenants import statement_command
from infrastructure.keys import hpke
from infrastructure.ledger import Answer, Attachment, Command, Ledger
from infrastructure.postgres.records import Guard, MovedOnError
from infrastructure.statements import jws
from infrastructure.statements.payload import payload

_ATTEMPTS = 8
MAX_REFUSED_REPORTS = 8
"""Reports of one execution that are recorded as refused; more are refused without a trace."""


@dataclass(frozen=True, slots=True)
class Enclosed:
    """What comes with a completed report: the output sealed to the tenant's key, and the CAC's bytes."""

    output: bytes | None = None
    cac: bytes | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that a node needs to make the enclave of one execution."""

    host: str
    origin: str
    execution_id: str
    node: str
    nonce: bytes
    module: bytes
    limits: Bounds
    policy_digest: bytes
    submission: str


def assign(ledger: Ledger, execution_id: str) -> Assignment:
    """Issue the execution's nonce and return its assignment; a repeat returns the same.

    Raises:
        RefusedError: when the execution is past that point.
    """
    context = load_context(ledger, execution_id)
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
        limits=reserved.limits,
        policy_digest=bytes.fromhex(reserved.policy_digest),
        submission=context.workload.submitted.submission,
    )


def report(ledger: Ledger, cell: Scheduling, token: str, enclosed: Enclosed | None = None) -> Answer:
    """Take a node's report in.

    Args:
        ledger: the ledger.
        cell: the scheduler's state, folded up to now: who lives where, which policies are in force.
        token: the signed report.
        enclosed: what comes with a completed report.

    Returns:
        {"accepted": bool, "reason": str}. A report that changes nothing is recorded as refused.

    Raises:
        NotAuthorisedError: when another than the reserved node's key signed it.
        MalformedError: when it is not of its form.
        ConflictError: when its command id came with another body.
    """
    for _ in range(_ATTEMPTS):
        try:
            return _report(ledger, cell, token, enclosed or Enclosed())
        except MovedOnError:  # a policy, key or sibling moved on meanwhile: the gate decides again, over what is now
            continue
    raise UnavailableError("what this report is decided on keeps changing: send it again")


def _report(ledger: Ledger, cell: Scheduling, token: str, enclosed: Enclosed) -> Answer:
    claimed = jws.peek(token)[1].get("execution")
    if not isinstance(claimed, str):
        raise MalformedError("report is malformed at execution")
    context = load_context(ledger, claimed)
    now_ms = ledger.clock.now_ms()
    signed = verified(token, typ=REPORT, keys=context.node.keys, aud=context.tenant.origin, now_ms=now_ms)
    said = read_report(signed)
    command = statement_command(context.log_id, [signed], {"accepted": True, "reason": ""})
    reason = refusal(context.execution, signed, said, context.node.enrolled.kid, now_ms)
    if reason is not None:
        known = ledger.answered(command)  # a repeat is never the next report of its chain
        if known is not None:
            return Answer(known, ())
        if context.execution.refused_reports >= MAX_REFUSED_REPORTS:
            raise RefusedError(f"{reason}; so many were refused that they are not recorded any more")
        event = ReportRefused(execution_id=claimed, reason=reason, report=token)
        pending = [Pending(context.log_id, stream_of(claimed), context.execution.version + 1, event)]
        refused = statement_command(context.log_id, [signed], {"accepted": False, "reason": reason})
        return ledger.append(pending, command=refused)
    attachments: Sequence[Attachment] = ()
    claims: Sequence[Command] = ()
    guards: Sequence[Guard] = ()
    match said:
        case EvidenceReport():
            guards = context.guards(ledger)
            claims = _enclave_keys(ledger, said)
            pending, attachments = _appraised(ledger, cell, context, signed, said)
        case StartedReport():
            pending = on_execution(context, [EnclaveStarted(execution_id=said.execution, report=token)])
        case CompletedReport():
            completed, attachments = _completed(ledger, context, token, said, enclosed)
            pending = on_execution(context, [completed])
        case FaultedReport():
            told = notices(context.policy(), said.execution, said.fault, context.tenant.monitors)
            pending = on_execution(context, [faulted(said, token), *told])
        case ResetReport():
            guards = context.guards(ledger)
            reset = RuntimeReset(execution_id=said.execution, report=token)
            pending = [*on_execution(context, [reset]), *judge(ledger, cell, context)]
    return ledger.append(pending, command=command, attachments=attachments, claims=claims, guards=guards)


def _enclave_keys(ledger: Ledger, said: EvidenceReport) -> list[Command]:
    """Claim an enclave's two keys for its execution, for ever: no key serves two executions, let alone two DAOs."""
    platform = ledger.platform().log_id
    keys = (said.cac_key, said.hpke_key)
    return [
        Command(platform, "enclave-key", sha256(bytes.fromhex(key)).hexdigest(), said.execution.encode(), {})
        for key in keys
    ]


def _appraised(
    ledger: Ledger, cell: Scheduling, context: Context, signed: Signed, said: EvidenceReport
) -> tuple[list[Pending], Sequence[Attachment]]:
    """Use up the nonce, whatever the verdict; an affirming one goes on to the provisioning gate and the release."""
    reason = _unusable(said) or appraise(context.expected(), said, ledger.clock.now_ms())
    evidence_digest = sha256(signed.token.encode()).hexdigest()
    event = EvidenceAppraised(
        execution_id=said.execution,
        status="affirming" if reason is None else "contraindicated",
        reason=reason or "the node's key vouches for this runtime and binding; no hardware does",
        evidence=signed.token,
        evidence_digest=evidence_digest,
        evidence_class=said.evidence_class,
        platform_id=platform_id(signed.kid),
        nonce=said.nonce,
        report_data=said.report_data,
        cac_key=said.cac_key,
        hpke_kem_id=said.hpke_kem_id,
        hpke_key=said.hpke_key,
        hpke_key_digest=sha256(bytes.fromhex(said.hpke_key)).hexdigest(),
        engine=said.engine,
        measurement=said.measurement,
        certificate=None if reason else _certificate(ledger, context, said, evidence_digest),
    )
    if reason is not None:
        abandoned = ExecutionAbandoned(execution_id=said.execution, reason="evidence_refused")
        return on_execution(context, [event, abandoned]), ()
    return provision(ledger, cell, context, event)


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
    return jws.sign(ENDORSEMENT, ledger.keyring.get(context.log_id).attestation_key(), content)


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
