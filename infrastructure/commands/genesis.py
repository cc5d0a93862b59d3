"""Genesis: platform log, root scope, and the keys that govern it. Nothing else is accepted before it."""

from collections.abc import Sequence
from uuid import UUID

from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.identifiers import PLATFORM_SLOT, origin, parse_host
from domain.message import Event, Pending, Recorded
from domain.platform.events import AdminKey, Genesis, LevelsAdopted
from domain.statements import ENDORSEMENT, GOVERNANCE, require_threshold
from domain.tenants.decisions import accept_registration, enrol_principal
from domain.tenants.events import PrincipalEnrolled, ScopeRegistered
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.commands.border import all_verified, all_verified_or_known, keys_of
from infrastructure.commands.holders import admin_keys
from infrastructure.commands.tenants import statement_command
from infrastructure.engine_digest import engine_digest
from infrastructure.keys.keyring import LogKind
from infrastructure.keys.thumbprint import require_thumbprint
from infrastructure.ledger import Answer, Ledger
from infrastructure.postgres.records import Log


def prepare_genesis(ledger: Ledger, host: str) -> tuple[Log, Log]:
    """Make the two empty logs of a new cell: platform and root scope. Repeating after a crash finds them again.

    Raises:
        ConflictError: when the cell has begun already.
    """
    parse_host(host)
    logs = ledger.logs()
    platform = next((log for log in logs if log.slot == PLATFORM_SLOT), None)
    if platform is not None and ledger.head(platform.log_id).size:
        raise ConflictError("this ledger has its genesis already; choose another --data-dir for a new one")
    if platform is not None and platform.origin != origin(host, PLATFORM_SLOT):
        raise ConflictError(f"this ledger was begun as {platform.origin.removesuffix('/t/0')}: finish it under that")
    if platform is None:
        platform, _ = ledger.create_log(LogKind.PLATFORM, host)
    root = next((log for log in logs if log.slot != PLATFORM_SLOT), None)
    if root is None:
        root, _ = ledger.create_log(LogKind.SCOPE, host)
    return platform, root


def begin(
    ledger: Ledger,
    platform: Log,
    root: Log,
    *,
    registration: ScopeRegistered,
    acceptances: Sequence[str],
    endorser: PrincipalEnrolled,
    enrolment: Sequence[str],
) -> Answer:
    """Write the genesis: the cell, its root scope with accepted admins, and the root's endorsement key.

    Raises:
        NotAuthorisedError: when an admin key did not accept, or the enrolment is below the threshold.
    """
    now_ms = ledger.clock.now_ms()
    keys = admin_keys(registration.admins)
    require_thumbprint(endorser.kid, endorser.public_key)
    accept_registration(
        registration, all_verified(acceptances, typ=GOVERNANCE, keys=keys, aud=root.origin, now_ms=now_ms)
    )
    if endorser.statement_type != ENDORSEMENT:
        raise NotAuthorisedError("the root scope's first enrolled key is for endorsements")
    registered = registration.model_copy(update={"acceptances": tuple(acceptances)})
    scope: Tenant = evolve_tenant(registered, None)
    signed = all_verified(enrolment, typ=GOVERNANCE, keys=keys, aud=root.origin, now_ms=now_ms)
    enrolled = enrol_principal(scope, endorser, signed)
    genesis = Genesis(
        cell=0,
        host=platform.origin.removesuffix("/t/0"),
        origin=platform.origin,
        root_scope=str(root.log_id),
        root_origin=root.origin,
        engine=engine_digest(),
    )
    return ledger.append(
        [
            Pending(platform.log_id, platform.log_id, 0, genesis),
            *_stream(root.log_id, (registered, enrolled)),
        ],
        claims=[statement_command(root.log_id, signed, {})],
    )


def adopt_levels(ledger: Ledger, root: Tenant, domains: Sequence[str], tokens: Sequence[str]) -> Answer:
    """Adopt priority levels, by the root scope's admins.

    Raises:
        RefusedError: when a domain is named twice.
        NotAuthorisedError: below the threshold.
    """
    twice = sorted({name for name in domains if list(domains).count(name) > 1})
    if twice:
        raise RefusedError(f"{twice[0]} is named twice: a domain has one level")
    platform = ledger.platform()
    stream = ledger.stream(platform.log_id, platform.log_id)
    version = next_levels_version(stream)
    keys = keys_of(root.principals.values(), GOVERNANCE)
    signed = all_verified_or_known(ledger, platform.log_id, tokens, typ=GOVERNANCE, keys=keys, aud=platform.origin)
    if not signed:
        raise NotAuthorisedError("no signature was given")
    command = statement_command(platform.log_id, signed, {"levels": list(domains)})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    require_threshold(
        signed,
        root.principals,
        roles=root.admins,
        threshold=root.threshold,
        expected=levels_claims(version, domains),
    )
    event = LevelsAdopted(version=version, domains=tuple(domains), statements=tuple(tokens))
    return ledger.append([Pending(platform.log_id, platform.log_id, stream[-1].version + 1, event)], command=command)


def next_levels_version(platform_stream: Sequence[Recorded]) -> int:
    """Return the number of the next adoption of levels."""
    return 1 + sum(isinstance(recorded.event, LevelsAdopted) for recorded in platform_stream)


def levels_claims(version: int, domains: Sequence[str]) -> dict[str, object]:
    """Return what the root's admins say when they adopt levels."""
    return {"act": "adopt_levels", "version": version, "domains": list(domains)}


def scope_registration(
    root: Log, *, name: str, did: str, admins: Sequence[AdminKey], threshold: int, issuers: Sequence[str]
) -> ScopeRegistered:
    """Return the root scope's registration, not accepted yet."""
    return ScopeRegistered(
        scope_id=str(root.log_id),
        name=name,
        origin=root.origin,
        slot=root.slot,
        did=did,
        admins=tuple(admins),
        threshold=threshold,
        acceptances=(),
        issuers=tuple(issuers),
    )


def _stream(log_id: UUID, events: Sequence[Event]) -> list[Pending]:
    return [Pending(log_id, log_id, version, event) for version, event in enumerate(events)]
