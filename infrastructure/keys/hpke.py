"""HPKE (RFC 9180) base mode, MLKEM768-X25519 + HKDF-SHA256 + AES-256-GCM: inputs to enclaves, outputs to tenants.

Invariants:
- Public key = ML-KEM-768 encapsulation key (1,184) || X25519 public key (32); private key = the 32-byte seed that
  SHAKE256 expands to both private keys; sealed = enc (1,120) || ciphertext || tag (16) (draft-ietf-hpke-pq, where this
  KEM is X-Wing under id 0x647a). A test opens what is sealed here with an implementation of its own.
- `info` carries what a message is bound to (domain.attestation.binding). There is no additional data.
- A private key shows nothing of itself in its repr.
"""

import hashlib
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)

from domain.errors import MalformedError, VerificationError
from infrastructure.entropy import Entropy

KEM_ID = 0x647A
"""HPKE KEM identifier of MLKEM768-X25519 (IANA registry, draft-ietf-hpke-pq)."""

PUBLIC_KEY_BYTES = 1_216
PRIVATE_KEY_BYTES = 32
ENC_BYTES = 1_120
OVERHEAD_BYTES = ENC_BYTES + 16
"""How much longer a sealed message is than its plaintext."""

_MLKEM_PUBLIC_BYTES = 1_184
_MLKEM_SEED_BYTES = 64
_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


class PrivateKey:
    """A recipient's key pair, made from its 32-byte seed."""

    __slots__ = ("_key", "_seed", "public")

    public: bytes
    """The public key (1,216 bytes)."""

    def __init__(self, seed: bytes) -> None:
        """Expand the seed.

        Raises:
            MalformedError: when it is not 32 bytes long.
        """
        if len(seed) != PRIVATE_KEY_BYTES:
            raise MalformedError(f"an HPKE private key is {PRIVATE_KEY_BYTES} bytes, not {len(seed)}")
        expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + 32)
        mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES])
        x25519 = X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:])
        self._seed = bytes(seed)
        self._key = MLKEM768X25519PrivateKey(mlkem, x25519)
        self.public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def to_bytes(self) -> bytes:
        """Return the 32-byte seed."""
        return self._seed

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """Return the plaintext of enc || ciphertext.

        Raises:
            VerificationError: when it was sealed to another key or another `info`, or was changed.
        """
        try:
            return _SUITE.decrypt(sealed, self._key, info)
        except (InvalidTag, ValueError):
            raise VerificationError("an HPKE message does not open with this key and binding") from None

    def __repr__(self) -> str:
        return f"PrivateKey(public_digest={public_key_digest(self.public).hex()})"


def generate(entropy: Entropy) -> PrivateKey:
    """Make a new key pair."""
    return PrivateKey(entropy.bytes(PRIVATE_KEY_BYTES))


def seal(public_key: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal to a public key; every call makes a fresh ephemeral key.

    Args:
        public_key: 1,216 bytes.
        plaintext: what only the holder of the private key may read.
        info: what the message is bound to.

    Returns:
        enc (1,120 bytes) || ciphertext || tag (16 bytes).

    Raises:
        MalformedError: when the public key is none.
    """
    try:
        return _SUITE.encrypt(plaintext, _public_key(public_key), info)
    except ValueError:
        raise MalformedError("not a usable MLKEM768-X25519 public key") from None


def check_public_key(public_key: bytes) -> None:
    """Refuse what nothing can be sealed to.

    Raises:
        MalformedError: when the public key is none.
    """
    try:
        _public_key(public_key)
    except ValueError:
        raise MalformedError("not a usable MLKEM768-X25519 public key") from None


def public_key_digest(public_key: bytes) -> bytes:
    """Return H(public key), as bindings and events name it."""
    return hashlib.sha256(public_key).digest()


@lru_cache(maxsize=256)
def _public_key(data: bytes) -> MLKEM768X25519PublicKey:
    if len(data) != PUBLIC_KEY_BYTES:
        raise MalformedError(f"an HPKE public key is {PUBLIC_KEY_BYTES} bytes, not {len(data)}")
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(data[:_MLKEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(data[_MLKEM_PUBLIC_BYTES:]),
    )
