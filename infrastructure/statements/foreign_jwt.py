"""Tokens that others sign (JWT, RFC 7519): taken apart strictly, and verified by a key that was admitted.

Invariants:
- One compact JWS of at most 16 KiB, canonical base64url, JSON objects without a doubled member at any depth; a header
  with `crit` refuses (nothing critical is understood here). Of the header `alg`, `kid` and `typ` are read: no key that
  it brings or points to is ever looked at (RFC 8725 3.1, 3.10).
- The algorithm is the key's; the header may only agree with it.
- `exp` and `iat` must be there. Nothing is granted beyond `exp`; a signer's clock may be ahead by 60 s.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.access.token_issuers import AnyKey
from domain.errors import MalformedError, NotAuthorisedError
from domain.time import SECOND_MS
from infrastructure.keys import base64url
from infrastructure.keys.jwks import algorithms, verifier
from infrastructure.statements.jws import CLOCK_SKEW_S
from infrastructure.strict_json import parse_strict

MAX_TOKEN_BYTES: Final = 16_384
MAX_LIFE_S: Final = 86_400
"""A token that counts for longer is none that anybody could take back."""
_PARTS: Final = 3
_LATEST_S: Final = 2**43
_TYPES: Final[Mapping[str, frozenset[str | None]]] = {
    "JWT": frozenset({None, "jwt", "application/jwt"}),
    "at+jwt": frozenset({"at+jwt", "application/at+jwt"}),
}
"""How a token of a type is typed: in any case, with or without the prefix (RFC 7515 4.1.9, RFC 9068 4)."""


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token taken apart; nothing of it is verified."""

    alg: str
    kid: str | None
    typ: str | None
    claims: dict[str, Any]
    signing_input: bytes
    signature: bytes

    def is_of(self, token_type: str) -> bool:
        """Tell whether its header types it so."""
        return (None if self.typ is None else self.typ.lower()) in _TYPES[token_type]


def read(text: str) -> ForeignToken:
    """Take a token apart.

    Raises:
        MalformedError: when it is none.
    """
    parts = text.split(".")
    if len(text) > MAX_TOKEN_BYTES or len(parts) != _PARTS:
        raise MalformedError(f"a token is a compact JWS of three parts and at most {MAX_TOKEN_BYTES} bytes")
    header, claims = _members(parts[0], "header"), _members(parts[1], "payload")
    if "crit" in header:
        raise MalformedError("the token's header names something critical, and nothing critical is understood here")
    alg, kid, typ = header.get("alg"), header.get("kid"), header.get("typ")
    if not isinstance(alg, str) or not isinstance(kid, str | None) or not isinstance(typ, str | None):
        raise MalformedError("the token's header has an alg, and kid and typ are texts where they are there")
    signing_input = f"{parts[0]}.{parts[1]}".encode("ascii")
    return ForeignToken(alg, kid, typ, claims, signing_input, base64url.decode(parts[2]))


def verify(token: ForeignToken, key: AnyKey) -> None:
    """Check a token's signature.

    Raises:
        NotAuthorisedError: when its algorithm is not the key's, or the signature not of this key.
    """
    if token.alg not in algorithms(key):
        raise NotAuthorisedError("the token's algorithm is not its key's")
    verifier(key)(token.signature, token.signing_input)


def require_now(claims: Mapping[str, Any], now_ms: int) -> int:
    """Hold a token's times against an instant; return until when it counts (ms).

    Raises:
        MalformedError: when `exp` or `iat` is missing, or one of them, or `nbf`, is no instant.
        NotAuthorisedError: when it is not of now, or would count for more than a day.
    """
    expires_ms, issued_ms = _instant(claims, "exp"), _instant(claims, "iat")
    begins_ms = _instant(claims, "nbf") if "nbf" in claims else issued_ms
    ahead_ms = now_ms + CLOCK_SKEW_S * SECOND_MS
    if expires_ms <= now_ms:
        raise NotAuthorisedError("the token has expired: get a new one")
    if max(issued_ms, begins_ms) > ahead_ms:
        raise NotAuthorisedError("the token does not count yet: check the issuer's clock")
    if expires_ms - issued_ms > MAX_LIFE_S * SECOND_MS or expires_ms <= issued_ms:
        raise NotAuthorisedError(f"a token counts for at most {MAX_LIFE_S} s from its iat")
    return expires_ms


def audiences(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """Return whom a token is for (RFC 7519 4.1.3); empty where it doesn't say it rightly."""
    aud = claims.get("aud")
    if isinstance(aud, str):
        return (aud,)
    if isinstance(aud, list) and all(isinstance(one, str) for one in aud):
        return tuple(aud)
    return ()


def confirmed_by(claims: Mapping[str, Any]) -> str | None:
    """Return the thumbprint of the key that a token is bound to (RFC 9449 6.1); None where it is bound to none.

    Raises:
        NotAuthorisedError: when it is bound to something else, which nobody can show here.
    """
    if "cnf" not in claims:
        return None
    bound = claims["cnf"]
    if not isinstance(bound, dict) or bound.keys() != {"jkt"} or not isinstance(bound["jkt"], str):
        raise NotAuthorisedError("the token is bound to something that can't be shown here; a DPoP key can (cnf.jkt)")
    return bound["jkt"]


def _instant(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is None or not number or not 0 <= value < _LATEST_S:
        raise MalformedError(f"the token's {name} is missing, or no instant in seconds since 1970")
    return int(value * SECOND_MS)


def _members(part: str, name: str) -> dict[str, Any]:
    try:
        found = parse_strict(base64url.decode(part))
    except ValueError:
        found = None
    except MalformedError:
        raise MalformedError(f"the token's {name} is not base64url without padding") from None
    if not isinstance(found, dict):
        raise MalformedError(f"the token's {name} is not one JSON object without doubled members")
    return found
