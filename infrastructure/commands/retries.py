"""Re-authorisation after a fault: the act of those whom the tenant's policy names, for that very fault."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.bounds import Bounds
from domain.errors import ConflictError, RefusedError, UnknownError
from domain.executions.decisions import authorize_retry, refuse_retry, retry_claims
from domain.executions.events import ExecutionFaulted
from domain.identifiers import stream_of
from domain.message import Pending, Recorded
from domain.statements import GOVERNANCE, Signed
from infrastructure.commands.border import all_verified_or_known, keys_of
from infrastructure.commands.context import Context, load_context, on_execution
from infrastructure.commands.loading import load_clause
from infrastructure.commands.tenants import statement_command
from infrastructure.ledger import Answer, Command, Ledger
from infrastructure.mapper import placed


@dataclass(frozen=True, slots=True)
class RetryDraft:
    """What the signatories have to say, with everything that it rests on."""

    context: Context
    fault: Recorded
    bounds: Bounds
    not_after_ms: int
    claims: dict[str, Any]


def draft_retry(
    ledger: Ledger,
    execution_id: str,
    *,
    bounds: Bounds | None,
    within_ms: int | None = None,
    not_after_ms: int | None = None,
) -> RetryDraft:
    """Return what has to be signed to let a held workload run again.

    Args:
        ledger: the ledger.
        execution_id: the faulted execution.
        bounds: new bounds, or None for the same.
        within_ms: how long the authorisation holds from now on, or None for the policy's timeout.
        not_after_ms: when it ends, in place of that; what was signed says so.

    Raises:
        RefusedError: when the execution did not fault.
    """
    context = load_context(ledger, execution_id)
    fault = next((item for item in context.stream if isinstance(item.event, ExecutionFaulted)), None)
    if fault is None:
        raise RefusedError("the execution has not faulted; there is nothing to re-authorise")
    index = ledger.recorder.leaf_index(context.log_id, fault.stream_id, fault.version)
    fault = placed(fault, index, fault.leaf_hash)
    asked = bounds or context.queued.facts.bounds
    if not_after_ms is None:
        not_after_ms = ledger.clock.now_ms() + (within_ms or context.policy().re_authorisation().timeout_ms)
    claims = retry_claims(
        context.tenant, fault, context.queued, policy=context.policy(), bounds=asked, not_after_ms=not_after_ms
    )
    return RetryDraft(context, fault, asked, not_after_ms, claims)


def authorize(ledger: Ledger, draft: RetryDraft, tokens: Sequence[str]) -> Answer:
    """Take the signatures and queue the workload again, in the next attempt.

    Keys, roles and policy count as they are now, not as they were drafted: a policy change voids what was open.

    Raises:
        NotAuthorisedError: when roles or threshold are not met, or the policy changed since.
        ConflictError: when the fault was decided already.
    """
    context, signed = _as_of_now(ledger, draft, tokens)
    known = _answered(ledger, draft, signed)
    if known is not None:
        return known
    if not all(sibling.terminal for sibling in context.siblings):
        raise ConflictError("other enclaves of this attempt have not come to their end yet; repeat when they have")
    clause = load_clause(ledger, context.queued.clause_id)
    if clause is None:
        raise UnknownError("the clause is not registered any more")
    authorized, queued = authorize_retry(
        context.tenant,
        context.execution,
        draft.fault,
        context.queued,
        policy=context.policy(),
        bounds=draft.bounds,
        maximum=clause.metadata.maximum_bounds,
        not_after_ms=draft.not_after_ms,
        node_operator=context.node.enrolled.facts.operator,
        signatures=signed,
        now_ms=ledger.clock.now_ms(),
    )
    command = _command(draft, signed)
    stream = stream_of(queued.workload_id)
    pending = [
        *on_execution(context, [authorized]),
        Pending(context.log_id, stream, context.workload.version + 1, queued),
    ]
    return ledger.append(pending, command=command, guards=context.guards())


def refuse(ledger: Ledger, draft: RetryDraft, tokens: Sequence[str]) -> Answer:
    """Take the signatures that let a held workload stay held.

    Raises:
        NotAuthorisedError: when roles or threshold are not met.
        ConflictError: when the fault was decided already.
    """
    context, signed = _as_of_now(ledger, draft, tokens)
    known = _answered(ledger, draft, signed)
    if known is not None:
        return known
    refused = refuse_retry(
        context.tenant,
        context.execution,
        draft.fault,
        context.queued.workload_id,
        policy=context.policy(),
        node_operator=context.node.enrolled.facts.operator,
        signatures=signed,
    )
    pending = on_execution(context, [refused])
    command = _command(draft, signed, refused=True)
    return ledger.append(pending, command=command, guards=context.guards())


def _as_of_now(ledger: Ledger, draft: RetryDraft, tokens: Sequence[str]) -> tuple[Context, tuple[Signed, ...]]:
    """Read the execution again, and verify the signatures with the keys that are enrolled now."""
    context = load_context(ledger, draft.context.execution.id)
    keys = keys_of(context.tenant.principals.values(), GOVERNANCE)
    aud = context.tenant.origin
    return context, all_verified_or_known(ledger, context.log_id, tokens, typ=GOVERNANCE, keys=keys, aud=aud)


def _command(draft: RetryDraft, signed: Sequence[Signed], *, refused: bool = False) -> Command:
    answer = {"workload": draft.claims["workload"]}
    if not refused:
        answer["attempt"] = draft.claims["next_attempt"]
    return statement_command(draft.context.log_id, signed, answer)


def _answered(ledger: Ledger, draft: RetryDraft, signed: Sequence[Signed]) -> Answer | None:
    known = ledger.answered(_command(draft, signed)) if signed else None
    return None if known is None else Answer(known, ())
