"""Notices of faults and disputes: what was requested, what was delivered, and what a notice says.

Invariants:
- A notice of a fault is named by execution and recipient, one of a dispute also by the dispute and what became of it.
  It is delivered once, and only if it was requested.
- It says which execution failed or is disputed, in which of the closed list of ways, and when it was asked for: no
  content.
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
Name = tuple[str, str, str | None]
"""Recipient, kind, dispute."""

LIFETIME_MS = 365 * DAY_MS
"""For so long the statement of a notice verifies; it is tried for as long as it is not delivered."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Somebody is to be told of a fault, or of a dispute."""

    execution_id: str
    recipient: str
    kind: str
    requested_at_ms: int
    dispute: str | None = None

    @property
    def name(self) -> Name:
        """Return what tells it from the execution's other notices."""
        return self.recipient, self.kind, self.dispute

    def delivered(self, how: How, tries: int) -> NoticeDelivered:
        """Return the event that it reached its recipient, at the try of that number."""
        return NoticeDelivered(
            execution_id=self.execution_id, recipient=self.recipient, dispute=self.dispute, kind=self.kind, how=how,
            tries=tries,
        )  # fmt: skip

    def statement(self, *, iss: str, origin: str) -> dict[str, Any]:
        """Return what the tenant's attestation key says to the recipient.

        Args:
            iss: the tenant's DID.
            origin: of the tenant's log.
        """
        name = f"ledger notice id v1\0{origin}\0{self.execution_id}\0{self.recipient}"
        of_a_dispute: dict[str, Any] = {}
        if self.dispute is not None:
            name += f"\0{self.dispute}\0{self.kind}"
            of_a_dispute = {"act": "notify_dispute", "dispute": self.dispute}
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
            **of_a_dispute,
        }


def undelivered(stream: Iterable[Recorded]) -> tuple[Notice, ...]:
    """Return the notices that an execution's stream requests and does not call delivered, in order."""
    found: dict[Name, Notice] = {}
    for recorded in stream:
        event = recorded.event
        if isinstance(event, NoticeRequested):
            notice = Notice(event.execution_id, event.recipient, event.kind, recorded.at_ms, event.dispute)
            found[notice.name] = notice
        elif isinstance(event, NoticeDelivered):
            found.pop((event.recipient, event.kind, event.dispute), None)
    return tuple(found.values())
