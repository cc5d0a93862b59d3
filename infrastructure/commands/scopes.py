"""Registration of scopes below the root: accepted by their own admins, endorsed by those of the scope above."""

from collections.abc import Sequence
from uuid import UUID

from domain.errors import ConflictError, NotAuthorisedError
from domain.message import Event, Pending
from domain.platform.events import AdminKey
from domain.statements import GOVERNANCE
from domain.tenants.decisions import accept_registration, enrol_principal
from domain.tenants.events import ScopeKind, ScopeRegisteredBelow
from domain.tenants.scopes import endorse_scope, require_name, require_place
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.commands.border import all_verified, all_verified_or_known, keys_of
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.holders import acceptance, admin_keys
from infrastructure.commands.loading import everybody, load_genesis, load_scope, scope_claim, scopes_above
from infrastructure.commands.tenants import Enrolment, acceptance_claim, statement_command
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Answer, Ledger


def scopes(ledger: Ledger) -> list[Tenant]:
    """Return every scope of the cell, by slot."""
    return [one for one in everybody(ledger) if not one.dao]


def prepare_scope(
    ledger: Ledger,
    *,
    name: str,
    kind: ScopeKind,
    parent: Tenant,
    did: str,
    admins: Sequence[AdminKey],
    threshold: int,
    issuers: Sequence[str],
) -> ScopeRegisteredBelow:
    """Make a new scope's log and keys, and return the registration that its admins accept and the parent's endorse.

    Raises:
        MalformedError: when it can't be called so.
        RefusedError: when none may begin below the parent.
        ConflictError: when another scope is.
    """
    require_name(name)
    require_place(parent, 1 + len(scopes_above(ledger, parent)))
    if ledger.answered(scope_claim(ledger, name, {})) is not None:
        raise ConflictError(f"a scope {name} is registered already")
    log, _ = ledger.create_log(LogKind.SCOPE, load_genesis(ledger).host)
    return ScopeRegisteredBelow(
        scope_id=str(log.log_id),
        name=name,
        kind=kind,
        origin=log.origin,
        slot=log.slot,
        did=did,
        admins=tuple(admins),
        threshold=threshold,
        acceptances=(),
        issuers=tuple(issuers),
        parent=parent.origin,
        endorsements=(),
    )


def register_scope(
    ledger: Ledger,
    registration: ScopeRegisteredBelow,
    *,
    acceptances: Sequence[str],
    endorsements: Sequence[str],
    enrolments: Sequence[Enrolment] = (),
) -> Answer:
    """Register a scope: accepted by each of its own admins, endorsed by the admins of the scope above, keys enrolled.

    Raises:
        NotAuthorisedError: when a signature is missing or wrong, or the registration names another log.
        ConflictError: when a scope of that name is registered already.
        RefusedError: when the scope above may have none such below it.
    """
    log_id, aud, now_ms = UUID(registration.scope_id), registration.origin, ledger.clock.now_ms()
    log = next((one for one in ledger.logs() if one.log_id == log_id), None)
    if log is None or (log.origin, log.slot) != (registration.origin, registration.slot):
        raise NotAuthorisedError("the registration names an origin or slot that is not its log's")
    parent = load_scope(ledger, registration.parent)
    above = (parent, *scopes_above(ledger, parent))
    keys = admin_keys(registration.admins)
    accepted = all_verified_or_known(ledger, log_id, acceptances, typ=GOVERNANCE, keys=keys, aud=aud)
    accept_registration(registration, accepted)
    command = statement_command(log_id, accepted, {"scope": registration.scope_id})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    parents = keys_of(parent.principals.values(), GOVERNANCE)
    signed = all_verified(endorsements, typ=GOVERNANCE, keys=parents, aud=aud, now_ms=now_ms)
    registered = registration.model_copy(update={"acceptances": tuple(acceptances)})
    registered = endorse_scope(parent, registered, signed, depth=len(above))
    claims = [statement_command(log_id, signed, {})]  # each statement counts once, for ever
    scope: Tenant = evolve_tenant(registered, None)
    events: list[Event] = [registered]
    for enrolment in enrolments:
        signatures = all_verified(enrolment.tokens, typ=GOVERNANCE, keys=keys, aud=aud, now_ms=now_ms)
        accepted_by = acceptance(ledger, log_id, enrolment.principal, aud)
        events.append(enrol_principal(scope, enrolment.principal, signatures, acceptance=accepted_by))
        scope = evolve_tenant(events[-1], scope)
        claims += [statement_command(log_id, signatures, {}), *acceptance_claim(log_id, accepted_by)]
    claims.append(scope_claim(ledger, registered.name, {"scope": registered.scope_id}))
    pending = [Pending(log_id, log_id, version, event) for version, event in enumerate(events)]
    return ledger.append(pending, command=command, claims=claims, guards=[guard_of(parent)])
