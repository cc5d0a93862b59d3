"""Routes of governance, one table: each path, the acts that it takes, and what their body holds beside the statements.

Invariants:
- Whose log it is follows from the token; what the act names lies in that log or right below it.
- All statements of a body are over one payload, whose `act` the path takes.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import MalformedError, UnknownError
from domain.tenants.state import Tenant
from infrastructure.api.bodies import Body, Statement, read_body
from infrastructure.api.problems import NOTHING
from infrastructure.api.state import Parts, asker, serving
from infrastructure.api.writes.acts import OWN, Act
from infrastructure.api.writes.asked import asked, own_of
from infrastructure.api.writes.granted import GRANTED
from infrastructure.api.writes.taking import members, stored
from infrastructure.commands.subscriptions import Address
from infrastructure.posting.targets import MAX_URL_CHARACTERS

ACTS: Final[Mapping[str, Act]] = {**OWN, **GRANTED}
_MOST_SIGNATURES: Final = 16
_MOST_MODULE_CHARACTERS: Final = 8_388_608

router = APIRouter()


class Statements(Body):
    """An act's statements: by as many keys as it takes, over the same payload bytes."""

    statements: Annotated[tuple[Statement, ...], Field(min_length=1, max_length=_MOST_SIGNATURES)]

    def more(self) -> Any:
        """Return what the act is about, beside what is signed."""
        return None


class PolicyStatements(Statements):
    """With the policy whose digest they name."""

    policy: dict[str, Any]

    def more(self) -> bytes:
        """Return the policy."""
        return json.dumps(self.policy).encode()


class CredentialStatements(Statements):
    """With the credential whose digest they name."""

    credential: dict[str, Any]

    def more(self) -> bytes:
        """Return the credential."""
        return json.dumps(self.credential).encode()


class OfferStatements(Statements):
    """With the key that signed the offer, and what the root's admins signed to vouch for it."""

    public_key: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    appointed: Annotated[tuple[Statement, ...], Field(min_length=1, max_length=_MOST_SIGNATURES)]

    def more(self) -> tuple[bytes, tuple[str, ...]]:
        """Return both."""
        return bytes.fromhex(self.public_key), self.appointed


class ClauseStatements(Statements):
    """With the metadata and the module (base64) whose digests they name."""

    metadata: dict[str, Any]
    module: Annotated[bytes, Field(max_length=_MOST_MODULE_CHARACTERS)]

    def more(self) -> tuple[bytes, bytes]:
        """Return metadata and module."""
        return json.dumps(self.metadata).encode(), self.module


class SubscriptionStatements(Statements):
    """With the address to which they commit, and the salt of that (hex)."""

    url: Annotated[str, Field(min_length=1, max_length=MAX_URL_CHARACTERS)]
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def more(self) -> Address:
        """Return the address."""
        return Address(bytes.fromhex(self.salt), self.url)


PATHS: Final[Mapping[str, tuple[tuple[str, ...], type[Statements]]]] = {
    "/v1/policies": (("adopt_policy",), PolicyStatements),
    "/v1/principals": (("enrol_principal",), Statements),
    "/v1/principals/revocations": (("revoke_principal",), Statements),
    "/v1/token-issuers": (("admit_token_issuer",), Statements),
    "/v1/token-issuers/revocations": (("revoke_token_issuer",), Statements),
    "/v1/monitors": (("appoint_monitor",), Statements),
    "/v1/subscriptions": (("subscribe_cacs",), SubscriptionStatements),
    "/v1/subscriptions/endings": (("unsubscribe_cacs",), Statements),
    "/v1/erasures": (("order_erasure", "withdraw_erasure"), Statements),
    "/v1/retries": (("authorize_retry", "refuse_retry"), Statements),
    "/v1/quotas": (("grant_quota",), Statements),
    "/v1/bandwidths": (("grant_tokens",), Statements),
    "/v1/credentials": (("endorse",), CredentialStatements),
    "/v1/issuers": (("enrol_issuer",), Statements),
    "/v1/issuers/revocations": (("revoke_issuer",), Statements),
    "/v1/offers": (("stand_offer",), OfferStatements),
    "/v1/offers/withdrawals": (("withdraw_offer",), Statements),
    "/v1/levels": (("adopt_levels",), Statements),
    "/v1/nodes/drains": (("drain_node",), Statements),
    "/v1/nodes/returns": (("return_node",), Statements),
    "/v1/clauses": (("register_clause",), ClauseStatements),
    "/v1/clauses/deprecations": (("deprecate_clause",), Statements),
}


def _route(acts: tuple[str, ...], kind: type[Statements]) -> Callable[[Request], Awaitable[Response]]:
    async def take(request: Request) -> Response:
        parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, kind)
        return await stored(request, given.statements[0], lambda: _taken(parts, log_id, acts, given))

    take.__doc__ = f"Take in: {', '.join(acts)}."
    return take


for _path, (_acts, _kind) in PATHS.items():
    router.add_api_route(_path, _route(_acts, _kind), methods=["POST"], name=_acts[0])


def _taken(parts: Parts, log_id: UUID, acts: tuple[str, ...], given: Statements) -> dict[str, Any]:
    ledger = parts.ledger
    said = asked(ledger, own_of(ledger, log_id), given.statements)
    named = said.text("act")
    if named not in acts:
        text = f"this takes {' or '.join(acts)}"
        raise MalformedError(text, [("/statements/0/act", text)])
    in_log, answer = act_of(said.own, named).take(said, given.more())
    return members(ledger, in_log, given.statements[0], answer)


def act_of(own: Tenant, named: str) -> Act:
    """Return an act that a tenant or scope may make.

    Raises:
        UnknownError: when there is none such for its kind.
    """
    act = ACTS.get(named)
    if act is None or act.of not in {"either", "tenant" if own.dao else "scope"}:
        raise UnknownError(NOTHING)
    return act
