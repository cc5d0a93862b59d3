"""What evidence and released inputs are bound to, byte for byte.

Invariants:
- `report_data` covers every part in one order, each with its length before it: no two bindings share their bytes.
- HPKE `info` strings begin with `report_data`, so a ciphertext opens only inside the execution whose evidence was
  appraised, at its own index, for its own commitment [a releaser that swaps inputs or enclaves].
- Digests of contents that leave a tenant are salted [the hash of PASS can be guessed].
"""

import hashlib
import struct
from dataclasses import dataclass

from domain.errors import MalformedError

REPORT_DATA_BYTES = 64
DIGEST_BYTES = 32
SALT_BYTES = 32
NONCE_BYTES = 32

_REPORT_DATA = b"ledger report-data v1\0"
_INPUT = b"ledger input v1\0"
_OUTPUT = b"ledger output v1\0"
_COMMIT = b"ledger commit v1\0"
_MAX_U16 = 0xFFFF
_MAX_U32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The parts of `report_data`, in their order. Texts are ASCII; digests, nonce and CAC key are 32 bytes."""

    host: str
    origin: str
    execution_id: str
    node_id: str
    nonce: bytes
    module_digest: bytes
    limits_digest: bytes
    policy_digest: bytes
    submission_digest: bytes
    cac_key: bytes
    kem_id: int
    hpke_key_digest: bytes

    def __post_init__(self) -> None:
        for name in ("host", "origin", "execution_id", "node_id"):
            text = getattr(self, name)
            if not text or not text.isascii() or len(text) > _MAX_U16:
                raise MalformedError(f"{name} in a binding must be non-empty ASCII of at most {_MAX_U16} bytes")
        for name in (
            "nonce",
            "module_digest",
            "limits_digest",
            "policy_digest",
            "submission_digest",
            "cac_key",
            "hpke_key_digest",
        ):
            _exactly(DIGEST_BYTES, getattr(self, name), name)
        if not 0 <= self.kem_id <= _MAX_U16:
            raise MalformedError(f"a KEM id is 16 bits, not {self.kem_id}")

    def parts(self) -> tuple[bytes, ...]:
        """Return the twelve parts in the order in which they are hashed."""
        return (
            self.host.encode("ascii"),
            self.origin.encode("ascii"),
            self.execution_id.encode("ascii"),
            self.node_id.encode("ascii"),
            self.nonce,
            self.module_digest,
            self.limits_digest,
            self.policy_digest,
            self.submission_digest,
            self.cac_key,
            struct.pack(">H", self.kem_id),
            self.hpke_key_digest,
        )


def report_data(binding: Binding) -> bytes:
    """Return SHA-512 over the label and each part behind its u16 length (64 bytes)."""
    digest = hashlib.sha512(_REPORT_DATA)
    for part in binding.parts():
        digest.update(struct.pack(">H", len(part)))
        digest.update(part)
    return digest.digest()


def input_info(report: bytes, index: int, commitment: bytes) -> bytes:
    """Return the HPKE `info` of input number `index` (from 0) of an execution.

    Args:
        report: the execution's report_data, 64 bytes.
        index: place of the input in the submission.
        commitment: its salted commitment, 32 bytes.

    Raises:
        MalformedError: when a length or the index is out of range.
    """
    return _info(_INPUT, report, index, commitment)


def output_info(report: bytes, index: int, commitment: bytes) -> bytes:
    """Return the HPKE `info` of output number `index` (from 0). Arguments and errors as for `input_info`."""
    return _info(_OUTPUT, report, index, commitment)


def salted_commitment(salt: bytes, data: bytes) -> bytes:
    """Return SHA-256 over the label, the 32-byte salt and the data.

    Raises:
        MalformedError: when the salt is not 32 bytes long.
    """
    _exactly(SALT_BYTES, salt, "salt")
    return hashlib.sha256(_COMMIT + salt + data).digest()


def _info(label: bytes, report: bytes, index: int, commitment: bytes) -> bytes:
    _exactly(REPORT_DATA_BYTES, report, "report_data")
    _exactly(DIGEST_BYTES, commitment, "commitment")
    if not 0 <= index <= _MAX_U32:
        raise MalformedError(f"an index is 32 bits, not {index}")
    return label + report + struct.pack(">I", index) + commitment


def _exactly(length: int, value: bytes, name: str) -> None:
    if not isinstance(value, bytes) or len(value) != length:
        raise MalformedError(f"{name} must be {length} bytes")
