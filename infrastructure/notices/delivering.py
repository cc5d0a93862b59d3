"""Hands notices out: to who fetches them, or to webhooks, again and again until they are taken.

Invariants:
- First handed out, then recorded: at least once.
- Who is tried when is infrastructure.posting.deliverer's; notices of one recipient have no order.
"""

import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from domain.errors import LedgerError
from infrastructure.notices.outbox import Outbox, Parcel
from infrastructure.notices.webhooks import Webhook
from infrastructure.posting import deliverer
from infrastructure.posting.deliverer import Trouble

HandOut = Callable[[Sequence[tuple[Parcel, str]]], object]


class _Notices:
    """An outbox and the webhooks of its recipients, as a deliverer takes them."""

    def __init__(self, outbox: Outbox, webhooks: Mapping[str, Webhook]) -> None:
        self._outbox = outbox
        self._webhooks = webhooks

    def look(self) -> bool:
        return self._outbox.look()

    def recipients(self) -> Sequence[str]:
        return list(self._webhooks)

    def group(self, recipient: str) -> str:
        return recipient

    def waits(self, recipients: Collection[str]) -> bool:
        return self._outbox.waits(recipients)

    def next_of(self, recipient: str, most: int) -> Iterator[Parcel]:
        found = (self._outbox.parcel(stream, recipient) for stream in self._outbox.waiting(recipient, most))
        return (parcel for parcel in found if parcel is not None)

    def send(self, recipient: str, parcel: Parcel) -> bool:
        self._webhooks[recipient].post(self._outbox.statement(parcel))
        return self._outbox.delivered(parcel, "webhook")

    def failed(self, recipient: str, parcel: Parcel, error: LedgerError) -> str:
        self._outbox.failed(parcel)
        return f"{parcel.notice.execution_id} for {recipient}, try {parcel.tries + 1}: {error}"

    def save(self) -> None:
        self._outbox.save()


class Deliverer(deliverer.Deliverer[Parcel]):
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
        super().__init__(_Notices(outbox, webhooks), now_ms, trouble)


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
    waiting = outbox.waiting(recipient, sys.maxsize)
    mine = [parcel for stream in waiting for parcel in outbox.parcels_of(stream, recipient)]
    hand_out([(parcel, outbox.statement(parcel)) for parcel in mine])
    for parcel in mine:
        outbox.delivered(parcel, "fetched")
    outbox.save()
    return mine
