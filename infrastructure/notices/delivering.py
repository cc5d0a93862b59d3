"""Hands notices out: to who fetches them, or to webhooks, again and again until they are taken.

Invariants:
- First handed out, then recorded: at least once.
- A recipient that does not answer is left alone for a while, longer each time; the others are not held up by it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import LedgerError, UnavailableError
from infrastructure.backoff import Backoff
from infrastructure.notices.outbox import Outbox, Parcel
from infrastructure.notices.webhooks import Webhook

FIRST_PAUSE_S = 1.0
MOST_PAUSE_S = 300.0

HandOut = Callable[[Sequence[tuple[Parcel, str]]], object]

Trouble = Callable[[str], None]
"""Is told, in words, what could not be delivered; it is tried again."""


@dataclass
class _Patience:
    """When a recipient is tried again."""

    backoff: Backoff
    due_ms: int = 0


class Deliverer:
    """Posts what is open to the recipients that have a webhook.

    Args:
        outbox: what is open.
        webhooks: by recipient.
        now_ms: tells the instant.
        trouble: told of each try that failed.
    """

    def __init__(
        self,
        outbox: Outbox,
        webhooks: Mapping[str, Webhook],
        now_ms: Callable[[], int],
        trouble: Trouble | None = None,
    ) -> None:
        self._outbox = outbox
        self._webhooks = webhooks
        self._now_ms = now_ms
        self._trouble = trouble
        self._patience = {name: _Patience(Backoff(FIRST_PAUSE_S, MOST_PAUSE_S)) for name in webhooks}

    def step(self) -> int:
        """Try everything that is open and due, once. Returns how many notices were delivered."""
        self._outbox.catch_up()
        delivered, tried = 0, False
        for parcel in self._outbox.parcels():
            patience = self._patience.get(parcel.notice.recipient)
            if patience is not None and patience.due_ms <= self._now_ms():
                tried = True
                delivered += self._try(parcel, patience)
        if tried:
            self._outbox.save()
        return delivered

    def due_ms(self) -> int | None:
        """Return the next instant at which a recipient that failed is tried again; None where none did."""
        return min((one.due_ms for one in self._patience.values() if one.due_ms > self._now_ms()), default=None)

    def waits(self) -> bool:
        """Tell whether anything is open for a recipient that has a webhook."""
        return any(parcel.notice.recipient in self._webhooks for parcel in self._outbox.parcels())

    def _try(self, parcel: Parcel, patience: _Patience) -> bool:
        notice = parcel.notice
        try:
            self._webhooks[notice.recipient].post(self._outbox.statement(parcel))
            recorded = self._outbox.delivered(parcel, "webhook")
        except LedgerError as error:
            self._outbox.failed(parcel)
            if isinstance(error, UnavailableError):
                patience.due_ms = self._now_ms() + int(1000 * patience.backoff.next_s())
            if self._trouble is not None:
                self._trouble(f"{notice.execution_id} for {notice.recipient}, try {parcel.tries + 1}: {error}")
            return False
        patience.backoff.reset()
        return recorded


def fetch(outbox: Outbox, recipient: str, hand_out: HandOut) -> list[Parcel]:
    """Hand a recipient its open notices, then record that it has them.

    Args:
        outbox: what is open.
        recipient: its name, as policy or appointment has it.
        hand_out: gets them, each with its statement; what it raises leaves all of them open.

    Returns:
        What was handed out.
    """
    outbox.catch_up()
    mine = [parcel for parcel in outbox.parcels() if parcel.notice.recipient == recipient]
    hand_out([(parcel, outbox.statement(parcel)) for parcel in mine])
    for parcel in mine:
        outbox.delivered(parcel, "fetched")
    outbox.save()
    return mine
