"""Acknowledgements of durable appends: one `ledger-ack+jwt` for what a commit added to a log (wire format, section 4).

Invariants:
- The signed payload is exactly {iss, aud, jti, iat, publish_by, size, root}: `aud` is the log's origin, `iss` the host
  in it, `root` the RFC 9162 root over JCS {"jti","leaf_hash","leaf_index"} of that commit's `size` events of this log,
  in leaf order, and `publish_by` the anchor round by which they must be published.
- Whoever holds one holds its own event's object, place and path with it: nothing of the others but hashes.
- `object.jti` is the id of the command that the event answers, empty where none is: events that the ledger decides by
  itself (the decider's, a disclosure) answer nobody's command, and are acknowledged all the same.
- A file `*.ack` is JCS {"ack","index","object","path"}; the parser takes exactly what the printer prints.
"""

import re
from binascii import hexlify
from dataclasses import dataclass
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import MAX_INTEGER, canonical, parse_canonical
from domain.errors import MalformedError
from domain.transparency.hashing import leaf_hash
from domain.transparency.proofs import verify_inclusion
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.plaintext import encode_json
from infrastructure.keys.thumbprint import jwk, public_key, thumbprint
from infrastructure.statements import jws

MAX_FILE_BYTES = 16_384
SUFFIX = ".ack"
KEY_FILE = "ack.jwk"
"""Where a bundle keeps the public key of its log's acknowledgements."""

_MEMBERS = {"aud", "iat", "iss", "jti", "publish_by", "root", "size"}
_MAX_PATH = 63
_DIGEST = re.compile(r"[0-9a-f]{64}")
_JTI = re.compile(r"([0-9a-f]{32})?")


class Acknowledged(NamedTuple):
    """One event that was made durable: the command that it answers, its leaf hash (32 bytes) and its leaf index."""

    jti: str
    leaf_hash: bytes
    leaf_index: int

    def to_json(self) -> dict[str, Any]:
        """Return its members."""
        return {"jti": self.jti, "leaf_hash": self.leaf_hash.hex(), "leaf_index": self.leaf_index}


@dataclass(frozen=True, slots=True)
class Promise:
    """What an acknowledgement's signer promised: that `size` events under `root` are published by a round."""

    jti: str
    issued_at_s: int
    publish_by: int
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What one event's writer keeps: the signed token, the event's object, its index under the root and its path."""

    token: str
    event: Acknowledged
    index: int
    path: tuple[bytes, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the members of its file."""
        path = [digest.hex() for digest in self.path]
        return {"ack": self.token, "index": self.index, "object": self.event.to_json(), "path": path}

    def to_bytes(self) -> bytes:
        """Return the bytes of its file."""
        return canonical(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> "Acknowledgement":
        """Read a file.

        Raises:
            MalformedError: when it is anything but what `to_bytes` prints.
        """
        if len(data) > MAX_FILE_BYTES:
            raise MalformedError(f"an acknowledgement's file is longer than {MAX_FILE_BYTES} bytes")
        return cls.from_json(parse_canonical(data))

    @classmethod
    def from_json(cls, value: Any) -> "Acknowledgement":
        """Read what `to_json` gives.

        Raises:
            MalformedError: when it is anything else.
        """
        if not isinstance(value, dict) or value.keys() != {"ack", "index", "object", "path"}:
            raise MalformedError("an acknowledgement's file has not exactly the members ack, index, object and path")
        if not isinstance(value["ack"], str) or not isinstance(value["path"], list) or len(value["path"]) > _MAX_PATH:
            raise MalformedError("an acknowledgement's file holds no token, or no path")
        path = tuple(_digest(one, "path") for one in value["path"])
        return cls(value["ack"], _acknowledged(value["object"]), _count(value["index"], "index"), path)

    def verify(self, public: bytes, origin: str) -> Promise:
        """Check signature, audience and path; return what was promised.

        Args:
            public: the key (32 bytes) of this log's acknowledgements, from a source that is trusted.
            origin: the log's.

        Raises:
            MalformedError: when the token is not of its one shape.
            NotAuthorisedError: when it is another log's, or not signed by this key.
            VerificationError: when the path doesn't lead from the event to the signed root.
        """
        keys = {thumbprint(public): public}
        payload = jws.verify(self.token, typ=jws.ACKNOWLEDGEMENT, keys=keys, aud=origin, now_s=None)
        if payload.keys() != _MEMBERS or payload["iss"] != issuer(origin):
            raise MalformedError("an acknowledgement has not exactly its members, or another issuer")
        size = _count(payload["size"], "size")
        root = _digest(payload["root"], "root")
        digest = acknowledged_digest(self.event.jti, self.event.leaf_hash, self.event.leaf_index)
        verify_inclusion(digest, self.index, size, self.path, root)
        return Promise(payload["jti"], payload["iat"], _count(payload["publish_by"], "publish_by"), size, root)


class AcknowledgementSigner:
    """Signs the acknowledgements of one log.

    Args:
        key: the log's key for this, and nothing else.
        origin: the log's.
    """

    def __init__(self, key: Ed25519PrivateKey, origin: str) -> None:
        self._sign = ed25519.signer(key)
        self._aud, self._iss = encode_json(origin), encode_json(issuer(origin))
        kid = thumbprint(ed25519.public_bytes(key))
        header = canonical({"alg": "Ed25519", "kid": kid, "typ": jws.ACKNOWLEDGEMENT})
        self._header = f"{base64url.encode(header)}."

    def sign(self, *, jti: str, issued_at_s: int, publish_by: int, size: int, root: bytes) -> str:
        """Return the token. Its bytes are those of `jws.sign`, made without printing the header again."""
        payload = b'{"aud":%b,"iat":%d,"iss":%b,"jti":%b,"publish_by":%d,"root":"%b","size":%d}' % (
            self._aud, issued_at_s, self._iss, encode_json(jti), publish_by, hexlify(root), size
        )  # fmt: skip
        signing_input = self._header + base64url.encode(payload)
        return f"{signing_input}.{base64url.encode(self._sign(signing_input.encode('ascii')))}"


def acknowledged_digest(jti: str, event_leaf_hash: bytes, leaf_index: int) -> bytes:
    """Return the leaf hash of an acknowledged object in the tree of its acknowledgement."""
    return leaf_hash(
        b'{"jti":%b,"leaf_hash":"%b","leaf_index":%d}'
        % (encode_json(jti) if jti else b'""', hexlify(event_leaf_hash), leaf_index)
    )


def issuer(origin: str) -> str:
    """Return who acknowledges for a log: the host in its origin."""
    return origin.partition("/")[0]


def ack_key_document(public: bytes) -> bytes:
    """Return the bytes of `ack.jwk`: the public key (32 bytes) of a log's acknowledgements as a JWK (RFC 8037)."""
    return canonical(jwk(public))


def parse_ack_key(data: bytes) -> bytes:
    """Return the public key in the bytes of `ack.jwk`.

    Raises:
        MalformedError: when they are anything but what `ack_key_document` prints.
    """
    if len(data) > MAX_FILE_BYTES:
        raise MalformedError(f"{KEY_FILE} is longer than {MAX_FILE_BYTES} bytes")
    value = parse_canonical(data)
    if not isinstance(value, dict):
        raise MalformedError(f"{KEY_FILE} is no JSON Web Key")
    return public_key(value)


def _acknowledged(value: object) -> Acknowledged:
    if not isinstance(value, dict) or value.keys() != {"jti", "leaf_hash", "leaf_index"}:
        raise MalformedError("an acknowledged object has not exactly the members jti, leaf_hash and leaf_index")
    if not isinstance(value["jti"], str) or _JTI.fullmatch(value["jti"]) is None:
        raise MalformedError("an acknowledged object's jti is neither 32 lowercase hex digits nor empty")
    return Acknowledged(
        value["jti"], _digest(value["leaf_hash"], "leaf_hash"), _count(value["leaf_index"], "leaf_index")
    )


def _digest(value: object, name: str) -> bytes:
    if not isinstance(value, str) or _DIGEST.fullmatch(value) is None:
        raise MalformedError(f"an acknowledgement's {name} is not 64 lowercase hex digits")
    return bytes.fromhex(value)


def _count(value: object, name: str) -> int:
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise MalformedError(f"an acknowledgement's {name} is not a whole number from 0")
    return value
