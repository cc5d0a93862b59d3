"""POST /v1/workloads and /v1/cancellations: a submitter's statements, for the tenant whose token it has.

Inputs come as the submitter sealed them (HPKE, RFC 9180) to its tenant's release key; under `custody: tenant` nobody
here can open them.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError
from domain.workloads.events import WorkloadDenied
from infrastructure.api.bodies import Body, Statement, read_body
from infrastructure.api.state import Parts, asker, serving
from infrastructure.api.writes.taking import members, stored, told
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.submissions import cancel, submit
from infrastructure.ledger import Answer
from infrastructure.statements import jws

_MOST_INPUTS: Final = 16
_MOST_INPUT_CHARACTERS: Final = 524_288

router = APIRouter()


class Submission(Body):
    """A submission, and the sealed inputs that it names, each as base64."""

    submission: Statement
    inputs: Annotated[
        tuple[Annotated[bytes, Field(max_length=_MOST_INPUT_CHARACTERS)], ...],
        Field(min_length=1, max_length=_MOST_INPUTS),
    ]


class Cancellation(Body):
    """A submitter's word that it takes a waiting workload back."""

    statement: Statement


@router.post("/v1/workloads")
async def take_submission(request: Request) -> Response:
    """Take a workload in. A denial by credential or clause is an answer, and its events are in the log."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, Submission)
    return await stored(request, given.submission, lambda: _submitted(parts, log_id, given))


@router.post("/v1/cancellations")
async def take_cancellation(request: Request) -> Response:
    """Take a waiting workload back."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, Cancellation)
    return await stored(request, given.statement, lambda: _cancelled(parts, log_id, given.statement))


def _submitted(parts: Parts, log_id: UUID, given: Submission) -> dict[str, Any]:
    ledger = parts.ledger
    answer = submit(ledger, load_tenant(ledger, log_id), given.submission, given.inputs)
    first = told(ledger, log_id, given.submission, answer)
    return {**members(ledger, log_id, given.submission, first), "denied": _denied(first)}


def _denied(answer: Answer) -> dict[str, Any] | None:
    """Return which gate said no, and why; None for a workload that waits."""
    for recorded in answer.recorded:
        if isinstance(recorded.event, WorkloadDenied):
            return {"gate": recorded.event.gate, "reason": recorded.event.reason}
    return None


def _cancelled(parts: Parts, log_id: UUID, statement: str) -> dict[str, Any]:
    workload = jws.peek(statement)[1].get("workload")
    if not isinstance(workload, str):
        raise MalformedError("the statement names no workload", [("/statement/workload", "a workload id")])
    answer = cancel(parts.ledger, load_tenant(parts.ledger, log_id), workload, statement)
    return members(parts.ledger, log_id, statement, answer)
