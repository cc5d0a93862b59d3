"""W3C VC Data Integrity 1.0 with the cryptosuite eddsa-jcs-2022 (vc-di-eddsa 1.0, section 3.3).

Invariants:
- Signed are SHA-256(JCS(proof options)) || SHA-256(JCS(document without proof)). Our proofs repeat the document's
  `@context`; of one that has none the document's own counts (3.3.2, step 4). One that was hashed with an `@context` and
  lacks it fails by its signature.
- `verify_proof` returns a new document, decoded from the very bytes that were hashed. Callers use nothing else.
- Exactly one proof, of closed shape: an unknown member, another purpose, or a domain or challenge other than the
  expected one (none expected: none allowed) refuses. So do proof sets and chains: which of them counts is a choice.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.credentials.documents import MAX_DOCUMENT_BYTES, Document, canonical_bytes, parse_document
from infrastructure.credentials.timestamp import parse_timestamp, print_timestamp
from infrastructure.keys import did_key, ed25519
from infrastructure.keys.plaintext import print_decoded

__all__ = [
    "MAX_DOCUMENT_BYTES", "Document", "Proof", "Resolve", "add_proof", "canonical_bytes", "check_proof", "check_use",
    "hash_data", "open_document", "parse_document", "read_proof", "signed_parts", "verify_proof",
]  # fmt: skip

PROOF_TYPE = "DataIntegrityProof"
CRYPTOSUITE = "eddsa-jcs-2022"
ASSERTION_METHOD = "assertionMethod"

_REQUIRED = frozenset({"type", "cryptosuite", "verificationMethod", "proofPurpose", "proofValue"})
_OPTIONAL = frozenset({"@context", "created", "expires", "domain", "challenge"})
_FOREIGN = _OPTIONAL | {"id", "nonce"}
"""What proofs of other issuers may say beside: it means nothing to whoever verifies a single proof."""
_TEXTS = (_REQUIRED | _FOREIGN) - {"@context"}

Resolve = Callable[[str], bytes]
"""Gives the Ed25519 public key of a verification method. Raises MalformedError, NotAuthorisedError where it names none
that may sign, and UnavailableError where nobody can tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a proof says of itself. Trustworthy only once `verify_proof` accepted its document."""

    verification_method: str
    purpose: str
    created_ms: int | None
    expires_ms: int | None
    domain: str | None
    challenge: str | None
    signature: bytes

    @property
    def controller(self) -> str:
        """The DID that the verification method belongs to."""
        return self.verification_method.partition("#")[0]


def hash_data(document: Mapping[str, Any], options: Mapping[str, Any], *, limit: int = MAX_DOCUMENT_BYTES) -> bytes:
    """Return the 64 bytes that are signed: hash of the proof options, then hash of the unsecured document."""
    return b"".join(hashlib.sha256(canonical_bytes(part, limit=limit)).digest() for part in (options, document))


def add_proof(
    document: Mapping[str, Any],
    private_key: Ed25519PrivateKey,
    *,
    created_ms: int,
    verification_method: str | None = None,
    purpose: str = ASSERTION_METHOD,
    expires_ms: int | None = None,
    domain: str | None = None,
    challenge: str | None = None,
    limit: int = MAX_DOCUMENT_BYTES,
) -> Document:
    """Return the document with a proof (vc-di-eddsa 3.3.1). The verification method is the key's did:key by default.

    Raises:
        MalformedError: when the document has a proof already, or no canonical form.
    """
    if "proof" in document:
        raise MalformedError("the document has a proof already")
    options: Document = {
        "type": PROOF_TYPE,
        "cryptosuite": CRYPTOSUITE,
        "created": print_timestamp(created_ms),
        "verificationMethod": verification_method or did_key.verification_method(ed25519.public_bytes(private_key)),
        "proofPurpose": purpose,
    }
    if expires_ms is not None:
        options["expires"] = print_timestamp(expires_ms)
    options |= {name: value for name, value in (("domain", domain), ("challenge", challenge)) if value is not None}
    if "@context" in document:
        options["@context"] = document["@context"]
    signature = private_key.sign(hash_data(document, options, limit=limit))
    return {**document, "proof": {**options, "proofValue": did_key.encode_base58(signature)}}


def verify_proof(
    document: Mapping[str, Any],
    *,
    at_ms: int | None,
    purpose: str = ASSERTION_METHOD,
    controller: str | None = None,
    domain: str | None = None,
    challenge: str | None = None,
    resolve: Resolve = did_key.resolve,
    limit: int = MAX_DOCUMENT_BYTES,
) -> Document:
    """Check the one proof of a document (vc-di-eddsa 3.3.2) and return the document without it.

    Args:
        document: the secured document.
        at_ms: instant against which `created` and `expires` are held; None leaves both unchecked.
        purpose: the proof purpose expected.
        controller: the DID that must own the verification method, or None for any.
        domain: expected domain; None means that the proof names none.
        challenge: expected challenge; None means that the proof names none.
        resolve: gives the Ed25519 public key of a verification method; only did:key without it.
        limit: greatest length of its canonical bytes.

    Raises:
        MalformedError: when document or proof are not what their format says.
        NotAuthorisedError: when the proof is another's, for something else, out of time, or its signature is wrong.
    """
    proof = read_proof(document)
    check_use(proof, purpose=purpose, controller=controller, domain=domain, challenge=challenge)
    _check_time(proof, at_ms)
    return open_document(document, proof, resolve=resolve, limit=limit)


def open_document(
    document: Mapping[str, Any], proof: Proof, *, resolve: Resolve, limit: int = MAX_DOCUMENT_BYTES
) -> Document:
    """Check the signature of a document's own proof, and nothing else of it; return the document without it.

    Raises:
        MalformedError: when the document has no canonical form, or the method names no key.
        NotAuthorisedError: when the signature is wrong.
    """
    data, hashed = _hashed(document, partial(canonical_bytes, limit=limit))
    ed25519.verify(resolve(proof.verification_method), proof.signature, hashed)
    verified: Document = orjson.loads(data)
    return verified


def check_proof(
    document: Mapping[str, Any], *, public: bytes, domain: str, challenge: str, check: ed25519.Check
) -> None:
    """Check what `verify_proof` checks of a proof by the did:key of a known key, at any time, its signature by `check`.

    Args:
        document: the secured document, decoded from restricted canonical JSON (infrastructure.keys.plaintext).
        public: the key.
        domain: as there.
        challenge: as there.
        check: verifies the signature.

    Raises:
        MalformedError: as there.
        NotAuthorisedError: as there.
    """
    proof = read_proof(document)
    controller = did_key.did_key(public)
    check_use(proof, purpose=ASSERTION_METHOD, controller=controller, domain=domain, challenge=challenge)
    if proof.verification_method != did_key.verification_method(public):
        raise MalformedError("a did:key verification method is the DID, #, and the same key again")
    check(public, proof.signature, _hashed(document, print_decoded)[1])


def signed_parts(document: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    """Return public key (by did:key), signature and signed bytes of a proof; nothing is checked. As `check_proof`.

    Raises:
        MalformedError: when document or proof are not what their format says.
    """
    proof = read_proof(document)
    return did_key.resolve(proof.verification_method), proof.signature, _hashed(document, print_decoded)[1]


def _hashed(
    document: Mapping[str, Any], printed: Callable[[Mapping[str, Any]], bytes] = canonical_bytes
) -> tuple[bytes, bytes]:
    """Return a document's canonical bytes without its proof, and the 64 bytes that the proof signs."""
    options = {name: value for name, value in document["proof"].items() if name != "proofValue"}
    data = printed(_unsecured(document, options))
    return data, hashlib.sha256(printed(options)).digest() + hashlib.sha256(data).digest()


def read_proof(document: Mapping[str, Any], *, foreign: bool = False) -> Proof:
    """Parse the proof of a document without checking it. `foreign` lets it have an `id` and a `nonce`.

    Raises:
        MalformedError: when there is none, more than one, or one of another shape.
    """
    proof = document.get("proof")
    if not isinstance(proof, dict):
        raise MalformedError("a document needs exactly one proof")
    if not _REQUIRED <= proof.keys() <= _REQUIRED | (_FOREIGN if foreign else _OPTIONAL):
        raise MalformedError("a proof lacks a member, or has one that is not known here")
    if not all(isinstance(proof[name], str) for name in _TEXTS & proof.keys()):
        raise MalformedError("a member of a proof is not a string")
    if (proof["type"], proof["cryptosuite"]) != (PROOF_TYPE, CRYPTOSUITE):
        raise MalformedError(f"a proof must be a {PROOF_TYPE} of the cryptosuite {CRYPTOSUITE}")
    signature = did_key.decode_base58(proof["proofValue"])
    if len(signature) != ed25519.SIGNATURE_BYTES:
        raise MalformedError("a proofValue is not an Ed25519 signature")
    return Proof(
        verification_method=proof["verificationMethod"],
        purpose=proof["proofPurpose"],
        created_ms=_instant(proof, "created"),
        expires_ms=_instant(proof, "expires"),
        domain=proof.get("domain"),
        challenge=proof.get("challenge"),
        signature=signature,
    )


def check_use(
    proof: Proof,
    *,
    purpose: str = ASSERTION_METHOD,
    controller: str | None = None,
    domain: str | None = None,
    challenge: str | None = None,
) -> None:
    """Check what a proof was made for. Arguments as for `verify_proof`.

    Raises:
        NotAuthorisedError: when it was made for something else.
    """
    if proof.purpose != purpose:
        raise NotAuthorisedError(f"the proof's purpose is not {purpose}")
    if controller is not None and proof.controller != controller:
        raise NotAuthorisedError("the proof's key is not the expected signer's")
    if proof.domain != domain:
        raise NotAuthorisedError("the proof was made for another domain")
    if proof.challenge != challenge:
        raise NotAuthorisedError("the proof answers another challenge")


def _check_time(proof: Proof, at_ms: int | None) -> None:
    if at_ms is None:
        return
    if proof.created_ms is not None and proof.created_ms > at_ms:
        raise NotAuthorisedError("the proof was created later than now")
    if proof.expires_ms is not None and proof.expires_ms <= at_ms:
        raise NotAuthorisedError("the proof has expired")


def _unsecured(document: Mapping[str, Any], options: Mapping[str, Any]) -> Document:
    """Return the document without proof, under the proof's `@context` (vc-di-eddsa 3.3.2, step 4).

    A proof without one signs the document's own: what its signer hashed decides, as the specification says.
    """
    unsecured = {name: value for name, value in document.items() if name != "proof"}
    if "@context" in options:
        begins_with = _as_list(options["@context"])
        if "@context" not in unsecured:
            raise MalformedError("the proof has an @context, and its document none")
        if not begins_with or _as_list(unsecured["@context"])[: len(begins_with)] != begins_with:
            raise MalformedError("the document's @context doesn't begin with its proof's")
        unsecured["@context"] = options["@context"]
    return unsecured


def _as_list(context: object) -> list[Any]:
    return context if isinstance(context, list) else [context]


def _instant(proof: Mapping[str, Any], name: str) -> int | None:
    return parse_timestamp(proof[name]) if name in proof else None
