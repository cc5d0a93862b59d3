"""A workload's stream: the submission rebuilt from its statement, the queue rebuilt from both, attempts in order.

Invariants:
- What is queued follows from what was submitted, and from the clause, which only the platform log has.
- A further attempt follows an authorisation for the fault of the one before, or a node's failure before any fault.
"""

from dataclasses import replace

from domain.bounds import Bounds
from domain.clauses.decisions import Clause
from domain.clauses.events import ClauseMetadata
from domain.errors import VerificationError
from domain.identifiers import execution_id
from domain.message import Event, Recorded
from domain.quotas.events import QuotaBorrowed
from domain.statements import SUBMISSION, Principal, Signed
from domain.tenants.state import Tenant
from domain.workloads.decisions import (
    Request,
    accept_submission,
    cancel_workload,
    first_queued,
)
from domain.workloads.events import (
    ClauseVerified,
    CredentialChecked,
    OverflowAccepted,
    OverflowAcceptedV1,
    OverflowClosed,
    OverflowOffered,
    WorkloadCancelled,
    WorkloadDeferred,
    WorkloadDeferredV1,
    WorkloadDenied,
    WorkloadExpired,
    WorkloadPlaced,
    WorkloadQueued,
    WorkloadSubmitted,
)
from infrastructure.audit import borrowing
from infrastructure.audit.governance import enrolled_keys
from infrastructure.audit.known import Known, Workload
from infrastructure.audit.statements import instant_before

_UNKNOWN = "0" * 64
_WHOSE = "statements of submitters: their enrolment, in the log's own stream, was not disclosed"
_CLAUSES = "queued workloads: the clause's rules, attributes and bounds are in the platform log"
_CREDENTIALS = "credential checks: issuers are in the log of the scope above"


def follow(known: Known, recorded: Recorded) -> None:
    """Check one more event of a workload's stream, and fold it."""
    event = recorded.event
    workload = known.workloads.get(recorded.stream_id)
    if isinstance(event, WorkloadSubmitted):
        if workload is not None:
            raise VerificationError("a workload is submitted once")
        known.workloads[recorded.stream_id] = _submitted(known, event, recorded)
        return
    if workload is None:
        raise VerificationError("a workload's stream begins with its submission")
    match event:
        case CredentialChecked() | ClauseVerified():
            _checked(known, workload, event)
        case WorkloadQueued():
            _queued(known, workload, event)
        case WorkloadDeferredV1() | WorkloadDeferred():
            _require_waiting(workload, event.attempt)
        case WorkloadPlaced():
            _placed(known, workload, event)
        case QuotaBorrowed() | OverflowOffered() | OverflowAccepted() | OverflowAcceptedV1() | OverflowClosed():
            borrowing.follow(known, workload, event)
        case WorkloadCancelled() | WorkloadDenied() | WorkloadExpired():
            _over(known, workload, event, recorded)


def _submitted(known: Known, event: WorkloadSubmitted, recorded: Recorded) -> Workload:
    tenant = known.tenant("submissions")
    signed = _signed(known, tenant, event.submission, recorded)
    tenant = tenant or _claimed_tenant(known, event, signed)
    now_ms = instant_before(recorded.at_ms, event.not_after_ms)
    stored = [item.payload for item in event.inputs]
    request, submitted = accept_submission(tenant, signed, stored=stored, now_ms=now_ms)
    if submitted != event:
        raise VerificationError("the submission is not what its statement says")
    if any(item.payload.plaintext_digest != item.ciphertext_digest for item in event.inputs):
        raise VerificationError("an input is kept under another digest than the submission names")
    return Workload(event, signed, request)


def _signed(known: Known, tenant: Tenant | None, token: str, recorded: Recorded) -> Signed:
    if tenant is None:
        return known.statements.by_itself(token, SUBMISSION, recorded, whose=_WHOSE)
    return known.statements.by_signer(token, SUBMISSION, enrolled_keys(tenant, SUBMISSION), recorded)


def _claimed_tenant(known: Known, event: WorkloadSubmitted, signed: Signed) -> Tenant:
    """Return the tenant that a submission claims, where the log's own stream was not disclosed."""
    submitter = Principal(signed.kid, "", "", "", SUBMISSION)
    return Tenant(
        log_id="", dao=event.tenant.dao, jurisdiction=event.tenant.jurisdiction, origin=known.origin, slot=0, did="",
        threshold=1, principals={signed.kid: submitter}, endorsed=True,
    )  # fmt: skip


def _checked(known: Known, workload: Workload, event: CredentialChecked | ClauseVerified) -> None:
    if workload.queued is not None or (workload.clause if isinstance(event, ClauseVerified) else workload.credential):
        raise VerificationError("a submission is checked once")
    if isinstance(event, ClauseVerified):
        workload.clause = event
    else:
        workload.credential = event
        known.elsewhere[_CREDENTIALS] += 1


def _queued(known: Known, workload: Workload, event: WorkloadQueued) -> None:
    before, again = workload.queued, workload.again
    if before is None:
        if not (workload.credential and workload.credential.passed and workload.clause and workload.clause.passed):
            raise VerificationError("a workload was queued that did not pass credential and clause")
        if event.module_digest != workload.clause.module_digest or event != _queueing(known, workload, event):
            raise VerificationError("what was queued is not what was submitted")
        known.elsewhere[_CLAUSES] += 1
        # A long log has many workloads: what has been checked is dropped.
        workload.statement = replace(workload.statement, token="", payload={})
        workload.submitted = workload.submitted.model_copy(update={"submission": ""})
        workload.credential = workload.clause = None
    elif again is None:
        _require_hidden_cause(known, workload, before, event)
    elif event != again:
        raise VerificationError("the next attempt is not the one that was authorised, or that a node's failure allows")
    workload.queued, workload.waits, workload.held, workload.again = event, True, False, None


def _queueing(known: Known, workload: Workload, event: WorkloadQueued) -> Event:
    """Return the queueing that follows from the submission, with what of the clause only the platform log knows."""
    submitted = workload.submitted
    tenant = known.tenant("queued workloads") or _claimed_tenant(known, submitted, workload.statement)
    return first_queued(tenant, _claimed_clause(workload.request, event), workload.request)


def _claimed_clause(request: Request, event: WorkloadQueued) -> Clause:
    metadata = ClauseMetadata(
        clause_id=request.clause_id,
        owner="unknown",
        resource_classes=(request.resource_class,),
        maximum_bounds=request.bounds,
        required_attributes=event.facts.required_attributes,
        policies=event.clause_rules,
        inputs=len(request.inputs),
    )
    return Clause(metadata, event.module_digest, payload_digest=_UNKNOWN, entry=_UNKNOWN, owner_origin="")


def _require_hidden_cause(known: Known, workload: Workload, before: WorkloadQueued, event: WorkloadQueued) -> None:
    """Refuse a further attempt without a cause, unless an execution that was not disclosed may hold it."""
    executions = [name for name, (placed, _) in workload.places.items() if placed.attempt == before.attempt]
    if event != next_attempt(before, event.facts.bounds, event.not_after_ms):
        raise VerificationError("the next attempt is not of what was queued before")
    if not executions:
        raise VerificationError("a workload was queued again that was never placed")
    for execution in executions:
        if known.attempt(execution, "further attempts") is None:
            return
    raise VerificationError("a workload was queued again without authorisation, and no node's failure explains it")


def next_attempt(queued: WorkloadQueued, bounds: Bounds, not_after_ms: int) -> WorkloadQueued:
    """Return the queueing of the next attempt."""
    facts = queued.facts.model_copy(update={"bounds": bounds})
    return queued.model_copy(update={"attempt": queued.attempt + 1, "facts": facts, "not_after_ms": not_after_ms})


def _placed(known: Known, workload: Workload, event: WorkloadPlaced) -> None:
    _require_waiting(workload, event.attempt)
    for k, place in enumerate(event.places):
        if (place.k, place.execution_id) != (k, execution_id(known.origin, event.workload_id, event.attempt, k)):
            raise VerificationError("an execution id does not follow from log, workload, attempt and number")
        workload.places[place.execution_id] = (event, place)
    workload.waits = False


def _require_waiting(workload: Workload, attempt: int) -> None:
    if not workload.waits or workload.queued is None or workload.queued.attempt != attempt:
        raise VerificationError("it is of an attempt that does not wait")


def _cancelled(known: Known, workload: Workload, event: WorkloadCancelled, recorded: Recorded) -> None:
    tenant = known.tenant("cancellations")
    signed = _signed(known, tenant, event.statement, recorded)
    tenant = tenant or _claimed_tenant(known, workload.submitted, signed)
    if cancel_workload(tenant, event.workload_id, waits=workload.waits, signed=signed) != event:
        raise VerificationError("the cancellation is not what its statement says")


def _require_order(known: Known, event: WorkloadDenied | WorkloadExpired) -> None:
    """Require that an erasure is ordered where one is given as the reason."""
    if isinstance(event, WorkloadDenied) and event.rule == "erasure_ordered":
        tenant = known.tenant("denials for an erasure")
        if tenant is not None and tenant.erasure_not_before_ms is None:
            raise VerificationError("denied for an erasure that is not ordered")


def _over(
    known: Known, workload: Workload, event: WorkloadCancelled | WorkloadDenied | WorkloadExpired, recorded: Recorded
) -> None:
    if isinstance(event, WorkloadCancelled):
        _cancelled(known, workload, event, recorded)
    else:
        _require_order(known, event)
    workload.waits, workload.again = False, None
