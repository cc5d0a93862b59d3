"""Verifiable Credentials of this project: VC Data Model 2.0 secured by eddsa-jcs-2022, of closed shape.

Invariants:
- Only what `verify_proof` returned is read; the proof's key must belong to the credential's own issuer, and the issuer
  to the trusted ones.
- Valid from `validFrom` (included) until `validUntil` (excluded); both must be there.
- A `credentialStatus` that nobody can check denies: unreachable never means good.
- Every refusal has a reason of a closed list. `@context` and `type` are compared as names, never fetched.
- A parent (`parentCredential`) is looked at by the kinds that have them (infrastructure.credentials.delegation); every
  other kind refuses it.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError
from infrastructure.credentials.data_integrity import Document, add_proof, canonical_bytes
from infrastructure.credentials.envelope import authentic
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.resolving import Resolver
from infrastructure.credentials.status_checking import StatusChecker
from infrastructure.credentials.status_entry import INVALIDATING, StatusEntry, read_entries
from infrastructure.credentials.timestamp import parse_timestamp, print_timestamp
from infrastructure.keys import did_key, ed25519

__all__ = ["CONTEXT", "PARENT", "CredentialRefusedError", "Grant", "Refusal", "StatusChecker", "issue", "verify"]

CONTEXT: Final = ["https://www.w3.org/ns/credentials/v2", "https://enclave-ledger.example/ns/v1"]
"""The contexts of our credentials; the second is a name for our terms, there is nothing to fetch."""

PARENT: Final = "parentCredential"
"""The member that holds the whole credential under which this one was issued."""

_REQUIRED = frozenset({"@context", "type", "issuer", "validFrom", "validUntil", "credentialSubject"})
_OPTIONAL = frozenset({"id", "credentialStatus"})
ONLY_DID_KEY: Final = Resolver()
"""Gives the keys of did:key, and of nothing else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A verified credential: who issued it, when it holds (ms), and SHA-256 of its canonical bytes with proof (hex)."""

    credential_id: str | None
    issuer: str
    valid_from_ms: int
    valid_until_ms: int
    digest: str
    subject: Mapping[str, Any]
    statuses: tuple[StatusEntry, ...] = ()


def issue(
    kind: str,
    subject: Mapping[str, Any],
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    created_ms: int,
    credential_id: str | None = None,
    status: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    verification_method: str | None = None,
    parent: Mapping[str, Any] | None = None,
) -> Document:
    """Return a signed credential of a type.

    Args:
        kind: the type beside VerifiableCredential.
        subject: the credentialSubject.
        issuer_key: signs.
        valid_from_ms: first instant of its validity.
        valid_until_ms: first instant after it.
        created_ms: when it is signed.
        credential_id: a URL of its own.
        status: one entry of a status list, or some.
        verification_method: names the key in its issuer's DID document; by default the issuer is the key's did:key.
        parent: the credential under which this one is issued.

    Raises:
        MalformedError: when it would never be valid, or its subject has no canonical form.
    """
    if valid_until_ms <= valid_from_ms:
        raise MalformedError("a credential must end after it begins")
    method = verification_method or did_key.verification_method(ed25519.public_bytes(issuer_key))
    document: Document = {
        "@context": CONTEXT,
        "type": ["VerifiableCredential", kind],
        "issuer": method.partition("#")[0],
        "validFrom": print_timestamp(valid_from_ms),
        "validUntil": print_timestamp(valid_until_ms),
        "credentialSubject": dict(subject),
    }
    if credential_id is not None:
        document["id"] = credential_id
    if status is not None:
        document["credentialStatus"] = dict(status) if isinstance(status, Mapping) else [dict(one) for one in status]
    if parent is not None:
        document[PARENT] = dict(parent)
    return add_proof(document, issuer_key, created_ms=created_ms, verification_method=method)


def verify(
    kind: str,
    document: Mapping[str, Any],
    *,
    trusted_issuers: Collection[str],
    at_ms: int,
    status: StatusChecker | None = None,
    resolver: Resolver = ONLY_DID_KEY,
    parents: bool = False,
) -> Grant:
    """Verify a credential of a type at an instant.

    Args:
        kind: the type beside VerifiableCredential.
        document: the signed credential.
        trusted_issuers: DIDs whose credentials count.
        at_ms: the instant.
        status: checks a `credentialStatus`; without it such a credential is refused.
        resolver: gives the keys of issuers; only did:key without it.
        parents: whether the kind may have a parent, which the caller looks at.

    Raises:
        CredentialRefusedError: with its reason.
    """
    issuer = document.get("issuer")
    if not isinstance(issuer, str):
        raise CredentialRefusedError(Refusal.MALFORMED, "its issuer is not a DID")
    if issuer not in trusted_issuers:
        raise CredentialRefusedError(Refusal.ISSUER_NOT_TRUSTED, "its issuer is not one whose credentials count")
    proof, verified = authentic(document, resolve=resolver.at(at_ms), controller=issuer)
    if proof.created_ms is not None and proof.created_ms > at_ms:
        raise CredentialRefusedError(Refusal.NOT_YET_VALID, "its proof was created later than now")
    if proof.expires_ms is not None and proof.expires_ms <= at_ms:
        raise CredentialRefusedError(Refusal.EXPIRED, "its proof has expired")
    try:
        grant = _grant(kind, verified, document, parents=parents)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    if at_ms < grant.valid_from_ms:
        raise CredentialRefusedError(Refusal.NOT_YET_VALID, f"valid from {verified['validFrom']}")
    if at_ms >= grant.valid_until_ms:
        raise CredentialRefusedError(Refusal.EXPIRED, f"valid until {verified['validUntil']}")
    if grant.statuses:
        if status is None:
            raise CredentialRefusedError(Refusal.STATUS_UNREACHABLE, "it has a status, and nothing here can check it")
        status.check(grant.statuses, issuer=issuer, at_ms=at_ms)
    return grant


def _grant(kind: str, verified: Document, document: Mapping[str, Any], *, parents: bool) -> Grant:
    if not _REQUIRED <= verified.keys() <= _REQUIRED | _OPTIONAL | ({PARENT} if parents else set()):
        raise MalformedError("a credential lacks a member, or has one that is not known here")
    if verified["@context"] != CONTEXT or verified["type"] != ["VerifiableCredential", kind]:
        raise MalformedError(f"not a {kind} under this ledger's contexts")
    credential_id, subject = verified.get("id"), verified["credentialSubject"]
    if not isinstance(subject, dict) or ("id" in verified and not isinstance(credential_id, str)):
        raise MalformedError("a credential's subject is not one object, or its id no string")
    statuses = read_entries(verified["credentialStatus"]) if "credentialStatus" in verified else ()
    if any(one.purpose not in INVALIDATING for one in statuses):
        raise MalformedError("a status is neither of revocation nor of suspension")
    return Grant(
        credential_id=credential_id,
        issuer=verified["issuer"],
        valid_from_ms=parse_timestamp(verified["validFrom"]),
        valid_until_ms=parse_timestamp(verified["validUntil"]),
        digest=hashlib.sha256(canonical_bytes(document)).hexdigest(),
        subject=subject,
        statuses=statuses,
    )
