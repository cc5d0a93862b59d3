"""Registration, endorsement, enrolment and policies of tenants."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.identifiers import parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.message import Event, Pending
from domain.platform.events import AdminKey
from domain.policies.kinds import Policy
from domain.statements import ENDORSEMENT, GOVERNANCE, Signed
from domain.tenants.decisions import (
    accept_registration,
    adopt_policy,
    appoint_monitor,
    endorse,
    enrol_principal,
    revoke_principal,
)
from domain.tenants.events import MonitorKind, PrincipalEnrolled, TenantRegistered
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.commands.border import all_verified, keys_of
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import (
    load_genesis,
    load_scope,
    log_of_name,
    name_claim,
    scopes_above,
    trusted_issuers,
)
from infrastructure.credentials.executor import verify_executor
from infrastructure.keys import ed25519
from infrastructure.keys.keyring import LogKeys, LogKind
from infrastructure.ledger import Answer, Command, Ledger
from infrastructure.postgres.records import Guard


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A key to enrol and the admins' tokens for it."""

    principal: PrincipalEnrolled
    tokens: tuple[str, ...]


def prepare_tenant(
    ledger: Ledger,
    *,
    dao: str,
    jurisdiction: str,
    did: str,
    admins: Sequence[AdminKey],
    threshold: int,
    scope: Tenant | None = None,
) -> TenantRegistered:
    """Make a new tenant's log and keys, and return the registration that its admins have to accept.

    It lies below `scope`, or the root.

    Raises:
        MalformedError: when DAO or jurisdiction are none.
        RefusedError: when `scope` is none.
        ConflictError: when the DAO is registered in that jurisdiction already.
    """
    parse_dao(dao)
    code = parse_jurisdiction(jurisdiction)
    if scope is not None and scope.dao:
        raise RefusedError(f"{scope.called} is a tenant: nothing lies below it")
    genesis = load_genesis(ledger)
    if log_of_name(ledger, dao, code) is not None:
        raise ConflictError(f"{dao} is registered in {code} already")
    log, keys = ledger.create_log(LogKind.TENANT, genesis.host)
    attestation_key, release_key, output_key = _public_keys(keys)
    return TenantRegistered(
        tenant_id=str(log.log_id),
        dao=dao,
        jurisdiction=code,
        jurisdiction_as_given=jurisdiction[:64],
        origin=log.origin,
        slot=log.slot,
        did=did,
        admins=tuple(admins),
        threshold=threshold,
        acceptances=(),
        attestation_key=attestation_key,
        release_key=release_key,
        output_key=output_key,
        parent=genesis.root_origin if scope is None else scope.origin,
    )


def register_tenant(
    ledger: Ledger,
    registration: TenantRegistered,
    *,
    acceptances: Sequence[str],
    credential: Mapping[str, Any],
    endorsements: Sequence[str],
    enrolments: Sequence[Enrolment],
) -> Answer:
    """Register a tenant: accepted by its own admins, endorsed by the scope above with its TEEExecutorVC, keys enrolled.

    Raises:
        NotAuthorisedError: when a signature, threshold or credential is missing or wrong.
        ConflictError: when the DAO is registered in that jurisdiction already.
    """
    log_id, aud, now_ms = UUID(registration.tenant_id), registration.origin, ledger.clock.now_ms()
    _check_log(ledger, registration)
    scope = load_scope(ledger, registration.parent)
    above = (scope, *scopes_above(ledger, scope))
    keys = {admin.kid: bytes.fromhex(admin.public_key) for admin in registration.admins}
    accepted = all_verified(acceptances, typ=GOVERNANCE, keys=keys, aud=aud, now_ms=now_ms)
    accept_registration(registration, accepted)
    command = statement_command(log_id, accepted, {"tenant": registration.tenant_id})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    registered = registration.model_copy(update={"acceptances": tuple(acceptances)})
    tenant: Tenant = evolve_tenant(registered, None)
    events: list[Event] = [registered]

    endorsers = keys_of(scope.principals.values(), ENDORSEMENT)
    signed = all_verified(endorsements, typ=ENDORSEMENT, keys=endorsers, aud=aud, now_ms=now_ms)
    endorsed = endorse(scope, tenant, dict(credential), signed)
    _check_credential(above, tenant, credential, now_ms)
    events.append(endorsed)
    tenant = evolve_tenant(endorsed, tenant)
    claims = [statement_command(log_id, signed, {})]  # each statement counts once, for ever
    for enrolment in enrolments:
        signatures = all_verified(enrolment.tokens, typ=GOVERNANCE, keys=keys, aud=aud, now_ms=now_ms)
        enrolled = enrol_principal(tenant, enrolment.principal, signatures)
        events.append(enrolled)
        tenant = evolve_tenant(enrolled, tenant)
        claims.append(statement_command(log_id, signatures, {}))
    claims.append(name_claim(ledger, tenant.dao, tenant.jurisdiction, {"tenant": registration.tenant_id}))
    pending = [Pending(log_id, log_id, version, event) for version, event in enumerate(events)]
    return ledger.append(pending, command=command, claims=claims, guards=list(map(guard_of, above)))


def enrol(ledger: Ledger, tenant: Tenant, enrolment: Enrolment) -> Answer:
    """Enrol a further key, by the tenant's admins. Raises as `register_tenant` does."""
    return govern(ledger, tenant, enrolment.tokens, lambda signed: enrol_principal(tenant, enrolment.principal, signed))


def revoke(ledger: Ledger, tenant: Tenant, kid: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Withdraw a key, by the tenant's admins.

    Raises:
        UnknownError: when no such key is enrolled.
        NotAuthorisedError: below the threshold.
    """
    return govern(ledger, tenant, tokens, lambda signed: revoke_principal(tenant, kid, reason, signed))


def adopt(ledger: Ledger, tenant: Tenant, policy: Policy, tokens: Sequence[str]) -> Answer:
    """Put a policy in force, by the tenant's admins.

    Raises:
        NotAuthorisedError: below the threshold.
    """
    return govern(ledger, tenant, tokens, lambda signed: adopt_policy(tenant, policy, signed))


def appoint(ledger: Ledger, tenant: Tenant, name: str, kind: MonitorKind, tokens: Sequence[str]) -> Answer:
    """Appoint a monitor, by the tenant's admins.

    Raises:
        ConflictError: when it is appointed already.
        NotAuthorisedError: below the threshold.
    """
    return govern(ledger, tenant, tokens, lambda signed: appoint_monitor(tenant, name, kind, signed))


def renew(ledger: Ledger, tenant: Tenant, credential: Mapping[str, Any], endorsements: Sequence[str]) -> Answer:
    """Endorse a tenant again, with a new credential. Raises as `register_tenant` does."""
    now_ms = ledger.clock.now_ms()
    above = scopes_above(ledger, tenant)
    keys = keys_of(above[0].principals.values(), ENDORSEMENT)
    signed = all_verified(endorsements, typ=ENDORSEMENT, keys=keys, aud=tenant.origin, now_ms=now_ms)
    log_id = UUID(tenant.log_id)
    event = endorse(above[0], tenant, dict(credential), signed)
    command = statement_command(log_id, signed, {"credential": event.credential_digest})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    _check_credential(above, tenant, credential, now_ms)
    pending = [Pending(log_id, log_id, tenant.version + 1, event)]
    return ledger.append(pending, command=command, guards=list(map(guard_of, above)))


def statement_command(log_id: UUID, signed: Sequence[Signed], answer: Mapping[str, Any]) -> Command:
    """Return the command of a verified statement: its id is the jti, its body the payload that all signed."""
    return Command(log_id, signed[0].iss, signed[0].jti, canonical(dict(signed[0].payload)), answer)


def _check_log(ledger: Ledger, registration: TenantRegistered) -> None:
    """Check that a registration says of its log what is so [a caller that has another log's origin accepted]."""
    log = ledger.log(UUID(registration.tenant_id))
    said = (registration.origin, registration.slot, registration.attestation_key, registration.release_key)
    if (*said, registration.output_key) != (log.origin, log.slot, *_public_keys(ledger.keyring.get(log.log_id))):
        raise NotAuthorisedError("the registration names an origin, slot or key that is not its log's")


def _public_keys(keys: LogKeys) -> tuple[str, str, str]:
    """Return a tenant's attestation, release and output key as its registration names them."""
    attestation = ed25519.public_bytes(keys.attestation_key()).hex()
    return attestation, keys.release_key().public.hex(), keys.output_key().public.hex()


def govern(
    ledger: Ledger,
    tenant: Tenant,
    tokens: Sequence[str],
    decide: Callable[[Sequence[Signed]], Event],
    *,
    by: Tenant | None = None,
    guards: Sequence[Guard] = (),
) -> Answer:
    """Verify an act of a tenant's admins, decide it and append its event to the tenant's own stream, once.

    Args:
        ledger: the ledger.
        tenant: the tenant or scope that it is about.
        tokens: the statements.
        decide: decides it.
        by: whose admins act; None: the tenant's own.
        guards: what the decision rests on beside the tenant.

    Raises:
        NotAuthorisedError: when a signature is missing or wrong, and whatever `decide` raises.
    """
    log_id = UUID(tenant.log_id)
    keys = keys_of((by or tenant).principals.values(), GOVERNANCE)
    signed = all_verified(tokens, typ=GOVERNANCE, keys=keys, aud=tenant.origin, now_ms=ledger.clock.now_ms())
    if not signed:
        raise NotAuthorisedError("no signature was given")
    command = statement_command(log_id, signed, {"position": tenant.version + 1})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    pending = [Pending(log_id, log_id, tenant.version + 1, decide(signed))]
    return ledger.append(pending, command=command, guards=guards)


def _check_credential(above: Sequence[Tenant], tenant: Tenant, credential: Mapping[str, Any], now_ms: int) -> None:
    claims = verify_executor(credential, trusted_issuers=trusted_issuers(above), at_ms=now_ms)
    if (claims.subject.id, claims.subject.dao, claims.subject.jurisdiction) != (
        tenant.did,
        tenant.dao,
        tenant.jurisdiction,
    ):
        raise NotAuthorisedError("the credential was issued to another tenant")
