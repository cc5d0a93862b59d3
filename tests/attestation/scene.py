"""Platforms under a private root, and what their evidence is taken for."""

from dataclasses import dataclass, field
from functools import cached_property

from domain.attestation.appraiser import AttestationResult, appraise
from domain.attestation.claims import VerifiedClaims
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.roots import Roots, named_roots
from infrastructure.attestation.synthetic.intel import IntelAuthority, IntelMachine, Tee
from infrastructure.attestation.synthetic.snp import SnpAuthority, SnpMachine
from infrastructure.attestation.verify import verify

BEGIN_S = 1_700_000_000
ISSUED_S = 1_750_000_000
AT_S = ISSUED_S + 3600
CHIP = bytes(range(64))
REPORT_DATA = b"r" * 64
MEASUREMENT = b"m" * 48


@dataclass
class Snp:
    authority: SnpAuthority
    extra: list[bytes] = field(default_factory=list)

    @cached_property
    def machine(self) -> SnpMachine:
        return self.authority.machine(CHIP)

    @cached_property
    def roots(self) -> Roots:
        return named_roots(self.authority.ark.pem)

    @cached_property
    def good(self) -> bytes:
        return self.machine.report(REPORT_DATA, measurement=MEASUREMENT)

    def claims(self, evidence: bytes, *files: bytes, at_s: int = AT_S, roots: Roots | None = None) -> VerifiedClaims:
        given = files or (self.authority.endorsements(self.machine),)
        return verify(evidence, sort_endorsements(given), at_s, roots or self.roots)

    def appraised(self, evidence: bytes, *files: bytes, at_s: int = AT_S) -> AttestationResult:
        return appraise(self.claims(evidence, *files, at_s=at_s))

    def refusal(self, evidence: bytes, *files: bytes, at_s: int = AT_S, roots: Roots | None = None) -> Refusal | None:
        try:
            self.claims(evidence, *files, at_s=at_s, roots=roots)
        except EvidenceRefusedError as error:
            return error.refusal
        return None


@dataclass
class Intel:
    authority: IntelAuthority

    @cached_property
    def machine(self) -> IntelMachine:
        return self.authority.machine(b"p" * 16, instance=b"i" * 16)

    @cached_property
    def roots(self) -> Roots:
        return named_roots(self.authority.root.pem)

    @cached_property
    def sgx(self) -> bytes:
        return self.machine.sgx_quote(REPORT_DATA, mr_enclave=MEASUREMENT[:32])

    @cached_property
    def tdx(self) -> bytes:
        return self.machine.tdx_quote(REPORT_DATA, mr_td=MEASUREMENT)

    @cached_property
    def _collateral(self) -> dict[Tee, bytes]:
        return {"SGX": self.collateral("SGX"), "TDX": self.collateral("TDX")}

    def collateral(self, tee: Tee, issued_s: int = ISSUED_S, **how: object) -> bytes:
        return self.authority.collateral(tee, issued_s, **how).encode()  # type: ignore[arg-type]

    def claims(self, evidence: bytes, *files: bytes, at_s: int = AT_S, roots: Roots | None = None) -> VerifiedClaims:
        given = files or tuple(self._collateral.values())
        return verify(evidence, sort_endorsements(given), at_s, roots or self.roots)

    def appraised(self, evidence: bytes, *files: bytes, at_s: int = AT_S) -> AttestationResult:
        return appraise(self.claims(evidence, *files, at_s=at_s))

    def refusal(self, evidence: bytes, *files: bytes, at_s: int = AT_S, roots: Roots | None = None) -> Refusal | None:
        try:
            self.claims(evidence, *files, at_s=at_s, roots=roots)
        except EvidenceRefusedError as error:
            return error.refusal
        return None


def spoiled(data: bytes, at: int) -> bytes:
    """Return the data with one bit of one byte turned."""
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]
