"""/v1/disputes and /v1/involved: disputes as far as they concern who asks, and from a thing to all that it touched.

Invariants:
- A scope's resolvers and auditors see what concerns tenants of the jurisdictions that they were enrolled for;
  a tenant's people their own part; the platform's, and a scope's admins, nothing. What they don't see is as
  what there isn't.
- What is told is recorded singly in the log of who asks, before it is told; what is refused is counted by the minute.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.disputes.decisions import OPERATOR
from domain.disputes.events import CacName, ExecutionName, Subject
from domain.errors import MalformedError, UnknownError
from domain.identifiers import ClauseName
from domain.policies.kinds import Word
from domain.tenants.state import Tenant
from domain.time import MAX_INSTANT_MS
from infrastructure.api.problems import NOTHING, ProblemError
from infrastructure.api.reads.answers import apart, shown
from infrastructure.api.reads.bundle import exported
from infrastructure.api.reads.cursors import print_cursor, read_cursor
from infrastructure.api.reads.queries import DECIMAL, Cursor, Page, Query
from infrastructure.api.reads.rows import Row
from infrastructure.api.reads.shapes import Dispute, Disputes, InvolvedPage
from infrastructure.api.rights import Role
from infrastructure.api.state import asker, serving
from infrastructure.commands.involved import START, find
from infrastructure.commands.involved import Cursor as Place
from infrastructure.commands.loading import load_tenant
from infrastructure.disputes.asking import Asked, involved_row, summed
from infrastructure.disputes.evidence import entries_of
from infrastructure.disputes.exporting import export_dispute
from infrastructure.disputes.reading import START as FIRST
from infrastructure.disputes.reading import page_of_disputes, read_dispute
from infrastructure.ledger import Ledger

MOST_INVOLVED: Final = 100
_OF_A_SCOPE: Final = frozenset({Role.RESOLVER, Role.AUDITOR})
_NUMBER: Final = r"(0|[1-9][0-9]{0,14})"
_PLACE: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}")
_AFTER: Final = re.compile(rf"{_NUMBER}\.([0-9a-f-]{{36}})")

Instant = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS), DECIMAL]

router = APIRouter()


class DisputesQuery(Page):
    """A page of disputes, chosen by status."""

    status: Literal["open", "upheld", "overturned", "withdrawn"] | None = None


class InvolvedQuery(Query):
    """One thing that is asked about; but for a CAC or execution in [from, to), ms since 1970 (`to`: by default now)."""

    cac: CacName | None = None
    execution: ExecutionName | None = None
    clause: Annotated[ClauseName, Field(max_length=256)] | None = None
    node: Word | None = None
    operator: Word | None = None
    jurisdiction: Annotated[str, Field(pattern=r"^[A-Za-z]{2,16}$")] | None = None
    from_ms: Annotated[Instant | None, Field(alias="from")] = None
    to_ms: Annotated[Instant | None, Field(alias="to")] = None
    limit: Annotated[int, Field(ge=1, le=MOST_INVOLVED), DECIMAL] = MOST_INVOLVED
    cursor: Cursor | None = None

    def subject(self, now_ms: int) -> Subject:
        """Return what is asked about.

        Raises:
            ProblemError: when these are several, or a span is missing, too much, or none.
        """
        given = [name for name in ("cac", "execution", "clause", "node", "operator", "jurisdiction") if self._has(name)]
        if len(given) > 1:
            raise _malformed(given[1], "ask about one thing")
        alone = self._has("cac") or self._has("execution")
        if not alone and self.from_ms is None:
            raise _malformed("from", "this is needed but for a CAC or an execution")
        if alone and (self._has("from_ms") or self._has("to_ms")):
            raise _malformed("from" if self._has("from_ms") else "to", "a CAC or execution has no span")
        if self.from_ms is not None and self.from_ms >= (now_ms if self.to_ms is None else self.to_ms):
            raise _malformed("to", "the span ends before it begins")
        try:
            return Asked(
                self.cac, self.execution, self.clause, self.node, self.operator, self.jurisdiction, self.from_ms,
                self.to_ms,
            ).subject(now_ms)  # fmt: skip
        except MalformedError as error:
            raise _malformed(given[0] if given else "from", str(error)) from None

    def _has(self, name: str) -> bool:
        return getattr(self, name) is not None


@dataclass(frozen=True, slots=True)
class _View:
    """Whose disputes are seen: those of a tenant or scope, of a scope's perhaps what concerns some only.

    `operator`: whose key asks, where the scope enrolled it as an operator's; else empty.
    """

    ledger: Ledger
    own: Tenant
    jurisdictions: tuple[str, ...]
    operator: str = ""

    def read(self, dispute: str) -> Row:
        """Return a dispute. Raises as `read_dispute` does."""
        return read_dispute(self.ledger, self.own, dispute, jurisdictions=self.jurisdictions, operator=self.operator)


@router.get("/v1/disputes", response_model=Disputes)
async def disputes(request: Request, query: Annotated[DisputesQuery, InQuery()]) -> Response:
    """List the disputes before the asker's scope, or about its tenant's executions, in the order of their openings."""
    return await _told(request, lambda view: _page(view, query), {"disputes": [], "next": None})


@router.get("/v1/disputes/{dispute}", response_model=Dispute)
async def dispute(request: Request, dispute: str) -> Response:
    """Show a dispute, as far as it concerns the asker; to whom sees all of it, with its entries."""
    return await _told(request, lambda view: _one(view, dispute), None)


@router.get("/v1/involved", response_model=InvolvedPage)
async def involved(request: Request, query: Annotated[InvolvedQuery, InQuery()]) -> Response:
    """Find every execution that is involved, below the asker's scope or of its tenant; `next` is null at the end."""
    ledger = serving(request).need().ledger
    subject, after = query.subject(ledger.clock.now_ms()), _place(query.cursor)

    def made(view: _View) -> Row:
        page = find(view.ledger, view.own, subject, limit=query.limit, after=after, jurisdictions=view.jurisdictions)
        following = None if page.after is None else print_cursor("involved", ".".join(map(str, page.after)))
        rows = [involved_row(view.ledger, one) for one in page.found]
        return {"involved": rows, "jurisdictions": summed(page), "next": following}

    alone = query.cac is not None or query.execution is not None
    return await _told(request, made, None if alone else {"involved": [], "jurisdictions": [], "next": None})


@router.get("/v1/disputes/{dispute}/bundle", response_class=Response)
async def case(request: Request, dispute: str) -> Response:
    """Export what a dispute is about: a tar archive of the logs concerned, with the keys of the streams concerned."""

    def seen() -> _View:
        view = _need(request)
        view.read(dispute)
        return view

    try:
        view = await apart(request, seen)

        def export(ledger: Ledger, out: Path, recipient: str) -> None:
            export_dispute(ledger, view.own, dispute, out, recipient=recipient, jurisdictions=view.jurisdictions)

        return await exported(request, "disputes", export)
    except UnknownError:
        raise UnknownError(NOTHING) from None


async def _told(request: Request, make: Callable[[_View], Row], nothing: Row | None) -> Response:
    """Answer with what is made for the asker's view, once that is recorded; who has none hears `nothing`, or 404."""
    (who, _), accesses = asker(request), serving(request).need().accesses

    def made() -> Row:
        view = _view(request)
        if view is None and nothing is not None:
            return nothing
        try:
            row = make(view or _need(request))
        except UnknownError:
            raise UnknownError(NOTHING) from None
        accesses.record(who, "disputes")
        request.state.unrecorded = True  # it is recorded already
        return row

    return await shown(request, made)


def _need(request: Request) -> _View:
    view = _view(request)
    if view is None:
        raise UnknownError(NOTHING)
    return view


def _view(request: Request) -> _View | None:
    """Return what the asker sees; None where its role in its log is not one that sees disputes."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)
    if log_id == ledger.platform().log_id:
        return None
    own = load_tenant(ledger, log_id)
    if who.role is Role.SIGNATORY:
        one = own.principals.get(who.kid)
        concerned = not own.dao and one is not None and one.role == OPERATOR
        return _View(ledger, own, (), who.person) if concerned else None
    return _View(ledger, own, who.jurisdictions) if own.dao or who.role in _OF_A_SCOPE else None


def _page(view: _View, query: DisputesQuery) -> Row:
    page, ended = page_of_disputes(
        view.ledger, view.own, limit=query.limit, after=FIRST if query.cursor is None else _after(query.cursor),
        status=query.status, jurisdictions=view.jurisdictions, operator=view.operator,
    )  # fmt: skip
    following = None if ended is None else print_cursor("dispute", ".".join(map(str, ended)))
    return {"disputes": page, "next": following}


def _one(view: _View, dispute: str) -> Row:
    row = view.read(dispute)
    if view.own.dao or view.jurisdictions or view.operator:
        return row
    entries = entries_of(view.ledger, UUID(view.own.log_id), [UUID(dispute)])
    return {**row, "entries": [one.to_json() for one in entries]}


def _after(cursor: str) -> tuple[int, str]:
    found = _AFTER.fullmatch(read_cursor("dispute", cursor))
    if found is None:
        raise MalformedError("the cursor is none that this gave: begin again without one")
    return int(found[1]), found[2]


def _place(cursor: str | None) -> Place:
    if cursor is None:
        return START
    found = _PLACE.fullmatch(read_cursor("involved", cursor))
    if found is None:
        raise MalformedError("the cursor is none that this gave: begin again without one")
    return int(found[1]), int(found[2]), int(found[3])


def _malformed(name: str, detail: str) -> ProblemError:
    return ProblemError(
        400, f"the query is malformed: {detail}", members={"errors": [{"pointer": f"query/{name}", "detail": detail}]}
    )
