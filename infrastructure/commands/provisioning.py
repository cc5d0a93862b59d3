"""The provisioning gate and the release of inputs: decided at one position, durable before any ciphertext leaves.

Under `custody: operator` one transaction holds appraisal, gate and release. Under `custody: tenant` the gate is passed
here, and the release is decided when the tenant's releaser speaks (infrastructure.commands.releases).
"""

from collections.abc import Sequence

from domain.attestation.binding import SALT_BYTES, input_info, salted_commitment
from domain.attestation.platform import as_appraised
from domain.attestation.release import release_info
from domain.cacs.document import CacRecord, draft_document
from domain.errors import MalformedError, RefusedError, VerificationError
from domain.executions.decisions import notices
from domain.executions.events import (
    EnclaveProvisioned,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionFaulted,
    InputsReleased,
)
from domain.executions.releases import BY_OPERATOR, await_release
from domain.identifiers import stream_of
from domain.message import Event, Pending
from domain.policies.feasible import feasible, told
from domain.time import tick_of
from domain.workloads.decisions import read_request
from domain.workloads.events import WorkloadDenied
from infrastructure.commands.context import Context, load_context, on_execution
from infrastructure.commands.residence import Residence
from infrastructure.commands.submissions import check_credential, submitted_statement
from infrastructure.credentials.refusal import CredentialRefusedError
from infrastructure.engine_digest import engine_digest
from infrastructure.keys import hpke
from infrastructure.ledger import Attachment, Ledger


def provision(
    ledger: Ledger, cell: Residence, context: Context, appraised: EvidenceAppraised
) -> tuple[list[Pending], Sequence[Attachment]]:
    """Evaluate the same rules with the evidence as appraised; if they hold, release the inputs to this enclave's key.

    Where the tenant holds the release key itself, its releaser is waited for instead.

    Returns:
        The pending events, the appraisal first, and what is attached to them.
    """
    if any(other.faulted is not None for other in context.siblings):
        # The workload is held: nothing of it gets inputs until governance lets it run again (domain rule 4).
        ended = ExecutionAbandoned(execution_id=context.execution.id, reason="workload_ended")
        return on_execution(context, [appraised, ended]), ()
    policy = context.policy()
    failed = forbidden(ledger, cell, context, appraised)
    if failed is not None:
        return refused(ledger, context, failed, after=[appraised]), ()
    gate = _gate(context, None)
    if context.tenant.custody == "tenant":
        return on_execution(context, [appraised, gate, await_release(context.execution)]), ()
    try:
        attachments = _resealed(ledger, context, appraised)
    except (MalformedError, VerificationError):
        # The submitter's fault, not the node's: held, and told as such. The node resets what it prepared.
        detail = "an input does not open, or is not what the submission commits to"
        fault = ExecutionFaulted(
            execution_id=context.execution.id, kind="input_error", detail=detail, report=None,
            fuel_bucket=0, memory_bucket=0,
        )  # fmt: skip
        told_of = notices(policy, context.execution.id, fault.kind, context.tenant.monitors)
        return on_execution(context, [appraised, gate, fault, *told_of]), ()
    released = InputsReleased(
        execution_id=context.execution.id,
        evidence_digest=appraised.evidence_digest,
        nonce=appraised.nonce,
        hpke_key_digest=appraised.hpke_key_digest,
        commitments=tuple(item.commitment for item in context.workload.submitted.inputs),
        payloads=tuple(item.reference() for item in attachments),
        released_by=BY_OPERATOR,  # the embedded releaser: the operator has seen the inputs
    )
    events: list[Event] = [appraised, gate, released]
    return on_execution(context, events), attachments


def refused(
    ledger: Ledger, context: Context, failed: tuple[str, str, str], *, after: Sequence[Event] = ()
) -> list[Pending]:
    """Return what follows from a gate that is not passed: its verdict, the end of the attempt, the denial.

    Args:
        ledger: the ledger.
        context: the execution.
        failed: rule, have and need.
        after: events of the execution that come first.
    """
    abandoned = ExecutionAbandoned(execution_id=context.execution.id, reason="provisioning_denied")
    denied = _denied(ledger, context, failed, policy_digest=context.policy().digest())
    return [*on_execution(context, [*after, _gate(context, failed), abandoned]), denied]


def _gate(context: Context, failed: tuple[str, str, str] | None) -> EnclaveProvisioned:
    rule, have, need = failed or ("", "", "")
    return EnclaveProvisioned(
        execution_id=context.execution.id,
        passed=failed is None,
        rule=rule,
        have=have,
        need=need,
        policy_version=context.tenant.policy_version,
        policy_digest=context.policy().digest(),
    )


def forbidden(
    ledger: Ledger, cell: Residence, context: Context, appraised: EvidenceAppraised
) -> tuple[str, str, str] | None:
    """Return rule, have and need of the first thing that forbids the release at this position, or None."""
    now_ms = ledger.clock.now_ms()
    request = read_request(submitted_statement(context.workload.submitted))
    request = request.model_copy(update={"bounds": context.queued.facts.bounds})  # a retry may have raised them
    credential = check_credential(ledger, context.above, context.tenant, request, now_ms)
    if not credential.passed:
        return "credential", credential.reason, "a TEEExecutorVC in force"
    root = context.above[-1]
    try:
        ledger.credentials.node(context.node.enrolled.credential, root.issuers, now_ms)
    except CredentialRefusedError as error:
        return "node_credential", str(error), "a node credential in force"
    node = as_appraised(context.node.enrolled.facts, appraised)
    residents = cell.residents(node.node, without=context.execution.id)
    attempt = context.attempt_nodes(ledger)
    findings = feasible(
        context.policy(), context.queued.facts, node, residents, now_ms,
        attempt=attempt, evidence_ms=context.evidence_ms,
    )  # fmt: skip
    failed = next((finding for finding in findings if not finding.passed), None)
    return told(failed) if failed else None


def _denied(ledger: Ledger, context: Context, failed: tuple[str, str, str], *, policy_digest: str) -> Pending:
    rule, have, need = failed
    event = WorkloadDenied(
        workload_id=context.workload.submitted.workload_id,
        gate="provisioning",
        rule=rule,
        reason=f"{rule}: have {have}, need {need}",
        have=have,
        need=need,
        nodes=0,
        filtered=(),
        engine=engine_digest(),
        policy_version=context.tenant.policy_version,
        policy_digest=policy_digest,
        seen=ledger.head(context.log_id).size - 1,
        tick=tick_of(ledger.clock.now_ms()),
    )
    stream = stream_of(event.workload_id)
    return Pending(context.log_id, stream, context.workload.version + 1, event)


def _resealed(ledger: Ledger, context: Context, appraised: EvidenceAppraised) -> list[Attachment]:
    """Open each input with the tenant's release key and seal it to the enclave's, bound to execution and commitment."""
    release = ledger.keys(context.log_id).release_key()
    submitted = context.workload.submitted
    stream, own = stream_of(submitted.workload_id), stream_of(context.execution.id)
    attachments = []
    for index, item in enumerate(submitted.inputs):
        commitment = bytes.fromhex(item.commitment)
        ciphertext = ledger.attached(context.log_id, stream, item.payload.digest)
        plain = release.open(ciphertext, release_info(context.tenant.origin, index, commitment))
        if salted_commitment(plain[:SALT_BYTES], plain[SALT_BYTES:]) != commitment:
            raise MalformedError(f"input {index} is not what the submission commits to")
        info = input_info(bytes.fromhex(appraised.report_data), index, commitment)
        sealed = hpke.seal(bytes.fromhex(appraised.hpke_key), plain, info)
        attachments.append(ledger.attach(context.log_id, own, sealed))
    return attachments


def released_inputs(ledger: Ledger, execution_id: str) -> tuple[tuple[bytes, ...], dict[str, object], bytes]:
    """Return sealed inputs, the CAC's members known before the run, and the tenant's output key. A repeat: the same.

    Raises:
        RefusedError: when nothing was released to this execution, or it is over.
    """
    context = load_context(ledger, execution_id)  # it stores nothing, so no guard would notice what is old
    if context.execution.status not in {"released", "started"}:
        raise RefusedError(f"the execution is {context.execution.status}; no inputs are released to it")
    record = cac_record(context)
    inputs = tuple(
        ledger.attached(context.log_id, stream_of(execution_id), digest)
        for digest in [payload.digest for payload in record.released.payloads]
    )
    return inputs, draft_document(record), bytes.fromhex(context.tenant.output_key)


def cac_record(context: Context) -> CacRecord:
    """Return the ledger's own record of an execution whose inputs were released.

    Raises:
        RefusedError: when they were not.
    """
    entries = {type(item.event): item.leaf_hash.hex() for item in context.stream}
    appraised, released = context.execution.appraised, context.execution.released
    if appraised is None or released is None:
        raise RefusedError("no inputs were released to this execution")
    return CacRecord(
        expected=context.expected(),
        queued=context.queued,
        appraised=appraised,
        released=released,
        evidence_entry=entries[type(appraised)],
        release_entry=entries[InputsReleased],
    )
