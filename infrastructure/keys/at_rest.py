r"""Seals what the database keeps beside the entries: read models and answers under a log's data key, views under the
cell's key. So no content of a tenant is in the database, its write-ahead log or a backup of either.

Invariants:
- Sealed = 0x01 || u32 generation || 12-byte IV || AES-256-GCM ciphertext; additional data `ledger at rest v1\0` ||
  context, so that what is sealed for one place does not open at another.
- The key is HMAC(K, "ledger at rest key v1\0"): it opens no entry, and no entry's key opens it.
- Nothing that is sealed begins with `{`: what an older release kept as plain JSON is told apart.
"""  # noqa: D205 - one sentence

import hashlib
import hmac
import struct
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import VerificationError
from infrastructure.entropy import Entropy
from infrastructure.keys.stream_keys import DataKey

_VERSION = b"\x01"
_KEY = b"ledger at rest key v1\0"
_CONTEXT = b"ledger at rest v1\0"
_HEAD = struct.Struct(">cI12s")


class AtRest:
    """Seals with the newest generation of a key, opens what any of them sealed.

    Args:
        keys: the generations, oldest first; there is at least one.
        entropy: where IVs come from.
    """

    def __init__(self, keys: Sequence[DataKey], entropy: Entropy) -> None:
        self._ciphers = {key.generation: AESGCM(hmac.digest(key.secret, _KEY, hashlib.sha256)) for key in keys}
        self._newest = keys[-1].generation
        self._entropy = entropy

    def seal(self, context: bytes, plaintext: bytes) -> bytes:
        """Seal bytes for one place, which `context` names."""
        iv = self._entropy.bytes(12)
        head = _HEAD.pack(_VERSION, self._newest, iv)
        return head + self._ciphers[self._newest].encrypt(iv, plaintext, _CONTEXT + context)

    def open(self, context: bytes, sealed: bytes) -> bytes:
        """Open what was sealed for the same place.

        Raises:
            VerificationError: when it was not, or was changed.
        """
        try:
            version, generation, iv = _HEAD.unpack_from(sealed)
            if version != _VERSION:
                raise VerificationError("what the database keeps was sealed by another program")
            return self._ciphers[generation].decrypt(iv, sealed[_HEAD.size :], _CONTEXT + context)
        except (InvalidTag, KeyError, struct.error):
            raise VerificationError("what the database keeps was changed, or belongs to another place or key") from None

    def __repr__(self) -> str:
        return f"AtRest(generations={len(self._ciphers)})"
