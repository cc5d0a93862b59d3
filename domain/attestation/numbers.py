"""Numbers that a vendor only raises: tcbEvaluationDataNumber, and those of revocation lists.

Invariants:
- What was seen once is a floor for ever, for each source by itself.
"""

from collections.abc import Iterable, Mapping

from domain.attestation.claims import CollateralNumber
from domain.attestation.refusal import EvidenceRefusedError, Refusal


def admit(seen: Mapping[str, int], numbers: Iterable[CollateralNumber]) -> dict[str, int]:
    """Return the highest numbers seen after some more.

    Raises:
        EvidenceRefusedError: when a number is below what was seen of its source.
    """
    higher = dict(seen)
    for one in numbers:
        before = higher.get(one.source, one.number)
        if one.number < before:
            text = f"collateral number {one.number} of {one.source.partition('@')[0]}; {before} was seen already"
            raise EvidenceRefusedError(Refusal.ROLLED_BACK, text)
        higher[one.source] = one.number
    return higher
