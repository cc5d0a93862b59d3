"""What goes wrong, as problem details (RFC 9457), in words of our own.

Invariants:
- A text says what disagreed and what to do; never a database's detail, a path, a traceback, or anything of another's.
- Everything that is refused without a token is 401, whatever it was.
"""

import json
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from domain.errors import (
    ConflictError,
    ErasedError,
    LedgerError,
    MalformedError,
    NotAuthorisedError,
    UnavailableError,
    UnknownError,
)
from infrastructure.statements.dpop import ALGORITHMS

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
NOTHING: Final = "there is nothing here"
"""Said of what does not exist, and of what is another's: the two can't be told apart."""

_STATUS: Final[tuple[tuple[type[LedgerError], HTTPStatus], ...]] = (
    (MalformedError, HTTPStatus.BAD_REQUEST),
    (NotAuthorisedError, HTTPStatus.FORBIDDEN),
    (ConflictError, HTTPStatus.CONFLICT),
    (ErasedError, HTTPStatus.GONE),
    (UnknownError, HTTPStatus.NOT_FOUND),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (LedgerError, HTTPStatus.UNPROCESSABLE_ENTITY),
)


class ProblemError(Exception):
    """A request ends with this problem.

    Args:
        status: HTTP status.
        detail: for a person.
        headers: further headers of the answer.
        members: extension members of the problem.
    """

    def __init__(
        self,
        status: HTTPStatus | int,
        detail: str,
        *,
        headers: dict[str, str] | None = None,
        members: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}

    def body(self) -> dict[str, Any]:
        """Return the problem's members."""
        known = {"type": "about:blank", "title": self.status.phrase, "status": self.status.value, "detail": self.detail}
        return {**known, **self.members}

    def response(self) -> Response:
        """Return the answer."""
        return Response(
            json.dumps(self.body()).encode(), self.status.value, media_type=MEDIA_TYPE,
            headers={"Cache-Control": "no-store", **self.headers},
        )  # fmt: skip


def problem_of(error: LedgerError) -> ProblemError:
    """Return the problem that an error of this program is."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status is HTTPStatus.SERVICE_UNAVAILABLE else None
    fields = error.fields if isinstance(error, MalformedError) else ()
    named = {"errors": [{"pointer": f"#{pointer}", "detail": detail} for pointer, detail in fields]} if fields else None
    return ProblemError(status, str(error), headers=headers, members=named)


def unauthorised(issuer: str, detail: str, *, error: str | None = None) -> ProblemError:
    """Return the answer to whoever shows no good token (RFC 6750 3, RFC 9449 7.1)."""
    said = f', error="{error}"' if error else ""
    challenges = f'Bearer realm="{issuer}"{said}, DPoP realm="{issuer}", algs="{" ".join(ALGORITHMS)}"'
    return ProblemError(HTTPStatus.UNAUTHORIZED, detail, headers={"WWW-Authenticate": challenges})


def busy(detail: str, after_s: int = RETRY_AFTER_S) -> ProblemError:
    """Return the answer to what there is no room for now; nothing was taken in."""
    return ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(after_s)})


def too_often(after_s: int) -> ProblemError:
    """Return the answer to who asks more often than is allowed."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS, "too many requests: slow down", headers={"Retry-After": str(after_s)}
    )
