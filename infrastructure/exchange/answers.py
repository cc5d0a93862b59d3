"""What comes back: a good answer's bytes, or the error that it stands for."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from domain.errors import NotAuthorisedError, UnavailableError
from infrastructure.exchange.steps import Reply

_MOST_FIELDS: Final = 32
_MOST_WORDS: Final = 300
_NO_REASON: Final = "no reason was given"


class AnsweredError(Exception):
    """The server refused for good: repeating the same does not help.

    Args:
        status: HTTP status.
        detail: the problem's words.
        problem: whether it said why; else something on the way may have answered.
        fields: pointer of each member at fault, and why.
    """

    def __init__(
        self, status: int, detail: str, *, problem: bool = True, fields: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.problem = problem
        self.fields = tuple(fields)


class TooLongError(UnavailableError):
    """An answer is longer than is taken: repeating it at once would be the same again."""

    def __init__(self) -> None:
        super().__init__("the ledger's answer is too long")


def good(reply: Reply) -> bytes:
    """Return the body of a good answer.

    Raises:
        NotAuthorisedError: when no token, or another one, is needed.
        UnavailableError: when it says to try again.
        AnsweredError: when it refuses.
    """
    if HTTPStatus.OK <= reply.status < HTTPStatus.MULTIPLE_CHOICES:
        return reply.body
    if reply.status == HTTPStatus.UNAUTHORIZED:
        raise NotAuthorisedError(detail(reply.body))
    if (
        reply.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT}
        or reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        raise UnavailableError(f"the ledger says: {detail(reply.body)}")
    why = _why(reply.body)
    raise AnsweredError(reply.status, why or _NO_REASON, problem=bool(why), fields=_fields(reply.body) if why else ())


def decoded(answer: bytes) -> dict[str, Any]:
    """Return the JSON object that an answer is.

    Raises:
        UnavailableError: when it is none: whatever answered there is no ledger, or not now.
    """
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UnavailableError("the ledger's answer is no JSON object")
    return found


def detail(answer: bytes) -> str:
    """Return the words of a problem document, or that there are none."""
    return _why(answer) or _NO_REASON


def _why(answer: bytes) -> str:
    """Return the words of a problem document, "" where it is none."""
    try:
        said = decoded(answer).get("detail")
    except UnavailableError:
        said = None
    return said[:_MOST_WORDS] if isinstance(said, str) else ""


def _fields(answer: bytes) -> list[tuple[str, str]]:
    """Return what a problem document says of the members at fault."""
    named = decoded(answer).get("errors")
    pairs = (
        [(one.get("pointer"), one.get("detail")) for one in named if isinstance(one, dict)]
        if isinstance(named, list)
        else []
    )
    return [
        (at[:_MOST_WORDS], why[:_MOST_WORDS])
        for at, why in pairs[:_MOST_FIELDS]
        if isinstance(at, str) and isinstance(why, str)
    ]
