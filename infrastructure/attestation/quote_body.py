"""Bodies of SGX and TDX quotes: the REPORT structures (Intel SDM 38.15; TDX module 1.5 ABI, TDREPORT; little-endian).

Invariants:
- A body is read at fixed places only; its length was checked when the format was recognised.
"""

import struct
from dataclasses import dataclass

from domain.attestation.claims import EvidenceFormat, SgxClaims, TdxClaims, Weakness
from infrastructure.attestation.recognise import TD15_BODY_BYTES, Evidence

_SGX = struct.Struct("<16sI28x16s32s32x32s96xHH60x64s")
_TDX = struct.Struct("<16s48s48s8s8s8s48s48s48s48s48s48s48s48s64s")
_SERVICE_TD = slice(TD15_BODY_BYTES - 48, TD15_BODY_BYTES)
_SGX_DEBUG = 0x02
_TD_DEBUG = 0x01


@dataclass(frozen=True, slots=True)
class Body:
    """What a quote's body says: its claims, measurement and report_data (hex), and whether it may be debugged."""

    environment: SgxClaims | TdxClaims
    measurement: str
    report_data: str
    weaknesses: tuple[Weakness, ...]


def read_body(evidence: Evidence) -> Body:
    """Return what the body of a quote says."""
    return _sgx(evidence.body) if evidence.format is EvidenceFormat.SGX_V3 else _tdx(evidence.body)


def _sgx(body: bytes) -> Body:
    _, misc_select, attributes, mr_enclave, mr_signer, product, svn, report_data = _SGX.unpack(body)
    claims = SgxClaims(
        mr_enclave=mr_enclave.hex(),
        mr_signer=mr_signer.hex(),
        isv_prod_id=product,
        isv_svn=svn,
        attributes=attributes.hex(),
        misc_select=misc_select,
    )
    debug = (Weakness.DEBUG,) if attributes[0] & _SGX_DEBUG else ()
    return Body(claims, claims.mr_enclave, report_data.hex(), debug)


def _tdx(body: bytes) -> Body:
    fields = _TDX.unpack_from(body)
    tcb_svn, mr_seam, signer_seam, _, attributes, xfam, mr_td, config, owner, owner_config, *registers, data = fields
    claims = TdxClaims(
        mr_td=mr_td.hex(),
        rt_mr=(registers[0].hex(), registers[1].hex(), registers[2].hex(), registers[3].hex()),
        mr_config_id=config.hex(),
        mr_owner=owner.hex(),
        mr_owner_config=owner_config.hex(),
        mr_seam=mr_seam.hex(),
        mr_signer_seam=signer_seam.hex(),
        td_attributes=attributes.hex(),
        xfam=xfam.hex(),
        tee_tcb_svn=tcb_svn.hex(),
        mr_service_td=body[_SERVICE_TD].hex() if len(body) == TD15_BODY_BYTES else None,
    )
    debug = (Weakness.DEBUG,) if attributes[0] & _TD_DEBUG else ()
    return Body(claims, claims.mr_td, data.hex(), debug)
