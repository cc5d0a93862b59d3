"""Bodies of requests and answers: strict JSON in, plain JSON out.

Invariants:
- A body is one JSON object of a closed shape: no member twice, none unknown, none missing.
- A large one is read in a thread of its own: meanwhile others are answered.
"""

import json
from typing import Annotated, Any, Final, NoReturn, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError
from domain.malformed import malformed
from infrastructure.api.threads import Threads
from infrastructure.statements import jws

MOST_ITEMS: Final = 50_000
"""Beyond that a body costs memory and time out of proportion to its length."""
AT_ONCE_BYTES: Final = 65_536
"""Read on the event loop: some 1 to 2 ms at the most."""
_READING: Final = Threads(2, 1)

Statement = Annotated[str, Field(max_length=jws.MAX_STATEMENT_BYTES, json_schema_extra={"format": "jws"})]
"""A signed statement as it comes: whether it is one, the command tells that takes it."""

_ModelT = TypeVar("_ModelT", bound="Body")


class Body(BaseModel):
    """Closed shape of a body; bytes travel as base64."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", ser_json_bytes="base64", val_json_bytes="base64"
    )


async def read_body(request: Request, kind: type[_ModelT]) -> _ModelT:
    """Return a request's body.

    Raises:
        MalformedError: naming every member that is not as it must be.
    """
    data = await request.body()
    if len(data) <= AT_ONCE_BYTES:
        return parse_body(data, kind)
    who = getattr(request.state, "principal", None)
    return await _READING.run("" if who is None else who.share, lambda: parse_body(data, kind))


def parse_body(data: bytes, kind: type[_ModelT]) -> _ModelT:
    """Read a body. Raises as `read_body` does."""
    if sum(map(data.count, (b",", b"[", b"{"))) > MOST_ITEMS:
        raise MalformedError(f"the body has more than {MOST_ITEMS} members and items")
    try:
        json.loads(data, object_pairs_hook=_members, parse_constant=_refuse)
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise malformed("the body", error) from None
    except (ValueError, RecursionError):
        raise MalformedError("the body is not one JSON object without doubled members") from None


def answered(members: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return an answer that nobody may keep."""
    return Response(
        orjson.dumps(members), status, media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )  # fmt: skip


def _members(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) != len(pairs):
        raise ValueError("a member is doubled")


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a number of JSON")
