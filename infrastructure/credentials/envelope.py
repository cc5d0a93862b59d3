"""The outside of any Verifiable Credential (VC Data Model 2.0, section 4): what every kind has, whoever issued it.

Invariants:
- Read is only what `verify_proof` returned. `@context` begins with the data model's own, `type` names
  VerifiableCredential; both are compared as names and never fetched.
- A DID as issuer must be the controller of the key that signed; what no DID is can't be tied to a key, and the caller
  is told so (`bound`).
- A status that is no BitstringStatusListEntry can't be checked, so it refuses.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import MalformedError, NotAuthorisedError, UnavailableError
from infrastructure.credentials.data_integrity import (
    MAX_DOCUMENT_BYTES,
    Document,
    Proof,
    Resolve,
    check_use,
    open_document,
    read_proof,
)
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.status_entry import StatusEntry, read_entries
from infrastructure.credentials.timestamp import parse_timestamp

BASE_CONTEXT: Final = "https://www.w3.org/ns/credentials/v2"
BASE_TYPE: Final = "VerifiableCredential"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,31}:[^\s\x00-\x1f\"<>\\^`{|}]{1,2047}")
_MAX_LISTED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What a credential says of itself, once its proof verified. Instants in ms; None where it says nothing.

    Attributes:
        bound: whether the issuer is the DID whose key signed.
        signer: the DID whose key signed.
        document: the verified document; nothing else of the credential may be used.
    """

    credential_id: str | None
    types: tuple[str, ...]
    issuer: str
    signer: str
    bound: bool
    valid_from_ms: int | None
    valid_until_ms: int | None
    subjects: tuple[Mapping[str, Any], ...]
    statuses: tuple[StatusEntry, ...]
    document: Document

    @property
    def accountable(self) -> str:
        """Return the DID that answers for it: the issuer, or whose key signed where the issuer is no DID."""
        return self.issuer if self.bound else self.signer

    def check_time(self, at_ms: int) -> None:
        """Check that it holds at an instant (ms): from its beginning (included) to its end (excluded).

        Raises:
            CredentialRefusedError: when it doesn't.
        """
        if self.valid_from_ms is not None and at_ms < self.valid_from_ms:
            raise CredentialRefusedError(Refusal.NOT_YET_VALID, "its validity begins later")
        if self.valid_until_ms is not None and at_ms >= self.valid_until_ms:
            raise CredentialRefusedError(Refusal.EXPIRED, "its validity has ended")


def open_envelope(document: Mapping[str, Any], *, resolve: Resolve, limit: int = MAX_DOCUMENT_BYTES) -> Envelope:
    """Verify the proof of a credential, whoever issued it, and read its outside. No instant is compared.

    Args:
        document: the signed credential.
        resolve: gives the key of the proof's verification method.
        limit: greatest length of its canonical bytes.

    Raises:
        CredentialRefusedError: with its reason. Times of the proof are part of the envelope's validity.
    """
    proof, verified = authentic(document, resolve=resolve, limit=limit, foreign=True)
    try:
        return _read(proof, verified)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None


def authentic(
    document: Mapping[str, Any],
    *,
    resolve: Resolve,
    controller: str | None = None,
    limit: int = MAX_DOCUMENT_BYTES,
    foreign: bool = False,
) -> tuple[Proof, Document]:
    """Return proof and verified document, with every failure as a refusal. The proof's times are not compared.

    Args:
        document: the signed document.
        resolve: gives the key of the proof's verification method.
        controller: the DID that must own the verification method, or None for any.
        limit: greatest length of its canonical bytes.
        foreign: let the proof have an `id` and a `nonce`.

    Raises:
        CredentialRefusedError: with its reason.
    """
    try:
        proof = read_proof(document, foreign=foreign)
        check_use(proof, controller=controller)
        verified = open_document(document, proof, resolve=resolve, limit=limit)
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.MALFORMED, str(error)) from None
    except NotAuthorisedError as error:
        raise CredentialRefusedError(Refusal.SIGNATURE, str(error)) from None
    except UnavailableError as error:
        raise CredentialRefusedError(Refusal.KEY_UNREACHABLE, str(error)) from None
    return proof, verified


def _read(proof: Proof, verified: Document) -> Envelope:
    contexts, types = verified.get("@context"), _texts(verified.get("type"), "type")
    if not isinstance(contexts, list) or contexts[:1] != [BASE_CONTEXT]:
        raise MalformedError("a credential's first @context is not that of the data model 2.0")
    if not all(isinstance(one, str | dict) for one in contexts) or len(contexts) > _MAX_LISTED:
        raise MalformedError("an @context is neither a URL nor an object, or there are too many")
    if BASE_TYPE not in types:
        raise MalformedError(f"not a {BASE_TYPE}")
    credential_id, issuer = verified.get("id"), _issuer(verified.get("issuer"))
    if "id" in verified and not is_url(credential_id):
        raise MalformedError("a credential's id is not a URL")
    bound = issuer.startswith("did:")
    if bound and issuer != proof.controller:
        raise CredentialRefusedError(Refusal.SIGNATURE, "the proof's key is not the issuer's")
    starts = [_instant(verified, "validFrom"), proof.created_ms]
    ends = [_instant(verified, "validUntil"), proof.expires_ms]
    if starts[0] is not None and ends[0] is not None and ends[0] <= starts[0]:
        raise MalformedError("a credential ends before it begins")
    return Envelope(
        credential_id=credential_id,
        types=types,
        issuer=issuer,
        signer=proof.controller,
        bound=bound,
        valid_from_ms=max((one for one in starts if one is not None), default=None),
        valid_until_ms=min((one for one in ends if one is not None), default=None),
        subjects=_subjects(verified.get("credentialSubject")),
        statuses=read_entries(verified["credentialStatus"]) if "credentialStatus" in verified else (),
        document=verified,
    )


def is_url(value: object) -> bool:
    """Tell whether a value is an absolute URL of sensible length (WHATWG's check of hosts is not done)."""
    return isinstance(value, str) and _URL.fullmatch(value) is not None


def _issuer(issuer: object) -> str:
    name = issuer.get("id") if isinstance(issuer, dict) else issuer
    if not isinstance(name, str) or not is_url(name):
        raise MalformedError("a credential's issuer is not a URL, nor an object with one")
    return name


def _subjects(subject: Any) -> tuple[Mapping[str, Any], ...]:
    subjects: list[Any] = subject if isinstance(subject, list) else [subject]
    if not 0 < len(subjects) <= _MAX_LISTED or not all(isinstance(one, dict) and one for one in subjects):
        raise MalformedError("a credentialSubject is not an object, nor a list of some")
    if not all(is_url(one["id"]) for one in subjects if "id" in one):
        raise MalformedError("a subject's id is not a URL")
    return tuple(subjects)


def _texts(value: object, name: str) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    if not 0 < len(values) <= _MAX_LISTED or not all(isinstance(one, str) and one for one in values):
        raise MalformedError(f"a credential's {name} is not a string, nor a list of some")
    return tuple(values)


def _instant(verified: Document, name: str) -> int | None:
    return parse_timestamp(verified[name]) if name in verified else None
