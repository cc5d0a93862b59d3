"""BitstringStatusListCredential: made, signed, verified (Bitstring Status List 1.0, sections 2.2, 3.1 and 3.2).

Invariants:
- A list is a credential of its own: its proof, its issuer and its validity are checked before a bit of it is read.
  A list that has a status itself refuses: nothing would end the chain of questions.
- It speaks for the purposes that it names and no other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError
from infrastructure.credentials.bitstring import encode_bits, expand_bits, read_status
from infrastructure.credentials.data_integrity import Document, Resolve, add_proof, parse_document
from infrastructure.credentials.envelope import BASE_CONTEXT, BASE_TYPE, Envelope, open_envelope
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.status_entry import REVOCATION, StatusEntry
from infrastructure.credentials.timestamp import print_timestamp
from infrastructure.keys import did_key, ed25519

LIST_TYPE: Final = "BitstringStatusListCredential"
MAX_LIST_BYTES: Final = 4_194_304
"""Greatest length of a status list as JSON: 2^24 random bits take about 2.8 million characters."""

_SUBJECT_TYPE = "BitstringStatusList"
_MAX_PURPOSES = 8
_MAX_TTL_MS = 2**40


@dataclass(frozen=True, slots=True)
class StatusList:
    """A verified list: the DID that answers for it, its purposes, when it holds (ms; None: no word), its bits.

    `size` is that of its entries in bits, where it names one itself.
    """

    list_url: str | None
    issuer: str
    purposes: tuple[str, ...]
    valid_from_ms: int | None
    valid_until_ms: int | None
    bits: bytes
    size: int | None = None

    def check_time(self, at_ms: int, max_age_ms: int | None) -> None:
        """Check that the list speaks for an instant.

        Args:
            at_ms: the instant.
            max_age_ms: how old a list may be that names no end of its own; None: any age.

        Raises:
            CredentialRefusedError: `status_stale` when it does not.
        """
        if self.valid_from_ms is not None and at_ms < self.valid_from_ms:
            raise CredentialRefusedError(Refusal.STATUS_STALE, "its status list begins later")
        if self.valid_until_ms is not None:
            if at_ms >= self.valid_until_ms:
                raise CredentialRefusedError(Refusal.STATUS_STALE, "its status list has ended")
        elif max_age_ms is not None and (self.valid_from_ms is None or at_ms - self.valid_from_ms >= max_age_ms):
            raise CredentialRefusedError(Refusal.STATUS_STALE, "its status list names no end, and is too old")

    def status(self, entry: StatusEntry) -> int:
        """Return the value of an entry.

        Raises:
            CredentialRefusedError: `status_malformed` when the list is for other purposes, too short, or has no such
                entry.
        """
        if entry.purpose not in self.purposes:
            raise CredentialRefusedError(Refusal.STATUS_MALFORMED, "its status list is for another purpose")
        if self.size not in {None, entry.size}:
            raise CredentialRefusedError(Refusal.STATUS_MALFORMED, "its status list has entries of another size")
        try:
            return read_status(self.bits, entry.index, entry.size)
        except MalformedError as error:
            raise CredentialRefusedError(Refusal.STATUS_MALFORMED, str(error)) from None


def issue_list(
    list_url: str,
    purpose: str,
    bits: bytes,
    issuer_key: Ed25519PrivateKey,
    *,
    valid_from_ms: int,
    valid_until_ms: int,
    verification_method: str | None = None,
) -> Document:
    """Return a signed list. The issuer is the verification method's DID; by default the key's did:key."""
    method = verification_method or did_key.verification_method(ed25519.public_bytes(issuer_key))
    document: Document = {
        "@context": [BASE_CONTEXT],
        "id": list_url,
        "type": [BASE_TYPE, LIST_TYPE],
        "issuer": method.partition("#")[0],
        "validFrom": print_timestamp(valid_from_ms),
        "validUntil": print_timestamp(valid_until_ms),
        "credentialSubject": {
            "id": f"{list_url}#list",
            "type": _SUBJECT_TYPE,
            "statusPurpose": purpose,
            "encodedList": encode_bits(bits),
        },
    }
    return add_proof(document, issuer_key, created_ms=valid_from_ms, verification_method=method, limit=MAX_LIST_BYTES)


def read_list(data: bytes, *, resolve: Resolve) -> StatusList:
    """Verify a status list credential: everything but the instant and who may issue it.

    Raises:
        CredentialRefusedError: `status_unsigned`, `status_malformed`, or `status_unreachable` for its key.
    """
    try:
        document = parse_document(data, limit=MAX_LIST_BYTES)
        return list_of(open_envelope(document, resolve=resolve, limit=MAX_LIST_BYTES))
    except MalformedError as error:
        raise CredentialRefusedError(Refusal.STATUS_MALFORMED, f"its status list: {error}") from None
    except CredentialRefusedError as error:
        raise CredentialRefusedError(
            _REASONS.get(error.reason, error.reason), f"its status list: {error.text}"
        ) from None


_REASONS: Mapping[Refusal, Refusal] = {
    Refusal.MALFORMED: Refusal.STATUS_MALFORMED,
    Refusal.SIGNATURE: Refusal.STATUS_UNSIGNED,
    Refusal.KEY_UNREACHABLE: Refusal.STATUS_UNREACHABLE,
}


def list_of(envelope: Envelope) -> StatusList:
    """Return the list inside a verified envelope.

    Raises:
        MalformedError: when it holds none.
    """
    if LIST_TYPE not in envelope.types or len(envelope.subjects) != 1:
        raise MalformedError(f"not a {LIST_TYPE} of one subject")
    if envelope.statuses:
        raise MalformedError("a status list has a status of its own")
    subject = envelope.subjects[0]
    if subject.get("type") != _SUBJECT_TYPE:
        raise MalformedError(f"a status list's subject is not a {_SUBJECT_TYPE}")
    ttl = subject.get("ttl", 0)
    if type(ttl) is not int or not 0 <= ttl <= _MAX_TTL_MS:
        raise MalformedError("a status list's ttl is not a number of milliseconds")
    return StatusList(
        list_url=envelope.credential_id,
        issuer=envelope.accountable,
        purposes=_purposes(subject),
        valid_from_ms=envelope.valid_from_ms,
        valid_until_ms=envelope.valid_until_ms,
        bits=expand_bits(subject.get("encodedList")),
        size=_size(subject),
    )


def refusal_of(purpose: str) -> Refusal:
    """Return why a credential is refused whose entry of a purpose is set."""
    return Refusal.REVOKED if purpose == REVOCATION else Refusal.SUSPENDED


def _size(subject: Mapping[str, Any]) -> int | None:
    """Return the size of entries where the list names it; by the Recommendation the entry does."""
    size = subject.get("statusSize")
    if "statusSize" in subject and (type(size) is not int or size < 1):
        raise MalformedError("a status list's statusSize is not a whole number from 1")
    return size


def _purposes(subject: Mapping[str, Any]) -> tuple[str, ...]:
    named = subject.get("statusPurpose")
    purposes = named if isinstance(named, list) else [named]
    if not 0 < len(purposes) <= _MAX_PURPOSES or not all(isinstance(one, str) for one in purposes):
        raise MalformedError("a status list's statusPurpose is not a string, nor a list of some")
    return tuple(purposes)
