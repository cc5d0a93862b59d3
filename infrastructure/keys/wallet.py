"""A principal's own keys in one file: JSON, 0600, one Ed25519 key per purpose.

Invariants:
- One key, one purpose: no two purposes share a key, and each key has its own thumbprint and did:key.
- Keys are private JWKs (RFC 8037 2), so other tools can read them; `x` must be the public key of `d`.
- A tenant's wallet may hold what opens its inputs (release) and outputs (output): two HPKE keys, as JWKs of type AKP
  whose `priv` is the 32-byte seed and `pub` its public key. Such a wallet belongs to whoever runs the releaser.
- A file that others may read is refused. Nothing of a private key appears in a repr or error.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError, UnknownError
from infrastructure.entropy import Entropy
from infrastructure.keys import base64url, did_key, ed25519, hpke
from infrastructure.keys.private_files import read_private, write_private
from infrastructure.keys.thumbprint import jwk, thumbprint

_FORMAT = "ledger-wallet/v1"
_HPKE = "MLKEM768-X25519"
_MAX_NAME_CHARACTERS = 200


class Purpose(StrEnum):
    """What a key may sign."""

    GOVERNANCE = "governance"
    SUBMISSION = "submission"
    REPORT = "report"
    CREDENTIAL = "credential"
    ENDORSEMENT = "endorsement"


@dataclass(frozen=True, slots=True)
class CustodyKeys:
    """What opens a tenant's inputs and outputs."""

    release: hpke.PrivateKey
    output: hpke.PrivateKey

    def __post_init__(self) -> None:
        """Refuse one key for both.

        Raises:
            MalformedError: when it is one.
        """
        if self.release.public == self.output.public:
            raise MalformedError("release and output key of a wallet are one key; each has one purpose")


class Wallet:
    """A principal's name and keys."""

    __slots__ = ("_custody", "_keys", "name")

    def __init__(self, name: str, keys: dict[Purpose, Ed25519PrivateKey], custody: CustodyKeys | None = None) -> None:
        if not 0 < len(name) <= _MAX_NAME_CHARACTERS or not name.isprintable():
            raise MalformedError(f"a wallet's name is 1 to {_MAX_NAME_CHARACTERS} printable characters")
        if keys.keys() != set(Purpose) or len({ed25519.public_bytes(key) for key in keys.values()}) != len(keys):
            raise MalformedError("a wallet has exactly one key of its own for each purpose")
        self.name = name
        self._keys = keys
        self._custody = custody

    @property
    def holds_custody(self) -> bool:
        """Whether it opens a tenant's inputs and outputs."""
        return self._custody is not None

    def custody(self) -> CustodyKeys:
        """Return what opens a tenant's inputs and outputs.

        Raises:
            UnknownError: when this wallet holds no such keys.
        """
        if self._custody is None:
            raise UnknownError(
                f"the wallet of {self.name} holds no release and output key; `enclave-ledger key new FILE --custody` "
                "makes one that does"
            )
        return self._custody

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


def create(path: Path, name: str, entropy: Entropy, *, custody: bool = False) -> Wallet:
    """Draw a new wallet and write its file; with `custody` also the keys that open a tenant's inputs and outputs.

    Raises:
        RefusedError: when the file exists already, or can't be written.
        MalformedError: when the name is none.
    """
    seeds = {purpose: entropy.bytes(ed25519.KEY_BYTES) for purpose in Purpose}
    held = CustodyKeys(hpke.generate(entropy), hpke.generate(entropy)) if custody else None
    wallet = Wallet(name, {purpose: ed25519.private_key(seed) for purpose, seed in seeds.items()}, held)
    keys = {
        purpose.value: {**jwk(wallet.public(purpose)), "d": base64url.encode(seeds[purpose])} for purpose in Purpose
    }
    content: dict[str, Any] = {"format": _FORMAT, "name": name, "keys": keys}
    if held is not None:
        content["custody"] = {"release": _akp(held.release), "output": _akp(held.output)}
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
        custody = _custody(content["custody"]) if "custody" in content else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise MalformedError(f"{path} is not a wallet") from None
    if not known or not isinstance(name, str):
        raise MalformedError(f"{path} is not a wallet of the format {_FORMAT}")
    return Wallet(name, keys, custody)


def _akp(key: hpke.PrivateKey) -> dict[str, str]:
    pair = {"pub": base64url.encode(key.public), "priv": base64url.encode(key.to_bytes())}
    return {"kty": "AKP", "alg": _HPKE, **pair}


def _custody(content: dict[str, Any]) -> CustodyKeys:
    if content.keys() != {"release", "output"}:
        raise MalformedError("a wallet's custody is exactly a release and an output key")
    return CustodyKeys(release=_hpke_key(content["release"]), output=_hpke_key(content["output"]))


def _hpke_key(key: dict[str, Any]) -> hpke.PrivateKey:
    private = hpke.PrivateKey(base64url.decode(key["priv"]))
    if key != _akp(private):
        raise MalformedError("a wallet's key doesn't match its public half")
    return private


def _private_key(key: dict[str, Any]) -> Ed25519PrivateKey:
    private = ed25519.private_key(base64url.decode(key["d"]))
    if key != {**jwk(ed25519.public_bytes(private)), "d": key["d"]}:
        raise MalformedError("a wallet's key doesn't match its public half")
    return private
