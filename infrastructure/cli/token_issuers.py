"""Commands about OpenID providers: principal admit-issuer, revoke-issuer. Here, or at a server."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.access.token_issuers import TokenIssuer
from domain.tenants.token_issuers import admission_claims, revocation_claims
from domain.time import rfc3339
from infrastructure.cli.output import result
from infrastructure.cli.remoting import There, act
from infrastructure.cli.session import ledger_at, load_wallets
from infrastructure.client import token_issuers
from infrastructure.client.files import read_bounded
from infrastructure.clock import SystemClock
from infrastructure.commands.loading import find_tenant
from infrastructure.keys.jwks import MAX_JWKS_BYTES, read_jwks


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person says of an issuer. Instants in ms, None: from now on, without an end."""

    issuer: str
    audience: str
    jwks: Path
    rules: tuple[str, ...]
    token_type: str
    jurisdictions: tuple[str, ...]
    from_ms: int | None
    until_ms: int | None

    def admission(self) -> TokenIssuer:
        """Return what is to be admitted.

        Raises:
            MalformedError: when it can't be.
        """
        return token_issuers.admission(
            self.issuer, self.audience, read_jwks(read_bounded(self.jwks, MAX_JWKS_BYTES)), self.rules,
            token_type=self.token_type, from_ms=SystemClock().now_ms() if self.from_ms is None else self.from_ms,
            until_ms=self.until_ms, jurisdictions=self.jurisdictions,
        )  # fmt: skip


def admit(data_dir: Path, of: str, asked: Asked, keys: Sequence[Path], *, at: There | None, as_json: bool) -> None:
    """Admit tokens of an issuer."""
    admitted = asked.admission()
    shown, lines = _shown(admitted), _told(admitted, of)
    if at is not None:
        act(at, "/v1/token-issuers", admission_claims(admitted), keys, of, lines, as_json=as_json, shown=shown)
        return
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        token_issuers.admit(ledger, find_tenant(ledger, of), admins, admitted)
    result(shown, as_json=as_json, lines=lines)


def revoke(
    data_dir: Path, of: str, issuer: str, reason: str, keys: Sequence[Path], *, at: There | None, as_json: bool
) -> None:
    """Let no token of an issuer count any more."""
    shown, lines = {"issuer": issuer, "of": of}, [f"no token of {issuer} counts any more for {of}"]
    if at is not None:
        claims = revocation_claims(issuer, reason)
        act(at, "/v1/token-issuers/revocations", claims, keys, of, lines, as_json=as_json, shown=shown)
        return
    admins = load_wallets(keys)
    with ledger_at(data_dir) as ledger:
        token_issuers.revoke(ledger, find_tenant(ledger, of), admins, issuer, reason)
    result(shown, as_json=as_json, lines=lines)


def _shown(admitted: TokenIssuer) -> dict[str, Any]:
    return {**admitted.model_dump(mode="json"), "digest": admitted.digest()}


def _told(admitted: TokenIssuer, of: str) -> list[str]:
    until = "until it is revoked" if admitted.until_ms is None else f"until {rfc3339(admitted.until_ms)}"
    rules = [f"  {rule.role:<10} {'/'.join(rule.claim)} = {rule.value}" for rule in admitted.rules]
    keys = ", ".join(f"{key.kid or '(no kid)'} ({key.kty})" for key in admitted.keys)
    return [f"tokens of {admitted.issuer} for {admitted.audience} show who may read {of}, {until}", *rules, f"  {keys}"]
