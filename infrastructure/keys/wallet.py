"""A principal's own keys in one file: JSON, 0600, one Ed25519 key per purpose.

Invariants:
- One key, one purpose: no two purposes share a key, and each key has its own thumbprint and did:key.
- Keys are private JWKs (RFC 8037 2), so other tools can read them; `x` must be the public key of `d`.
- A file that others may read is refused. Nothing of a private key appears in a repr or error.
"""

import json
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError
from infrastructure.entropy import Entropy
from infrastructure.keys import base64url, did_key, ed25519
from infrastructure.keys.private_files import read_private, write_private
from infrastructure.keys.thumbprint import jwk, thumbprint

_FORMAT = "ledger-wallet/v1"
_MAX_NAME_CHARACTERS = 200


class Purpose(StrEnum):
    """What a key may sign."""

    GOVERNANCE = "governance"
    SUBMISSION = "submission"
    REPORT = "report"
    CREDENTIAL = "credential"
    ENDORSEMENT = "endorsement"


class Wallet:
    """A principal's name and keys."""

    __slots__ = ("_keys", "name")

    def __init__(self, name: str, keys: dict[Purpose, Ed25519PrivateKey]) -> None:
        if not 0 < len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable():
            raise MalformedError(f"a wallet's name is 1 to {_MAX_NAME_CHARACTERS} printable characters")
        if keys.keys() != set(Purpose) or len({ed25519.public_bytes(key) for key in keys.values()}) != len(keys):
            raise MalformedError("a wallet has exactly one key of its own for each purpose")
        self.name = name
        self._keys = keys

    def key(self, purpose: Purpose | str) -> Ed25519PrivateKey:
        """Return the private key of a purpose.

        Raises:
            MalformedError: when there is no such purpose.
        """
        try:
            return self._keys[Purpose(purpose)]
        except ValueError:
            raise MalformedError(f"no key purpose {purpose!r}: {', '.join(Purpose)}") from None

    def public(self, purpose: Purpose | str) -> bytes:
        """Return the 32-byte public key of a purpose."""
        return ed25519.public_bytes(self.key(purpose))

    def thumbprint(self, purpose: Purpose | str) -> str:
        """Return the RFC 7638 thumbprint of a purpose's key, the `kid` of what it signs."""
        return thumbprint(self.public(purpose))

    def did(self, purpose: Purpose | str) -> str:
        """Return the did:key of a purpose's key."""
        return did_key.did_key(self.public(purpose))

    def __repr__(self) -> str:
        return f"Wallet(name={self.name!r})"


def create(path: Path, name: str, entropy: Entropy) -> Wallet:
    """Draw a new wallet and write its file.

    Raises:
        RefusedError: when the file exists already, or can't be written.
        MalformedError: when the name is none.
    """
    seeds = {purpose: entropy.bytes(ed25519.KEY_BYTES) for purpose in Purpose}
    wallet = Wallet(name, {purpose: ed25519.private_key(seed) for purpose, seed in seeds.items()})
    keys = {
        purpose.value: {**jwk(wallet.public(purpose)), "d": base64url.encode(seeds[purpose])} for purpose in Purpose
    }
    content = {"format": _FORMAT, "name": name, "keys": keys}
    write_private(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode(), new=True)
    return wallet


def load(path: Path) -> Wallet:
    """Read a wallet's file.

    Raises:
        UnknownError: when there is none.
        RefusedError: when others may read it.
        MalformedError: when it is not a wallet.
    """
    data = read_private(path)
    try:
        content = json.loads(data)
        keys = {Purpose(purpose): _private_key(key) for purpose, key in content["keys"].items()}
        name, known = content["name"], content["format"] == _FORMAT
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedError(f"{path} is not a wallet") from None
    if not known or not isinstance(name, str):
        raise MalformedError(f"{path} is not a wallet of the format {_FORMAT}")
    return Wallet(name, keys)


def _private_key(key: dict[str, Any]) -> Ed25519PrivateKey:
    private = ed25519.private_key(base64url.decode(key["d"]))
    if key != {**jwk(ed25519.public_bytes(private)), "d": key["d"]}:
        raise MalformedError("a wallet's key doesn't match its public half")
    return private
