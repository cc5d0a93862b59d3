"""Whose tokens show who may read a log: admitted, replaced and revoked by its admins.

Invariants:
- One admission counts of each issuer; the next one replaces it as a whole, so a key that it leaves out ends.
- Keys that were ever admitted of an issuer that was revoked are never admitted again here, under whichever name; and
  no key is two issuers' [one of them revoked, it would count on under the other].
"""

from collections.abc import Sequence
from typing import Any, Final

from domain.access import token_issuers as issuers
from domain.access.token_issuers import TokenIssuer, key_digest
from domain.errors import ConflictError, RefusedError, UnknownError
from domain.statements import Signed, require_threshold
from domain.tenants.events import TokenIssuerAdmitted, TokenIssuerRevoked
from domain.tenants.state import Tenant

MAX_TOKEN_ISSUERS: Final = 8


def admit_token_issuer(tenant: Tenant, admitted: TokenIssuer, signatures: Sequence[Signed]) -> TokenIssuerAdmitted:
    """Admit tokens of an issuer, in place of what was admitted of it before.

    Raises:
        RefusedError: when it would never count, names a key or role that can't be, or there are too many issuers.
        ConflictError: when it holds a key of an issuer that was revoked, or of another one.
        NotAuthorisedError: below the admins' threshold.
    """
    _require_sense(tenant, admitted)
    keys = {key_digest(key) for key in admitted.keys}
    if keys & tenant.former_token_keys:
        raise ConflictError("a key of an issuer that was revoked is never admitted again")
    if any(keys & held for issuer, held in tenant.held_token_keys.items() if issuer != admitted.issuer):
        raise ConflictError("a key is another issuer's already")
    if admitted.issuer not in tenant.token_issuers and len(tenant.token_issuers) >= MAX_TOKEN_ISSUERS:
        raise RefusedError(f"a log admits tokens of at most {MAX_TOKEN_ISSUERS} issuers")
    _require(tenant, admission_claims(admitted), signatures)
    return TokenIssuerAdmitted(admitted=admitted, statements=tuple(signed.token for signed in signatures))


def revoke_token_issuer(tenant: Tenant, issuer: str, reason: str, signatures: Sequence[Signed]) -> TokenIssuerRevoked:
    """Let no token of an issuer count any more.

    Raises:
        UnknownError: when it is not admitted.
        NotAuthorisedError: below the admins' threshold.
    """
    if issuer not in tenant.token_issuers:
        raise UnknownError("no such issuer is admitted")
    _require(tenant, revocation_claims(issuer, reason), signatures)
    return TokenIssuerRevoked(issuer=issuer, reason=reason, statements=tuple(signed.token for signed in signatures))


def admission_claims(admitted: TokenIssuer) -> dict[str, Any]:
    """Return what admins say when they admit tokens of an issuer."""
    return {"act": "admit_token_issuer", "admitted": admitted.model_dump(mode="json")}


def revocation_claims(issuer: str, reason: str) -> dict[str, Any]:
    """Return what admins say when they revoke an issuer of tokens."""
    return {"act": "revoke_token_issuer", "issuer": issuer, "reason": reason}


def _require_sense(tenant: Tenant, admitted: TokenIssuer) -> None:
    if admitted.until_ms is not None and admitted.until_ms <= admitted.from_ms:
        raise RefusedError("the issuer would end before it begins to count")
    names = [key.kid for key in admitted.keys]
    if len(set(names)) != len(names) or (None in names and len(names) > 1):
        raise RefusedError("of several keys each has a kid of its own")
    if len({key_digest(key) for key in admitted.keys}) != len(names):
        raise RefusedError("a key is named twice")
    roles = issuers.OF_TENANTS if tenant.dao else issuers.OF_SCOPES
    for rule in admitted.rules:
        if rule.role not in roles:
            raise RefusedError(f"a token can't show the role {rule.role}: here it is one of {', '.join(sorted(roles))}")
        if rule.jurisdictions and tenant.dao:
            raise RefusedError("a tenant has one jurisdiction: only a scope's readers are limited to some")
        if len(set(rule.jurisdictions)) != len(rule.jurisdictions):
            raise RefusedError("a jurisdiction is named twice")


def _require(tenant: Tenant, expected: dict[str, Any], signatures: Sequence[Signed]) -> None:
    require_threshold(signatures, tenant.principals, roles=tenant.admins, threshold=tenant.threshold, expected=expected)
