"""Who may issue credentials in a scope's name: enrolled and withdrawn by its admins, after its registration too.

Invariants:
- Only scopes have issuers. A DID that was withdrawn is never enrolled again: what it signed ends with it.
- Nothing that an issuer granted outlives it: credentials are checked against the issuers of now.
"""

from collections.abc import Sequence
from typing import Any

from domain.errors import ConflictError, RefusedError, UnknownError
from domain.statements import Signed, require_threshold
from domain.tenants.events import IssuerEnrolled, IssuerRevoked
from domain.tenants.state import Tenant

MAX_ISSUERS = 16


def enrol_issuer(scope: Tenant, did: str, signatures: Sequence[Signed]) -> IssuerEnrolled:
    """Let a DID issue credentials in a scope's name.

    Raises:
        RefusedError: when it is no scope, or has as many issuers as there may be.
        ConflictError: when it is an issuer already, or was one.
        NotAuthorisedError: below the admins' threshold.
    """
    if scope.dao:
        raise RefusedError("a tenant has no issuers: its credential comes from the scope above it")
    if did in scope.issuers or did in scope.former_issuers:
        raise ConflictError("this DID is an issuer already, or was one; an issuer that was withdrawn never returns")
    if len(scope.issuers) >= MAX_ISSUERS:
        raise RefusedError(f"a scope has at most {MAX_ISSUERS} issuers")
    _require(scope, enrolment_claims(did), signatures)
    return IssuerEnrolled(did=did, statements=tuple(signed.token for signed in signatures))


def revoke_issuer(scope: Tenant, did: str, reason: str, signatures: Sequence[Signed]) -> IssuerRevoked:
    """Withdraw an issuer for ever, e.g. one whose key was stolen; every credential of its own ends with it.

    Raises:
        UnknownError: when it is no issuer.
        NotAuthorisedError: below the admins' threshold.
    """
    if did not in scope.issuers:
        raise UnknownError("no such issuer is enrolled")
    _require(scope, revocation_claims(did, reason), signatures)
    return IssuerRevoked(did=did, reason=reason, statements=tuple(signed.token for signed in signatures))


def enrolment_claims(did: str) -> dict[str, Any]:
    """Return what admins say when they enrol an issuer."""
    return {"act": "enrol_issuer", "did": did}


def revocation_claims(did: str, reason: str) -> dict[str, Any]:
    """Return what admins say when they withdraw an issuer."""
    return {"act": "revoke_issuer", "did": did, "reason": reason}


def _require(scope: Tenant, expected: dict[str, Any], signatures: Sequence[Signed]) -> None:
    require_threshold(signatures, scope.principals, roles=scope.admins, threshold=scope.threshold, expected=expected)
