"""JSON Web Keys of Ed25519 public keys (RFC 8037 2) and their thumbprints (RFC 7638).

Invariants:
- A key is named by the SHA-256 thumbprint of its required members, base64url: the `kid` of every statement.
"""

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from domain.canonical import canonical
from domain.errors import MalformedError
from infrastructure.keys import base64url
from infrastructure.keys.ed25519 import check_public_key


def jwk(public: bytes) -> dict[str, str]:
    """Return the JWK of a 32-byte Ed25519 public key, with exactly its required members.

    Raises:
        MalformedError: when it is not such a key.
    """
    return {"crv": "Ed25519", "kty": "OKP", "x": base64url.encode(check_public_key(public))}


def public_key(key: Mapping[str, Any]) -> bytes:
    """Return the 32-byte public key of a JWK that has exactly the required members.

    Raises:
        MalformedError: when it has others [a private key would come with a `d`], or is not an Ed25519 key.
    """
    if key.keys() != {"crv", "kty", "x"} or (key["crv"], key["kty"]) != ("Ed25519", "OKP"):
        raise MalformedError("a JWK is not exactly an Ed25519 public key")
    if not isinstance(key["x"], str):
        raise MalformedError("a JWK's x is not a string")
    return check_public_key(base64url.decode(key["x"]))


def require_thumbprint(kid: str, public_key_hex: str) -> None:
    """Refuse a name of a key that is not its thumbprint [one enrolled under another's name would stand for that one].

    Raises:
        MalformedError: when it is not, or that is no key.
    """
    if thumbprint(bytes.fromhex(public_key_hex)) != kid:
        raise MalformedError("a key's kid is the RFC 7638 thumbprint of its public key; this is another one's")


@lru_cache(maxsize=1024)
def thumbprint(public: bytes) -> str:
    """Return the RFC 7638 thumbprint of a 32-byte Ed25519 public key (43 characters)."""
    return base64url.encode(hashlib.sha256(canonical(jwk(public))).digest())
