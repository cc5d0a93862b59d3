r"""How a keyring's files are sealed: a wrapping key from a machine key file, or from a passphrase by scrypt (RFC 7914).

Invariants:
- File = `ledger-keyring/v1\n` || 12-byte IV || AES-256-GCM ciphertext; the additional data is that line and the file's
  name, so that files can't be swapped.
- A wrong key and a damaged file are told apart by a check value under the wrapping key.
- scrypt's cost is fixed here, never read from a file [a changed cost could stall or weaken].
"""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domain.errors import MalformedError, RefusedError, VerificationError
from infrastructure.entropy import Entropy
from infrastructure.keys.private_files import read_private

KEY_BYTES = 32
SALT_BYTES = 16
PASSPHRASE_VARIABLE = "LEDGER_KEYRING_PASSPHRASE"  # noqa: S105 - the name of a variable
PASSPHRASE_FILE_VARIABLE = "LEDGER_KEYRING_PASSPHRASE_FILE"  # noqa: S105 - the name of a variable

_MAGIC = b"ledger-keyring/v1\n"
_CHECK = b"ledger keyring check v1\0"
_IV_BYTES = 12
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 2**15, 8, 3
_SCRYPT_MEMORY_BYTES = 64 * 1024 * 1024


class WrappingKey:
    """Seals and opens the files of one keyring."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        """Take a 32-byte secret.

        Raises:
            MalformedError: when it has another length.
        """
        if len(secret) != KEY_BYTES:
            raise MalformedError(f"a wrapping key is {KEY_BYTES} bytes")
        self._secret = secret

    @classmethod
    def from_passphrase(cls, passphrase: str, salt: bytes) -> "WrappingKey":
        """Derive from a passphrase; takes about a quarter of a second on purpose."""
        secret = hashlib.scrypt(
            passphrase.encode(),
            salt=salt,
            n=_SCRYPT_N,
            r=_SCRYPT_R,
            p=_SCRYPT_P,
            maxmem=_SCRYPT_MEMORY_BYTES,
            dklen=KEY_BYTES,
        )
        return cls(secret)

    def check_value(self) -> bytes:
        """Return 32 bytes by which a wrong key is recognised."""
        return hmac.digest(self._secret, _CHECK, hashlib.sha256)

    def wrap(self, name: str, content: bytes, entropy: Entropy) -> bytes:
        """Return the bytes of the file `name`."""
        iv = entropy.bytes(_IV_BYTES)
        return _MAGIC + iv + AESGCM(self._secret).encrypt(iv, content, _MAGIC + name.encode())

    def unwrap(self, name: str, data: bytes) -> bytes:
        """Return the content of the file `name`.

        Raises:
            VerificationError: when it was changed, or is another file's.
        """
        head = len(_MAGIC) + _IV_BYTES
        if not data.startswith(_MAGIC) or len(data) < head:
            raise VerificationError(f"{name} is not a keyring file; restore it from your own copy")
        try:
            return AESGCM(self._secret).decrypt(data[len(_MAGIC) : head], data[head:], _MAGIC + name.encode())
        except InvalidTag:
            raise VerificationError(f"{name} is damaged; restore it from your own copy") from None

    def __repr__(self) -> str:
        return "WrappingKey(...)"


def passphrase_from(environ: Mapping[str, str]) -> str | None:
    """Return the passphrase from the file or variable that the environment names, or None for a machine key.

    Raises:
        RefusedError: when the file can't be read, others may read it, or the passphrase is empty.
    """
    path = environ.get(PASSPHRASE_FILE_VARIABLE)
    text = environ.get(PASSPHRASE_VARIABLE)
    if path is not None:
        try:
            text = read_private(Path(path)).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise RefusedError(f"the file that {PASSPHRASE_FILE_VARIABLE} names is not UTF-8") from None
    if text == "":
        raise RefusedError(f"{PASSPHRASE_VARIABLE} is set, but empty")
    return text
