"""DID documents: which Ed25519 keys may sign assertions of a DID (W3C DID Core 1.0; Controlled Identifiers 1.0).

Invariants:
- A key counts only if the document is the DID's own (`id`), `assertionMethod` lists it, it is controlled by the DID
  itself, and it is neither expired nor revoked at the instant.
- Verification methods are Multikey or JsonWebKey and hold an Ed25519 public key; other types are not read, another
  curve or a private key refuses. DID URLs are absolute (did:web, "Key Material and Document Handling") and unique.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.credentials.data_integrity import parse_document
from infrastructure.credentials.timestamp import parse_timestamp
from infrastructure.keys import base64url, did_key
from infrastructure.keys.ed25519 import check_public_key

MAX_BYTES: Final = 65_536
"""Greatest length of a DID document."""

_MAX_METHODS = 64
_MAX_ID = 1024


@dataclass(frozen=True, slots=True)
class VerificationMethod:
    """A verification method, not yet read for its key."""

    id: str
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DidDocument:
    """A DID's document: its verification methods by id, and the ids that may sign assertions."""

    did: str
    methods: Mapping[str, VerificationMethod]
    assertion: frozenset[str]

    def assertion_key(self, method: str, at_ms: int) -> bytes:
        """Return the 32-byte Ed25519 public key of a verification method that may sign assertions at an instant (ms).

        Raises:
            NotAuthorisedError: when the document lists no such method for assertions, or it has ended.
            MalformedError: when the method is not of the form that is read here.
        """
        found = self.methods.get(method)
        if found is None or method not in self.assertion:
            raise NotAuthorisedError("the DID document lists no such key for assertions (assertionMethod)")
        if found.members.get("controller") != self.did:
            raise NotAuthorisedError("the key is controlled by another than the DID")
        for end in ("expires", "revoked"):
            if end in found.members and at_ms >= parse_timestamp(found.members[end]):
                raise NotAuthorisedError(f"the key has ended: {end} {found.members[end]}")
        return _public_key(found.members)


def read_did_document(data: bytes, did: str) -> DidDocument:
    """Read the document of a DID.

    Raises:
        MalformedError: when it is not one, or another DID's.
    """
    document = parse_document(data, limit=MAX_BYTES)
    if document.get("id") != did:
        raise MalformedError("the document is another DID's")
    methods: dict[str, VerificationMethod] = {}
    for members in _listed(document, "verificationMethod"):
        _add(methods, members)
    assertion = set()
    for one in _listed(document, "assertionMethod"):
        if isinstance(one, str):
            assertion.add(one)
        else:
            assertion.add(_add(methods, one).id)
    return DidDocument(did, methods, frozenset(assertion))


def multikey_document(did: str, keys: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the document of a DID with Ed25519 keys for assertions, by their fragment."""
    methods = [
        {
            "id": f"{did}#{fragment}",
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": did_key.did_key(public).removeprefix("did:key:"),
        }
        for fragment, public in keys.items()
    ]
    return {
        "@context": ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"],
        "id": did,
        "verificationMethod": methods,
        "assertionMethod": [method["id"] for method in methods],
    }


def _listed(document: Mapping[str, Any], name: str) -> Iterator[Any]:
    listed = document.get(name, [])
    if not isinstance(listed, list) or len(listed) > _MAX_METHODS:
        raise MalformedError(f"{name} of a DID document is not a list of at most {_MAX_METHODS}")
    yield from listed


def _add(methods: dict[str, VerificationMethod], members: object) -> VerificationMethod:
    identifier = members.get("id") if isinstance(members, dict) else None
    if not isinstance(members, dict) or not isinstance(identifier, str) or len(identifier) > _MAX_ID:
        raise MalformedError("a verification method is not an object with an id")
    did, separator, fragment = identifier.partition("#")
    if not did.startswith("did:") or not separator or not fragment:
        raise MalformedError("a verification method's id is not an absolute DID URL with a fragment")
    if identifier in methods:
        raise MalformedError("a verification method's id occurs twice")
    methods[identifier] = VerificationMethod(identifier, members)
    return methods[identifier]


def _public_key(members: Mapping[str, Any]) -> bytes:
    known = {"publicKeyMultibase", "publicKeyJwk"} & members.keys()
    if {"secretKeyMultibase", "secretKeyJwk", "privateKeyMultibase", "privateKeyJwk"} & members.keys():
        raise MalformedError("a verification method publishes a private key")
    match members.get("type"):
        case "Multikey" if known == {"publicKeyMultibase"}:
            return did_key.public_key(f"did:key:{members['publicKeyMultibase']}")
        case "JsonWebKey" if known == {"publicKeyJwk"}:
            return _from_jwk(members["publicKeyJwk"])
        case _:
            raise MalformedError("a verification method is not one Multikey or JsonWebKey")


def _from_jwk(jwk: object) -> bytes:
    if not isinstance(jwk, dict) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
        raise MalformedError("a JsonWebKey is not an Ed25519 key")
    if "d" in jwk:
        raise MalformedError("a verification method publishes a private key")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("alg", "EdDSA") not in ("EdDSA", "Ed25519") or jwk.get("use", "sig") != "sig":
        raise MalformedError("a JsonWebKey is for another use than Ed25519 signatures")
    if not isinstance(operations, list) or "verify" not in operations or not isinstance(jwk.get("x"), str):
        raise MalformedError("a JsonWebKey is not for verifying, or has no x")
    return check_public_key(base64url.decode(jwk["x"]))
