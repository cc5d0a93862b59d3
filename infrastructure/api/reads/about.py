"""/v1/policies, /v1/clauses, /v1/tenants, /v1/scopes: what a log says of itself, and what all may know.

Invariants:
- A tenant learns of itself, of the scopes above it, and of clauses; of other tenants nothing, not even how many.
- The operator learns slots and origins, never who stands behind them.
"""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from fastapi.params import Query as InQuery
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError
from domain.identifiers import PLATFORM_SLOT, parse_clause_id
from domain.tenants.events import PolicyAdopted
from domain.tenants.state import Tenant
from infrastructure.api.askers import Principal
from infrastructure.api.reads.answers import shown
from infrastructure.api.reads.cursors import print_cursor, read_cursor, read_index
from infrastructure.api.reads.queries import Page
from infrastructure.api.reads.rows import OwnRows
from infrastructure.api.reads.shapes import Clauses, Policies, Scopes, Tenants
from infrastructure.api.receipts import told_key
from infrastructure.api.rights import Role
from infrastructure.api.state import asker, serving
from infrastructure.commands.loading import load_root, load_tenant, scopes_above
from infrastructure.commands.shown import scope_rows, tenant_row
from infrastructure.ledger import Ledger
from projections import directory

Row = dict[str, Any]

_CLAUSE: Final = "clause/"
_AFTER_CLAUSES: Final = "clause0"
"""The first text after all that begin with `clause/`."""

router = APIRouter()


@router.get("/v1/policies", response_model=Policies)
async def policies(request: Request, query: Annotated[Page, InQuery()]) -> Response:
    """List the policies that the asker's tenant adopted, by version."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _policies(ledger, log_id, query))


@router.get("/v1/clauses", response_model=Clauses)
async def clauses(request: Request, query: Annotated[Page, InQuery()]) -> Response:
    """List the registered clauses, by id. Everybody enrolled may know them."""
    ledger, _ = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _clauses(ledger, query))


@router.get("/v1/tenants", response_model=Tenants)
async def tenants(request: Request, query: Annotated[Page, InQuery()]) -> Response:
    """Show the asker's own tenant."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)
    return await shown(request, lambda: _tenants(ledger, who, log_id, query))


@router.get("/v1/scopes", response_model=Scopes)
async def scopes(request: Request) -> Response:
    """Show the asker's own scope, and those above it."""
    ledger, (who, log_id) = serving(request).need().ledger, asker(request)

    def made() -> Row:
        own = load_root(ledger) if who.role is Role.OPERATOR else _own(ledger, who, log_id)
        if own is None:
            return {"scopes": []}
        shown_scopes = [*([] if own.dao else [own]), *scopes_above(ledger, own)]
        rows = scope_rows(shown_scopes)
        for row, one in zip(rows, shown_scopes, strict=True):
            row["acknowledgement_key"] = told_key(ledger, UUID(one.log_id))
        if not own.dao:
            rows[0]["did"] = own.did
        return {"scopes": rows}

    return await shown(request, made)


def _policies(ledger: Ledger, log_id: UUID, query: Page) -> Row:
    after = 0 if query.cursor is None else read_index("policy", query.cursor)
    adopted = [one for one in ledger.stream(log_id, log_id) if isinstance(one.event, PolicyAdopted)]
    newest = len(adopted)
    rows = [
        {
            "version": one.event.version,
            "digest": one.event.digest,
            "in_force": one.event.version == newest,
            "policy": one.event.policy.model_dump(mode="json"),
            "leaf_index": one.leaf_index,
            "adopted_at_ms": one.at_ms,
        }
        for one in adopted[after : after + query.limit]
        if isinstance(one.event, PolicyAdopted)
    ]
    more = after + len(rows) < newest
    return {"policies": rows, "next": print_cursor("policy", str(after + len(rows))) if more and rows else None}


def _clauses(ledger: Ledger, query: Page) -> Row:
    after = "" if query.cursor is None else _clause_after(query.cursor)
    rows = OwnRows(ledger, ledger.platform().log_id, directory.NAME)
    found = rows.between(directory.NAME, _CLAUSE + after, _AFTER_CLAUSES, query.limit + 2)
    named = [
        (key.removeprefix(_CLAUSE), row) for key, row in found if key.startswith(_CLAUSE) and key != _CLAUSE + after
    ]
    told = [
        {"clause_id": name, **{member: row[member] for member in ("owner", "module_digest", "deprecated")}}
        for name, row in named[: query.limit]
    ]
    more = len(named) > query.limit
    return {"clauses": told, "next": print_cursor("clause", str(told[-1]["clause_id"])) if more else None}


def _clause_after(cursor: str) -> str:
    try:
        return str(parse_clause_id(read_cursor("clause", cursor)))
    except MalformedError:
        raise MalformedError("the cursor is none that this gave: begin again without one") from None


def _tenants(ledger: Ledger, who: Principal, log_id: UUID, query: Page) -> Row:
    if who.role is not Role.OPERATOR:
        own = _own(ledger, who, log_id)
        return {
            "tenants": [{**tenant_row(own), **_keys(ledger, own)}] if own is not None and own.dao else [],
            "next": None,
        }
    after = PLATFORM_SLOT if query.cursor is None else read_index("slot", query.cursor)
    found = [log for log in ledger.logs() if log.slot > after]
    rows = [{"slot": log.slot, "origin": log.origin} for log in found[: query.limit]]
    more = len(found) > query.limit
    return {"tenants": rows, "next": print_cursor("slot", str(rows[-1]["slot"])) if more else None}


def _keys(ledger: Ledger, own: Tenant) -> Row:
    """Return what its own people sign and seal with: its DID, its public keys, and the registration that holds them."""
    registered = ledger.first(UUID(own.log_id), UUID(own.log_id))
    return {
        "did": own.did,
        "release_key": own.release_key,
        "output_key": own.output_key,
        "acknowledgement_key": told_key(ledger, UUID(own.log_id)),
        "registration": None if registered is None else registered.event.payload(),
    }


def _own(ledger: Ledger, who: Principal, log_id: UUID) -> Tenant | None:
    """Return whose the asker's log is; None for the platform's."""
    return load_tenant(ledger, log_id) if who.called else None
