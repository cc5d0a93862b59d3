"""Evidence verified under several sets of roots: the one that it rests on decides."""

from collections.abc import Sequence

from domain.attestation.claims import VerifiedClaims
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.recognise import Evidence
from infrastructure.attestation.roots import Roots
from infrastructure.attestation.verify import verify


def verify_under(
    evidence: Evidence, endorsements: Sequence[bytes], at_s: int, roots: Sequence[Roots]
) -> VerifiedClaims:
    """Verify evidence under the first of some sets of roots that it rests on.

    Raises:
        EvidenceRefusedError: when it verifies under none.
        MalformedError: when the endorsements are too large.
    """
    found = sort_endorsements(endorsements)
    for number, one in enumerate(roots, 1):
        try:
            return verify(evidence, found, at_s, one)
        except EvidenceRefusedError as error:
            if error.refusal is not Refusal.UNTRUSTED_ROOT or number == len(roots):
                raise
    raise EvidenceRefusedError(Refusal.UNTRUSTED_ROOT, "no root is trusted here")
