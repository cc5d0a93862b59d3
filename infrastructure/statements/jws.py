"""Statements: compact JWS (RFC 7515) over JCS bytes, of one strict shape (wire format, section 4).

Invariants:
- Protected header exactly {"alg":"Ed25519","kid":<RFC 7638 thumbprint>,"typ":T} (RFC 9864), T of a closed set.
- Header and payload are JCS bytes: parsed, printed again and compared [JOSE libraries take duplicate members].
- `aud` is one string; `jti` 32 lowercase hex digits; `iat` and `exp` whole seconds. Acknowledgements have no `exp`;
  assertions live 60 s at most, and their `sub` is their `iss` (RFC 7523).
- What is malformed says so before any key is used; an unknown key, another type, a wrong signature or a passed `exp` is
  not authorised.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.plaintext import decode_json
from infrastructure.keys.thumbprint import thumbprint

__all__ = ["Statement", "parse", "peek", "sign", "thumbprint", "verify"]

SUBMISSION = "ledger-submission+jwt"
REPORT = "ledger-report+jwt"
GOVERNANCE = "ledger-governance+jwt"
ENDORSEMENT = "ledger-endorsement+jwt"
ACKNOWLEDGEMENT = "ledger-ack+jwt"
ASSERTION = "ledger-assertion+jwt"
TYPES = frozenset({SUBMISSION, REPORT, GOVERNANCE, ENDORSEMENT, ACKNOWLEDGEMENT, ASSERTION})

MAX_STATEMENT_BYTES = 49_152
"""Greatest length of a compact serialisation: it must fit into an entry beside the rest of its event."""
MAX_ASSERTION_S = 60
CLOCK_SKEW_S = 60
"""How far a signer's clock may be ahead of ours."""

_ALGORITHM = "Ed25519"
_JTI = re.compile(r"[0-9a-f]{32}")
_THUMBPRINT_CHARACTERS = 43

Payload = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement taken apart; nothing of it is verified."""

    typ: str
    kid: str
    payload: Payload
    signing_input: bytes
    signature: bytes

    @property
    def header(self) -> dict[str, str]:
        """The protected header."""
        return {"alg": _ALGORITHM, "kid": self.kid, "typ": self.typ}


def sign(typ: str, private_key: Ed25519PrivateKey, payload: Mapping[str, Any]) -> str:
    """Return the compact serialisation of a statement.

    Raises:
        MalformedError: when type or payload are not of the form that `verify` takes, or the result is too long.
    """
    kid = thumbprint(ed25519.public_bytes(private_key))
    _check_payload(typ, payload)
    header = canonical({"alg": _ALGORITHM, "kid": kid, "typ": typ})
    signing_input = f"{base64url.encode(header)}.{base64url.encode(canonical(dict(payload)))}"
    token = f"{signing_input}.{base64url.encode(private_key.sign(signing_input.encode('ascii')))}"
    _check_length(token)
    return token


@lru_cache(maxsize=256)
def parse(token: str) -> Statement:
    """Take a statement apart, strictly, without verifying it. Who changes its payload changes it for the next caller.

    Raises:
        MalformedError: when it is not of the one shape.
    """
    _check_length(token)
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, payload, signature
        raise MalformedError("a statement is not a compact JWS of three parts")
    typ, kid = _header(parts[0])
    payload = decode_json(base64url.decode(parts[1]))
    _check_payload(typ, payload)
    signature = base64url.decode(parts[2])
    if len(signature) != ed25519.SIGNATURE_BYTES:
        raise MalformedError("a statement's signature is not 64 bytes")
    return Statement(typ, kid, payload, token[: token.rindex(".")].encode("ascii"), signature)


def peek(token: str) -> tuple[dict[str, str], Payload]:
    """Return header and payload of a statement that is NOT verified, to find out whose keys to verify it with.

    Raises:
        MalformedError: when it is not of the one shape.
    """
    statement = parse(token)
    return statement.header, statement.payload


def verify(token: str, *, typ: str, keys: Mapping[str, bytes], aud: str, now_s: int | None) -> Payload:
    """Verify a statement and return its payload.

    Args:
        token: compact serialisation.
        typ: the type expected.
        keys: public keys (32 bytes) enrolled for this type, by thumbprint.
        aud: the one audience expected (a log's origin; for assertions the issuer's id).
        now_s: instant in seconds against which `iat` and `exp` are held; None leaves both unchecked.

    Raises:
        MalformedError: when it is not of the one shape.
        NotAuthorisedError: when type, audience, key, signature or time are wrong.
    """
    return verify_parsed(parse(token), typ=typ, keys=keys, aud=aud, now_s=now_s)


def verify_parsed(
    statement: Statement,
    *,
    typ: str,
    keys: Mapping[str, bytes],
    aud: str,
    now_s: int | None,
    check: ed25519.Check = ed25519.verify,
) -> Payload:
    """Verify a statement that was taken apart already, its signature by `check`. Else as `verify`."""
    if statement.typ != typ:
        raise NotAuthorisedError(f"a statement of type {statement.typ} where {typ} is needed")
    if statement.payload["aud"] != aud:
        raise NotAuthorisedError("a statement for another audience")
    public = keys.get(statement.kid)
    if public is None or thumbprint(public) != statement.kid:
        raise NotAuthorisedError(f"no key enrolled for {typ} has the thumbprint {statement.kid}")
    check(public, statement.signature, statement.signing_input)
    if now_s is not None:
        _check_time(statement.payload, now_s)
    return statement.payload


def _check_length(token: str) -> None:
    if len(token) > MAX_STATEMENT_BYTES:
        raise MalformedError(f"a statement is longer than {MAX_STATEMENT_BYTES} bytes")


@lru_cache(maxsize=1024)
def _header(text: str) -> tuple[str, str]:
    """Read a header: few keys sign many statements."""
    header = decode_json(base64url.decode(text))
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
        raise MalformedError("a statement's header is not exactly alg, kid and typ")
    typ, kid = header["typ"], header["kid"]
    if header["alg"] != _ALGORITHM:
        raise MalformedError(f"a statement's algorithm is not {_ALGORITHM}")
    if not isinstance(kid, str) or len(kid) != _THUMBPRINT_CHARACTERS:
        raise MalformedError("a statement's kid is not an RFC 7638 thumbprint")
    return _known_type(typ), kid


def _known_type(typ: object) -> str:
    if not isinstance(typ, str) or typ not in TYPES:
        raise MalformedError("a statement is of no known type")
    return typ


def _check_payload(typ: str, payload: object) -> None:
    _known_type(typ)
    if not isinstance(payload, Mapping):
        raise MalformedError("a statement's payload is not an object")
    for name in ("iss", "aud"):
        if not isinstance(payload.get(name), str) or not payload[name]:
            raise MalformedError(f"a statement's {name} is not one string")
    jti = payload.get("jti")
    if not isinstance(jti, str) or _JTI.fullmatch(jti) is None:
        raise MalformedError("a statement's jti is not 32 lowercase hex digits")
    issued = _seconds(payload, "iat")
    if typ == ACKNOWLEDGEMENT:
        if "exp" in payload:
            raise MalformedError("an acknowledgement has no exp")
        return
    expires = _seconds(payload, "exp")
    if expires <= issued:
        raise MalformedError("a statement expires before it is issued")
    if typ == ASSERTION and (payload.get("sub") != payload["iss"] or expires - issued > MAX_ASSERTION_S):
        raise MalformedError(f"an assertion's sub is not its iss, or it lives longer than {MAX_ASSERTION_S} s")


def _seconds(payload: Mapping[str, Any], name: str) -> int:
    value = payload.get(name)
    if type(value) is not int or value < 0:
        raise MalformedError(f"a statement's {name} is not whole seconds since 1970")
    return value


def _check_time(payload: Payload, now_s: int) -> None:
    if payload["iat"] > now_s + CLOCK_SKEW_S:
        raise NotAuthorisedError("a statement was issued in the future: check the signer's clock")
    if "exp" in payload and payload["exp"] <= now_s:
        raise NotAuthorisedError("a statement has expired")
