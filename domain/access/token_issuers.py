"""What a tenant or scope admits of somebody else's OpenID provider: whose tokens, for whom, by which keys, as what.

Invariants:
- Keys are pinned: they stand in the event, public halves only, of three kinds: P-256 (ES256), Ed25519 (EdDSA) and RSA
  of 2,048 to 4,096 bits with the exponent 65537 (RS256). Which algorithm a token has follows from its key.
- A rule gives a role to who has a value at a claim; roles that sign have none to give: whoever signs enrols a key.
"""

from functools import lru_cache
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.jurisdictions import Jurisdiction
from domain.message import Value
from domain.policies.kinds import Word
from domain.time import MAX_INSTANT_MS

IssuerUrl = Annotated[
    str,
    Field(
        max_length=512,
        pattern=r"^https://[A-Za-z0-9.-]{1,253}(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?$",
    ),
]
"""An issuer identifier: https, no query, no fragment (OpenID Connect Discovery 1.0, 3; RFC 8414 2)."""
Audience = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$")]
KeyId = Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,256}$")]
ClaimName = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,256}$")]
Subject = Annotated[str, Field(pattern=r"^[\x20-\x7e]{1,255}$")]
"""Who a token is about: at most 255 ASCII characters (OpenID Connect Core 1.0, 2)."""
_Coordinate = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}$")]

OF_TENANTS: Final = frozenset({"admin", "submitter", "auditor"})
OF_SCOPES: Final = frozenset({"admin", "auditor", "resolver", "monitor", "operator", "witness"})
"""Roles that a rule may give; what they may read is the service's table."""


class EcKey(Value):
    """A P-256 public key as JWK (RFC 7518 6.2.1)."""

    kid: KeyId | None = None
    kty: Literal["EC"]
    crv: Literal["P-256"]
    x: _Coordinate
    y: _Coordinate


class OkpKey(Value):
    """An Ed25519 public key as JWK (RFC 8037 2)."""

    kid: KeyId | None = None
    kty: Literal["OKP"]
    crv: Literal["Ed25519"]
    x: _Coordinate


class RsaKey(Value):
    """An RSA public key as JWK (RFC 7518 6.3.1): n of 2,048 to 4,096 bits, e = 65537."""

    kid: KeyId | None = None
    kty: Literal["RSA"]
    n: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{342,683}$")]
    e: Literal["AQAB"]


TokenKey = Annotated[EcKey | OkpKey | RsaKey, Field(discriminator="kty")]
AnyKey = EcKey | OkpKey | RsaKey


class RoleRule(Value):
    """Who has `value` at a claim (equal to it, or one of a list's) has a role.

    `claim` is a path: names of members, from the outside in. `jurisdictions`: of whose tenants a scope's reader may
    learn; empty: of all.
    """

    claim: Annotated[tuple[ClaimName, ...], Field(min_length=1, max_length=4)]
    value: Annotated[str, Field(min_length=1, max_length=256)]
    role: Word
    jurisdictions: Annotated[tuple[Jurisdiction, ...], Field(max_length=64)] = ()


class TokenIssuer(Value):
    """What is admitted of one issuer.

    Attributes:
        issuer: what its tokens say as `iss`.
        audience: what they must say as `aud`.
        token_type: `JWT`: ID tokens and others without a type of their own; `at+jwt`: access tokens (RFC 9068).
        keys: by which it signs; one that has no `kid` is the only one.
        rules: the first that fits gives the role.
        from_ms: instant from which on this counts.
        until_ms: until when; None: until it is revoked or replaced.
    """

    issuer: IssuerUrl
    audience: Audience
    token_type: Literal["JWT", "at+jwt"]
    keys: Annotated[tuple[TokenKey, ...], Field(min_length=1, max_length=8)]
    rules: Annotated[tuple[RoleRule, ...], Field(min_length=1, max_length=32)]
    from_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
    until_ms: Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)] | None

    def in_force(self, now_ms: int) -> bool:
        """Tell whether it counts at an instant."""
        return self.from_ms <= now_ms and (self.until_ms is None or now_ms < self.until_ms)

    def digest(self) -> str:
        """Return what names this admission: any change makes it another."""
        return _digest(self)

    def key_for(self, kid: str | None) -> AnyKey | None:
        """Return the key that a token's header means (RFC 7515 4.1.4): the only one, where it names none."""
        if kid is None:
            return self.keys[0] if len(self.keys) == 1 else None
        return next((key for key in self.keys if key.kid == kid), None)

    def rules_for(self, claims: dict[str, Any]) -> list[int]:
        """Return the numbers of the rules that fit a token's claims, in their order."""
        return [number for number, rule in enumerate(self.rules) if _has(claims, rule)]


def key_digest(key: AnyKey) -> str:
    """Return the digest of a key's required members: whatever name it goes by (RFC 7638 3, in hex)."""
    return sha256_hex(canonical(key.model_dump(mode="json", exclude={"kid"})))


@lru_cache(maxsize=1024)
def _digest(admitted: TokenIssuer) -> str:
    """Return an admission's digest: it is asked for with each request."""
    return sha256_hex(canonical(admitted.model_dump(mode="json")))


def _has(claims: dict[str, Any], rule: RoleRule) -> bool:
    found: Any = claims
    for name in rule.claim:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    if isinstance(found, list):
        return any(isinstance(one, str) and one == rule.value for one in found)
    return isinstance(found, str) and found == rule.value
