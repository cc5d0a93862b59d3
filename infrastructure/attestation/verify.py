"""The verifier of RFC 9334: evidence and endorsements in, typed claims out. Cryptography only, no judgement.

Invariants:
- A pure function of evidence, endorsements, instant and roots: kept together they can be verified again years later.
- Whatever goes wrong is an `EvidenceRefusedError` with its kind. Nothing is fetched.
"""

from domain.attestation.claims import EvidenceFormat, VerifiedClaims
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.amd import verify_snp
from infrastructure.attestation.endorsements import Endorsements
from infrastructure.attestation.recognise import Evidence, recognise
from infrastructure.attestation.roots import Roots, vendor_roots


def verify(
    evidence: bytes | Evidence, endorsements: Endorsements, at_s: int, roots: Roots | None = None
) -> VerifiedClaims:
    """Verify a piece of evidence.

    Args:
        evidence: raw or hex bytes, or what `recognise` made of them.
        endorsements: what came with it, sorted.
        at_s: the instant, in seconds since 1970.
        roots: whom it may rest on; the vendors' where none are given.

    Raises:
        EvidenceRefusedError: when it doesn't verify.
    """
    known = evidence if isinstance(evidence, Evidence) else recognise(evidence)
    trusted = roots or vendor_roots()
    try:
        if known.format is EvidenceFormat.SNP:
            return verify_snp(known, endorsements, at_s, trusted)
        from infrastructure.attestation.intel import verify_quote  # noqa: PLC0415 - its library is loaded for quotes only

        return verify_quote(known, endorsements, at_s, trusted)
    except (ValueError, TypeError, LookupError, OverflowError):
        raise EvidenceRefusedError(Refusal.MALFORMED, "evidence or endorsements are damaged") from None


__all__ = ["EvidenceRefusedError", "Refusal", "verify"]
