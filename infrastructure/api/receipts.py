"""The acknowledgements in an answer: of what answers the caller's own statement, in that statement's log only."""

from typing import Any
from uuid import UUID

from infrastructure.keys import ed25519
from infrastructure.ledger import Answer, Ledger


def acknowledged(answer: Answer) -> list[dict[str, Any]]:
    """Return the acknowledgements of the events that answer a statement, each as its file would hold it."""
    return [one.to_json() for one in answer.acknowledgements if one.event.jti]


def told_key(ledger: Ledger, log_id: UUID) -> str:
    """Return the public key (hex) by which a log acknowledges: who writes there holds its answers against it."""
    return ed25519.public_bytes(ledger.keyring.get(log_id).acknowledgement_key()).hex()
