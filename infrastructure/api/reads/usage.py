"""/v1/usage: what was metered, for a tenant in all and by day, as a statement by lines; for an operator by node.

Invariants:
- A tenant is told of its own log. An operator is told sums over all tenants of the nodes that are its own, by the name
  under which the root scope enrolled its key; the root's admins of all nodes. Nobody is told how many tenants that is.
- A statement over HTTP is bounded; periods are [from, to), so parts sum to the whole.
"""

import threading
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import RefusedError
from domain.time import MAX_INSTANT_MS
from domain.usage.statements import Sums
from infrastructure.api.askers import Principal
from infrastructure.api.reads.answers import shown
from infrastructure.api.reads.queries import DECIMAL, Query
from infrastructure.api.reads.rows import OwnRows
from infrastructure.api.reads.shapes import Statement, Usage
from infrastructure.api.rights import Role
from infrastructure.api.state import asker, serving
from infrastructure.commands.loading import load_root
from infrastructure.ledger import Ledger
from infrastructure.usage.making import make_statement
from infrastructure.usage.operators import NodeUsage, days_of, told
from projections import usage as usage_rows

Row = dict[str, Any]
Instant = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS), DECIMAL]

_MOST_DAYS: Final = 36_600
MOST_LINES: Final = 10_000
"""Lines of a statement in one answer."""
_lock = threading.Lock()
_by_cell: dict[Path | None, NodeUsage] = {}

router = APIRouter()


class PeriodQuery(Query):
    """A period of whole days (UTC) in ms since 1970: [from, to). By default all days until now."""

    from_ms: Annotated[Instant | None, Field(alias="from")] = None
    to_ms: Annotated[Instant | None, Field(alias="to")] = None


class StatementQuery(Query):
    """A period in ms since 1970: [from, to)."""

    from_ms: Annotated[Instant, Field(alias="from")]
    to_ms: Annotated[Instant, Field(alias="to")]


@router.get("/v1/usage", response_model=Usage)
async def usage(request: Request, query: Annotated[PeriodQuery, InQuery()]) -> Response:
    """Show what was metered: for the asker's tenant in all and by day, for an operator by node."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)
    if who.role is Role.OPERATOR:
        return await shown(request, lambda: _of_nodes(ledger, who, query))
    return await shown(request, lambda: _own(ledger, log_id, query))


@router.get("/v1/usage/statement", response_model=Statement)
async def statement(request: Request, query: Annotated[StatementQuery, InQuery()]) -> Response:
    """Give the statement of a period: a line for each execution, naming its entry, and sums."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        if not who.called or log_id == ledger.platform().log_id:
            raise RefusedError("only a tenant's log meters executions")
        found = make_statement(ledger, log_id, query.from_ms, query.to_ms, MOST_LINES)
        return {"statement": found.model_dump(mode="json")}

    return await shown(request, made)


def _own(ledger: Ledger, log_id: UUID, query: PeriodQuery) -> Row:
    first, last = days_of(query.from_ms, query.to_ms, ledger.clock.now_ms())
    rows = OwnRows(ledger, log_id, usage_rows.NAME)
    found = dict(rows.between(usage_rows.NAME, f"day/{first}", f"day/{last}", _MOST_DAYS))
    days = [(day, sums) for day, sums in usage_rows.days(found) if first <= day < last]
    total = reduce(Sums.plus, (sums for _, sums in days), Sums())
    by_day = [{"day": day, **sums.model_dump(mode="json")} for day, sums in days]
    return {"usage": {**total.model_dump(mode="json"), "days": by_day}}


def _of_nodes(ledger: Ledger, who: Principal, query: PeriodQuery) -> Row:
    days = days_of(query.from_ms, query.to_ms, ledger.clock.now_ms())
    key = load_root(ledger).principals.get(who.kid)  # who is shown by another issuer has none, and no nodes
    governs, own = key is not None and key.role == "admin", "" if key is None else key.person
    with _lock:
        nodes = _by_cell.setdefault(ledger.data_dir, NodeUsage(ledger))
    rows = nodes.rows(days, lambda operator: bool(operator) and (governs or operator == own))
    return {"usage": told(rows)}
