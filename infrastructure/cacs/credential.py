"""A CAC as a W3C Verifiable Credential (VC Data Model 2.0), secured by eddsa-jcs-2022.

The issuer is the did:key of the tenant's attestation key, which certified the enclave's key: any verifier that resolves
did:key checks it, and `@context` is inline, so that nothing has to be fetched. The CAC stands whole in
`credentialSubject.cac`, with its own proof, as a JSON literal.

Invariants:
- Of closed shape: another type, context or member refuses. Ids follow from the CAC's own.
- It has no `validUntil`: a CAC says what was, and that does not end. Whether it was overturned only the ledger tells.
"""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.cacs.claims import CacRefusedError, Refusal, read_claims
from domain.canonical import same_json
from domain.errors import MalformedError
from domain.identifiers import stream_of
from infrastructure.cacs.presented import Presented, refusing
from infrastructure.credentials.data_integrity import Document, add_proof, verify_proof
from infrastructure.credentials.timestamp import parse_timestamp, print_timestamp
from infrastructure.keys import did_key, ed25519

TYPE = "ClauseAttestedComputeCredential"
_TERMS = "https://enclave-ledger.example/ns/v1#"
CONTEXT: list[Any] = [
    "https://www.w3.org/ns/credentials/v2",
    {TYPE: f"{_TERMS}{TYPE}", "cac": {"@id": f"{_TERMS}cac", "@type": "@json"}},
]

_MEMBERS = {"@context", "id", "type", "issuer", "validFrom", "credentialSubject"}
_CHECKED = "the credential: issued and signed by the did:key of the attestation key"


def make_credential(
    cac: Mapping[str, Any], attestation_key: Ed25519PrivateKey, *, issued_at_ms: int, created_ms: int
) -> Document:
    """Return the credential of a CAC.

    Args:
        cac: as its enclave signed it.
        attestation_key: the tenant's.
        issued_at_ms: when the CAC was issued.
        created_ms: now.
    """
    issuer = did_key.did_key(ed25519.public_bytes(attestation_key))
    document = _document(cac, issuer, print_timestamp(issued_at_ms))
    return add_proof(document, attestation_key, created_ms=created_ms)


def read_credential(document: Document, *, at_ms: int | None) -> Presented:
    """Verify a credential, and return the CAC in it.

    Raises:
        CacRefusedError: `malformed`, `credential` when it does not verify, `time` when it was not valid at `at_ms`.
    """
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or document.keys() != {*_MEMBERS, "proof"}:
        raise CacRefusedError(Refusal.MALFORMED, "a credential lacks a member, or has one that is not known here")
    with refusing(Refusal.CREDENTIAL):
        public = did_key.public_key(issuer)
        verified = verify_proof(document, at_ms=None, controller=issuer)
    with refusing(Refusal.MALFORMED):
        valid_from_ms, cac = _read(verified, issuer)
    if at_ms is not None:
        with refusing(Refusal.TIME):
            verify_proof(document, at_ms=at_ms, controller=issuer)
        if at_ms < valid_from_ms:
            raise CacRefusedError(Refusal.TIME, f"the credential is valid from {verified['validFrom']}")
    return Presented("vc", cac, attestation_key=public, checked=(_CHECKED,))


def _document(cac: Mapping[str, Any], issuer: str, valid_from: str) -> Document:
    return {
        "@context": CONTEXT,
        "id": stream_of(cac["cac_id"]).urn,
        "type": ["VerifiableCredential", TYPE],
        "issuer": issuer,
        "validFrom": valid_from,
        "credentialSubject": {"id": stream_of(cac["execution_id"]).urn, "cac": dict(cac)},
    }


def _read(verified: Document, issuer: str) -> tuple[int, dict[str, Any]]:
    subject = verified["credentialSubject"]
    cac = subject.get("cac") if isinstance(subject, dict) else None
    if not isinstance(cac, dict):
        raise MalformedError("a credential's subject holds no CAC")
    read_claims(cac)
    if not same_json(verified, _document(cac, issuer, verified["validFrom"])):
        raise MalformedError("not the credential of the CAC in it: context, type, ids or subject differ")
    return parse_timestamp(verified["validFrom"]), cac
