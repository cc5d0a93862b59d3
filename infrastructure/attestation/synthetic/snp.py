"""A synthetic AMD: ARK, ASK, VCEKs and VLEKs with AMD's extensions, and machines that sign SEV-SNP reports."""

import struct
from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA384

from infrastructure.attestation import vek_extensions as oids
from infrastructure.attestation.recognise import SNP_BYTES, SNP_SIGNED_BYTES
from infrastructure.attestation.synthetic import der
from infrastructure.attestation.synthetic.authority import Issuer, issue, revocation_list, root

ARK_BITS = 4096
TCB = bytes((3, 0, 0, 0, 0, 0, 8, 115))
"""Boot loader, TEE, four reserved, SNP firmware, microcode."""
POLICY = 0x30000
"""Symmetric multithreading allowed; bit 17 is always set."""
_LIFE_S = 25 * 365 * 86_400
_KEY_LIFE_S = 7 * 365 * 86_400
_HEAD = struct.Struct("<IIQ16s16sII8sQI4x64s48s32s48s48s32s32s8sBBB21x64s8sBBBxBBBx8s")
_CPUS = {"Milan": (0x19, 0x01, 0x01), "Genoa": (0x19, 0x11, 0x01), "Turin": (0x1A, 0x02, 0x01)}
_NAMES_CPU_FROM = 3


@dataclass(frozen=True, slots=True)
class SnpMachine:
    """A processor's signing key with its certificate; `chip_id` is zero where a VLEK hides it."""

    key: ec.EllipticCurvePrivateKey
    vek: Issuer
    kind: Literal["VCEK", "VLEK"]
    product: str
    chip_id: bytes
    tcb: bytes

    def report(
        self,
        report_data: bytes,
        *,
        measurement: bytes = bytes(48),
        policy: int = POLICY,
        version: int = 2,
        vmpl: int = 0,
        host_data: bytes = bytes(32),
        chip_id: bytes | None = None,
        tcb: bytes | None = None,
        key_info: int | None = None,
    ) -> bytes:
        """Return a signed report of 1,184 bytes. What is given replaces what the machine would say."""
        cpu = _CPUS[self.product] if version >= _NAMES_CPU_FROM else (0, 0, 0)
        own_tcb = self.tcb if tcb is None else tcb
        signed = _HEAD.pack(
            version,
            0,
            policy,
            bytes(16),
            bytes(16),
            vmpl,
            1,
            own_tcb,
            1,
            (4 if self.kind == "VLEK" else 0) if key_info is None else key_info,
            report_data.ljust(64, b"\0"),
            measurement,
            host_data,
            bytes(48),
            bytes(48),
            bytes(32),
            b"\xff" * 32,
            own_tcb,
            *cpu,
            self.chip_id if chip_id is None else chip_id,
            own_tcb,
            *(1, 55, 1),
            *(1, 55, 1),
            own_tcb,
        ).ljust(SNP_SIGNED_BYTES, b"\0")
        r, s = decode_dss_signature(self.key.sign(signed, ec.ECDSA(SHA384())))
        return (signed + r.to_bytes(72, "little") + s.to_bytes(72, "little")).ljust(SNP_BYTES, b"\0")


@dataclass(frozen=True, slots=True)
class SnpAuthority:
    """The synthetic vendor: its root (ARK), what signs VCEKs (ASK), and what signs VLEKs."""

    ark: Issuer
    ask: Issuer
    vlek_ask: Issuer
    product: str
    begin_s: int

    @classmethod
    def create(cls, begin_s: int, product: str = "Milan", *, bits: int = ARK_BITS) -> "SnpAuthority":
        """Return a vendor with fresh RSA keys, valid from `begin_s` for 25 years."""
        end_s = begin_s + _LIFE_S
        keys = [rsa.generate_private_key(65537, bits) for _ in range(3)]
        ark = root(f"ARK-Synthetic-{product}", keys[0], begin_s, end_s)
        ask = issue(f"SEV-Synthetic-{product}", keys[1], ark, begin_s, end_s, ca=True)
        vlek_ask = issue(f"SEV-VLEK-Synthetic-{product}", keys[2], ark, begin_s, end_s, ca=True)
        return cls(ark, ask, vlek_ask, product, begin_s)

    def machine(self, chip_id: bytes, tcb: bytes = TCB, key: ec.EllipticCurvePrivateKey | None = None) -> SnpMachine:
        """Return a machine with a VCEK for its chip (64 bytes) and TCB."""
        key = ec.generate_private_key(ec.SECP384R1()) if key is None else key
        own = [*self._extensions(tcb, f"{self.product}-B0"), (oids.HARDWARE_ID, chip_id)]
        vek = issue("SEV-VCEK", key, self.ask, self.begin_s, self.begin_s + _KEY_LIFE_S, extensions=own)
        return SnpMachine(key, vek, "VCEK", self.product, chip_id, tcb)

    def provider_machine(self, provider: str, tcb: bytes = TCB) -> SnpMachine:
        """Return a machine whose reports a cloud provider's VLEK signs; it hides its chip."""
        key = ec.generate_private_key(ec.SECP384R1())
        own = [*self._extensions(tcb, self.product), (oids.CSP_ID, der.ia5(provider))]
        vek = issue("SEV-VLEK", key, self.vlek_ask, self.begin_s, self.begin_s + _KEY_LIFE_S, extensions=own)
        return SnpMachine(key, vek, "VLEK", self.product, bytes(64), tcb)

    def endorsements(self, machine: SnpMachine) -> bytes:
        """Return a machine's chain as PEM, the root last, as AMD's service gives it."""
        return machine.vek.pem + (self.ask if machine.kind == "VCEK" else self.vlek_ask).pem + self.ark.pem

    def revocation_list(self, begin_s: int, end_s: int, *, number: int = 1, revoked: tuple[int, ...] = ()) -> bytes:
        """Return the root's list over serial numbers of ASKs."""
        return revocation_list(self.ark, begin_s, end_s, number=number, revoked=revoked)

    @staticmethod
    def _extensions(tcb: bytes, product: str) -> list[tuple[str, bytes]]:
        parts = [(oid, der.integer(part)) for oid, part in zip(oids.SPL_OIDS, tcb, strict=True)]
        return [(f"{oids.ARC}.1", der.integer(0)), (oids.PRODUCT_NAME, der.ia5(product)), *parts]
