"""Registration, endorsement, enrolment and policies of tenants."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from domain.canonical import canonical
from domain.errors import ConflictError, LedgerError, MalformedError, NotAuthorisedError, RefusedError
from domain.hashing import sha256_hex
from domain.identifiers import parse_dao
from domain.jurisdictions import parse_jurisdiction
from domain.message import Event, Pending
from domain.platform.events import AdminKey
from domain.policies.kinds import Policy
from domain.policies.lint import contradictions
from domain.statements import ENDORSEMENT, GOVERNANCE, Signed
from domain.tenants import issuers
from domain.tenants.decisions import (
    accept_registration,
    adopt_policy,
    appoint_monitor,
    endorse,
    enrol_principal,
    revoke_principal,
)
from domain.tenants.events import MonitorKind, PrincipalEnrolled, ReaderEnrolled, TenantRegistered
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from infrastructure.commands.border import all_verified, all_verified_or_known, keys_of
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.holders import acceptance, admin_keys
from infrastructure.commands.loading import (
    load_genesis,
    load_scope,
    log_of_name,
    name_claim,
    scopes_above,
    trusted_issuers,
)
from infrastructure.keys import ed25519, hpke
from infrastructure.keys.keyring import LogKeys, LogKind
from infrastructure.keys.thumbprint import require_thumbprint
from infrastructure.ledger import Answer, Attachment, Command, Ledger
from infrastructure.postgres.records import Guard

_NOT_ITS_LOGS: Final = "the registration names an origin, slot, key or custody that is not its log's"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A key to enrol and the admins' tokens for it."""

    principal: PrincipalEnrolled
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnCustody:
    """The public halves of the two HPKE keys that open a tenant's inputs (release) and outputs (output)."""

    release_key: bytes
    output_key: bytes

    def require_usable(self) -> None:
        """Refuse what nothing can be sealed to.

        Raises:
            MalformedError: when one is no key, or both are one.
        """
        for key in (self.release_key, self.output_key):
            hpke.check_public_key(key)
        if self.release_key == self.output_key:
            raise MalformedError("release and output key are one key; each has one purpose")


def prepare_tenant(
    ledger: Ledger,
    *,
    dao: str,
    jurisdiction: str,
    did: str,
    admins: Sequence[AdminKey],
    threshold: int,
    scope: Tenant | None = None,
    custody: OwnCustody | None = None,
) -> TenantRegistered:
    """Make a new tenant's log and keys, and return the registration that its admins have to accept.

    It lies below `scope`, or the root. With `custody` its release and output key are its own: no such key is made here.

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
    if custody is not None:
        custody.require_usable()
    log, keys = ledger.create_log(LogKind.TENANT, genesis.host, own_custody=custody is not None)
    attestation_key = ed25519.public_bytes(keys.attestation_key()).hex()
    held = custody or OwnCustody(keys.release_key().public, keys.output_key().public)
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
        release_key=held.release_key.hex(),
        output_key=held.output_key.hex(),
        parent=genesis.root_origin if scope is None else scope.origin,
        custody=None if custody is None else "tenant",
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
    keys = admin_keys(registration.admins)
    accepted = all_verified_or_known(ledger, log_id, acceptances, typ=GOVERNANCE, keys=keys, aud=aud)
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
    require_credential(ledger, scope, credential, (tenant.did, tenant.dao, tenant.jurisdiction))
    events.append(endorsed)
    tenant = evolve_tenant(endorsed, tenant)
    claims = [statement_command(log_id, signed, {})]  # each statement counts once, for ever
    for enrolment in enrolments:
        signatures = all_verified(enrolment.tokens, typ=GOVERNANCE, keys=keys, aud=aud, now_ms=now_ms)
        accepted_by = acceptance(ledger, log_id, enrolment.principal, aud)
        enrolled = enrol_principal(tenant, enrolment.principal, signatures, acceptance=accepted_by)
        events.append(enrolled)
        tenant = evolve_tenant(enrolled, tenant)
        claims += [statement_command(log_id, signatures, {}), *acceptance_claim(log_id, accepted_by)]
    claims += _key_claims(ledger, registration)
    claims.append(name_claim(ledger, tenant.dao, tenant.jurisdiction, {"tenant": registration.tenant_id}))
    pending = [Pending(log_id, log_id, version, event) for version, event in enumerate(events)]
    return ledger.append(pending, command=command, claims=claims, guards=list(map(guard_of, above)))


def enrol(ledger: Ledger, tenant: Tenant, enrolment: Enrolment) -> Answer:
    """Enrol a further key, by the tenant's admins. Raises as `register_tenant` does."""
    accepted = acceptance(ledger, UUID(tenant.log_id), enrolment.principal, tenant.origin)

    def decided(signed: Sequence[Signed]) -> PrincipalEnrolled:
        return enrol_principal(tenant, enrolment.principal, signed, acceptance=accepted)

    claims = acceptance_claim(UUID(tenant.log_id), accepted)
    return govern(ledger, tenant, enrolment.tokens, decided, claims=claims)


def enrol_reader(ledger: Ledger, tenant: Tenant, reader: ReaderEnrolled, tokens: Sequence[str]) -> Answer:
    """Enrol a key that only asks for tokens, by the admins of a tenant or scope. Raises as `enrol_principal` does."""
    require_thumbprint(reader.kid, reader.public_key)
    return govern(ledger, tenant, tokens, lambda signed: enrol_principal(tenant, reader, signed))


def acceptance_claim(log_id: UUID, accepted: Signed | None) -> list[Command]:
    """Return what an acceptance takes for itself: it counts once, for ever."""
    return [] if accepted is None else [statement_command(log_id, [accepted], {})]


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
        RefusedError: when it contradicts itself.
        NotAuthorisedError: below the threshold.
    """
    against_itself = contradictions(policy, tenant.jurisdiction)
    if against_itself:
        raise RefusedError(f"the policy contradicts itself: {'; '.join(against_itself)}")
    return govern(ledger, tenant, tokens, lambda signed: adopt_policy(tenant, policy, signed))


def appoint(ledger: Ledger, tenant: Tenant, name: str, kind: MonitorKind, tokens: Sequence[str]) -> Answer:
    """Appoint a monitor, by the tenant's admins.

    Raises:
        ConflictError: when it is appointed already.
        NotAuthorisedError: below the threshold.
    """
    return govern(ledger, tenant, tokens, lambda signed: appoint_monitor(tenant, name, kind, signed))


def enrol_issuer(ledger: Ledger, scope: Tenant, did: str, tokens: Sequence[str]) -> Answer:
    """Let a DID issue credentials in a scope's name, by its admins. Raises as `issuers.enrol_issuer` does."""
    return govern(ledger, scope, tokens, lambda signed: issuers.enrol_issuer(scope, did, signed))


def revoke_issuer(ledger: Ledger, scope: Tenant, did: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Withdraw an issuer of a scope, by its admins. Raises as `issuers.revoke_issuer` does."""
    return govern(ledger, scope, tokens, lambda signed: issuers.revoke_issuer(scope, did, reason, signed))


def renew(ledger: Ledger, tenant: Tenant, credential: Mapping[str, Any], endorsements: Sequence[str]) -> Answer:
    """Endorse a tenant again, with a new credential. Raises as `register_tenant` does."""
    above = scopes_above(ledger, tenant)
    keys = keys_of(above[0].principals.values(), ENDORSEMENT)
    log_id, aud = UUID(tenant.log_id), tenant.origin
    signed = all_verified_or_known(ledger, log_id, endorsements, typ=ENDORSEMENT, keys=keys, aud=aud)
    event = endorse(above[0], tenant, dict(credential), signed)
    command = statement_command(log_id, signed, {"credential": event.credential_digest})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    require_credential(ledger, above[0], credential, (tenant.did, tenant.dao, tenant.jurisdiction))
    pending = [Pending(log_id, log_id, tenant.version + 1, event)]
    return ledger.append(pending, command=command, guards=list(map(guard_of, above)))


def require_credential(ledger: Ledger, scope: Tenant, credential: Mapping[str, Any], who: tuple[str, str, str]) -> None:
    """Check a TEEExecutorVC for a tenant below a scope: an issuer of that scope, or of one above it, stands for it.

    Args:
        ledger: the ledger.
        scope: the scope above the tenant.
        credential: the credential.
        who: the tenant's DID, DAO and jurisdiction.

    Raises:
        CredentialRefusedError: when it does not hold now.
        NotAuthorisedError: when it was issued to another tenant.
    """
    above = (scope, *scopes_above(ledger, scope))
    claims = ledger.credentials.executor(credential, trusted_issuers(above), ledger.clock.now_ms())
    if (claims.subject.id, claims.subject.dao, claims.subject.jurisdiction) != who:
        raise NotAuthorisedError("the credential was issued to another tenant")


def statement_command(log_id: UUID, signed: Sequence[Signed], answer: Mapping[str, Any]) -> Command:
    """Return the command of a verified statement: its id is the jti, its body the payload that all signed."""
    return Command(log_id, signed[0].iss, signed[0].jti, canonical(dict(signed[0].payload)), answer)


def _check_log(ledger: Ledger, registration: TenantRegistered) -> None:
    """Check that a registration says of its log what is so [a caller that has another log's origin accepted]."""
    try:
        log = ledger.log(UUID(registration.tenant_id))
        keys = ledger.keyring.get(log.log_id)
    except LedgerError:  # whether there is such a log is nobody's to learn here
        raise NotAuthorisedError(_NOT_ITS_LOGS) from None
    said = (registration.origin, registration.slot, registration.attestation_key, registration.custody == "tenant")
    attestation = ed25519.public_bytes(keys.attestation_key()).hex()
    if said != (log.origin, log.slot, attestation, keys.own_custody):
        raise NotAuthorisedError(_NOT_ITS_LOGS)
    if keys.own_custody:
        OwnCustody(*map(_bytes, (registration.release_key, registration.output_key))).require_usable()
    elif (registration.release_key, registration.output_key) != _held_keys(keys):
        raise NotAuthorisedError("the registration names a release or output key that is not its log's")


def _bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise MalformedError("a release or output key is not hex") from None


def _held_keys(keys: LogKeys) -> tuple[str, str]:
    """Return the release and output key of a tenant whose inputs are in the operator's custody."""
    return keys.release_key().public.hex(), keys.output_key().public.hex()


def _key_claims(ledger: Ledger, registration: TenantRegistered) -> list[Command]:
    """Claim a tenant's own two keys for it, for ever: none is shared between DAOs."""
    if registration.custody is None:
        return []
    platform = ledger.platform().log_id
    digests = (sha256_hex(bytes.fromhex(key)) for key in (registration.release_key, registration.output_key))
    return [Command(platform, "tenant-key", digest, registration.tenant_id.encode(), {}) for digest in digests]


def govern(
    ledger: Ledger,
    tenant: Tenant,
    tokens: Sequence[str],
    decide: Callable[[Sequence[Signed]], Event],
    *,
    by: Tenant | None = None,
    guards: Sequence[Guard] = (),
    claims: Sequence[Command] = (),
    attachments: Sequence[Attachment] = (),
) -> Answer:
    """Verify an act of a tenant's admins, decide it and append its event to the tenant's own stream, once.

    Args:
        ledger: the ledger.
        tenant: the tenant or scope that it is about.
        tokens: the statements.
        decide: decides it.
        by: whose admins act; None: the tenant's own.
        guards: what the decision rests on beside the tenant.
        claims: what is taken for ever with it.
        attachments: sealed payloads that the event names.

    Raises:
        NotAuthorisedError: when a signature is missing or wrong, and whatever `decide` raises.
    """
    log_id = UUID(tenant.log_id)
    keys = keys_of((by or tenant).principals.values(), GOVERNANCE)
    signed = all_verified_or_known(ledger, log_id, tokens, typ=GOVERNANCE, keys=keys, aud=tenant.origin)
    if not signed:
        raise NotAuthorisedError("no signature was given")
    command = statement_command(log_id, signed, {"position": tenant.version + 1})
    known = ledger.answered(command)
    if known is not None:
        return Answer(known, ())
    pending = [Pending(log_id, log_id, tenant.version + 1, decide(signed))]
    return ledger.append(pending, command=command, guards=guards, claims=claims, attachments=attachments)
