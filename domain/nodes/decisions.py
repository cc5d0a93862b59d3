"""What a node's key says before its node enrols; what the operator says of a node after it did."""

from collections.abc import Sequence
from typing import Any

from domain.hashing import sha256_hex


def challenge_claims(name: str) -> dict[str, Any]:
    """Return what a node's key says when it asks for a nonce, so that its machine can prove itself."""
    return {"act": "challenge_node", "node": name}


def proof_claims(name: str, nonce: str, evidence: bytes, endorsements: Sequence[bytes]) -> dict[str, Any]:
    """Return what a node's key says of its machine's evidence, and of the files that come with it."""
    return {
        "act": "prove_machine",
        "node": name,
        "nonce": nonce,
        "platform_evidence": sha256_hex(evidence),
        "endorsements": [sha256_hex(one) for one in endorsements],
    }


def drain_claims(name: str, reason: str) -> dict[str, Any]:
    """Return what the root's admins say when they drain a node."""
    return {"act": "drain_node", "node": name, "reason": reason}


def return_claims(name: str, reason: str) -> dict[str, Any]:
    """Return what the root's admins say when a node takes work again."""
    return {"act": "return_node", "node": name, "reason": reason}
