"""A CAC as a SCITT transparent statement (RFC 9943): a COSE_Sign1 over the CAC's bytes, with a receipt of its entry.

Protected: `alg`, content type, `kid`, and the CWT claims `iss` (did:key of the tenant's attestation key) and `sub` (the
CAC's output address: log and CAC id). Payload: the CAC in canonical JSON, as its enclave signed it. Unprotected: the
receipts (394), one of them. What a stock verifier can check of it is said in `infrastructure.cacs.receipt`.

Invariants:
- Statement and receipt are of one log, one subject and one attestation key.
- The sealed entry that the receipt proves is opened with the key that came along, and holds this very CAC.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.cacs.claims import CacRefusedError, Refusal, read_claims
from domain.cacs.events import CacIssued
from domain.canonical import canonical, same_json
from domain.errors import MalformedError, VerificationError
from domain.identifiers import stream_of
from domain.message import event_from_json
from infrastructure.audit.opening import CONTENT_ERRORS, Opener
from infrastructure.cacs import cose
from infrastructure.cacs.presented import Presented, refusing
from infrastructure.cacs.receipt import Receipt, parse_receipt
from infrastructure.credentials.data_integrity import canonical_bytes, parse_document
from infrastructure.keys import did_key, ed25519
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.stream_keys import StreamKey
from infrastructure.keys.thumbprint import thumbprint

CONTENT_TYPE = "application/ledger-cac+json"

_PROTECTED = (cose.CONTENT_TYPE, cose.KID, cose.CWT_CLAIMS)
_CHECKED = (
    "the statement: signed by the did:key of the attestation key",
    "the receipt: an entry of the log that it names, which opens and holds this CAC",
)


def make_statement(cac: Mapping[str, Any], attestation_key: Ed25519PrivateKey, receipts: Sequence[bytes]) -> bytes:
    """Return the transparent statement of a CAC: signed by the tenant's attestation key, with its receipts."""
    public = ed25519.public_bytes(attestation_key)
    claims = {cose.ISS: did_key.did_key(public), cose.SUB: cac["output_address"]}
    protected: cose.Header = {
        cose.CONTENT_TYPE: CONTENT_TYPE,
        cose.KID: thumbprint(public).encode(),
        cose.CWT_CLAIMS: claims,
    }
    return cose.sign1(protected, {cose.RECEIPTS: list(receipts)}, canonical_bytes(cac), attestation_key)


def read_statement(data: bytes) -> Presented:
    """Verify a transparent statement and its receipt, and return the CAC in it.

    Raises:
        CacRefusedError: `malformed`; `statement` or `receipt` when that one does not verify or is not of this CAC.
    """
    with refusing(Refusal.MALFORMED):
        message = cose.parse_sign1(data, protected=_PROTECTED, unprotected=(cose.RECEIPTS,))
        document = _payload(message)
        claims = cose.claims_of(message.protected, cose.ISS, cose.SUB)
        receipt = parse_receipt(_one(message.unprotected[cose.RECEIPTS]))
    with refusing(Refusal.STATEMENT):
        public = _issuer(message, claims)
        message.verify(public)
        if claims[cose.SUB] != document.get("output_address"):
            raise VerificationError("its subject is not this CAC")
    with refusing(Refusal.RECEIPT):
        if (receipt.subject, receipt.origin) != (claims[cose.SUB], document.get("scope")):
            raise VerificationError("it is of another subject, or of another log")
        receipt.verify(public)
        if not same_json(opened(receipt).document, document):
            raise VerificationError("the entry in the log holds another CAC")
    return Presented("scitt", document, attestation_key=public, receipt=receipt, checked=_CHECKED)


def opened(receipt: Receipt) -> CacIssued:
    """Open the sealed entry of a receipt with the key that came with it.

    Raises:
        VerificationError: when it does not open, or holds no issued CAC of the stream that its id names.
    """
    parsed = parse_entry(receipt.entry)
    try:
        key = StreamKey(_stream(receipt.subject), parsed.generation, parsed.tag, receipt.stream_key)
        item = Opener({parsed.tag: key}, receipt.origin).open(receipt.entry)
        event = None if isinstance(item, int) or item.version else event_from_json(item.topic, item.event)
    except CONTENT_ERRORS as error:
        raise VerificationError(f"the entry does not open: {error}") from None
    if not isinstance(event, CacIssued) or stream_of(event.cac_id) != _stream(receipt.subject):
        raise VerificationError("the entry is not the one by which this CAC was issued")
    return event


def _stream(subject: str) -> UUID:
    return stream_of(subject.rpartition("/")[2])


def _payload(message: cose.Sign1) -> dict[str, Any]:
    if message.protected[cose.CONTENT_TYPE] != CONTENT_TYPE or message.payload is None:
        raise MalformedError(f"a statement is not over {CONTENT_TYPE}, or its payload is detached")
    document = parse_document(message.payload)
    read_claims(document)
    if canonical(document) != message.payload:
        raise MalformedError("a statement's payload is not in canonical form (RFC 8785)")
    return document


def _one(receipts: object) -> bytes:
    if not isinstance(receipts, list | tuple) or len(receipts) != 1 or not isinstance(receipts[0], bytes):
        raise MalformedError("a transparent statement of a CAC has exactly one receipt")
    return receipts[0]


def _issuer(message: cose.Sign1, claims: cose.Header) -> bytes:
    issuer = claims[cose.ISS]
    public = did_key.public_key(issuer if isinstance(issuer, str) else "")
    if message.protected[cose.KID] != thumbprint(public).encode():
        raise CacRefusedError(Refusal.STATEMENT, "its kid is not its issuer's")
    return public
