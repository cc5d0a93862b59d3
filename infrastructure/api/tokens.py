"""POST /v1/token: an assertion for a token (RFC 7523 2.1), or somebody else's token for one of ours (RFC 8693 2.1).

An exchange names `subject_token`, its `subject_token_type`, as `audience` the log that is to be read, and as `scope`
the role that is wanted, where the token shows several. What is given out reads, and nothing else.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import RefusedError
from infrastructure.api.access import Access, Given, ProofError
from infrastructure.api.asking import asked
from infrastructure.api.bodies import answered
from infrastructure.api.problems import ProblemError, unauthorised
from infrastructure.api.proofs import Asked
from infrastructure.api.recognition import ACCESS_TOKEN, ID_TOKEN, JWT
from infrastructure.api.state import serving

GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_EXCHANGED: Final = frozenset({ID_TOKEN, ACCESS_TOKEN, JWT})
_FORM: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 8
_NEEDED: Final = frozenset({"grant_type", "subject_token", "subject_token_type", "audience"})
_ALLOWED: Final = _NEEDED | {"scope", "requested_token_type"}

router = APIRouter()


@router.post("/v1/token")
async def token(request: Request) -> Response:
    """Give out a token for an assertion, or for a token of an issuer that the log admits; both form-encoded."""
    access = serving(request).need().access
    fields = _fields(request.headers.get("content-type", ""), await request.body())
    work, more = _work(access, fields, asked(request.scope))
    try:
        given = await to_thread.run_sync(work)
    except ProofError as error:
        raise unauthorised(access.issuer, str(error), error="invalid_dpop_proof") from None
    except RefusedError as error:
        raise unauthorised(access.issuer, str(error), error="invalid_grant") from None
    kind = "DPoP" if given.bound else "Bearer"
    members: dict[str, Any] = {"access_token": given.token, "token_type": kind, "expires_in": given.lives_s}
    if more:
        members |= {"issued_token_type": ACCESS_TOKEN, "scope": given.role}
    return answered(members)


def _work(access: Access, fields: Mapping[str, str], shown: Asked) -> tuple[Callable[[], Given], bool]:
    """Return what gives the token that is asked for, and whether it is an exchange.

    Raises:
        ProblemError: when the form asks for neither.
    """
    kind = fields.get("grant_type")
    if kind == GRANT_TYPE and fields.keys() == {"grant_type", "assertion"}:
        return lambda: access.grant(fields["assertion"], shown), False
    if kind == EXCHANGE:
        _require_exchange(access, fields)
        said = (fields["subject_token"], fields["subject_token_type"], fields["audience"], fields.get("scope"))
        return lambda: access.exchange(*said, shown), True
    raise unauthorised(
        access.issuer, f"this takes grant_type={GRANT_TYPE} and assertion, form-encoded, once each, or {EXCHANGE}"
    )


def _require_exchange(access: Access, fields: Mapping[str, str]) -> None:
    def refused(text: str) -> ProblemError:
        return unauthorised(access.issuer, text, error="invalid_request")

    if not _NEEDED <= fields.keys() <= _ALLOWED:
        raise refused(
            "an exchange takes subject_token, subject_token_type, audience (the log), and scope (a role) if need be"
        )
    if fields["subject_token_type"] not in _EXCHANGED:
        raise refused(f"a subject_token_type is one of {', '.join(sorted(_EXCHANGED))}")
    if fields.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise refused(f"what is given out is {ACCESS_TOKEN}")


def _fields(content_type: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form, empty where it is none or has one twice."""
    if content_type.partition(";")[0].strip().lower() != _FORM:
        return {}
    try:
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return dict(pairs) if len(dict(pairs)) == len(pairs) else {}
