"""What is told of a result: one message for each entry that issues or overturns a CAC.

Invariants:
- The same entry gives the same message to the byte, at every try and to whoever pulls.
- A message to an address is named by log, subscription and entry: who gets it twice sees that by its id.
"""

from hashlib import sha256
from typing import Any

from domain.cacs.events import CacIssued, CacOverturned
from domain.canonical import canonical
from domain.errors import RefusedError
from domain.message import Recorded


def result_told(origin: str, recorded: Recorded) -> dict[str, Any]:
    """Return what an entry tells: `type`, where it lies, and the CAC as its enclave signed it, or by what it fell.

    Args:
        origin: the log's.
        recorded: the entry.

    Raises:
        RefusedError: when it neither issues nor overturns a CAC.
    """
    event = recorded.event
    members: dict[str, Any] = {
        "origin": origin,
        "leaf_index": recorded.leaf_index,
        "leaf_hash": recorded.leaf_hash.hex(),
        "at_ms": recorded.at_ms,
    }
    if isinstance(event, CacIssued):
        return {**members, "type": "cac.issued", "cac_id": event.cac_id, "cac": event.document}
    if isinstance(event, CacOverturned):
        by = {"dispute": event.dispute_id, "scope": event.scope, "decision": event.decision}
        return {**members, "type": "cac.overturned", "cac_id": event.cac_id, "overturned": by}
    raise RefusedError("this entry tells of no result")


def message_id(origin: str, subscription_id: str, leaf_index: int) -> str:
    """Return a message's id: 32 hex digits."""
    name = b"\0".join((b"ledger delivery id v1", origin.encode(), subscription_id.encode(), str(leaf_index).encode()))
    return sha256(name).digest()[:16].hex()


def message(origin: str, subscription_id: str, recorded: Recorded) -> bytes:
    """Return the message of an entry to a subscription's address: JCS. Raises as `result_told` does."""
    told = result_told(origin, recorded)
    named = message_id(origin, subscription_id, recorded.leaf_index)
    return canonical({**told, "id": named, "subscription": subscription_id})
