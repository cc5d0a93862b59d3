"""Verifiable Credentials of this project: VC Data Model 2.0 secured by eddsa-jcs-2022, of closed shape.

Invariants:
- Only what `verify_proof` returned is read; the proof's key must belong to the credential's own issuer, and the issuer
  to the trusted ones.
- Valid from `validFrom` (included) until `validUntil` (excluded); both must be there.
- A `credentialStatus` that nobody can check denies: unreachable never means good.
- Every refusal has a reason of a closed list. `@context` and `type` are compared as names, never fetched.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError, NotAuthorisedError, UnavailableError
from infrastructure.credentials.data_integrity import Document, add_proof, canonical_bytes, read_proof, verify_proof
from infrastructure.credentials.timestamp import parse_timestamp, print_timestamp
from infrastructure.keys import did_key, ed25519

CONTEXT = ["https://www.w3.org/ns/credentials/v2", "https://enclave-ledger.example/ns/v1"]
"""The contexts of our credentials; the second is a name for our terms, there is nothing to fetch."""

_REQUIRED = frozenset({"@context", "type", "issuer", "validFrom", "validUntil", "credentialSubject"})
_OPTIONAL = frozenset({"id", "credentialStatus"})
_STATUS_MEMBERS = frozenset({"type", "statusPurpose", "statusListIndex", "statusListCredential"})

StatusChecker = Callable[[Mapping[str, Any], int], bool]
"""Tells whether a BitstringStatusListEntry is good at an instant (ms). Raises UnavailableError when it can't tell."""


class Refusal(StrEnum):
    """Why a credential does not permit what was asked."""

    MALFORMED = "malformed"
    ISSUER_NOT_TRUSTED = "issuer_not_trusted"
    SIGNATURE = "signature"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    STATUS_UNREACHABLE = "status_unreachable"
    REVOKED = "revoked"
    SUBJECT = "subject"
    SCOPE = "scope"


class CredentialRefusedError(NotAuthorisedError):
    """A credential does not permit what was asked, for one reason of the closed list."""

    def __init__(self, reason: Refusal, text: str) -> None:
        super().__init__(f"{reason}: {text}")
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A verified credential: who issued it, when it holds (ms), and SHA-256 of its canonical bytes with proof (hex)."""

    credential_id: str | None
    issuer: str
    valid_from_ms: int
    valid_until_ms: int
    digest: str
    subject: Mapping[str, Any]


def issue(
    kind: str,
    subject: Mapping[str, Any],
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | None = None,
) -> Document:
    """Return a signed credential of a type, issued by the key's did:key.

    Raises:
        MalformedError: when it would never be valid, or its subject has no canonical form.
    """
    if valid_until_ms <= valid_from_ms:
        raise MalformedError("a credential must end after it begins")
    document: Document = {
        "@context": CONTEXT,
        "type": ["VerifiableCredential", kind],
        "issuer": did_key.did_key(ed25519.public_bytes(issuer_key)),
        "validFrom": print_timestamp(valid_from_ms),
        "validUntil": print_timestamp(valid_until_ms),
        "credentialSubject": dict(subject),
    }
    if credential_id is not None:
        document["id"] = credential_id
    if status is not None:
        document["credentialStatus"] = dict(status)
    return add_proof(document, issuer_key, created_ms=created_ms)


def verify(
    kind: str,
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None = None,
) -> Grant:
    """Verify a credential of a type at an instant.

    Args:
        kind: the type beside VerifiableCredential.
        document: the signed credential.
        trusted_issuers: DIDs whose credentials count.
        at_ms: the instant.
        status: checks a `credentialStatus`; without it such a credential is refused.

    Raises:
        CredentialRefusedError: with its reason.
    """
    verified = _authentic(document, trusted_issuers, at_ms)
    try:
        grant = _grant(kind, verified, hashlib.sha256(canonical_bytes(document)).hexdigest())
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    if at_ms < grant.valid_from_ms:
        raise CredentialRefusedError(Refusal.NOT_YET_VALID, f"valid from {verified['validFrom']}")
    if at_ms >= grant.valid_until_ms:
        raise CredentialRefusedError(Refusal.EXPIRED, f"valid until {verified['validUntil']}")
    if "credentialStatus" in verified:
        _check_status(verified["credentialStatus"], at_ms, status)
    return grant


def _authentic(document: Mapping[str, Any], trusted_issuers: Collection[str], at_ms: int) -> Document:
    """Return the document as signed by its own, trusted issuer."""
    issuer = document.get("issuer")
    if not isinstance(issuer, str):
        raise CredentialRefusedError(Refusal.MALFORMED, "its issuer is not a DID")
    if issuer not in trusted_issuers:
        raise CredentialRefusedError(Refusal.ISSUER_NOT_TRUSTED, "its issuer is not one whose credentials count")
    try:
        proof = read_proof(document)
        verified = verify_proof(document, at_ms=None, controller=issuer)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    except NotAuthorisedError as error:
        raise CredentialRefusedError(Refusal.SIGNATURE, str(error)) from None
    if proof.created_ms is not None and proof.created_ms > at_ms:
        raise CredentialRefusedError(Refusal.NOT_YET_VALID, "its proof was created later than now")
    if proof.expires_ms is not None and proof.expires_ms <= at_ms:
        raise CredentialRefusedError(Refusal.EXPIRED, "its proof has expired")
    return verified


def _grant(kind: str, verified: Document, digest: str) -> Grant:
    if not _REQUIRED <= verified.keys() <= _REQUIRED | _OPTIONAL:
        raise MalformedError("a credential lacks a member, or has one that is not known here")
    if verified["@context"] != CONTEXT or verified["type"] != ["VerifiableCredential", kind]:
        raise MalformedError(f"not a {kind} under this ledger's contexts")
    credential_id, subject = verified.get("id"), verified["credentialSubject"]
    if not isinstance(subject, dict) or not isinstance(credential_id, str | None):
        raise MalformedError("a credential's subject is not one object, or its id no string")
    return Grant(
        credential_id=credential_id,
        issuer=verified["issuer"],
        valid_from_ms=parse_timestamp(verified["validFrom"]),
        valid_until_ms=parse_timestamp(verified["validUntil"]),
        digest=digest,
        subject=subject,
    )


def _check_status(entry: object, at_ms: int, status: StatusChecker | None) -> None:
    if not isinstance(entry, dict) or not entry.keys() >= _STATUS_MEMBERS:
        raise CredentialRefusedError(Refusal.MALFORMED, "its status is not one BitstringStatusListEntry")
    if entry["type"] != "BitstringStatusListEntry":
        raise CredentialRefusedError(Refusal.MALFORMED, "its status is not a BitstringStatusListEntry")
    if status is None:
        raise CredentialRefusedError(Refusal.STATUS_UNREACHABLE, "it has a status, and nothing here can check it")
    try:
        good = status(entry, at_ms)
    except UnavailableError:
        raise CredentialRefusedError(Refusal.STATUS_UNREACHABLE, "its status list cannot be read") from None
    if good is not True:
        raise CredentialRefusedError(Refusal.REVOKED, "its issuer withdrew it")
