"""/v1/cacs/feed and /v1/subscriptions: a tenant's results in the order of its log, and to whom they are told.

Invariants:
- A cursor is a leaf index of the asker's own log: going on with it leaves nothing out and gives nothing twice.
- Of an address only what its host is called is told, and that to those who govern or audit the tenant.
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.executions.events import Outcome
from domain.identifiers import ResourceClass
from domain.subscriptions.events import ClauseOrFamily, Wanted
from domain.subscriptions.messages import result_told
from infrastructure.api.reads.answers import shown
from infrastructure.api.reads.cursors import print_cursor, read_index
from infrastructure.api.reads.queries import Page
from infrastructure.api.reads.shapes import Results as ResultsShape
from infrastructure.api.reads.shapes import Subscriptions
from infrastructure.api.state import asker, serving
from infrastructure.commands.loading import load_tenant
from infrastructure.ledger import Ledger
from infrastructure.subscriptions.feed import Results
from infrastructure.subscriptions.keys import published_keys
from infrastructure.subscriptions.shown import subscription_rows

Row = dict[str, Any]

router = APIRouter()


class ResultsQuery(Page):
    """A page of results, chosen by clause (also without a version), class and outcome."""

    clause: ClauseOrFamily | None = None
    resource_class: Annotated[ResourceClass | None, Field(alias="class")] = None
    outcome: Outcome | None = None

    @property
    def wanted(self) -> Wanted:
        """Return which results are asked for."""
        return Wanted(clause=self.clause, resource_class=self.resource_class, outcome=self.outcome)


@router.get("/v1/cacs/feed", response_model=ResultsShape)
async def feed(request: Request, query: Annotated[ResultsQuery, InQuery()]) -> Response:
    """Give results as entries tell of them, issued and overturned, in leaf order, from after a cursor."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _page(ledger, log_id, query))


@router.get("/v1/subscriptions", response_model=Subscriptions)
async def subscriptions(request: Request) -> Response:
    """List the subscriptions of the asker's tenant: what they choose, and how far they were told."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        if not who.called or not load_tenant(ledger, log_id).dao:
            return {"subscriptions": [], "keys": {"keys": []}, "certificate": None}
        return {"subscriptions": subscription_rows(ledger, log_id), **published_keys(ledger, log_id)}

    return await shown(request, made)


def _page(ledger: Ledger, log_id: UUID, query: ResultsQuery) -> Row:
    after = -1 if query.cursor is None else read_index("result", query.cursor) - 1
    found = Results(ledger, log_id)
    leaves, last = found.page(query.wanted, after, query.limit)
    origin = ledger.log(log_id).origin
    told = [result_told(origin, one) for one in found.entries(leaves)]
    return {"results": told, "next": print_cursor("result", str(last + 1))}
