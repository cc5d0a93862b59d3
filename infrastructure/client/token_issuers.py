"""Admission of OpenID providers: what a person says of one, and its admins' signatures."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import ValidationError

from domain.access.token_issuers import AnyKey, TokenIssuer
from domain.errors import MalformedError
from domain.jurisdictions import parse_jurisdiction
from domain.tenants import token_issuers
from domain.tenants.state import Tenant
from infrastructure.client.acts import Wallets, governed
from infrastructure.commands import token_issuers as commands
from infrastructure.ledger import Answer, Ledger

_ESCAPES: Final = (("~1", "/"), ("~0", "~"))
_PARTS: Final = 3


def admission(
    issuer: str, audience: str, keys: Sequence[AnyKey], rules: Sequence[str], *, token_type: str, from_ms: int,
    until_ms: int | None, jurisdictions: Sequence[str] = (),
) -> TokenIssuer:  # fmt: skip
    """Return what is to be admitted of an issuer.

    Args:
        issuer: its identifier.
        audience: for whom its tokens must be.
        keys: by which it signs.
        rules: each as `ROLE=CLAIM=VALUE`; a claim with a slash in front is a JSON Pointer (RFC 6901).
        token_type: `JWT` or `at+jwt`.
        from_ms: from when on it counts.
        until_ms: until when; None: until it is revoked.
        jurisdictions: of whose tenants those whom it shows may learn, in a scope's log.

    Raises:
        MalformedError: naming the first member that can't be.
    """
    known = [parse_jurisdiction(one) for one in jurisdictions]
    members: dict[str, Any] = {
        "issuer": issuer,
        "audience": audience,
        "token_type": token_type,
        "keys": tuple(keys),
        "rules": tuple({**_rule(one), "jurisdictions": tuple(known)} for one in rules),
        "from_ms": from_ms,
        "until_ms": until_ms,
    }
    try:
        return TokenIssuer.model_validate(members)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
        raise MalformedError(f"this can't be admitted: {where} is malformed") from None


def admit(ledger: Ledger, tenant: Tenant, admins: Wallets, admitted: TokenIssuer) -> Answer:
    """Admit tokens of an issuer, by the admins of a tenant or scope."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, token_issuers.admission_claims(admitted))
    return commands.admit(ledger, tenant, admitted, tokens)


def revoke(ledger: Ledger, tenant: Tenant, admins: Wallets, issuer: str, reason: str) -> Answer:
    """Let no token of an issuer count any more, by the admins of a tenant or scope."""
    tokens = governed(ledger, admins, tenant.did, tenant.origin, token_issuers.revocation_claims(issuer, reason))
    return commands.revoke(ledger, tenant, issuer, reason, tokens)


def _rule(text: str) -> dict[str, Any]:
    parts = text.split("=", _PARTS - 1)
    if len(parts) != _PARTS:
        raise MalformedError(f"a rule is ROLE=CLAIM=VALUE, e.g. auditor=groups=ledger-auditors, not {text[:80]!a}")
    role, claim, value = parts
    return {"role": role, "claim": tuple(_path(claim)), "value": value}


def _path(claim: str) -> list[str]:
    if not claim.startswith("/"):
        return [claim]
    names = claim[1:].split("/")
    for escape, meant in _ESCAPES:
        names = [name.replace(escape, meant) for name in names]
    return names
