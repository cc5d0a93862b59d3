"""Evidence appraised for a ledger: verified, held against what was seen before, judged, and signed.

Invariants:
- A piece of evidence gets one answer, whatever is wrong with it; the answer is signed, a rejection too.
- Collateral is never older than any that was used before here. Its numbers are durable before the answer leaves, so a
  crash in between costs nothing.
- What the answer rests on comes with it: evidence, endorsements and instant, kept together, give the same claims again.
"""

from dataclasses import dataclass

from domain.attestation.appraiser import AppraisalPolicy, AttestationResult, ReferenceValues, appraise, rejected
from domain.attestation.claims import VerifiedClaims
from domain.attestation.refusal import EvidenceRefusedError
from infrastructure.attestation.collateral_cache import CollateralSource
from infrastructure.attestation.ear import EarSigner
from infrastructure.attestation.endorsements import Endorsements
from infrastructure.attestation.highest import HighestNumbers
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.roots import Roots
from infrastructure.attestation.verify import verify


@dataclass(frozen=True, slots=True)
class Appraised:
    """An answer: the result, its EAR (compact JWS), and the claims where the evidence verified."""

    result: AttestationResult
    ear: str
    claims: VerifiedClaims | None


@dataclass(frozen=True, slots=True)
class EvidenceAppraiser:
    """Verifier and appraiser of one data directory.

    Args:
        roots: whom evidence may rest on.
        source: where endorsements come from when none came along.
        highest: the numbers that were seen.
        signer: signs results.
    """

    roots: Roots
    source: CollateralSource
    highest: HighestNumbers
    signer: EarSigner

    def appraise(
        self,
        evidence: bytes,
        endorsements: Endorsements | None,
        at_s: int,
        *,
        report_data: bytes,
        reference: ReferenceValues,
        policy: AppraisalPolicy,
        nonce: bytes | None = None,
    ) -> Appraised:
        """Answer for a piece of evidence.

        Args:
            evidence: raw or hex.
            endorsements: what came with it; None asks the source.
            at_s: the instant, seconds since 1970.
            report_data: what it must be bound to (64 bytes).
            reference: approved code and machines.
            policy: what is accepted.
            nonce: the challenge, named in the EAR.
        """
        claims = None
        try:
            known = recognise(evidence)
            given = self.source.find(known) if endorsements is None else endorsements
            verified = verify(known, given, at_s, self.roots)
            self.highest.admit(verified.collateral)
            claims = verified
            result = appraise(claims, reference, policy, report_data)
        except EvidenceRefusedError as error:
            result = rejected(error.refusal, str(error))
        ear = self.signer.sign(result, claims, issued_at_s=at_s, nonce=nonce)
        return Appraised(result, ear, claims)
