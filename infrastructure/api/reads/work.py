"""/v1/workloads, /v1/executions, /v1/why, /v1/cacs: a tenant's own work and results.

Invariants:
- What is another tenant's is looked for in the asker's own log, and not found there: as what does not exist.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import RefusedError, UnknownError
from domain.time import MAX_INSTANT_MS
from infrastructure.api.problems import NOTHING
from infrastructure.api.reads.answers import READS, REPLAYS, current, shown
from infrastructure.api.reads.cursors import print_cursor, read_cursor
from infrastructure.api.reads.queries import DECIMAL, Page, Query
from infrastructure.api.reads.rows import OwnRows, Row, require_after, require_id
from infrastructure.api.reads.shapes import Cac, Cacs, Execution, Why, Workload, Workloads
from infrastructure.api.state import asker, serving
from infrastructure.cacs.export import export_cac
from infrastructure.explaining import explain_in, read_then
from infrastructure.ledger import Ledger
from projections import audit_trail, isolation, waiting

MOST_REPLAYED: Final = 50_000
"""Entries of a log whose past `why` still folds for one request."""


router = APIRouter()


class WorkloadsQuery(Page):
    """A page of workloads; `state` chooses by status."""

    state: Annotated[str, Field(pattern=r"^[a-z]{1,32}$")] | None = None


class CacsQuery(Page):
    """A page of CACs; chosen by outcome and clause."""

    outcome: Annotated[str, Field(pattern=r"^[A-Z]{1,16}$")] | None = None
    clause: Annotated[str, Field(max_length=256)] | None = None


class WhyQuery(Query):
    """`at`: as of which instant, in ms since 1970."""

    at: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS), DECIMAL] | None = None


@router.get("/v1/workloads", response_model=Workloads)
async def workloads(request: Request, query: Annotated[WorkloadsQuery, InQuery()]) -> Response:
    """List the workloads of the asker's tenant, by id."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        rows, following = _page(ledger, log_id, "wl", query, lambda row: query.state in {None, row["status"]})
        return {"workloads": rows, "next": following}

    return await shown(request, made)


@router.get("/v1/workloads/{workload}", response_model=Workload)
async def workload(request: Request, workload: str) -> Response:
    """Show one workload of the asker's tenant."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _one(ledger, log_id, "wl", workload))


@router.get("/v1/executions/{execution}", response_model=Execution)
async def execution(request: Request, execution: str) -> Response:
    """Show one execution of the asker's tenant, and what became of its enclave."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        name = require_id(execution, "exec")
        rows = OwnRows(ledger, log_id, audit_trail.NAME, isolation.NAME)
        row = rows.need(audit_trail.NAME, f"execution/{name}")
        return {**row, "enclave": rows.row(isolation.NAME, f"enclave/{name}")}

    return await shown(request, made)


@router.get("/v1/why/{name}", response_model=Why)
async def why(request: Request, name: str, query: Annotated[WhyQuery, InQuery()]) -> Response:
    """Say what became of a workload, execution or CAC of the asker's tenant, now or at an instant."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        known = require_id(name, name.partition("-")[0] if name.startswith(("wl-", "exec-", "cac-")) else "wl")
        origin = ledger.log(log_id).origin
        try:
            if query.at is None:
                rows = OwnRows(ledger, log_id, audit_trail.NAME, waiting.NAME)
                return explain_in(rows.row, origin, known)
            if ledger.head(log_id).size > MOST_REPLAYED:
                raise RefusedError("this log is too long to be folded for one request: replay its bundle")
            return explain_in(read_then(ledger, log_id, query.at), origin, known, at_ms=query.at)
        except UnknownError:
            raise UnknownError(NOTHING) from None

    return await shown(request, made, READS if query.at is None else REPLAYS)


@router.get("/v1/cacs", response_model=Cacs)
async def cacs(request: Request, query: Annotated[CacsQuery, InQuery()]) -> Response:
    """List the CACs of the asker's tenant, by id."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)

    def wanted(row: Row) -> bool:
        return query.outcome in {None, row["outcome"]} and query.clause in {None, row["clause_id"]}

    def made() -> Row:
        rows, following = _page(ledger, log_id, "cac", query, wanted)
        return {
            "cacs": [{name: value for name, value in row.items() if name != "document"} for row in rows],
            "next": following,
        }

    return await shown(request, made)


@router.get("/v1/cacs/{cac}", response_model=Cac)
async def cac(request: Request, cac: str) -> Response:
    """Show one CAC of the asker's tenant as its enclave signed it."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _one(ledger, log_id, "cac", cac))


@router.get("/v1/cacs/{cac}/statement", response_class=Response)
async def statement(request: Request, cac: str) -> Response:
    """Give a CAC as a SCITT statement, with the receipt and the key that prove it against the log's checkpoints.

    That the key of the CAC's stream is handed out is in the log before.
    """
    parts, (who, log_id) = serving(request).need(), asker(request)

    def made() -> bytes:
        _one(parts.ledger, log_id, "cac", cac)
        return export_cac(parts.ledger, cac, "scitt", recipient=who.recipient)

    return await current(request, made, "application/scitt-statement+cose")


_KINDS: Final = {"wl": "workload", "cac": "cac"}


def _one(ledger: Ledger, log_id: UUID, kind: str, name: str) -> Row:
    known = require_id(name, kind)
    return OwnRows(ledger, log_id, audit_trail.NAME).need(audit_trail.NAME, f"{_KINDS[kind]}/{known}")


def _page(ledger: Ledger, log_id: UUID, kind: str, query: Page, wanted: Any) -> tuple[list[Row], str | None]:
    after = None if query.cursor is None else require_after(read_cursor(kind, query.cursor), kind)
    rows = OwnRows(ledger, log_id, audit_trail.NAME)
    found, last = rows.page(audit_trail.NAME, f"{_KINDS[kind]}/{kind}", after, query.limit, wanted)
    return found, None if last is None else print_cursor(kind, last)
