"""/v1/releases: what waits for the calling tenant's releaser, what is to be judged of it, and its word.

Invariants:
- A releaser sees its own tenant's executions only; of every other there is none. To a node there is nothing here.
- A release is durable before any ciphertext leaves, a refusal ends the attempt; a known jti gets its first answer, with
  another body 409.
"""

import asyncio
from typing import Annotated, Any, Final
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.api.askers import Principal
from infrastructure.api.bodies import Body, Statement, answered, read_body
from infrastructure.api.receipts import acknowledged
from infrastructure.api.state import Parts, asker, serving
from infrastructure.commands.offers import offer
from infrastructure.commands.releases import refuse, release, require_own
from infrastructure.statements import jws

MOST_WAIT_MS: Final = 30_000
_MOST_HELD: Final = 4096
_MOST_INPUTS: Final = 16
_MOST_INPUT_CHARACTERS: Final = 524_288
_MS: Final = 1000
_LOOK_S: Final = 0.1
"""A releaser that waits is told within so long; what it is told of is decided in another thread."""

router = APIRouter()


class Asked(Body):
    """What a releaser asks for: waiting so long; it has settled these already."""

    wait_ms: Annotated[int, Field(ge=0, le=MOST_WAIT_MS)] = 0
    holding: Annotated[tuple[Annotated[str, Field(max_length=64)], ...], Field(max_length=_MOST_HELD)] = ()


class Said(Body):
    """A releaser's statement: that releases, with the inputs as it sealed them, each as base64; or that refuses."""

    release: Statement | None = None
    inputs: (
        Annotated[
            tuple[Annotated[bytes, Field(max_length=_MOST_INPUT_CHARACTERS)], ...], Field(max_length=_MOST_INPUTS)
        ]
        | None
    ) = None
    refusal: Statement | None = None


@router.post("/v1/releases/waiting")
async def waiting(request: Request) -> Response:
    """Name the executions that wait for the calling releaser; wait for one if there is none."""
    serves, (who, log_id), asked = serving(request), asker(request), await read_body(request, Asked)
    parts, holding, loop = serves.need(), set(asked.holding), asyncio.get_running_loop()
    slot = (await to_thread.run_sync(parts.ledger.log, log_id)).slot
    until_s = loop.time() + asked.wait_ms / _MS
    while True:
        found = await to_thread.run_sync(parts.cell.awaiting, slot, holding)
        left_s = until_s - loop.time()
        if found or left_s <= 0 or serves.stopping.is_set() or await request.is_disconnected():
            await to_thread.run_sync(parts.access.require_in_force, who)  # a wait is long: it may be revoked
            return answered({"executions": found})
        await asyncio.sleep(min(_LOOK_S, left_s))


@router.get("/v1/releases/{execution}")
async def offered(request: Request, execution: str) -> Response:
    """Give what is to be judged of one execution before its inputs are released."""
    ledger, (_, log_id) = serving(request).need().ledger, asker(request)
    return answered(await to_thread.run_sync(lambda: offer(ledger, require_own(ledger, log_id, execution))))


@router.post("/v1/releases")
async def take(request: Request) -> Response:
    """Take a release or a refusal in."""
    parts, (who, log_id), given = serving(request).need(), asker(request), await read_body(request, Said)
    return answered(await to_thread.run_sync(_taken, parts, who, log_id, given))


def _taken(parts: Parts, who: Principal, log_id: UUID, given: Said) -> dict[str, Any]:
    token = given.refusal if given.release is None else given.release
    if (
        token is None
        or (given.release is None) is not (given.inputs is None)
        or None
        not in {
            given.release,
            given.refusal,
        }
    ):
        raise MalformedError("a releaser says either `release`, with `inputs`, or `refusal`")
    header, content = jws.peek(token)
    if header["kid"] != who.kid:
        raise NotAuthorisedError("a release is signed by the releaser whose token this is")
    if not isinstance(content.get("execution"), str):
        raise MalformedError("a release is malformed at execution")
    require_own(parts.ledger, log_id, content["execution"])
    if given.inputs is None:
        answer = refuse(parts.ledger, token)
    else:
        answer = release(parts.ledger, parts.cell, token, given.inputs)
    return {"jti": content["jti"], **answer.answer, "acknowledgements": acknowledged(answer)}
