"""Which format a piece of evidence has, from its bytes alone.

Invariants:
- SNP reports are exactly 1,184 bytes behind a u32 version; quotes begin with u16 version and u16 key type, so no blob
  is both. Anything else is refused before any of it is parsed.
- Hex (upper or lower case, `0x` before it, white space between) and raw bytes give the same evidence.
- `signed` is header and body, what the attestation key signed: around it bytes can be changed without a trace.
"""

import hashlib
import re
import struct
from dataclasses import dataclass

from domain.attestation.claims import EvidenceFormat
from domain.attestation.refusal import EvidenceRefusedError, Refusal

MAX_EVIDENCE_BYTES = 65_536
MAX_TEXT_BYTES = 4 * MAX_EVIDENCE_BYTES
"""Hex doubles it, white space may do so again."""
SNP_BYTES = 1184
SNP_SIGNED_BYTES = 0x2A0
QUOTE_HEADER_BYTES = 48
SGX_BODY_BYTES = 384
TD10_BODY_BYTES = 584
TD15_BODY_BYTES = 648

_HEX = re.compile(rb"(?:0[xX])?([0-9A-Fa-f]+)")
_SPACE = b" \t\r\n\v\f"
_EVIDENCE_KEY = b"ledger evidence key v1\0"
_SGX, _TDX = 0, 0x81
_V5_PREFIX = struct.Struct("<HI")
_V5_BODIES = {2: TD10_BODY_BYTES, 3: TD15_BODY_BYTES}
_MIN_SNP_VERSION, _MAX_SNP_VERSION = 2, 255


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence taken for what its first bytes say. `body` begins behind header and, in version 5, the body's type."""

    format: EvidenceFormat
    raw: bytes
    signed_bytes: int
    body_at: int

    @property
    def signed(self) -> bytes:
        """Header and body."""
        return self.raw[: self.signed_bytes]

    @property
    def body(self) -> bytes:
        """The body alone."""
        return self.raw[self.body_at : self.signed_bytes]

    @property
    def key(self) -> str:
        """The name of this evidence for identity and replay: SHA-256 (hex) over a label, header and body."""
        return hashlib.sha256(_EVIDENCE_KEY + self.signed).hexdigest()


def recognise(data: bytes) -> Evidence:
    """Return the evidence in a file's content, raw or hex.

    Raises:
        EvidenceRefusedError: when it is too large, of no known format, cut off, or of one that is not supported.
    """
    if len(data) > MAX_TEXT_BYTES:
        raise EvidenceRefusedError(Refusal.TOO_LARGE, f"evidence is at most {MAX_EVIDENCE_BYTES} bytes")
    raw = _from_hex(data)
    if len(raw) > MAX_EVIDENCE_BYTES:
        raise EvidenceRefusedError(Refusal.TOO_LARGE, f"evidence is at most {MAX_EVIDENCE_BYTES} bytes")
    if len(raw) < QUOTE_HEADER_BYTES:
        raise EvidenceRefusedError(Refusal.UNKNOWN_FORMAT, "it is too short for any evidence")
    if raw[2:4] == b"\0\0":
        return _snp(raw)
    return _quote(raw)


def _from_hex(data: bytes) -> bytes:
    packed = data.translate(None, _SPACE)
    match = _HEX.fullmatch(packed)
    if match is None:
        return data
    if len(match[1]) % 2:
        raise EvidenceRefusedError(Refusal.MALFORMED, "it has an odd number of hex digits")
    return bytes.fromhex(match[1].decode("ascii"))


def _snp(raw: bytes) -> Evidence:
    version = int.from_bytes(raw[:4], "little")
    if not _MIN_SNP_VERSION <= version <= _MAX_SNP_VERSION:
        raise EvidenceRefusedError(Refusal.UNKNOWN_FORMAT, "neither an SGX or TDX quote nor a SEV-SNP report")
    if len(raw) != SNP_BYTES:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"a SEV-SNP report is {SNP_BYTES} bytes, not {len(raw)}")
    return Evidence(EvidenceFormat.SNP, raw, SNP_SIGNED_BYTES, 0)


def _quote(raw: bytes) -> Evidence:
    version, key_type, tee = struct.unpack_from("<HHI", raw)
    if version not in {3, 4, 5} or key_type not in {2, 3}:
        raise EvidenceRefusedError(Refusal.UNKNOWN_FORMAT, "neither an SGX or TDX quote nor a SEV-SNP report")
    if (version, tee) == (3, _SGX):
        return _of_length(EvidenceFormat.SGX_V3, raw, QUOTE_HEADER_BYTES, SGX_BODY_BYTES)
    if (version, tee) == (4, _TDX):
        return _of_length(EvidenceFormat.TDX_V4, raw, QUOTE_HEADER_BYTES, TD10_BODY_BYTES)
    if (version, tee) == (5, _TDX):
        return _version_5(raw)
    raise EvidenceRefusedError(Refusal.UNSUPPORTED, f"a quote of version {version} for TEE type {tee:#x}")


def _version_5(raw: bytes) -> Evidence:
    body_at = QUOTE_HEADER_BYTES + _V5_PREFIX.size
    if len(raw) < body_at:
        raise EvidenceRefusedError(Refusal.MALFORMED, "the quote is cut off")
    kind, size = _V5_PREFIX.unpack_from(raw, QUOTE_HEADER_BYTES)
    if kind not in _V5_BODIES:
        raise EvidenceRefusedError(Refusal.UNSUPPORTED, f"a version 5 quote with a body of type {kind}")
    if size != _V5_BODIES[kind]:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"a body of type {kind} is not {size} bytes long")
    return _of_length(EvidenceFormat.TDX_V5, raw, body_at, size)


def _of_length(form: EvidenceFormat, raw: bytes, body_at: int, body_bytes: int) -> Evidence:
    signed = body_at + body_bytes
    if len(raw) < signed + 4:
        raise EvidenceRefusedError(Refusal.MALFORMED, "the quote is cut off")
    if signed + 4 + int.from_bytes(raw[signed : signed + 4], "little") > len(raw):
        raise EvidenceRefusedError(Refusal.MALFORMED, "the quote's signature data is cut off")
    return Evidence(form, raw, signed, body_at)
