"""Routes that write about disputes: each takes the statements of one act, and a document where one is signed for.

Invariants:
- A tenant speaks for itself, before the scopes above it; a scope hands in what its resolvers and operators signed. All
  else is answered as what there isn't, whatever the statements say.
- What is answered is of the scope's log: how far the logs of the tenants concerned have grown, nobody learns here.
- A path names the dispute that its statements name.
- Who may learn of some jurisdictions only hands in nothing about disputes that it does not see.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.disputes.events import MAX_AFFECTED, CacName
from domain.errors import MalformedError, UnknownError
from domain.tenants.state import Tenant
from infrastructure.api.askers import Principal
from infrastructure.api.bodies import read_body
from infrastructure.api.problems import NOTHING
from infrastructure.api.state import Parts, asker, serving
from infrastructure.api.writes.governance import Statements
from infrastructure.api.writes.taking import members, stored
from infrastructure.commands import disputes
from infrastructure.commands.loading import load_tenant, scopes_above
from infrastructure.commands.voices import addressed
from infrastructure.disputes.reading import read_dispute
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements import jws

_MOST_DOCUMENT_CHARACTERS: Final = disputes.MAX_DOCUMENT_BYTES * 4 // 3 + 4
_OF_SCOPES: Final = frozenset({"resolver", "operator"})

Take = Callable[[Ledger, Tenant, "DisputeStatements"], Answer]

router = APIRouter()


class DisputeStatements(Statements):
    """The statements of one act about a dispute, by as many keys as it takes."""


class EvidenceStatements(DisputeStatements):
    """With the document (base64) whose digest they name; without, where they name an entry."""

    document: Annotated[bytes, Field(max_length=_MOST_DOCUMENT_CHARACTERS)] | None = None


class DecisionStatements(DisputeStatements):
    """With the CACs whose digest they name; without, all that stand are meant."""

    cacs: Annotated[tuple[CacName, ...], Field(max_length=MAX_AFFECTED)] | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One route: the acts that it takes, as whom one may speak there, its body, and the command."""

    acts: tuple[str, ...]
    voices: frozenset[str]
    body: type[DisputeStatements]
    take: Take


def _attach(ledger: Ledger, scope: Tenant, given: DisputeStatements) -> Answer:
    document = given.document if isinstance(given, EvidenceStatements) else None
    return disputes.attach_evidence(ledger, scope, given.statements, document)


def _decide(ledger: Ledger, scope: Tenant, given: DisputeStatements) -> Answer:
    cacs = given.cacs if isinstance(given, DecisionStatements) else None
    return disputes.decide_dispute(ledger, scope, given.statements, cacs)


def _plain(command: Callable[[Ledger, Tenant, Sequence[str]], Answer]) -> Take:
    return lambda ledger, scope, given: command(ledger, scope, given.statements)


_ONE: Final = "/v1/disputes/{dispute}"
_PARTIES: Final = frozenset({"tenant", "resolver"})
PATHS: Final[Mapping[str, Route]] = {
    "/v1/disputes": Route(("open_dispute",), _PARTIES, DisputeStatements, _plain(disputes.open_dispute)),
    f"{_ONE}/answers": Route(
        ("answer_dispute",), frozenset({"tenant", "operator"}), DisputeStatements, _plain(disputes.answer_dispute)
    ),
    f"{_ONE}/evidence": Route(
        ("attach_document", "attach_entry"), _PARTIES | {"operator"}, EvidenceStatements, _attach
    ),
    f"{_ONE}/decisions": Route(("decide_dispute",), frozenset({"resolver"}), DecisionStatements, _decide),
    f"{_ONE}/withdrawals": Route(
        ("withdraw_dispute",), _PARTIES, DisputeStatements, _plain(disputes.withdraw_dispute)
    ),
}  # fmt: skip


def _handler(route: Route) -> Callable[..., Awaitable[Response]]:
    async def opened(request: Request) -> Response:
        return await _take(request, route, None)

    async def take(request: Request, dispute: str) -> Response:
        return await _take(request, route, dispute)

    found = opened if route.acts == ("open_dispute",) else take
    found.__doc__ = f"Take in: {', '.join(route.acts)}."
    return found


for _path, _route in PATHS.items():
    router.add_api_route(_path, _handler(_route), methods=["POST"], name=_route.acts[0])


async def _take(request: Request, route: Route, dispute: str | None) -> Response:
    parts, (who, log_id), given = serving(request).need(), asker(request), await read_body(request, route.body)
    return await stored(request, given.statements[0], lambda: _taken(parts, who, log_id, route, dispute, given))


def _taken(
    parts: Parts, who: Principal, log_id: UUID, route: Route, dispute: str | None, given: DisputeStatements
) -> dict[str, Any]:
    ledger, token = parts.ledger, given.statements[0]
    said = jws.peek(token)[1]
    _require_plain(said, route, dispute)
    try:
        own = _speaker(ledger, log_id, said, route)
        if who.jurisdictions and dispute is not None:
            read_dispute(ledger, own, dispute, jurisdictions=who.jurisdictions)
        scope = addressed(ledger, given.statements)
        answer = route.take(ledger, scope, given)
    except UnknownError:
        raise UnknownError(NOTHING) from None
    return members(ledger, UUID(scope.log_id), token, answer)


def _require_plain(said: Mapping[str, Any], route: Route, dispute: str | None) -> None:
    """Require what can be told from the statements alone: the act, and that they name the path's dispute.

    Raises:
        MalformedError: naming the member at fault.
    """
    if said.get("act") not in route.acts:
        text = f"this takes {' or '.join(route.acts)}"
        raise MalformedError(text, [("/statements/0/act", text)])
    if dispute is not None and said.get("dispute") != dispute:
        text = "the statements name another dispute than the path"
        raise MalformedError(text, [("/statements/0/dispute", text)])


def _speaker(ledger: Ledger, log_id: UUID, said: Mapping[str, Any], route: Route) -> Tenant:
    """Return the tenant or scope of the asker's log.

    Raises:
        UnknownError: when the statements are not of a voice that it hands in here.
    """
    own = load_tenant(ledger, log_id) if log_id != ledger.platform().log_id else None
    if own is None or not _speaks(ledger, own, said, route):
        raise UnknownError(NOTHING)
    return own


def _speaks(ledger: Ledger, own: Tenant, said: Mapping[str, Any], route: Route) -> bool:
    """Tell whether statements are of a voice that the asker's log hands in here, before a scope that it may know."""
    role, aud = said.get("role"), said.get("aud")
    if role not in route.voices:
        return False
    if own.dao:
        return role == "tenant" and said.get("party") == own.origin and aud in _above(ledger, own)
    return role in _OF_SCOPES and aud == own.origin


def _above(ledger: Ledger, own: Tenant) -> set[str]:
    return {one.origin for one in scopes_above(ledger, own)}
