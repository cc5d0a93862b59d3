"""What the operator says of a node after it enrolled."""

from typing import Any


def drain_claims(name: str, reason: str) -> dict[str, Any]:
    """Return what the root's admins say when they drain a node."""
    return {"act": "drain_node", "node": name, "reason": reason}


def return_claims(name: str, reason: str) -> dict[str, Any]:
    """Return what the root's admins say when a node takes work again."""
    return {"act": "return_node", "node": name, "reason": reason}
