"""JSON Web Key Sets of others (RFC 7517): read from a file, held to what may be admitted, and used to verify.

Invariants:
- Only public keys for signatures, of the three kinds of domain.access.token_issuers. A private or symmetric key
  anywhere in the set refuses it: it was shown to somebody whom it was not meant for.
- The algorithm follows from the key (RFC 8725 3.1); what a token's header says must be a name of just that.
- Whatever is verified with was looked at: a point on its curve, an odd modulus of the size that is allowed.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from pydantic import TypeAdapter, ValidationError

from domain.access.token_issuers import AnyKey, EcKey, OkpKey, RsaKey, TokenKey
from domain.errors import LedgerError, MalformedError, NotAuthorisedError
from infrastructure.keys import base64url, ed25519
from infrastructure.strict_json import parse_strict

MAX_JWKS_BYTES: Final = 131_072
_MOST_KEYS: Final = 64
_PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MEMBERS: Final = {"EC": ("crv", "x", "y"), "OKP": ("crv", "x"), "RSA": ("n", "e")}
_ALGORITHMS: Final[Mapping[str, frozenset[str]]] = {
    "EC": frozenset({"ES256"}),
    "OKP": frozenset({"EdDSA", "Ed25519"}),
    "RSA": frozenset({"RS256"}),
}
"""Names of what a kind of key signs with; Ed25519 has two (RFC 8037, RFC 9864)."""
_SCALAR_BYTES: Final = 32
_LEAST_BITS, _MOST_BITS = 2_048, 4_096
_KEY: Final[TypeAdapter[AnyKey]] = TypeAdapter(TokenKey)

Check = Callable[[bytes, bytes], None]
"""Takes signature and message; raises NotAuthorisedError where they don't belong together."""


def algorithms(key: AnyKey) -> frozenset[str]:
    """Return the names of the one algorithm of a key."""
    return _ALGORITHMS[key.kty]


def read_jwks(data: bytes) -> tuple[AnyKey, ...]:
    """Return the keys of a key set that can verify tokens here; others, e.g. for encryption, are left out.

    Raises:
        MalformedError: when it is no key set, holds something private, no usable key, or one that is none.
    """
    try:
        found = parse_strict(data) if len(data) <= MAX_JWKS_BYTES else None
    except ValueError:
        found = None
    keys = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS or not all(isinstance(one, dict) for one in keys):
        raise MalformedError('a key set is JSON: {"keys": [...]}, of at most 64 keys and 131072 bytes')
    if any(_PRIVATE & one.keys() or one.get("kty") == "oct" for one in keys):
        raise MalformedError("the key set holds a private or symmetric key: it must be kept, and never shown")
    usable = tuple(_read(one) for one in keys if _signs(one))
    if not usable:
        raise MalformedError("the key set has no key for ES256 (P-256), EdDSA (Ed25519) or RS256 (RSA)")
    return usable


def check_key(key: AnyKey) -> None:
    """Make sure that a key is one.

    Raises:
        MalformedError: when its point is none, or its modulus is not odd, or too short or long.
    """
    verifier(key)


@lru_cache(maxsize=256)
def verifier(key: AnyKey) -> Check:
    """Return what verifies with a key. Raises as `check_key` does."""
    if isinstance(key, EcKey):
        return _ecdsa(key)
    if isinstance(key, RsaKey):
        return _rsa(key)
    return _eddsa(key)


def _ecdsa(key: EcKey) -> Check:
    x, y = (int.from_bytes(_exactly(one)) for one in (key.x, key.y))
    try:
        public = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError:
        raise MalformedError("a key's x and y are no point of P-256") from None

    def check(signature: bytes, message: bytes) -> None:
        # r || s, each 32 bytes (RFC 7518 3.4)
        if len(signature) != 2 * _SCALAR_BYTES:
            raise NotAuthorisedError("the signature does not verify")
        r, s = (int.from_bytes(half) for half in (signature[:_SCALAR_BYTES], signature[_SCALAR_BYTES:]))
        try:
            public.verify(encode_dss_signature(r, s), message, ec.ECDSA(SHA256()))
        except (InvalidSignature, ValueError):
            raise NotAuthorisedError("the signature does not verify") from None

    return check


def _rsa(key: RsaKey) -> Check:
    data = base64url.decode(key.n)
    modulus = int.from_bytes(data)
    if not _LEAST_BITS <= modulus.bit_length() <= _MOST_BITS or not modulus % 2 or not data[0]:
        raise MalformedError(
            f"an RSA key has an odd modulus of {_LEAST_BITS} to {_MOST_BITS} bits, in its one spelling"
        )
    try:
        public = rsa.RSAPublicNumbers(int.from_bytes(base64url.decode(key.e)), modulus).public_key()
    except ValueError:
        raise MalformedError("an RSA key is none") from None

    def check(signature: bytes, message: bytes) -> None:
        try:
            public.verify(signature, message, padding.PKCS1v15(), SHA256())
        except (InvalidSignature, ValueError):
            raise NotAuthorisedError("the signature does not verify") from None

    return check


def _eddsa(key: OkpKey) -> Check:
    public = ed25519.check_public_key(base64url.decode(key.x))

    def check(signature: bytes, message: bytes) -> None:
        ed25519.verify(public, signature, message)

    return check


def _exactly(text: str) -> bytes:
    data = base64url.decode(text)
    if len(data) != _SCALAR_BYTES:
        raise MalformedError("a key's coordinate is not of 32 bytes")
    return data


def _signs(one: Mapping[str, Any]) -> bool:
    """Tell whether a key of a set is meant for signatures of a kind that can be admitted."""
    kind = one.get("kty")
    if one.get("use", "sig") != "sig" or not isinstance(kind, str) or kind not in _MEMBERS:
        return False
    operations = one.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    curve = {"EC": "P-256", "OKP": "Ed25519"}.get(kind)
    return one.get("crv") == curve and ("alg" not in one or one["alg"] in list(_ALGORITHMS[kind]))


def _read(one: Mapping[str, Any]) -> AnyKey:
    members = {name: one[name] for name in ("kid", "kty", *_MEMBERS[one["kty"]]) if name in one}
    try:
        key = _KEY.validate_python(members)
        check_key(key)
    except ValidationError:
        raise MalformedError("a key of the key set is not of its form (RFC 7518 6), or too short or long") from None
    except LedgerError as error:
        raise MalformedError(f"a key of the key set is refused: {error}") from None
    return key
