"""POST /v1/tenants and /v1/scopes: registration below the scope of the token, in two steps.

`/v1/tenants/drafts` and `/v1/scopes/drafts` make the new log and its keys and give the registration, which its admins
accept and the scope above endorses; what was signed then comes to `/v1/tenants` or `/v1/scopes`.

Invariants:
- A log is made for a tenant only whose credential holds, and for one registration once: who asks the same again gets
  the same draft. A scope has a bounded number of drafts that were not registered.
- Nothing that is drafted here counts: what is registered is what came signed, and it names its log's own keys.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from domain.canonical import canonical
from domain.errors import MalformedError, RefusedError, UnknownError
from domain.identifiers import parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.platform.events import AdminKey
from domain.tenants.events import (
    HolderEnrolled,
    IssuerDid,
    PrincipalEnrolled,
    ScopeKind,
    ScopeRegisteredBelow,
    TenantRegistered,
    Threshold,
)
from domain.tenants.state import Tenant
from infrastructure.api.bodies import Body, Statement, answered, read_body
from infrastructure.api.problems import NOTHING
from infrastructure.api.receipts import told_key
from infrastructure.api.state import Parts, asker, principal, serving
from infrastructure.api.writes.asked import own_of
from infrastructure.api.writes.taking import in_turn, members, stored
from infrastructure.commands import scopes, tenants
from infrastructure.commands.holders import admin_keys
from infrastructure.commands.tenants import Enrolment, OwnCustody

_MOST: Final = 16
Signed = Annotated[tuple[Statement, ...], Field(min_length=1, max_length=_MOST)]
Admins = Annotated[tuple[AdminKey, ...], Field(min_length=1, max_length=_MOST)]
_Name = Annotated[str, Field(max_length=64)]
_PublicKey = Annotated[str, Field(pattern=r"^(?:[0-9a-f]{2}){1,2048}$")]

router = APIRouter()


class OwnKeys(Body):
    """The public halves of a tenant's own release and output key, in hex (`custody: tenant`)."""

    release_key: _PublicKey
    output_key: _PublicKey


class TenantDraft(Body):
    """Whom a tenant's registration is to name, and the credential that the scope grants it."""

    dao: _Name
    jurisdiction: _Name
    did: IssuerDid
    admins: Admins
    threshold: Threshold
    credential: dict[str, Any]
    custody: OwnKeys | None = None


class ScopeDraft(Body):
    """Whom a scope's registration is to name."""

    name: _Name
    kind: ScopeKind
    did: IssuerDid
    admins: Admins
    threshold: Threshold
    issuers: Annotated[tuple[IssuerDid, ...], Field(max_length=_MOST)]


class EnrolmentOf(Body):
    """A first key of the new log, and its admins' statements for it."""

    principal: HolderEnrolled | PrincipalEnrolled
    statements: Signed

    def enrolment(self) -> Enrolment:
        """Return it."""
        return Enrolment(self.principal.model_copy(update={"statements": ()}), self.statements)


class TenantSigned(Body):
    """A tenant's registration as it was drafted, with all that was signed for it."""

    registration: TenantRegistered
    acceptances: Signed
    credential: dict[str, Any]
    endorsements: Signed
    enrolments: Annotated[tuple[EnrolmentOf, ...], Field(max_length=_MOST)]


class ScopeSigned(Body):
    """A scope's registration as it was drafted, with all that was signed for it."""

    registration: ScopeRegisteredBelow
    acceptances: Signed
    endorsements: Signed
    enrolments: Annotated[tuple[EnrolmentOf, ...], Field(max_length=_MOST)]


BODIES: Final[dict[str, type[Body]]] = {
    "/v1/tenants/drafts": TenantDraft,
    "/v1/tenants": TenantSigned,
    "/v1/scopes/drafts": ScopeDraft,
    "/v1/scopes": ScopeSigned,
}


@router.post("/v1/tenants/drafts")
async def draft_tenant(request: Request) -> Response:
    """Make a new tenant's log and keys, and say what its admins and the scope above have to sign."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, TenantDraft)
    return answered(await in_turn(principal(request).share, lambda: _drafted_tenant(parts, log_id, given)))


@router.post("/v1/tenants")
async def register_tenant(request: Request) -> Response:
    """Register a tenant below the scope of the token."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, TenantSigned)
    return await stored(request, given.acceptances[0], lambda: _registered_tenant(parts, log_id, given))


@router.post("/v1/scopes/drafts")
async def draft_scope(request: Request) -> Response:
    """Make a new scope's log and keys, and say what its admins and those of the scope above have to sign."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, ScopeDraft)
    return answered(await in_turn(principal(request).share, lambda: _drafted_scope(parts, log_id, given)))


@router.post("/v1/scopes")
async def register_scope(request: Request) -> Response:
    """Register a scope below the scope of the token."""
    parts, (_, log_id), given = serving(request).need(), asker(request), await read_body(request, ScopeSigned)
    return await stored(request, given.acceptances[0], lambda: _registered_scope(parts, log_id, given))


def _drafted_tenant(parts: Parts, log_id: UUID, given: TenantDraft) -> dict[str, Any]:
    scope, ledger = _scope(parts, log_id), parts.ledger
    who = (given.did, parse_dao(given.dao), parse_jurisdiction(given.jurisdiction))
    _require_persons(given.admins, given.threshold)
    tenants.require_credential(ledger, scope, given.credential, who)
    own = given.custody
    custody = None if own is None else OwnCustody(bytes.fromhex(own.release_key), bytes.fromhex(own.output_key))

    def made() -> TenantRegistered:
        return tenants.prepare_tenant(
            ledger, dao=given.dao, jurisdiction=given.jurisdiction, did=given.did, admins=given.admins,
            threshold=given.threshold, scope=scope, custody=custody,
        )  # fmt: skip

    return _draft(parts, scope, given, made)


def _drafted_scope(parts: Parts, log_id: UUID, given: ScopeDraft) -> dict[str, Any]:
    scope = _scope(parts, log_id)
    _require_persons(given.admins, given.threshold)

    def made() -> ScopeRegisteredBelow:
        return scopes.prepare_scope(
            parts.ledger, name=given.name, kind=given.kind, parent=scope, did=given.did, admins=given.admins,
            threshold=given.threshold, issuers=given.issuers,
        )  # fmt: skip

    return _draft(parts, scope, given, made)


def _draft(
    parts: Parts, scope: Tenant, given: Body, make: Callable[[], TenantRegistered | ScopeRegisteredBelow]
) -> dict[str, Any]:
    asked = canonical({"kind": type(given).__name__, **given.model_dump(mode="json", exclude={"credential"})})
    found = parts.drafted.get(scope.log_id, asked, make, lambda one: parts.ledger.head(_log_of(one)).size == 0)
    return {"registration": found.payload(), "acknowledgement_key": told_key(parts.ledger, _log_of(found))}


def _registered_tenant(parts: Parts, log_id: UUID, given: TenantSigned) -> dict[str, Any]:
    _require_below(_scope(parts, log_id), given.registration.parent)
    own = _log_of(given.registration)
    answer = tenants.register_tenant(
        parts.ledger, given.registration.model_copy(update={"acceptances": ()}), acceptances=given.acceptances,
        credential=given.credential, endorsements=given.endorsements,
        enrolments=[one.enrolment() for one in given.enrolments],
    )  # fmt: skip
    return members(parts.ledger, own, given.acceptances[0], answer)


def _registered_scope(parts: Parts, log_id: UUID, given: ScopeSigned) -> dict[str, Any]:
    _require_below(_scope(parts, log_id), given.registration.parent)
    own = _log_of(given.registration)
    answer = scopes.register_scope(
        parts.ledger, given.registration.model_copy(update={"acceptances": (), "endorsements": ()}),
        acceptances=given.acceptances, endorsements=given.endorsements,
        enrolments=[one.enrolment() for one in given.enrolments],
    )  # fmt: skip
    return members(parts.ledger, own, given.acceptances[0], answer)


def _scope(parts: Parts, log_id: UUID) -> Tenant:
    """Return the scope whose token it came with.

    Raises:
        UnknownError: to a tenant's own, for whom there is nothing here.
    """
    scope = own_of(parts.ledger, log_id)
    if scope.dao:
        raise UnknownError(NOTHING)
    return scope


def _require_below(scope: Tenant, parent: str) -> None:
    if parent != scope.origin:
        raise UnknownError(NOTHING)


def _require_persons(admins: Admins, threshold: int) -> None:
    """Refuse what could never be accepted before a log is made for it."""
    admin_keys(admins)
    if len({one.kid for one in admins}) != len(admins):
        raise RefusedError("an admin key is listed twice; one key belongs to one person")
    if len({one.person for one in admins}) < threshold:
        raise RefusedError("the threshold is larger than the number of persons")


def _log_of(registration: TenantRegistered | ScopeRegisteredBelow) -> UUID:
    if isinstance(registration, TenantRegistered):
        name, named = "tenant_id", registration.tenant_id
    else:
        name, named = "scope_id", registration.scope_id
    try:
        return UUID(named)
    except ValueError:
        raise MalformedError("the registration names no log", [(f"/registration/{name}", "the id of a log")]) from None
