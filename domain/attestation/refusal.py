"""Why evidence is rejected: typed, so that nobody has to read texts.

Invariants:
- A rejection says that nothing was proved. What was proved and is bad is an appraisal (`domain.attestation.appraiser`).
"""

from enum import StrEnum

from domain.errors import VerificationError


class Refusal(StrEnum):
    """The kinds of rejection."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    UNKNOWN_FORMAT = "unknown_format"
    UNSUPPORTED = "unsupported"
    NO_ENDORSEMENTS = "no_endorsements"
    INCOMPLETE = "incomplete_endorsements"
    UNTRUSTED_ROOT = "untrusted_root"
    SIGNATURE = "signature"
    ENDORSEMENT_SIGNATURE = "endorsement_signature"
    MISMATCH = "endorsement_mismatch"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    REVOKED = "revoked"
    QUOTING_ENCLAVE = "quoting_enclave"
    ROLLED_BACK = "rolled_back"


class EvidenceRefusedError(VerificationError):
    """Evidence that does not verify, with its kind.

    Args:
        refusal: the kind.
        text: what disagreed.
    """

    def __init__(self, refusal: Refusal, text: str) -> None:
        super().__init__(f"{refusal.value}: {text}")
        self.refusal = refusal
