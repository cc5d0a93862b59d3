"""COSE receipts (RFC 9942) that an entry is in a tenant's log: an export, never the root of trust (wire formats 4).

The verifiable data structure is the tenant's log itself (vds 1, RFC9162_SHA256). Its leaves are sealed entries, so the
entry whose inclusion is proved is the sealed `cac.issued.v1`, and the detached payload is the tree's root. A receipt
carries what its reader needs beside the proof, in the unprotected header under names of ours: the entry's bytes
(`ledger-entry`), the key K_s of its stream (`ledger-stream-key`: the CAC's stream holds that one entry, so it opens
nothing else), and the attestation key's endorsement of the receipt key (`ledger-receipt-key`).

What a stock verifier can check: the signature of the statement by its did:key; and, with `ledger-entry` for the entry,
inclusion and signature of the receipt. One that takes the signed statement for the entry refuses: it is not what the
log holds [entries are sealed, and stay provable after the key is gone]. That the sealed entry holds this very CAC only
our own verifier can tell, by opening it.

Invariants:
- The protected header names the log (CWT `iss`), the subject (`sub`), and the tree's size [RFC 9942 binds neither: the
  same path proves a leaf at many sizes]. A receipt key has one purpose and one tenant.
- Exactly one inclusion proof, of exactly the length that its numbers imply; an empty path for a tree of one leaf.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.errors import MalformedError, NotAuthorisedError
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import HASH_BYTES, leaf_hash
from domain.transparency.proofs import root_from_inclusion
from infrastructure.cacs import cose
from infrastructure.keys import ed25519
from infrastructure.keys.stream_keys import KEY_BYTES
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

TREE_SIZE = "tree_size"
ENTRY, STREAM_KEY, RECEIPT_KEY = "ledger-entry", "ledger-stream-key", "ledger-receipt-key"
RFC9162_SHA256 = 1
INCLUSION = -1
CERTIFY = "certify_receipts"

_PROTECTED = (cose.KID, cose.CWT_CLAIMS, cose.VDS)
_UNPROTECTED = (cose.VDP, ENTRY, STREAM_KEY, RECEIPT_KEY)
_MAX_PATH = 63
_REGISTERED = frozenset({"iss", "aud", "jti", "iat", "exp"})


@dataclass(frozen=True, slots=True)
class Inclusion:
    """Where an entry stands: tree size, leaf index, and the path to the root, lowest node first."""

    size: int
    index: int
    path: tuple[bytes, ...]

    def to_bytes(self) -> bytes:
        """Return `[size, index, [path]]` in CBOR (RFC 9942)."""
        return cose.encode([self.size, self.index, list(self.path)])

    @classmethod
    def parse(cls, data: bytes) -> "Inclusion":
        """Read what `to_bytes` wrote.

        Raises:
            MalformedError: when it is anything else.
        """
        value = cose.decode(data)
        if not isinstance(value, list | tuple) or len(value) != 3:  # noqa: PLR2004 - size, index, path
            raise MalformedError("an inclusion proof is not [size, index, [path]]")
        size, index, path = value
        if type(size) is not int or type(index) is not int or not 0 <= index < size <= MAX_TREE_SIZE:
            raise MalformedError("an inclusion proof's leaf is in no tree of its size")
        if not isinstance(path, list | tuple) or len(path) > _MAX_PATH:
            raise MalformedError("an inclusion proof has no path of sensible length")
        if any(not isinstance(node, bytes) or len(node) != HASH_BYTES for node in path):
            raise MalformedError("a path holds something that is no SHA-256 hash")
        return cls(size, index, tuple(path))


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt taken apart; nothing of it is verified."""

    message: cose.Sign1
    origin: str
    subject: str
    kid: str
    inclusion: Inclusion
    entry: bytes
    stream_key: bytes
    endorsement: str

    @property
    def leaf_hash(self) -> bytes:
        """The leaf hash of the sealed entry."""
        return leaf_hash(self.entry)

    def verify(self, attestation_key: bytes) -> bytes:
        """Check the receipt by the tenant's attestation key (32 bytes); return the root that was signed.

        Raises:
            MalformedError: when the endorsement is no statement.
            NotAuthorisedError: when the receipt key is not this tenant's, or did not sign this root.
            VerificationError: when the path has not the length that size and index imply.
        """
        public = _endorsed(self.endorsement, origin=self.origin, kid=self.kid, attestation_key=attestation_key)
        root = root_from_inclusion(self.leaf_hash, self.inclusion.index, self.inclusion.size, self.inclusion.path)
        self.message.verify(public, root)
        return root


def make_receipt(
    *,
    origin: str,
    subject: str,
    inclusion: Inclusion,
    root: bytes,
    entry: bytes,
    stream_key: bytes,
    endorsement: str,
    key: Ed25519PrivateKey,
) -> bytes:
    """Return a receipt.

    Args:
        origin: the log's.
        subject: the statement's.
        inclusion: of the entry in the published tree.
        root: that tree's root.
        entry: the sealed entry.
        stream_key: K_s of its stream (32 bytes).
        endorsement: of the receipt key.
        key: the receipt key.
    """
    kid = thumbprint(ed25519.public_bytes(key)).encode()
    claims = {cose.ISS: origin, cose.SUB: subject, TREE_SIZE: inclusion.size}
    protected: cose.Header = {cose.KID: kid, cose.CWT_CLAIMS: claims, cose.VDS: RFC9162_SHA256}
    unprotected: cose.Header = {
        cose.VDP: {INCLUSION: [inclusion.to_bytes()]},
        ENTRY: entry,
        STREAM_KEY: stream_key,
        RECEIPT_KEY: endorsement,
    }
    return cose.sign1(protected, unprotected, root, key, detached=True)


def parse_receipt(data: bytes) -> Receipt:
    """Take a receipt apart.

    Raises:
        MalformedError: when it is not of its one form.
    """
    message = cose.parse_sign1(data, protected=_PROTECTED, unprotected=_UNPROTECTED)
    if message.payload is not None:
        raise MalformedError("a receipt's payload is not detached")
    if type(message.protected[cose.VDS]) is not int or message.protected[cose.VDS] != RFC9162_SHA256:
        raise MalformedError("a receipt is of another verifiable data structure than RFC9162_SHA256")
    claims = cose.claims_of(message.protected, cose.ISS, cose.SUB, TREE_SIZE)
    inclusion = Inclusion.parse(_one_proof(message.unprotected[cose.VDP]))
    if type(claims[TREE_SIZE]) is not int or claims[TREE_SIZE] != inclusion.size:
        raise MalformedError("a receipt's proof is of another tree size than its signer named")
    entry, stream_key = message.unprotected[ENTRY], message.unprotected[STREAM_KEY]
    if not isinstance(entry, bytes) or not isinstance(stream_key, bytes) or len(stream_key) != KEY_BYTES:
        raise MalformedError("a receipt brings no entry, or no key of its stream")
    texts = (claims[cose.ISS], claims[cose.SUB], message.unprotected[RECEIPT_KEY])
    if not all(isinstance(text, str) for text in texts):
        raise MalformedError("a receipt's issuer, subject or endorsement is no text")
    return Receipt(message, texts[0], texts[1], _kid(message.protected), inclusion, entry, stream_key, texts[2])


def receipt_claims(public: bytes) -> dict[str, Any]:
    """Return what the attestation key's endorsement of a receipt key (32 bytes) says."""
    return {"act": CERTIFY, "receipt_key": public.hex()}


def _endorsed(token: str, *, origin: str, kid: str, attestation_key: bytes) -> bytes:
    """Return the receipt key that a tenant's attestation key endorses for its log."""
    keys = {thumbprint(attestation_key): attestation_key}
    payload = jws.verify(token, typ=jws.ENDORSEMENT, keys=keys, aud=origin, now_s=None)
    said = {name: value for name, value in payload.items() if name not in _REGISTERED}
    public = _public(said)
    if said != receipt_claims(public) or thumbprint(public) != kid:
        raise NotAuthorisedError("the receipt is not by the key that the attestation key endorses for receipts")
    return public


def _public(said: Mapping[str, Any]) -> bytes:
    text = said.get("receipt_key")
    try:
        return ed25519.check_public_key(bytes.fromhex(text if isinstance(text, str) else ""))
    except ValueError:
        raise MalformedError("an endorsement names no receipt key") from None


def _one_proof(proofs: object) -> bytes:
    if not isinstance(proofs, Mapping) or set(proofs) != {INCLUSION}:
        raise MalformedError("a receipt's proofs are not proofs of inclusion")
    found = proofs[INCLUSION]
    if not isinstance(found, Sequence) or len(found) != 1 or not isinstance(found[0], bytes):
        raise MalformedError("a receipt has not exactly one proof of inclusion")
    return found[0]


def _kid(header: cose.Header) -> str:
    kid = header[cose.KID]
    if not isinstance(kid, bytes) or not kid.isascii():
        raise MalformedError("a kid is not an RFC 7638 thumbprint in ASCII")
    return kid.decode("ascii")
