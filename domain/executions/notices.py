"""Notices of faults: what was requested, what was delivered, and what a notice says.

Invariants:
- A notice is named by execution and recipient; it is delivered once, and only if it was requested.
- It says which execution failed, in which of the closed list of ways, and when it was asked for: no content.
- It is the same statement, byte for byte, at every try: who gets it twice sees that by its jti.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.message import Recorded
from domain.time import DAY_MS, SECOND_MS

How = Literal["fetched", "webhook"]

LIFETIME_MS = 365 * DAY_MS
"""For so long the statement of a notice verifies; it is tried for as long as it is not delivered."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody is to be told of a fault."""

    execution_id: str
    recipient: str
    kind: str
    requested_at_ms: int

    def delivered(self, how: How, tries: int) -> NoticeDelivered:
        """Return the event that it reached its recipient, at the try of that number."""
        return NoticeDelivered(
            execution_id=self.execution_id, recipient=self.recipient, kind=self.kind, how=how, tries=tries
        )

    def statement(self, *, iss: str, origin: str) -> dict[str, Any]:
        """Return what the tenant's attestation key says to the recipient.

        Args:
            iss: the tenant's DID.
            origin: of the tenant's log.
        """
        name = f"ledger notice id v1\0{origin}\0{self.execution_id}\0{self.recipient}"
        return {
            "act": "notify_fault",
            "execution": self.execution_id,
            "kind": self.kind,
            "recipient": self.recipient,
            "requested_at_ms": self.requested_at_ms,
            "iss": iss,
            "aud": origin,
            "jti": sha256(name.encode()).digest()[:16].hex(),
            "iat": self.requested_at_ms // SECOND_MS,
            "exp": (self.requested_at_ms + LIFETIME_MS) // SECOND_MS,
        }


def undelivered(stream: Iterable[Recorded]) -> tuple[Notice, ...]:
    """Return the notices that an execution's stream requests and does not call delivered, in order."""
    found: dict[str, Notice] = {}
    for recorded in stream:
        event = recorded.event
        if isinstance(event, NoticeRequested):
            found[event.recipient] = Notice(event.execution_id, event.recipient, event.kind, recorded.at_ms)
        elif isinstance(event, NoticeDelivered):
            found.pop(event.recipient, None)
    return tuple(found.values())
