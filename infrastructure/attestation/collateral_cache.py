"""Where endorsements come from when none were given: a port, and the files of a data directory behind it.

Invariants:
- A port never fetches for a verification: what is not there is not there. Who fetches from a vendor's service puts the
  answer in with `keep`, after it verified.
- What is kept for a platform is never replaced by older collateral.
- Files are content, not trust: whatever is found is sorted and verified again each time.
"""

import hashlib
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.serialization import Encoding

from domain.attestation.claims import EvidenceFormat, VerifiedClaims
from domain.attestation.refusal import EvidenceRefusedError
from infrastructure.attestation import amd
from infrastructure.attestation.endorsements import Endorsements, read_endorsements
from infrastructure.attestation.highest import HighestNumbers
from infrastructure.attestation.recognise import Evidence
from infrastructure.attestation.snp_report import parse_report
from infrastructure.publish.files import replace_file

DIRECTORY = "collateral"
"""Below a data directory."""


class CollateralSource(Protocol):
    """Finds endorsements for evidence."""

    def find(self, evidence: Evidence) -> Endorsements:
        """Return what there is, perhaps nothing."""
        ...


class FileCache:
    """Endorsements in files, a directory for each kind of platform (Intel) or key (AMD).

    Args:
        root: its directory; it is made when something is kept.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._highest = HighestNumbers(root)

    def find(self, evidence: Evidence) -> Endorsements:
        """Return what was kept for such evidence."""
        try:
            path = self._root / _place(evidence)
        except EvidenceRefusedError:
            return Endorsements()
        return read_endorsements(path) if path.is_dir() else Endorsements()

    def keep(self, evidence: Evidence, endorsements: Endorsements, claims: VerifiedClaims) -> None:
        """Keep what evidence was verified with.

        Raises:
            EvidenceRefusedError: when it is older than what was seen already.
        """
        self._highest.admit(claims.collateral)
        path = self._root / _place(evidence)
        for name, content in _contents(evidence, endorsements).items():
            replace_file(path / name, content)


def _place(evidence: Evidence) -> str:
    if evidence.format is EvidenceFormat.SNP:
        report = parse_report(evidence.raw)
        key = hashlib.sha256(b"%b\0%b%b" % (report.signing_key.encode(), report.chip_id, report.reported_tcb))
        return f"amd-{key.hexdigest()[:32]}"
    from infrastructure.attestation import intel  # noqa: PLC0415 - its library is only loaded for quotes

    tee, fmspc = intel.kind_of_platform(evidence)
    return f"intel-{tee.lower()}-{fmspc or 'unknown'}"


def _contents(evidence: Evidence, endorsements: Endorsements) -> dict[str, bytes]:
    contents = {f"list-{hashlib.sha256(crl.der).hexdigest()[:16]}.crl": crl.der for crl in endorsements.crls}
    if evidence.format is EvidenceFormat.SNP:
        chain = amd.fitting(evidence, endorsements)
        contents["chain.pem"] = b"".join(one.public_bytes(Encoding.PEM) for one in chain)
        return contents
    from infrastructure.attestation import intel  # noqa: PLC0415 - as above

    contents["collateral.json"] = intel.fitting(evidence, endorsements).encode()
    return contents
