"""A synthetic Intel: root, PCK CA and signer of TCB info, their lists, collateral as JSON, and machines that quote.

The formats are Intel's: PCK profile with extension 1.2.840.113741.1.13.1, TCB info version 3, QE identity version 2
(PCS API v4), quotes of version 3 for SGX and 4 for TDX (DCAP quoting library API, appendix A).
"""

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.time import DAY_MS, SECOND_MS, rfc3339
from infrastructure.attestation.synthetic import der
from infrastructure.attestation.synthetic.authority import Issuer, issue, p256, revocation_list, root

Tee = Literal["SGX", "TDX"]

FMSPC = bytes.fromhex("ffeeddccbb00")
CPU_SVN = bytes((11, 11, 2, 2, 4, 1, 0, 5)).ljust(16, b"\0")
TEE_TCB_SVN = bytes((5, 0, 2)).ljust(16, b"\0")
PCE_SVN = 13
COLLATERAL_LIFE_S = 30 * DAY_MS // SECOND_MS

_SGX_EXTENSION = "1.2.840.113741.1.13.1"
_LIFE_S = 25 * 365 * 86_400
_QE_VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_QE_SIGNER = hashlib.sha256(b"synthetic quoting enclave").digest()
_QE_ATTRIBUTES = bytes.fromhex("1500000000000000e700000000000000")
_QE_SVN = 8
_HEADER = struct.Struct("<HHIHH16s20s")
_REPORT = struct.Struct("<16sI28x16s32s32x32s96xHH60x64s")
_TD_REPORT = struct.Struct("<16s48s48s8s8s8s48s48s48s48s48s48s48s48s64s")
_ECDSA_P256, _PEM_CHAIN, _QE_REPORT_DATA = 2, 5, 6
_TEE_TDX = 0x81
_SEPT_VE_DISABLE = bytes.fromhex("0000001000000000")
_DEBUG = 0x02


@dataclass(frozen=True, slots=True)
class IntelMachine:
    """A platform: its PCK with certificate, the chain (PEM) to the root, and its quoting enclave's key."""

    pck: Issuer
    chain: bytes
    attestation_key: ec.EllipticCurvePrivateKey

    def sgx_quote(
        self,
        report_data: bytes,
        *,
        mr_enclave: bytes = bytes(32),
        mr_signer: bytes = bytes(32),
        debug: bool = False,
    ) -> bytes:
        """Return a version 3 quote."""
        attributes = bytes((0x05 | (_DEBUG if debug else 0),)).ljust(8, b"\0") + bytes.fromhex("e700000000000000")
        header = _HEADER.pack(3, _ECDSA_P256, 0, _QE_SVN, PCE_SVN, _QE_VENDOR, bytes(20))
        body = _REPORT.pack(CPU_SVN, 0, attributes, mr_enclave, mr_signer, 0, 0, report_data.ljust(64, b"\0"))
        signature, key = self._sign(header + body), self._public()
        certified = self._certified()
        auth = signature + key + certified
        return header + body + len(auth).to_bytes(4, "little") + auth

    def tdx_quote(
        self, report_data: bytes, *, mr_td: bytes = bytes(48), rt_mr: Sequence[bytes] = (), debug: bool = False
    ) -> bytes:
        """Return a version 4 quote; `rt_mr` are up to four registers of 48 bytes."""
        header = _HEADER.pack(4, _ECDSA_P256, _TEE_TDX, 0, 0, _QE_VENDOR, bytes(20))
        attributes = bytes((debug,)) + _SEPT_VE_DISABLE[1:]
        registers = [*rt_mr, *(bytes(48) for _ in range(4))][:4]
        xfam = bytes.fromhex("e702060000000000")
        none = bytes(48)
        body = _TD_REPORT.pack(
            TEE_TCB_SVN, none, none, bytes(8), attributes, xfam, mr_td, none, none, none, *registers,
            report_data.ljust(64, b"\0"),
        )  # fmt: skip
        certified = self._certified()
        wrapped = struct.pack("<HI", _QE_REPORT_DATA, len(certified)) + certified
        auth = self._sign(header + body) + self._public() + wrapped
        return header + body + len(auth).to_bytes(4, "little") + auth

    def _public(self) -> bytes:
        return self.attestation_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]

    def _sign(self, data: bytes) -> bytes:
        return raw_signature(self.attestation_key, data)

    def _certified(self) -> bytes:
        """Return the quoting enclave's report over its key, signed by the PCK, and the platform's chain."""
        auth = bytes(range(32))
        bound = hashlib.sha256(self._public() + auth).digest().ljust(64, b"\0")
        report = _REPORT.pack(CPU_SVN, 0, _QE_ATTRIBUTES, bytes(32), _QE_SIGNER, 1, _QE_SVN, bound)
        if not isinstance(self.pck.key, ec.EllipticCurvePrivateKey):
            raise TypeError("a PCK is a key of P-256")
        signed = report + raw_signature(self.pck.key, report)
        chain = struct.pack("<HI", _PEM_CHAIN, len(self.chain)) + self.chain
        return signed + len(auth).to_bytes(2, "little") + auth + chain


@dataclass(frozen=True, slots=True)
class IntelAuthority:
    """The synthetic vendor: root, the CA of platforms, and the signer of TCB info and QE identity."""

    root: Issuer
    pck_ca: Issuer
    signer: Issuer
    begin_s: int

    @classmethod
    def create(cls, begin_s: int) -> "IntelAuthority":
        """Return a vendor with fresh keys, valid from `begin_s` for 25 years."""
        end_s = begin_s + _LIFE_S
        top = root("Synthetic SGX Root CA", p256(), begin_s, end_s)
        pck_ca = issue("Synthetic SGX PCK Platform CA", p256(), top, begin_s, end_s, ca=True)
        signer = issue("Synthetic SGX TCB Signing", p256(), top, begin_s, end_s)
        return cls(top, pck_ca, signer, begin_s)

    def machine(
        self,
        ppid: bytes,
        *,
        instance: bytes | None = None,
        fmspc: bytes = FMSPC,
        cpu_svn: bytes = CPU_SVN,
        pck: ec.EllipticCurvePrivateKey | None = None,
        attestation_key: ec.EllipticCurvePrivateKey | None = None,
    ) -> IntelMachine:
        """Return a platform with its PPID and, where it has one, its instance id (16 bytes each)."""
        value = sgx_extension(ppid, fmspc, cpu_svn, instance)
        own = issue(
            "Synthetic SGX PCK Certificate", pck or p256(), self.pck_ca, self.begin_s, self.begin_s + _LIFE_S // 3,
            extensions=((_SGX_EXTENSION, value),),
        )  # fmt: skip
        return IntelMachine(own, own.pem + self.pck_ca.pem + self.root.pem, attestation_key or p256())

    def collateral(
        self,
        tee: Tee,
        issued_s: int,
        *,
        status: str = "UpToDate",
        advisories: tuple[str, ...] = (),
        evaluation: int = 17,
        fmspc: bytes = FMSPC,
        revoked: tuple[int, ...] = (),
        revoked_by_root: tuple[int, ...] = (),
        crl_number: int = 1,
        life_s: int = COLLATERAL_LIFE_S,
    ) -> str:
        """Return collateral as JSON, issued at an instant; `status` is that of these machines' TCB."""
        end_s = issued_s + life_s
        dates = {"issueDate": rfc3339(issued_s * SECOND_MS), "nextUpdate": rfc3339(end_s * SECOND_MS)}
        info = json.dumps(tcb_info(tee, dates, evaluation, fmspc, status, advisories), separators=(",", ":"))
        identity = json.dumps(qe_identity(tee, dates, evaluation), separators=(",", ":"))
        signer_chain = (self.signer.pem + self.root.pem).decode()
        by_root = revocation_list(self.root, issued_s, end_s, number=crl_number, revoked=revoked_by_root)
        by_ca = revocation_list(self.pck_ca, issued_s, end_s, number=crl_number, revoked=revoked)
        return json.dumps(
            {
                "pck_crl_issuer_chain": (self.pck_ca.pem + self.root.pem).decode(),
                "root_ca_crl": by_root.hex(),
                "pck_crl": by_ca.hex(),
                "tcb_info_issuer_chain": signer_chain,
                "tcb_info": info,
                "tcb_info_signature": self._signed(info).hex(),
                "qe_identity_issuer_chain": signer_chain,
                "qe_identity": identity,
                "qe_identity_signature": self._signed(identity).hex(),
            }
        )

    def _signed(self, text: str) -> bytes:
        if not isinstance(self.signer.key, ec.EllipticCurvePrivateKey):
            raise TypeError("a signer of TCB info has a key of P-256")
        return raw_signature(self.signer.key, text.encode())


def raw_signature(key: ec.EllipticCurvePrivateKey, data: bytes) -> bytes:
    """Return r || s, 32 bytes each, big-endian."""
    r, s = decode_dss_signature(key.sign(data, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def sgx_extension(ppid: bytes, fmspc: bytes, cpu_svn: bytes, instance: bytes | None) -> bytes:
    """Return the DER of a PCK certificate's SGX extension."""

    def member(number: str, value: bytes) -> bytes:
        return der.sequence(der.oid(f"{_SGX_EXTENSION}.{number}"), value)

    components = [member(f"2.{place + 1}", der.integer(svn)) for place, svn in enumerate(cpu_svn)]
    tcb = der.sequence(*components, member("2.17", der.integer(PCE_SVN)), member("2.18", der.octets(cpu_svn)))
    members = [
        member("1", der.octets(ppid)),
        member("2", tcb),
        member("3", der.octets(bytes(2))),
        member("4", der.octets(fmspc)),
        member("5", der.enumerated(0 if instance is None else 1)),
    ]
    if instance is not None:
        configuration = der.sequence(*(member(f"7.{place}", der.boolean(value=True)) for place in (1, 2, 3)))
        members += [member("6", der.octets(instance)), member("7", configuration)]
    return der.sequence(*members)


def tcb_info(
    tee: Tee, dates: dict[str, str], evaluation: int, fmspc: bytes, status: str, advisories: tuple[str, ...]
) -> dict[str, Any]:
    """Return TCB info with one level, that of these machines."""
    tcb: dict[str, Any] = {"sgxtcbcomponents": [{"svn": svn} for svn in CPU_SVN], "pcesvn": PCE_SVN}
    info: dict[str, Any] = {
        "id": tee,
        "version": 3,
        **dates,
        "fmspc": fmspc.hex().upper(),
        "pceId": "0000",
        "tcbType": 0,
    }
    info["tcbEvaluationDataNumber"] = evaluation
    if tee == "TDX":
        info["tdxModule"] = {"mrsigner": "00" * 48, "attributes": "00" * 8, "attributesMask": "FF" * 8}
        tcb["tdxtcbcomponents"] = [{"svn": svn} for svn in TEE_TCB_SVN]
    level = {"tcb": tcb, "tcbDate": dates["issueDate"], "tcbStatus": status, "advisoryIDs": list(advisories)}
    return {**info, "tcbLevels": [level]}


def qe_identity(tee: Tee, dates: dict[str, str], evaluation: int) -> dict[str, Any]:
    """Return the identity of the synthetic quoting enclave, the same for both kinds."""
    level = {"tcb": {"isvsvn": _QE_SVN}, "tcbDate": dates["issueDate"], "tcbStatus": "UpToDate"}
    return {
        "id": "QE" if tee == "SGX" else "TD_QE",
        "version": 2,
        **dates,
        "tcbEvaluationDataNumber": evaluation,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": _QE_ATTRIBUTES.hex().upper(),
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": _QE_SIGNER.hex().upper(),
        "isvprodid": 1,
        "tcbLevels": [level],
    }
