"""/v1/assignments: what is reserved for the calling node, waited for; and how its executions stand.

Invariants:
- A node sees its own executions only. The nonce of each is issued, durably, before its assignment leaves.
- Asking again is safe: an assignment that was given out before is given out again, unless the node says that it has it.
"""

import asyncio
import base64
from typing import Annotated, Any, Final

from anyio import to_thread
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import RefusedError
from infrastructure.api.bodies import Body, answered, read_body
from infrastructure.api.owning import require_own
from infrastructure.api.state import Serving, principal, serving
from infrastructure.commands.context import load_context
from infrastructure.commands.executions import assign
from infrastructure.commands.provisioning import released_inputs
from infrastructure.ledger import Ledger

MOST_ASSIGNMENTS: Final = 64
MOST_WAIT_MS: Final = 30_000
_MOST_HELD: Final = 4096
_MS: Final = 1000

router = APIRouter()


class Asked(Body):
    """What a node asks for: so many at most, waiting so long; it holds these already."""

    limit: Annotated[int, Field(ge=1, le=MOST_ASSIGNMENTS)] = 1
    wait_ms: Annotated[int, Field(ge=0, le=MOST_WAIT_MS)] = 0
    holding: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=_MOST_HELD)] = ()


@router.post("/v1/assignments")
async def lease(request: Request) -> Response:
    """Give out what is reserved for the calling node; wait for it if there is nothing."""
    serves, who, asked = serving(request), principal(request), await read_body(request, Asked)
    parts, holding, loop = serves.need(), set(asked.holding), asyncio.get_running_loop()
    until_s = loop.time() + asked.wait_ms / _MS
    moved = asyncio.Event()
    with parts.cell.watch(who.node, lambda: loop.call_soon_threadsafe(moved.set)):
        while True:
            moved.clear()  # before the look: what is decided after it rings
            ready = await to_thread.run_sync(parts.cell.reserved, who.node, holding, asked.limit)
            made = await asyncio.gather(*(to_thread.run_sync(_assigned, parts.ledger, one) for one in ready))
            found = [one for one in made if one is not None]  # side by side: they share their commits
            left_s = until_s - loop.time()
            if found or left_s <= 0 or serves.stopping.is_set() or await request.is_disconnected():
                return answered({"assignments": found})
            await _either(moved, serves, left_s)
            await to_thread.run_sync(parts.access.require_in_force, who)  # a wait is long: it may be revoked


@router.get("/v1/assignments")
async def standing(request: Request) -> Response:
    """Show the executions of the calling node that are not over."""
    parts, who = serving(request).need(), principal(request)

    def shown() -> list[dict[str, Any]]:
        return [_shown(parts.ledger, name) for name in parts.cell.living(who.node) if _is_there(parts.ledger, name)]

    return answered({"executions": await to_thread.run_sync(shown)})


@router.get("/v1/assignments/{execution}")
async def one(request: Request, execution: str) -> Response:
    """Show how one execution of the calling node stands; `release` is there once inputs were released to it."""
    ledger, who = serving(request).need().ledger, principal(request)

    def shown() -> dict[str, Any]:
        require_own(ledger, execution, who.node)
        return {**_shown(ledger, execution), **release_of(ledger, execution)}

    return answered(await to_thread.run_sync(shown))


@router.get("/v1/assignments/{execution}/module")
async def module(request: Request, execution: str) -> Response:
    """Give the module of an execution that is reserved for the calling node."""
    ledger, who = serving(request).need().ledger, principal(request)

    def found() -> tuple[bytes, str]:
        require_own(ledger, execution, who.node)
        return assign(ledger, execution).module, load_context(ledger, execution).execution.reserved.module_digest

    data, digest = await to_thread.run_sync(found)
    headers = {"ETag": f'"{digest}"', "Cache-Control": "private, immutable, max-age=31536000"}
    return Response(data, media_type="application/wasm", headers=headers)


def release_of(ledger: Ledger, execution_id: str) -> dict[str, Any]:
    """Return the member that holds sealed inputs, the CAC's draft and the output key; nothing where none are released.

    The release is durable: what is given here was given for this enclave's key alone.
    """
    try:
        inputs, cac, output_key = released_inputs(ledger, execution_id)
    except RefusedError:
        return {}
    sealed = [base64.b64encode(one).decode() for one in inputs]
    return {"release": {"inputs": sealed, "cac": cac, "output_key": output_key.hex()}}


def _assigned(ledger: Ledger, execution_id: str) -> dict[str, Any] | None:
    """Return an assignment; None for what is decided and not stored yet, over meanwhile, or another asker's."""
    try:
        return _assignment(ledger, execution_id)
    except RefusedError:
        return None


def _assignment(ledger: Ledger, execution_id: str) -> dict[str, Any]:
    made = assign(ledger, execution_id)
    return {
        "execution": execution_id,
        "host": made.host,
        "origin": made.origin,
        "node": made.node,
        "nonce": made.nonce.hex(),
        "module_digest": made.module_digest,
        "limits": made.limits.model_dump(),
        "policy_digest": made.policy_digest.hex(),
        "submission": made.submission,
        "until_ms": made.until_ms,
    }


def _is_there(ledger: Ledger, execution_id: str) -> bool:
    try:
        load_context(ledger, execution_id)
    except RefusedError:
        return False
    return True


def _shown(ledger: Ledger, execution_id: str) -> dict[str, Any]:
    context = load_context(ledger, execution_id)
    known = context.execution
    return {
        "execution": execution_id,
        "origin": context.tenant.origin,
        "status": known.status,
        "over": known.terminal,
        "reports": known.reports,
        "last_report": known.last_report,
        "until_ms": known.reserved.until_ms,
    }


async def _either(moved: asyncio.Event, serves: Serving, left_s: float) -> None:
    """Wait until something moved, this process ends, or the time is over."""
    waits = [asyncio.ensure_future(one.wait()) for one in (moved, serves.ended)]
    try:
        await asyncio.wait(waits, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
