"""Who signs in a made-up log: keys, and statements written fast."""

import os
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical
from domain.hashing import sha256_hex
from domain.time import HOUR_MS, SECOND_MS
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.did_key import did_key
from infrastructure.keys.plaintext import encode_json
from infrastructure.keys.thumbprint import thumbprint


class Signer:
    """A key that signs statements of one type.

    Args:
        typ: the type.
        iss: in whose name; None for the key's own did:key.
    """

    def __init__(self, typ: str, iss: str | None = None) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.public = ed25519.public_bytes(self.key)
        self.kid = thumbprint(self.public)
        self.iss = iss or did_key(self.public)
        self._header = base64url.encode(canonical({"alg": "Ed25519", "kid": self.kid, "typ": typ}))

    def sign(self, aud: str, at_ms: int, claims: Mapping[str, Any]) -> str:
        """Return a statement with these claims, as `infrastructure.statements.jws.sign` would write it."""
        issued = at_ms // SECOND_MS
        registered = {"iss": self.iss, "aud": aud, "jti": os.urandom(16).hex(), "iat": issued}
        payload = {**claims, **registered, "exp": issued + HOUR_MS // SECOND_MS}
        signed = f"{self._header}.{base64url.encode(encode_json(payload))}"
        return f"{signed}.{base64url.encode(self.key.sign(signed.encode()))}"


class Node:
    """A node: its reports of one execution form a chain."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.signer = Signer("ledger-report+jwt")

    def report(self, chain: "Chain", at_ms: int, claims: Mapping[str, Any]) -> str:
        """Return the next report of a chain."""
        told = {"execution": chain.execution, "seq": chain.seq, "prev": chain.prev, **claims}
        token = self.signer.sign(chain.origin, at_ms, told)
        chain.seq, chain.prev = chain.seq + 1, sha256_hex(token.encode())
        return token


class Chain:
    """Where the reports of one execution stand."""

    def __init__(self, origin: str, execution: str) -> None:
        self.origin = origin
        self.execution = execution
        self.seq = 0
        self.prev = "0" * 64
