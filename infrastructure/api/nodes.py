"""/v1/nodes: a node enrols, and asks how it stands: it sees itself only. All others see what they may know of all."""

from collections.abc import Callable
from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import ConflictError, RefusedError, UnknownError
from domain.policies.facts import NodeFacts
from domain.scheduling.state import Scheduling
from infrastructure.api.askers import Principal
from infrastructure.api.bodies import Body, answered, parse_body
from infrastructure.api.problems import NOTHING, unauthorised
from infrastructure.api.reads.answers import shown
from infrastructure.api.reads.shapes import NodeRow, Nodes
from infrastructure.api.receipts import acknowledged
from infrastructure.api.rights import Role
from infrastructure.api.state import Parts, principal, serving
from infrastructure.commands.loading import load_node
from infrastructure.commands.nodes import enrol_node
from infrastructure.commands.telemetry import load_reported
from projections.scheduling import nodes as node_rows
from projections.scheduling import nodes_for_tenants

router = APIRouter()


class Enrolment(Body):
    """What a node brings: its facts, its key, the credential that the root's issuer gave it, its own acceptance."""

    facts: NodeFacts
    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    credential: dict[str, Any]
    acceptance: Annotated[str, Field(max_length=49_152)]


@router.post("/v1/nodes")
async def enrol(request: Request) -> Response:
    """Enrol a node by its credential and its own signed acceptance."""
    parts, body = serving(request).need(), await request.body()
    try:
        members = await to_thread.run_sync(_enrol, parts, body)
    except ConflictError:
        raise
    except RefusedError as error:  # who shows nothing good is a stranger, whatever was wrong
        raise unauthorised(parts.access.issuer, str(error)) from None
    return answered(members, 201)


@router.get("/v1/nodes", response_model=Nodes)
async def nodes(request: Request) -> Response:
    """Show a node itself; to all others the nodes as they may know them: what is free on them to the operator only."""
    parts, who = serving(request).need(), principal(request)
    if who.role is Role.NODE:
        return answered({"nodes": [await to_thread.run_sync(_shown, parts, who)]})
    return await shown(request, lambda: {"nodes": parts.cell.look(_view(who))})


@router.get("/v1/nodes/{name}", response_model=NodeRow)
async def node(request: Request, name: str) -> Response:
    """Show one node, as `/v1/nodes` would."""
    parts, who = serving(request).need(), principal(request)
    if who.role is not Role.NODE:
        return await shown(request, lambda: _named(parts.cell.look(_view(who)), name))
    if name != who.node:
        raise UnknownError(NOTHING)
    return answered(await to_thread.run_sync(_shown, parts, who))


def _view(who: Principal) -> Callable[[Scheduling], list[dict[str, Any]]]:
    return node_rows if who.role is Role.OPERATOR else nodes_for_tenants


def _named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for row in rows:
        if row["node"] == name:
            return row
    raise UnknownError(NOTHING)


def _enrol(parts: Parts, body: bytes) -> dict[str, Any]:
    given = parse_body(body, Enrolment)
    answer = enrol_node(
        parts.ledger,
        given.facts,
        public_key=bytes.fromhex(given.public_key),
        credential=given.credential,
        acceptance=given.acceptance,
    )
    return {"node": given.facts.node, "acknowledgements": acknowledged(answer)}


def _shown(parts: Parts, who: Principal) -> dict[str, Any]:
    seq, prev = load_reported(parts.ledger, who.node).following
    return {
        "node": who.node,
        "kid": who.kid,
        "facts": load_node(parts.ledger, who.node).enrolled.facts.model_dump(mode="json"),
        "standing": parts.cell.standing(who.node),
        "telemetry": {"seq": seq, "prev": prev},
        "platform": parts.ledger.platform().origin,
        "now_ms": parts.ledger.clock.now_ms(),
    }
