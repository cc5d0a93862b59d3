"""Why a credential is refused: one reason of a closed list, and a text for people."""

from enum import StrEnum

from domain.errors import NotAuthorisedError


class Refusal(StrEnum):
    """Why a credential does not permit what was asked."""

    MALFORMED = "malformed"
    ISSUER_NOT_TRUSTED = "issuer_not_trusted"
    KEY_UNREACHABLE = "key_unreachable"
    SIGNATURE = "signature"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    STATUS_UNREACHABLE = "status_unreachable"
    STATUS_UNSIGNED = "status_unsigned"
    STATUS_STALE = "status_stale"
    STATUS_MALFORMED = "status_malformed"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    DELEGATION = "delegation"
    SUBJECT = "subject"
    SCOPE = "scope"


class CredentialRefusedError(NotAuthorisedError):
    """A credential does not permit what was asked, for one reason of the closed list."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason
        self.text = text

    def of(self, whose: str) -> "CredentialRefusedError":
        """Return the same refusal, told of something that the credential rests on."""
        return CredentialRefusedError(self.reason, f"{whose}: {self.text}")
