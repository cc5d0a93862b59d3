"""POST /v1/drafts: what is to be signed for an act.

Invariants:
- It changes nothing: it says what is to be signed, and whoever signs checks that it says what was meant.
- A resolver has acts about disputes drafted, and no others.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from domain.errors import UnknownError
from domain.tenants.state import Tenant
from infrastructure.api.askers import Principal
from infrastructure.api.bodies import Body, answered, read_body
from infrastructure.api.problems import NOTHING
from infrastructure.api.receipts import told_key
from infrastructure.api.rights import Role
from infrastructure.api.state import Parts, asker, serving
from infrastructure.api.writes.acts import Act
from infrastructure.api.writes.asked import Asked, own_of
from infrastructure.api.writes.dispute_drafts import draft_dispute, is_of_dispute
from infrastructure.api.writes.governance import act_of
from infrastructure.commands.loading import load_scope
from infrastructure.postgres.records import Log

router = APIRouter()


class DraftOf(Body):
    """What somebody means to sign: the act, and those of its claims that do not follow from the ledger's state."""

    claims: dict[str, Any]


@router.post("/v1/drafts")
async def draft(request: Request) -> Response:
    """Say what is to be signed for an act: whose it is, for which log, and its claims."""
    parts, (who, _), given = serving(request).need(), asker(request), await read_body(request, DraftOf)
    return answered(await to_thread.run_sync(_drafted, parts, who, given.claims))


def _drafted(parts: Parts, who: Principal, claims: Mapping[str, Any]) -> dict[str, Any]:
    ledger, log_id = parts.ledger, who.log_id
    if log_id is None:
        raise UnknownError(NOTHING)
    said = Asked(ledger, own_of(ledger, log_id), claims)
    named = said.text("act")
    if is_of_dispute(named) and log_id != ledger.platform().log_id:
        drafted = draft_dispute(ledger, who, said.own, claims)
        return {**drafted, "acknowledgement_key": told_key(ledger, UUID(load_scope(ledger, drafted["aud"]).log_id))}
    if who.role is Role.RESOLVER:  # decides disputes, and governs nothing
        raise UnknownError(NOTHING)
    act = act_of(said.own, named)
    aud = _audience(said, act)
    return {
        "iss": said.own.did,
        "aud": aud.origin,
        "acknowledgement_key": told_key(ledger, UUID(str(aud.log_id))),
        "claims": {**act.draft(said), "act": named},
    }


def _audience(said: Asked, act: Act) -> Tenant | Log:
    if act.aud == "own":
        return said.own
    return said.ledger.platform() if act.aud == "platform" else said.below(act.aud)
