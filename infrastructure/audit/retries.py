"""Governance's word after a fault, decided again with what this log has.

Invariants:
- The fault is the one that stands in this log, at its leaf index, under its leaf hash.
- Roles, threshold, persons and payload are checked with keys and policy of that position.
- Two facts are the platform log's and can't be checked here: who operates the node, and the clause's maximum.
"""

from domain.errors import VerificationError
from domain.executions.decisions import authorize_retry, refuse_retry
from domain.executions.events import RetryAuthorized, RetryRefused
from domain.message import Recorded
from domain.policies.kinds import Policy
from domain.statements import GOVERNANCE
from domain.tenants.state import Tenant
from domain.workloads.events import WorkloadQueued
from infrastructure.audit.governance import governed
from infrastructure.audit.known import Attempt, Known, Workload
from infrastructure.audit.statements import instant_before
from infrastructure.audit.workloads import next_attempt

_NODES = (
    "decisions after a fault: that no signatory operates the node, and the clause's maximum, are in the platform log"
)
_WHOSE = "statements of governance: their enrolment, in the log's own stream, was not disclosed"


def follow(known: Known, attempt: Attempt, event: RetryAuthorized | RetryRefused, recorded: Recorded) -> None:
    """Decide a re-authorisation, or its refusal, again; tell the workload how it may be queued.

    Raises:
        LedgerError: when it does not follow from what is in the log.
    """
    fault = attempt.fault
    if fault is None:
        raise VerificationError("the execution has not faulted; there is nothing to decide")
    tenant = known.tenant("decisions after a fault")
    workload = known.workload(attempt.execution.reserved.workload_id, "decisions after a fault")
    if tenant is None or workload is None or workload.queued is None:
        known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=_WHOSE)
        _claimed(attempt, event, fault, workload)
        return
    policy = known.effective(workload.queued, tenant.policy_version) or Policy()
    if isinstance(event, RetryAuthorized):
        workload.again = _authorized(known, tenant, attempt, event, recorded, (fault, workload.queued, policy))
    else:
        _refused(known, tenant, attempt, event, recorded, (fault, workload.queued, policy))
    known.elsewhere[_NODES] += 1


def _claimed(
    attempt: Attempt, event: RetryAuthorized | RetryRefused, fault: Recorded, workload: Workload | None
) -> None:
    """Take a decision as it is told, where what would verify it was not disclosed."""
    if attempt.execution.retry_decided or event.fault_entry != fault.leaf_hash.hex():
        raise VerificationError("the decision is not of this fault, or it has been decided already")
    if isinstance(event, RetryAuthorized) and workload is not None and workload.queued is not None:
        workload.again = next_attempt(workload.queued, event.bounds, event.not_after_ms)


def _authorized(
    known: Known,
    tenant: Tenant,
    attempt: Attempt,
    event: RetryAuthorized,
    recorded: Recorded,
    rests_on: tuple[Recorded, WorkloadQueued, Policy],
) -> WorkloadQueued:
    fault, queued, policy = rests_on
    again, next_queued = authorize_retry(
        tenant,
        attempt.execution,
        fault,
        queued,
        policy=policy,
        bounds=event.bounds,
        maximum=event.bounds,
        not_after_ms=event.not_after_ms,
        node_operator="",
        signatures=governed(known, tenant, event.statements, recorded),
        now_ms=instant_before(recorded.at_ms, event.not_after_ms),
    )
    if again != event:
        raise VerificationError("the authorisation is not what its statements say")
    return next_queued


def _refused(
    known: Known,
    tenant: Tenant,
    attempt: Attempt,
    event: RetryRefused,
    recorded: Recorded,
    rests_on: tuple[Recorded, WorkloadQueued, Policy],
) -> None:
    fault, queued, policy = rests_on
    again = refuse_retry(
        tenant,
        attempt.execution,
        fault,
        queued.workload_id,
        policy=policy,
        node_operator="",
        signatures=governed(known, tenant, event.statements, recorded),
    )
    if again != event:
        raise VerificationError("the refusal is not what its statements say")
