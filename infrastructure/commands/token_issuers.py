"""Admission of other people's OpenID providers to a tenant's or scope's log, by its admins."""

from collections.abc import Sequence

from domain.access.token_issuers import TokenIssuer
from domain.tenants import token_issuers
from domain.tenants.state import Tenant
from infrastructure.commands.tenants import govern
from infrastructure.keys.jwks import check_key
from infrastructure.ledger import Answer, Ledger


def admit(ledger: Ledger, tenant: Tenant, admitted: TokenIssuer, tokens: Sequence[str]) -> Answer:
    """Let tokens of an issuer show who may read a log.

    Raises:
        MalformedError: when one of its keys is none.
        LedgerError: as `token_issuers.admit_token_issuer` does.
    """
    for key in admitted.keys:
        check_key(key)
    return govern(ledger, tenant, tokens, lambda signed: token_issuers.admit_token_issuer(tenant, admitted, signed))


def revoke(ledger: Ledger, tenant: Tenant, issuer: str, reason: str, tokens: Sequence[str]) -> Answer:
    """Let no token of an issuer count any more. Raises as `token_issuers.revoke_token_issuer` does."""
    return govern(
        ledger, tenant, tokens, lambda signed: token_issuers.revoke_token_issuer(tenant, issuer, reason, signed)
    )
