"""DPoP proofs (RFC 9449): a request is signed by the key that its token is bound to.

Invariants:
- A proof is a compact JWS: typ `dpop+jwt`, an Ed25519 key as `jwk` and nothing private of it, `htm` and `htu` of this
  very request, `iat`, `jti`, and with a token its hash (`ath`). It is a JWT of others' making: members that RFC 9449
  does not name are passed over, doubled ones and `crit` refuse.
- Both names of the algorithm are taken: `Ed25519` (RFC 9864) and `EdDSA` (RFC 8037).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.thumbprint import jwk, public_key, thumbprint
from infrastructure.strict_json import parse_strict

TYPE: Final = "dpop+jwt"
ALGORITHMS: Final = ("Ed25519", "EdDSA")
MAX_PROOF_BYTES: Final = 4_096
_MAX_JTI: Final = 128
_PUBLIC: Final = frozenset({"crv", "kty", "x"})
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_PARTS: Final = 3
_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof whose signature holds: the key's thumbprint (`jkt`), and what it says of the request."""

    jkt: str
    method: str
    url: str
    issued_s: int
    jti: str
    ath: str | None


def make(key: Ed25519PrivateKey, method: str, url: str, *, issued_s: int, jti: str, token: str | None = None) -> str:
    """Return a proof for one request.

    Args:
        key: what the token is, or will be, bound to.
        method: of the request.
        url: of the request, without query and fragment.
        issued_s: instant, seconds since 1970.
        jti: never used before.
        token: the access token that goes with it; None where one is asked for.
    """
    header = {"alg": ALGORITHMS[0], "jwk": jwk(ed25519.public_bytes(key)), "typ": TYPE}
    said: dict[str, Any] = {"htm": method, "htu": url, "iat": issued_s, "jti": jti}
    if token is not None:
        said["ath"] = token_hash(token)
    signing_input = f"{base64url.encode(canonical(header))}.{base64url.encode(canonical(said))}"
    return f"{signing_input}.{base64url.encode(key.sign(signing_input.encode('ascii')))}"


def read(text: str) -> Proof:
    """Verify a proof by the key that it names, and return what it says.

    Raises:
        MalformedError: when it is no proof.
        NotAuthorisedError: when its signature does not hold.
    """
    parts = text.split(".")
    if len(text) > MAX_PROOF_BYTES or len(parts) != _PARTS:
        raise MalformedError("a DPoP proof is a compact JWS of at most 4096 bytes")
    header, said = _members(parts[0]), _members(parts[1])
    if header.get("typ") != TYPE or header.get("alg") not in ALGORITHMS or "crit" in header:
        raise MalformedError("a DPoP proof has typ dpop+jwt, alg Ed25519 or EdDSA, and nothing critical")
    public = _key(header.get("jwk"))
    signature = base64url.decode(parts[2])
    if len(signature) != ed25519.SIGNATURE_BYTES:
        raise MalformedError("a DPoP proof's signature is not 64 bytes")
    ed25519.verify(public, signature, f"{parts[0]}.{parts[1]}".encode("ascii"))
    method, url, issued_s, jti, ath = (said.get(name) for name in ("htm", "htu", "iat", "jti", "ath"))
    if not isinstance(method, str) or not isinstance(url, str) or type(issued_s) is not int:
        raise MalformedError("a DPoP proof says htm, htu and iat")
    if not isinstance(jti, str) or not jti.isascii() or not 0 < len(jti) <= _MAX_JTI or not isinstance(ath, str | None):
        raise MalformedError("a DPoP proof's jti is 1 to 128 ASCII characters, its ath a string")
    return Proof(thumbprint(public), method, url, issued_s, jti, ath)


def require(proof: Proof, *, method: str, urls: frozenset[str], now_s: int, within_s: int, token: str | None) -> None:
    """Hold a proof against the request that it came with.

    Args:
        proof: verified.
        method: of the request.
        urls: by which this request's target is known, without query and fragment.
        now_s: instant.
        within_s: how far `iat` may lie from it.
        token: the access token; None where one is asked for.

    Raises:
        NotAuthorisedError: when it is of another request, another time or another token.
    """
    if proof.method != method or normal(proof.url) not in {normal(url) for url in urls}:
        raise NotAuthorisedError("the DPoP proof is for another request: htm or htu differ")
    if abs(now_s - proof.issued_s) > within_s:
        raise NotAuthorisedError("the DPoP proof is not of now")
    if proof.ath != (None if token is None else token_hash(token)):
        raise NotAuthorisedError("the DPoP proof is not over this token")


def normal(url: str) -> str:
    """Return a URL without query and fragment, scheme and host in lower case, without its scheme's own port.

    What is no URL comes back empty (RFC 3986 6.2.2, 6.2.3, as far as RFC 9449 4.3 asks for it).
    """
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        return ""
    scheme = parts.scheme.lower()
    shown = f"[{host}]" if ":" in host else host
    own = port is None or port == _PORTS.get(scheme)
    return f"{scheme}://{shown}{'' if own else f':{port}'}{parts.path or '/'}"


def token_hash(token: str) -> str:
    """Return `ath`: the SHA-256 of an access token, base64url."""
    return base64url.encode(sha256(token.encode("ascii")).digest())


def _key(named: object) -> bytes:
    if not isinstance(named, dict) or _PRIVATE & named.keys():
        raise MalformedError("a DPoP proof names a public key, as jwk, and nothing private of it")
    return public_key({name: value for name, value in named.items() if name in _PUBLIC})


def _members(part: str) -> Mapping[str, Any]:
    try:
        found = parse_strict(base64url.decode(part))
    except ValueError:
        raise MalformedError("a part of a DPoP proof is not JSON") from None
    if not isinstance(found, dict):
        raise MalformedError("a part of a DPoP proof is no JSON object")
    return found
