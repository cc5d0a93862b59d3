"""What may stand in a query: closed shapes, one spelling for each number."""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from infrastructure.api.problems import ProblemError
from infrastructure.api.reads.cursors import MAX_CURSOR_CHARACTERS

MOST_ITEMS: Final = 500
DEFAULT_ITEMS: Final = 100
MAX_INDEX: Final = 2**53 - 1
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,15}")
_NOT_A_NUMBER: Final = "a number is decimal, without sign or leading zero"


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if not _DECIMAL.fullmatch(value):
        raise ValueError(_NOT_A_NUMBER)
    return int(value)


DECIMAL: Final = BeforeValidator(_number)
"""Stands last in a number's annotation: what comes from a query or path is a text."""
Index = Annotated[int, Field(ge=0, le=MAX_INDEX), DECIMAL]
Cursor = Annotated[str, Field(min_length=1, max_length=MAX_CURSOR_CHARACTERS, pattern=r"^[A-Za-z0-9_-]+$")]


class Query(BaseModel):
    """Closed shape of a query."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(Query):
    """So many items at most, after a cursor."""

    limit: Annotated[int, Field(ge=1, le=MOST_ITEMS), DECIMAL] = DEFAULT_ITEMS
    cursor: Cursor | None = None


async def malformed(_: Request, error: Exception) -> Response:
    """Answer a request whose path or query is not of its form: which field, and why."""
    found: Sequence[Any] = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [_told(one) for one in found[:16]]
    where = errors[0]["pointer"] if errors else "the request"
    return ProblemError(400, f"the request is malformed at {where}", members={"errors": errors}).response()


def _told(one: Mapping[str, Any]) -> dict[str, str]:
    """Return one error in words of ours or of pydantic's, never with what was given."""
    pointer = "/".join(map(str, one.get("loc", ())))[:200]
    return {"pointer": ascii(pointer)[1:-1], "detail": str(one.get("msg", ""))[:200]}
