"""What a tenant or scope may become: registration, endorsement, enrolment, policy."""

from collections.abc import Sequence
from typing import Any, TypeVar

from domain.canonical import canonical
from domain.errors import ConflictError, NotAuthorisedError, RefusedError, UnknownError
from domain.hashing import sha256_hex
from domain.policies.kinds import MAX_TENANT_RULES, Policy
from domain.statements import ENDORSEMENT, GOVERNANCE, Signed, require_claims, require_threshold
from domain.tenants.events import (
    HolderEnrolled,
    MonitorAppointed,
    MonitorKind,
    PolicyAdopted,
    PrincipalEnrolled,
    PrincipalRevoked,
    ReaderEnrolled,
    ScopeRegistered,
    ScopeRegisteredBelow,
    TenantEndorsed,
    TenantRegistered,
)
from domain.tenants.state import Tenant

Registration = TenantRegistered | ScopeRegistered | ScopeRegisteredBelow


def accept_registration(registration: Registration, acceptances: Sequence[Signed]) -> None:
    """Check that every admin key accepted, by its own signature naming the origin [else the operator enrols itself].

    Raises:
        NotAuthorisedError: when one did not, or said something else.
    """
    expected = acceptance_claims(registration)
    signed_by = {signed.kid: signed for signed in acceptances}
    if set(signed_by) != {admin.kid for admin in registration.admins} or len(signed_by) != len(acceptances):
        raise NotAuthorisedError("each admin key must sign its acceptance, once")
    for signed in acceptances:
        if signed.typ != GOVERNANCE:
            raise NotAuthorisedError("an acceptance is a governance statement")
        require_claims(signed, expected)
    if len({admin.kid for admin in registration.admins}) != len(registration.admins):
        raise RefusedError("an admin key is listed twice; one key belongs to one person")
    if len({admin.person for admin in registration.admins}) < registration.threshold:
        raise RefusedError("the threshold is larger than the number of persons")


def acceptance_claims(registration: Registration) -> dict[str, Any]:
    """Return what an admin key says when it accepts: every member of the registration, by digest."""
    return {
        "act": "accept_registration",
        "origin": registration.origin,
        "admins": sorted(admin.kid for admin in registration.admins),
        "threshold": registration.threshold,
        "registration": registration_digest(registration),
    }


def registration_digest(registration: Registration) -> str:
    """Return the digest of a registration without what is signed over it."""
    told = registration.model_dump(mode="json", exclude={"acceptances", "endorsements"})
    return sha256_hex(canonical(told))


def endorse(scope: Tenant, tenant: Tenant, credential: dict[str, Any], signatures: Sequence[Signed]) -> TenantEndorsed:
    """Let the scope above confirm a tenant, with the credential that it grants.

    Raises:
        NotAuthorisedError: when the signatures are not by enrolled endorsers of the scope, or say something else.
    """
    digest = sha256_hex(canonical(credential))
    expected = endorsement_claims(tenant, digest)
    if len({canonical(dict(signed.payload)) for signed in signatures}) > 1:
        raise NotAuthorisedError("the endorsements are not over the same payload")
    for signed in signatures:
        principal = scope.principals.get(signed.kid)
        if principal is None or principal.statement_type != ENDORSEMENT or signed.typ != ENDORSEMENT:
            raise NotAuthorisedError("an endorsement is by a key that the scope enrolled for it")
        require_claims(signed, expected)
    persons = {scope.principals[signed.kid].person for signed in signatures}
    if len(persons) < scope.threshold:
        raise NotAuthorisedError(f"{len(persons)} of {scope.threshold} endorsements needed")
    return TenantEndorsed(
        statements=tuple(signed.token for signed in signatures), credential=credential, credential_digest=digest
    )


def endorsement_claims(tenant: Tenant, credential_digest: str) -> dict[str, Any]:
    """Return what an endorser says of a tenant."""
    return {
        "act": "endorse",
        "tenant": tenant.log_id,
        "dao": tenant.dao,
        "jurisdiction": tenant.jurisdiction,
        "admins": sorted(kid for kid, principal in tenant.principals.items() if principal.role == "admin"),
        "credential_digest": credential_digest,
    }


_EnrolmentT = TypeVar("_EnrolmentT", PrincipalEnrolled, HolderEnrolled, ReaderEnrolled)


def enrol_principal(
    tenant: Tenant, enrolment: _EnrolmentT, signatures: Sequence[Signed], *, acceptance: Signed | None = None
) -> _EnrolmentT:
    """Enrol a key for one type of statement. One key, one purpose, for ever.

    Args:
        tenant: the tenant or scope.
        enrolment: which key, for whom.
        signatures: the admins' statements.
        acceptance: what the key itself says, where the enrolment has that.

    Raises:
        ConflictError: when the key is enrolled already.
        RefusedError: when it would never count, or is limited to jurisdictions where its log is no scope's.
        NotAuthorisedError: below the admins' threshold, or when the key itself accepted something else.
    """
    if isinstance(enrolment, ReaderEnrolled):
        _require_sense(tenant, enrolment)
    if isinstance(enrolment, HolderEnrolled):
        _require_accepted(enrolment, acceptance)
    if enrolment.kid in tenant.principals or enrolment.kid in tenant.revoked:
        raise ConflictError("this key is enrolled already; one key has one purpose")
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=enrolment_claims(enrolment),
    )
    return enrolment.model_copy(update={"statements": tuple(signed.token for signed in signatures)})


def enrolment_claims(enrolment: PrincipalEnrolled | ReaderEnrolled) -> dict[str, Any]:
    """Return what admins say when they enrol a key."""
    return {"act": "enrol_principal", **enrolment.model_dump(mode="json", exclude={"statements"})}


def holder_claims(enrolment: PrincipalEnrolled) -> dict[str, Any]:
    """Return what a key says itself when it is enrolled: for whom, in which role, to sign what."""
    told = enrolment.model_dump(mode="json", include={"kid", "public_key", "person", "role", "statement_type"})
    return {"act": "accept_enrolment", **told}


def _require_accepted(enrolment: HolderEnrolled, acceptance: Signed | None) -> None:
    if acceptance is None or (acceptance.token, acceptance.kid, acceptance.typ) != (
        enrolment.acceptance, enrolment.kid, enrolment.statement_type,
    ):  # fmt: skip
        raise NotAuthorisedError("the acceptance is not by the key that is enrolled, as what it signs from then on")
    require_claims(acceptance, holder_claims(enrolment))


def _require_sense(tenant: Tenant, enrolment: ReaderEnrolled) -> None:
    if enrolment.until_ms is not None and enrolment.until_ms <= enrolment.from_ms:
        raise RefusedError("the key would end before it begins to count")
    if enrolment.jurisdictions and tenant.dao:
        raise RefusedError("a tenant has one jurisdiction: only a scope's readers are limited to some")
    if len(set(enrolment.jurisdictions)) != len(enrolment.jurisdictions):
        raise RefusedError("a jurisdiction is named twice")


def revoke_principal(tenant: Tenant, kid: str, reason: str, signatures: Sequence[Signed]) -> PrincipalRevoked:
    """Withdraw a key for ever, e.g. a stolen one.

    Raises:
        UnknownError: when no such key is enrolled.
        RefusedError: when too few admins would be left to govern.
        NotAuthorisedError: below the admins' threshold.
    """
    if kid not in tenant.principals:
        raise UnknownError("no such key is enrolled")
    govern = [p for p in tenant.principals.values() if p.role in tenant.admins and p.statement_type == GOVERNANCE]
    left = {principal.person for principal in govern if principal.kid != kid}
    if len(left) < tenant.threshold:
        raise RefusedError(f"{len(left)} admins would be left, and {tenant.threshold} have to sign")
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=revocation_claims(kid, reason),
    )
    return PrincipalRevoked(kid=kid, reason=reason, statements=tuple(signed.token for signed in signatures))


def revocation_claims(kid: str, reason: str) -> dict[str, Any]:
    """Return what admins say when they withdraw a key."""
    return {"act": "revoke_principal", "kid": kid, "reason": reason}


def adopt_policy(tenant: Tenant, policy: Policy, signatures: Sequence[Signed]) -> PolicyAdopted:
    """Put the next version of the policy in force.

    Raises:
        NotAuthorisedError: below the admins' threshold.
    """
    if len(policy.rules) > MAX_TENANT_RULES:
        raise RefusedError(f"a policy has at most {MAX_TENANT_RULES} rules, not {len(policy.rules)}")
    number, digest = tenant.policy_version + 1, policy.digest()
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=policy_claims(number, digest),
    )
    return PolicyAdopted(
        version=number, policy=policy, digest=digest, statements=tuple(signed.token for signed in signatures)
    )


def policy_claims(version: int, digest: str) -> dict[str, Any]:
    """Return what admins say when they adopt a policy."""
    return {"act": "adopt_policy", "version": version, "policy_digest": digest}


def appoint_monitor(tenant: Tenant, name: str, kind: MonitorKind, signatures: Sequence[Signed]) -> MonitorAppointed:
    """Appoint who is told of this tenant's faults, where its policy says so.

    Raises:
        ConflictError: when it is appointed already.
        NotAuthorisedError: below the admins' threshold.
    """
    if name in tenant.monitors:
        raise ConflictError(f"{name} is appointed already")
    require_threshold(
        signatures,
        tenant.principals,
        roles=tenant.admins,
        threshold=tenant.threshold,
        expected=appointment_claims(name, kind),
    )
    return MonitorAppointed(name=name, kind=kind, statements=tuple(signed.token for signed in signatures))


def appointment_claims(name: str, kind: MonitorKind) -> dict[str, Any]:
    """Return what admins say when they appoint a monitor."""
    return {"act": "appoint_monitor", "name": name, "kind": kind}
