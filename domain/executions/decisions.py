"""What follows from a node's report, and from governance's word after a fault."""

from collections.abc import Sequence
from typing import Any

from domain.bounds import Bounds
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.executions.events import (
    ExecutionChallenged,
    ExecutionFaulted,
    NoticeKind,
    NoticeRequested,
    RetryAuthorized,
    RetryRefused,
)
from domain.executions.reports import FaultedReport, bucket
from domain.executions.state import Execution
from domain.message import Recorded
from domain.policies.kinds import Notification, Policy
from domain.statements import Signed, require_threshold
from domain.tenants.erasure import require_nothing_new
from domain.tenants.state import Tenant
from domain.workloads.events import WorkloadQueued


def challenge(execution: Execution, nonce: str, now_ms: int) -> ExecutionChallenged:
    """Issue the execution's one nonce.

    Raises:
        ConflictError: when it has one already, or is past its reservation.
    """
    if execution.status != "reserved":
        raise ConflictError(f"the execution is {execution.status}: it has its nonce already")
    if now_ms >= execution.reserved.until_ms:
        raise RefusedError("the execution's window is over")
    return ExecutionChallenged(
        execution_id=execution.id, node=execution.reserved.node, nonce=nonce, expires_ms=execution.reserved.until_ms
    )


def faulted(report: FaultedReport, token: str, received: int | None = None) -> ExecutionFaulted:
    """Record a fault as the node reports it; `received`: leaf index of the batch's entry, if it came in one."""
    return ExecutionFaulted(
        execution_id=report.execution,
        kind=report.fault,
        detail=report.detail,
        report=token,
        received=received,
        fuel_bucket=bucket(report.fuel),
        memory_bucket=bucket(report.memory_bytes),
        wall_bucket=bucket(report.duration_ms),
    )


def notices(
    policy: Policy, execution_id: str, kind: NoticeKind, monitors: Sequence[str] = (), dispute: str | None = None
) -> tuple[NoticeRequested, ...]:
    """Return whom the policy wants told of a fault, divergence or dispute, and who is appointed, each once."""
    recipients = [name for rule in policy.rules if isinstance(rule, Notification) for name in rule.recipients]
    recipients += monitors
    return tuple(
        NoticeRequested(execution_id=execution_id, recipient=name, dispute=dispute, kind=kind)
        for name in dict.fromkeys(recipients)
    )


def retry_claims(
    tenant: Tenant, fault: Recorded, queued: WorkloadQueued, *, policy: Policy, bounds: Bounds, not_after_ms: int
) -> dict[str, Any]:
    """Return what every signatory says: origin, workload, this very fault, policy, module, bounds, decision, expiry."""
    event = fault.event
    if not isinstance(event, ExecutionFaulted):
        raise RefusedError("only a fault can be re-authorised")
    return {
        "act": "authorize_retry",
        "origin": tenant.origin,
        "workload": queued.workload_id,
        "execution": event.execution_id,
        "fault_leaf_index": fault.leaf_index,
        "fault_entry": fault.leaf_hash.hex(),
        "policy_version": tenant.policy_version,
        "policy_digest": policy.digest(),
        "module_digest": queued.module_digest,
        "bounds": bounds.model_dump(mode="json"),
        "next_attempt": queued.attempt + 1,
        "decision": "authorize",
        "not_after_ms": not_after_ms,
    }


def authorize_retry(
    tenant: Tenant,
    execution: Execution,
    fault: Recorded,
    queued: WorkloadQueued,
    *,
    policy: Policy,
    bounds: Bounds,
    maximum: Bounds,
    not_after_ms: int,
    node_operator: str,
    signatures: Sequence[Signed],
    now_ms: int,
) -> tuple[RetryAuthorized, WorkloadQueued]:
    """Let a held workload run again, in a new attempt with a new execution id.

    Raises:
        ConflictError: when this fault has been decided.
        RefusedError: when the execution did not fault, is not reset, expiry or bounds are out of range, or the tenant's
            erasure is ordered.
        NotAuthorisedError: when the policy's roles and threshold are not met.
    """
    require_nothing_new(tenant)
    if execution.faulted is None or not execution.terminal:
        raise RefusedError("the execution has not faulted and been reset; there is nothing to re-authorise")
    if execution.retry_decided:
        raise ConflictError("this fault has been decided already; one decision per fault")
    if execution.reserved.attempt != queued.attempt:
        raise ConflictError(f"the workload has gone on to attempt {queued.attempt}; this fault is of an earlier one")
    rule = policy.re_authorisation()
    if not now_ms < not_after_ms <= now_ms + rule.timeout_ms:
        raise RefusedError(f"the authorisation must expire within {rule.timeout_ms} ms")
    if not bounds.within(maximum):
        raise RefusedError(f"bounds exceed the clause's maximum ({maximum})")
    claims = retry_claims(tenant, fault, queued, policy=policy, bounds=bounds, not_after_ms=not_after_ms)
    if execution.id != claims["execution"]:
        raise NotAuthorisedError("the fault is of another execution")
    require_threshold(
        signatures,
        tenant.principals,
        roles=frozenset(rule.roles),
        threshold=rule.threshold,
        expected=claims,
        excluded_persons=frozenset({node_operator}),
    )
    authorized = RetryAuthorized(
        execution_id=execution.id,
        workload_id=queued.workload_id,
        fault_entry=fault.leaf_hash.hex(),
        fault_leaf_index=fault.leaf_index,
        next_attempt=queued.attempt + 1,
        bounds=bounds,
        not_after_ms=not_after_ms,
        policy_version=tenant.policy_version,
        policy_digest=policy.digest(),
        statements=tuple(signed.token for signed in signatures),
    )
    again = queued.model_copy(
        update={
            "attempt": queued.attempt + 1,
            "facts": queued.facts.model_copy(update={"bounds": bounds}),
            "not_after_ms": not_after_ms,
        }
    )
    return authorized, again


def refuse_retry(
    tenant: Tenant,
    execution: Execution,
    fault: Recorded,
    workload: str,
    *,
    policy: Policy,
    node_operator: str,
    signatures: Sequence[Signed],
) -> RetryRefused:
    """Let a held workload stay held, for good. The same roles decide that may let it run.

    Raises:
        ConflictError: when this fault has been decided.
        RefusedError: when the execution did not fault.
        NotAuthorisedError: when the policy's roles and threshold are not met.
    """
    if execution.faulted is None:
        raise RefusedError("the execution has not faulted; there is nothing to decide")
    if execution.retry_decided:
        raise ConflictError("this fault has been decided already; one decision per fault")
    rule = policy.re_authorisation()
    require_threshold(
        signatures,
        tenant.principals,
        roles=frozenset(rule.roles),
        threshold=rule.threshold,
        expected=refusal_claims(tenant, execution.id, fault, workload),
        excluded_persons=frozenset({node_operator}),
    )
    return RetryRefused(
        execution_id=execution.id,
        workload_id=workload,
        fault_entry=fault.leaf_hash.hex(),
        statements=tuple(signed.token for signed in signatures),
    )


def refusal_claims(tenant: Tenant, execution_id: str, fault: Recorded, workload: str) -> dict[str, Any]:
    """Return what every signatory says when a workload stays held."""
    return {
        "act": "refuse_retry",
        "origin": tenant.origin,
        "workload": workload,
        "execution": execution_id,
        "fault_leaf_index": fault.leaf_index,
        "fault_entry": fault.leaf_hash.hex(),
        "policy_version": tenant.policy_version,
        "decision": "refuse",
    }
