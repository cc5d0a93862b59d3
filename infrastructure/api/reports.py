"""/v1/reports: signed statements of nodes (wire formats 4), one or many in a request.

Invariants:
- What is answered with 200 is durable, and says whether it counts. Reports of one execution that one batch names are
  one transaction where all of them count; every other report is one of its own.
- A known jti gets its first answer, with another body 409. So a lost answer is safe to ask for again.
- Reports that a batch names carry no signature of their own: the batch is verified before the first of them is looked
  at, and kept with the first of them that is recorded. What is refused of a request leaves nothing.
- Reports of one execution are taken in the order in which they come; after one that was not taken or did not count,
  the rest of that execution is not tried (424): it would be refused, and recorded as such.
- A node reports of its own executions: of any other it learns nothing, not even that there is one.
"""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import LedgerError, MalformedError, NotAuthorisedError
from domain.executions.reports import MAX_BATCH, MAX_ENDORSEMENTS, batched, read_batch
from domain.hashing import sha256_hex
from domain.statements import REPORT, Signed
from infrastructure.api.askers import Principal
from infrastructure.api.assignments import release_of
from infrastructure.api.bodies import Body, Statement, answered, read_body
from infrastructure.api.owning import require_own
from infrastructure.api.problems import ProblemError, problem_of
from infrastructure.api.receipts import acknowledged
from infrastructure.api.state import Parts, principal, serving
from infrastructure.attestation.recognise import MAX_TEXT_BYTES
from infrastructure.commands.batches import Batch, receive
from infrastructure.commands.executions import report, report_together
from infrastructure.commands.loading import log_of
from infrastructure.commands.telemetry import telemetry
from infrastructure.node.enclosed import Enclosed
from infrastructure.statements import jws

MOST_REPORTS: Final = MAX_BATCH
_MOST_OUTPUT_CHARACTERS: Final = 131_072
_MOST_CAC_CHARACTERS: Final = 131_072
_AT_ONCE: Final = 16
_MANY: Final = re.compile(rb'\s*\{\s*"(?:reports|batches)"')
_JTI: Final = re.compile(r"[0-9a-f]{32}")

router = APIRouter()
_limiter: list[CapacityLimiter] = []


class Report(Body):
    """A statement and what goes with it (`Enclosed`), each as base64."""

    report: Annotated[str, Field(max_length=jws.MAX_STATEMENT_BYTES)]
    output: Annotated[bytes | None, Field(max_length=_MOST_OUTPUT_CHARACTERS)] = None
    cac: Annotated[bytes | None, Field(max_length=_MOST_CAC_CHARACTERS)] = None
    evidence: Annotated[bytes | None, Field(max_length=MAX_TEXT_BYTES)] = None
    endorsements: Annotated[tuple[bytes, ...], Field(max_length=MAX_ENDORSEMENTS)] = ()

    def enclosed(self) -> Enclosed:
        """Return what goes with the statement."""
        return Enclosed(self.output, self.cac, self.evidence, self.endorsements)


class Reports(Body):
    """Many of them. `batches`: statements over those that are not signed by themselves, each of one log."""

    reports: Annotated[tuple[Report, ...], Field(min_length=1, max_length=MOST_REPORTS)]
    batches: Annotated[tuple[Statement, ...], Field(max_length=MOST_REPORTS)] = ()


@router.post("/v1/reports")
async def take_reports(request: Request) -> Response:
    """Take in one report, `{"report": ...}`, or many, `{"reports": [...]}`."""
    parts, who = serving(request).need(), principal(request)
    if not _MANY.match(await request.body()):
        given = await read_body(request, Report)
        _check_idempotency_key(request, given)
        (members,) = await _taken(parts, who, [_Given(given)])
        if members.pop("status") != HTTPStatus.OK:
            raise members["problem"]
        return answered(members)
    many = await read_body(request, Reports)
    answers = await _grouped(parts, who, await to_thread.run_sync(_received, parts, who, many))
    return answered({"answers": [_flat(one) for one in answers]})


@dataclass(frozen=True, slots=True)
class _Given:
    """A report, and the batch that names it, or what is wrong with that."""

    report: Report
    batch: Batch | LedgerError | None = None


def _received(parts: Parts, who: Principal, many: Reports) -> list[_Given]:
    """Return the reports, each with the batch that names it.

    Raises:
        MalformedError: when a batch is none, names what did not come, or what another one names.
    """
    places = {sha256_hex(one.report.encode()): at for at, one in enumerate(many.reports)}
    named: dict[int, int] = {}
    for number, token in enumerate(many.batches):
        header, content = jws.peek(token)
        for digest in read_batch(Signed(token, header["kid"], REPORT, content)).reports:
            if digest not in places:
                raise MalformedError("a batch names a report that did not come with it")
            if named.setdefault(places[digest], number) != number:
                raise MalformedError("two batches name one report")
    batches = [
        _batch(parts, who, token, [many.reports[at].report for at, of in named.items() if of == number])
        for number, token in enumerate(many.batches)
    ]
    return [_Given(one, batches[named[at]] if at in named else None) for at, one in enumerate(many.reports)]


def _batch(parts: Parts, who: Principal, token: str, reports: Sequence[str]) -> Batch | LedgerError:
    try:
        return receive(parts.ledger, _own_log(parts, who, reports[0]), who.node, token, reports)
    except LedgerError as error:
        return error


def _own_log(parts: Parts, who: Principal, report: str) -> UUID:
    """Return the log of the execution that a batch's first report is of.

    Raises:
        UnknownError: when it is none of the node's own.
        MalformedError: when it is no report.
    """
    execution = batched(report, "").payload.get("execution")
    if not isinstance(execution, str):
        raise MalformedError("report is malformed at execution")
    require_own(parts.ledger, execution, who.node)
    return log_of(parts.ledger, execution)


async def _grouped(parts: Parts, who: Principal, reports: Sequence[_Given]) -> list[dict[str, Any]]:
    """Take in reports of several executions side by side, those of one in their order."""
    groups: dict[str, list[int]] = {}
    for at, one in enumerate(reports):
        groups.setdefault(_subject(one), []).append(at)
    taken = await asyncio.gather(*(_taken(parts, who, [reports[at] for at in group]) for group in groups.values()))
    answers: list[dict[str, Any]] = [{}] * len(reports)
    for group, results in zip(groups.values(), taken, strict=True):
        for at, result in zip(group, results, strict=True):
            answers[at] = result
    return answers


async def _taken(parts: Parts, who: Principal, reports: Sequence[_Given]) -> list[dict[str, Any]]:
    if not _limiter:
        _limiter.append(CapacityLimiter(_AT_ONCE))
    return await to_thread.run_sync(_take_in_order, parts, who, reports, limiter=_limiter[0])


def _take_in_order(parts: Parts, who: Principal, reports: Sequence[_Given]) -> list[dict[str, Any]]:
    together = _take_together(parts, who, reports)
    if together is not None:
        return together
    answers: list[dict[str, Any]] = []
    goes_on = True
    for one in reports:
        if not goes_on:
            problem = ProblemError(HTTPStatus.FAILED_DEPENDENCY, "not tried: an earlier report did not count")
            answers.append({"status": problem.status, "problem": problem})
            continue
        try:
            members = _take(parts, who, one)
            goes_on = bool(members["accepted"])
            answers.append({"status": HTTPStatus.OK, **members})
        except LedgerError as error:
            problem = problem_of(error)
            goes_on = False
            answers.append({"status": problem.status, "problem": problem})
    return answers


def _take_together(parts: Parts, who: Principal, given: Sequence[_Given]) -> list[dict[str, Any]] | None:
    """Take in reports of one execution that one batch names in one transaction; None unless all of them count."""
    batch, execution = given[0].batch, _subject(given[0])
    if len(given) == 1 or not isinstance(batch, Batch) or batch.kid != who.kid:
        return None
    if not execution or any(one.batch is not batch for one in given):
        return None
    try:
        require_own(parts.ledger, execution, who.node)
        taken = report_together(
            parts.ledger, parts.cell, [(one.report.report, one.report.enclosed()) for one in given], batch
        )
    except LedgerError:
        return None
    if taken is None:
        return None
    jtis = [batch.signed(one.report.report).payload["jti"] for one in given]
    return [
        {"status": HTTPStatus.OK, "jti": jti, **answer.answer, "acknowledgements": acknowledged(answer)}
        for jti, answer in zip(jtis, taken, strict=True)
    ]


def _take(parts: Parts, who: Principal, one: _Given) -> dict[str, Any]:
    given, batch = one.report, one.batch
    if isinstance(batch, LedgerError):
        raise batch
    kid, content = _peeked(given.report) if batch is None else (batch.kid, batch.signed(given.report).payload)
    if kid != who.kid:
        raise NotAuthorisedError("a report is signed by the node whose token this is")
    kind, execution = content.get("kind"), content.get("execution")
    if kind == "telemetry" and batch is None:
        if content.get("node") != who.node:
            raise NotAuthorisedError("telemetry is signed by the node that it speaks of")
        answer = telemetry(parts.ledger, given.report)
    else:
        if not isinstance(execution, str):
            raise MalformedError("report is malformed at execution")
        require_own(parts.ledger, execution, who.node)
        answer = report(parts.ledger, parts.cell, given.report, given.enclosed(), batch)
    released = release_of(parts.ledger, execution) if kind == "evidence" and isinstance(execution, str) else {}
    return {"jti": content["jti"], **answer.answer, "acknowledgements": acknowledged(answer), **released}


def _peeked(token: str) -> tuple[str, Mapping[str, Any]]:
    header, content = jws.peek(token)
    return header["kid"], content


def _subject(one: _Given) -> str:
    """Return the execution that a report says it is of; "" for everything else, which is taken in one order."""
    text = one.report.report
    try:
        content = _peeked(text)[1] if one.batch is None else batched(text, "").payload
        execution = content.get("execution")
    except LedgerError:
        return ""
    return execution if isinstance(execution, str) else ""


def _check_idempotency_key(request: Request, given: Report) -> None:
    """Hold an Idempotency-Key, where there is one, against the statement's jti."""
    key = request.headers.get("idempotency-key")
    if key is not None and (not _JTI.fullmatch(key) or jws.peek(given.report)[1]["jti"] != key):
        raise MalformedError("the Idempotency-Key is not the statement's jti")


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    problem: ProblemError | None = one.get("problem")
    return one if problem is None else problem.body()
