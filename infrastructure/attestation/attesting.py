"""Who makes a node's evidence: the port beside the keep, and the synthetic machines behind it.

Invariants:
- The keep makes keys and report_data; what attests sees nothing else of the enclave.
- A node without a platform has software evidence: its own signature over the report.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol, cast

from domain.attestation.claims import EvidenceClass, EvidenceFormat, VerifiedClaims
from domain.attestation.platform import reference_measurement
from domain.errors import MalformedError
from domain.time import DAY_MS, SECOND_MS
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.synthetic.platform import DIRECTORY, Kind, SyntheticPlatform
from infrastructure.attestation.synthetic.snp import ARK_BITS
from infrastructure.attestation.verify import verify

_FORMATS = {"sgx": EvidenceFormat.SGX_V3, "tdx": EvidenceFormat.TDX_V4, "snp": EvidenceFormat.SNP}
_REPORT_DATA_BYTES = 64
_ISSUED_EVERY_S = DAY_MS // SECOND_MS


@dataclass(frozen=True, slots=True)
class Attested:
    """Evidence that a platform made, what comes with it (contents of files), and the class that it claims."""

    evidence: bytes
    endorsements: tuple[bytes, ...]
    evidence_class: EvidenceClass

    def members(self) -> dict[str, Any]:
        """Return what the node's report says of it, in place of `"evidence_class": "software"`."""
        return {
            "evidence_class": self.evidence_class.value,
            "evidence_format": recognise(self.evidence).format.value,
            "platform_evidence": sha256(self.evidence).hexdigest(),
            "endorsements": [sha256(one).hexdigest() for one in self.endorsements],
        }


class Attester(Protocol):
    """Makes evidence over 64 bytes."""

    def attest(self, report_data: bytes, runtime: str) -> Attested:
        """Return evidence.

        Args:
            report_data: what it is bound to, 64 bytes.
            runtime: measurement of the runtime that asks, 64 hex digits; hardware measures for itself.

        Raises:
            LedgerError: when the platform gives none.
        """
        ...


class SyntheticAttester:
    """A synthetic machine in a hardware format.

    Args:
        platform: its vendors and machines.
        kind: which format.
        name: of the machine.
        now_ms: tells the time; the vendors' lists are made once a day.
    """

    def __init__(self, platform: SyntheticPlatform, kind: Kind, name: str, now_ms: Callable[[], int]) -> None:
        self.kind: Kind = kind
        self._platform, self._name, self._now_ms = platform, name, now_ms
        self._issued: tuple[int, tuple[bytes, ...]] = (-1, ())

    def attest(self, report_data: bytes, runtime: str) -> Attested:
        """Return evidence of this machine."""
        measurement = bytes.fromhex(reference_measurement(runtime, _FORMATS[self.kind]))
        evidence = self._platform.quote(self.kind, self._name, report_data, measurement)
        return Attested(evidence, self._endorsements(), EvidenceClass.SYNTHETIC)

    def describe(self) -> VerifiedClaims:
        """Return what a verifier finds in this machine's evidence: platform id, class, root."""
        made = self.attest(bytes(_REPORT_DATA_BYTES), "0" * 64)
        at_s = self._now_ms() // SECOND_MS
        return verify(recognise(made.evidence), sort_endorsements(made.endorsements), at_s, self._platform.roots)

    @property
    def root_pem(self) -> bytes:
        """The root certificates of its vendors, as who trusts them names them."""
        return self._platform.root_pem

    @property
    def vendor_roots(self) -> tuple[str, ...]:
        """What both vendors' roots are known by (SHA-256 of the keys' SPKI, hex)."""
        roots = self._platform.roots
        return tuple(root.spki_sha256 for root in (*roots.amd, roots.intel) if root is not None)

    def _endorsements(self) -> tuple[bytes, ...]:
        now_s = self._now_ms() // SECOND_MS
        issued_s = now_s - now_s % _ISSUED_EVERY_S
        if self._issued[0] != issued_s:
            made = self._platform.endorsements(self.kind, self._name, issued_s)
            self._issued = (issued_s, tuple(made))
        return self._issued[1]


def own_machine(
    data_dir: Path, kind: str, name: str, now_ms: Callable[[], int], *, bits: int = ARK_BITS
) -> SyntheticAttester:
    """Return a synthetic machine of a data directory, whose vendors are made at the first one.

    Args:
        data_dir: below which vendors and machines are kept.
        kind: `snp`, `sgx` or `tdx`.
        name: of the machine.
        now_ms: tells the time.
        bits: of new RSA keys; AMD's have 4,096.

    Raises:
        MalformedError: when there is no such kind.
    """
    if kind not in _FORMATS:
        raise MalformedError(f"a synthetic machine is one of {', '.join(sorted(_FORMATS))}, not {kind[:16]!a}")
    platform = SyntheticPlatform(data_dir / DIRECTORY, now_ms() // SECOND_MS - _ISSUED_EVERY_S, bits=bits)
    return SyntheticAttester(platform, cast("Kind", kind), name, now_ms)
