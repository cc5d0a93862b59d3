"""COSE_Sign1 (RFC 9052 4.2) of one strict shape, signed with Ed25519.

Invariants:
- Tag 18, `[protected, unprotected, payload / nil, signature]`, deterministic CBOR (RFC 8949 4.2.1): what is parsed is
  printed again and compared [`cbor2` takes duplicate keys, long forms and trailing bytes].
- `alg` is EdDSA (-8) and stands in the protected header [RFC 9864 prefers -19, which few verifiers know yet].
- Labels of both headers are closed sets, given by the caller; a label that is not known refuses, and so does `crit`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError
from infrastructure.keys import ed25519

ALG, CONTENT_TYPE, KID, CWT_CLAIMS, RECEIPTS, VDS, VDP = 1, 3, 4, 15, 394, 395, 396
ISS, SUB = 1, 2
EDDSA = -8
MAX_BYTES = 1_048_576
"""Greatest length of a message."""

_SIGN1 = 18
_PARTS = 4
_MAX_DEPTH = 8
Label = int | str
Header = Mapping[Label, Any]


@dataclass(frozen=True, slots=True)
class Sign1:
    """A message taken apart; nothing of it is verified. `payload` is None where it is detached."""

    protected: Header
    protected_bytes: bytes
    unprotected: Header
    payload: bytes | None
    signature: bytes

    def verify(self, public: bytes, payload: bytes | None = None) -> None:
        """Check the signature, over the message's payload or a detached one that the caller computed.

        Raises:
            MalformedError: when there are two payloads, or none.
            NotAuthorisedError: when it is not this key's (32 bytes) over these bytes.
        """
        if (payload is None) == (self.payload is None):
            raise MalformedError("a COSE_Sign1 has one payload, inside or detached")
        content = self.payload if payload is None else payload
        ed25519.verify(public, self.signature, _signed_bytes(self.protected_bytes, content or b""))


def sign1(
    protected: Header,
    unprotected: Header,
    payload: bytes,
    key: Ed25519PrivateKey,
    *,
    detached: bool = False,
) -> bytes:
    """Return a signed message. `alg` is added to the protected header.

    Args:
        protected: labels under the signature.
        unprotected: labels beside it.
        payload: what is signed.
        key: signs.
        detached: leave the payload out.
    """
    header = encode({ALG: EDDSA, **protected})
    signature = ed25519.signer(key)(_signed_bytes(header, payload))
    return encode(cbor2.CBORTag(_SIGN1, [header, dict(unprotected), None if detached else payload, signature]))


def parse_sign1(data: bytes, *, protected: Collection[Label], unprotected: Collection[Label]) -> Sign1:
    """Take a message apart.

    Args:
        data: the message.
        protected: exactly these labels (beside `alg`) stand in the protected header.
        unprotected: exactly these in the unprotected one.

    Raises:
        MalformedError: when it is anything else.
    """
    message = decode(data)
    if not isinstance(message, cbor2.CBORTag) or message.tag != _SIGN1:
        raise MalformedError("not a COSE_Sign1: it does not begin with tag 18")
    if not isinstance(message.value, list | tuple) or len(message.value) != _PARTS:
        raise MalformedError("a COSE_Sign1 has four parts")
    header, beside, payload, signature = message.value
    if not isinstance(header, bytes) or not isinstance(payload, bytes | None) or not isinstance(signature, bytes):
        raise MalformedError("a part of a COSE_Sign1 is not of its type")
    signed = decode(header)
    if not isinstance(signed, Mapping) or not isinstance(beside, Mapping):
        raise MalformedError("a header of a COSE_Sign1 is no map")
    if set(signed) != {ALG, *protected} or set(beside) != set(unprotected):
        raise MalformedError("a header of a COSE_Sign1 lacks a label, or has one that is not known here")
    if type(signed[ALG]) is not int or signed[ALG] != EDDSA:
        raise MalformedError("the algorithm of a COSE_Sign1 is not EdDSA")
    if len(signature) != ed25519.SIGNATURE_BYTES:
        raise MalformedError("the signature of a COSE_Sign1 is not 64 bytes")
    return Sign1(signed, header, beside, payload, signature)


def encode(value: object) -> bytes:
    """Return deterministic CBOR."""
    return cbor2.dumps(value, canonical=True)


def decode(data: bytes) -> Any:
    """Decode bytes that must be deterministic CBOR already, of shallow maps, arrays, strings, integers and tag 18.

    Raises:
        MalformedError: when they are anything else.
    """
    if len(data) > MAX_BYTES:
        raise MalformedError(f"CBOR is longer than {MAX_BYTES} bytes")
    try:
        value = cbor2.loads(data)
        _require_plain(value, 0)
        same = encode(value) == data
    except MalformedError:
        raise
    except Exception:  # noqa: BLE001 - cbor2 raises what it likes for hostile bytes; all of it means the same
        raise MalformedError("not valid CBOR") from None
    if not same:
        raise MalformedError("CBOR is not in deterministic form")
    return value


def claims_of(header: Header, *names: Label) -> Mapping[Label, Any]:
    """Return the CWT claims (RFC 9597) of a protected header, which must be exactly these.

    Raises:
        MalformedError: when they are others.
    """
    claims = header[CWT_CLAIMS]
    if not isinstance(claims, Mapping) or set(claims) != set(names):
        raise MalformedError("the CWT claims of a header are not exactly those expected")
    return claims


def _signed_bytes(header: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure (RFC 9052 4.4)."""
    return encode(["Signature1", header, b"", payload])


def _require_plain(value: object, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise MalformedError("CBOR is nested too deep")
    if isinstance(value, cbor2.CBORTag):
        if depth or value.tag != _SIGN1:
            raise MalformedError("CBOR holds a tag that has no place there")
        _require_plain(value.value, depth + 1)
    elif isinstance(value, Mapping):
        for name, member in value.items():
            if type(name) is not int and type(name) is not str:
                raise MalformedError("a label is neither an integer nor a string")
            _require_plain(member, depth + 1)
    elif isinstance(value, list | tuple):
        for member in value:
            _require_plain(member, depth + 1)
    elif value is not None and type(value) not in {int, str, bytes}:
        raise MalformedError(f"{type(value).__name__} has no place in such CBOR")
