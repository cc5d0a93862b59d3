"""The SEV-SNP attestation report, byte for byte (AMD SEV-SNP ABI, 56860, table ATTESTATION_REPORT; little-endian).

Invariants:
- Exactly 1,184 bytes; signed are the first 0x2A0. Behind the two 72-byte numbers of the signature everything is zero.
- Only reports signed by a VCEK or a VLEK are read; the algorithm is ECDSA P-384 with SHA-384, and nothing else.
- From version 3 on a report names its processor; Turin orders its TCB otherwise and is refused by name.
"""

import struct
from dataclasses import dataclass
from typing import Literal

from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.recognise import SNP_BYTES

_HEAD = struct.Struct("<IIQ16s16sII8sQI4x64s48s32s48s48s32s32s8sBBB21x64s8s")
_FIELDS = (
    "version guest_svn policy family_id image_id vmpl algorithm current_tcb platform_info key_info report_data "
    "measurement host_data id_key_digest author_key_digest report_id report_id_ma reported_tcb family model "
    "stepping chip_id committed_tcb"
).split()
_KEPT = [
    name for name in _FIELDS if name not in {"algorithm", "key_info", "report_id_ma", "family", "model", "stepping"}
]
_R, _S, _TAIL = 0x2A0, 0x2E8, 0x330
_NUMBER_BYTES = 72
_ECDSA_P384_SHA384 = 1
_DEBUG, _MIGRATE_MA = 1 << 19, 1 << 18
_SIGNING_KEYS: dict[int, Literal["VCEK", "VLEK"]] = {0: "VCEK", 1: "VLEK"}
_NAMES_CPU_FROM = 3
_ZEN_3_4, _ZEN_5 = 0x19, 0x1A

TCB_FIELDS = {"bootloader": 0, "tee": 1, "spl_4": 2, "spl_5": 3, "spl_6": 4, "spl_7": 5, "snp": 6, "microcode": 7}
"""Bytes of a TCB version on Milan and Genoa (table TCB_VERSION)."""


@dataclass(frozen=True, slots=True)
class SnpReport:
    """A report taken apart; nothing of it is verified. `signature` is (r, s); TCB versions are 8 bytes."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    current_tcb: bytes
    platform_info: int
    signing_key: Literal["VCEK", "VLEK"]
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    reported_tcb: bytes
    chip_id: bytes
    committed_tcb: bytes
    product: str | None
    signature: tuple[int, int]

    @property
    def debug(self) -> bool:
        """Whether the host may read and change the guest."""
        return bool(self.policy & _DEBUG)

    @property
    def migratable(self) -> bool:
        """Whether a migration agent may be associated with the guest."""
        return bool(self.policy & _MIGRATE_MA)


def parse_report(raw: bytes) -> SnpReport:
    """Take a report apart, strictly.

    Raises:
        EvidenceRefusedError: when a field that verification rests on has a value that it must not have.
    """
    if len(raw) != SNP_BYTES:
        raise EvidenceRefusedError(Refusal.MALFORMED, f"a SEV-SNP report is {SNP_BYTES} bytes, not {len(raw)}")
    fields = dict(zip(_FIELDS, _HEAD.unpack_from(raw), strict=True))
    version = fields["version"]
    product = _product(fields["family"], fields["model"]) if version >= _NAMES_CPU_FROM else None
    if fields["algorithm"] != _ECDSA_P384_SHA384:
        raise EvidenceRefusedError(
            Refusal.UNSUPPORTED, f"signature algorithm {fields['algorithm']} of a SEV-SNP report"
        )
    signing_key = _SIGNING_KEYS.get(fields["key_info"] >> 2 & 0b111)
    if signing_key is None:
        raise EvidenceRefusedError(Refusal.UNSUPPORTED, "the report is signed by neither a VCEK nor a VLEK")
    if any(raw[_TAIL:]):
        raise EvidenceRefusedError(Refusal.MALFORMED, "bytes behind the report's signature are not zero")
    kept = {name: fields[name] for name in _KEPT}
    return SnpReport(signing_key=signing_key, product=product, signature=(_number(raw, _R), _number(raw, _S)), **kept)


def _number(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + _NUMBER_BYTES], "little")


def _product(family: int, model: int) -> str:
    """Return the product line of a processor (Genoa's chain serves Bergamo and Siena too)."""
    if family == _ZEN_3_4:
        line = {0x0: "Milan", 0x1: "Genoa", 0xA: "Genoa"}.get(model >> 4)
        if line is not None:
            return line
    name = "Turin" if family == _ZEN_5 else f"family {family:#x} model {model:#x}"
    raise EvidenceRefusedError(Refusal.UNSUPPORTED, f"SEV-SNP on {name} is not supported")
