"""What subscriptions are still to be told, derived from the ledger's events; each told in the order of its log.

Invariants:
- Nothing is kept beside the ledger: from where a subscription goes on follows from its own stream.
- An entry is recorded as delivered after its address took it, at the stream's next version: at least once, recorded
  once, however many processes deliver and whenever they are killed. Its message is the same at every try.
- A message is made of the subscription's own log, whose keys sign it. Nothing of another log can be in it.
- A subscription whose address took nothing for MOST_AGE_MS, and MOST_FAILED tries, lapses: that ends the tries.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from domain.cacs.events import CacIssued, CacOverturned
from domain.errors import ConflictError, ErasedError, LedgerError
from domain.identifiers import subscription_stream
from domain.message import Event, Pending, Recorded
from domain.subscriptions.events import ResultDelivered, SubscriptionEnded, SubscriptionLapsed, SubscriptionOpened
from domain.subscriptions.messages import message, message_id
from domain.time import DAY_MS, SECOND_MS
from infrastructure.commands.subscriptions import Address, address_of, load_subscriptions
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.posting.exchange import DEFAULT_TIMEOUT_S, post
from infrastructure.posting.signed import signed_headers
from infrastructure.posting.targets import Network, Target, addresses
from infrastructure.subscriptions.feed import Results

CONTENT_TYPE: Final = "application/json"
MOST_AGE_MS: Final = 7 * DAY_MS
MOST_FAILED: Final = 12
PAGE: Final = 500
_TOPICS: Final = tuple(kind.TOPIC for kind in (SubscriptionOpened, SubscriptionEnded, CacIssued, CacOverturned))


@dataclass(slots=True)
class _Open:
    """A subscription that is open, and how far it was told.

    Attributes:
        after: the leaf index after which to go on.
        version: of its own stream; -1 before the first event.
        since_ms: when it last took something, or was opened.
        fresh: something may lie after `after`.
        failed: tries in vain since it last took something.
    """

    log_id: UUID
    origin: str
    opened: SubscriptionOpened
    after: int
    version: int
    since_ms: int
    fresh: bool = True
    failed: int = 0
    address: Address | None = field(default=None, repr=False)


class ResultsOutbox:
    """The outbox of all subscriptions of a cell. Each subscription is served by one thread at a time.

    Args:
        ledger: whose results.
        allowed: networks to which webhooks may lead beside the public internet.
        timeout_s: of one exchange.
    """

    def __init__(self, ledger: Ledger, allowed: Sequence[Network] = (), timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._ledger = ledger
        self._allowed = allowed
        self._timeout_s = timeout_s
        self._feed = Feed(ledger.datastore)
        self._lock = threading.Lock()
        self._open: dict[str, _Open] = {}
        self._position = self._feed.last_event()
        for log in ledger.logs():
            self._read(log.log_id)

    def look(self) -> bool:
        """Look at some of what was committed since. Tells whether there is more."""
        last = self._feed.last_event()
        if last == self._position:
            return False
        page = self._ledger.recorder.select_notifications(self._position + 1, PAGE, last, _TOPICS)
        moved: dict[UUID, bool] = {}
        for one in page:
            log_id = self._ledger.recorder.log_of_stream(UUID(str(one.originator_id)))
            if log_id is not None:
                told = one.topic in {CacIssued.TOPIC, CacOverturned.TOPIC}
                moved[log_id] = moved.get(log_id, False) or not told
        for log_id, changed in moved.items():
            if changed:
                self._read(log_id)
            self._freshen(log_id)
        self._position = last if len(page) < PAGE else page[-1].id
        return self._position < last

    def recipients(self) -> Sequence[str]:
        """Return the subscriptions that are open."""
        with self._lock:
            return list(self._open)

    def group(self, recipient: str) -> str:
        """Return whose subscription it is: a tenant has a share of what is served at once."""
        known = self._find(recipient)
        return "" if known is None else known.origin

    def waits(self, recipients: Collection[str]) -> bool:
        """Tell whether something may be open for one of these subscriptions."""
        with self._lock:
            return any(name in self._open and self._open[name].fresh for name in recipients)

    def next_of(self, recipient: str, most: int) -> Iterator[Recorded]:
        """Yield the entries that a subscription is to be told next, in leaf order, at most so many."""
        known = self._find(recipient)
        if known is None:
            return
        known.fresh = False  # what is committed from here on sets it again
        try:
            found = Results(self._ledger, known.log_id)
            leaves, after = found.page(known.opened.wanted, known.after, most)
            while not leaves and after > known.after:  # nothing wanted there: further on
                known.after = after
                leaves, after = found.page(known.opened.wanted, known.after, most)
            entries = found.entries(leaves)
        except ErasedError:
            self._drop(recipient)
            return
        except LedgerError:
            known.fresh = True
            raise
        known.fresh = known.fresh or bool(entries)
        yield from entries

    def send(self, recipient: str, parcel: Recorded) -> bool:
        """Post an entry's message, then record that it was taken; tell whether that was not recorded before.

        Raises:
            LedgerError: when it was not taken, or can't be recorded: it is sent again.
        """
        known = self._find(recipient)
        if known is None or parcel.leaf_index <= known.after:
            return False
        self._post(known, parcel)
        event = ResultDelivered(
            subscription_id=recipient, cac_id=_cac_of(parcel), leaf_index=parcel.leaf_index, tries=known.failed + 1
        )
        recorded = self._record(recipient, known, event)
        known.failed = 0
        return recorded

    def failed(self, recipient: str, parcel: Recorded, error: LedgerError) -> str:
        """Count a try in vain; after so many over so long the subscription lapses. Return how it is told."""
        known = self._find(recipient)
        if known is None:
            return f"subscription {recipient}: {error}"
        known.failed += 1
        known.fresh = True
        text = f"subscription {recipient}, entry {parcel.leaf_index}, try {known.failed}: {error}"
        since_ms = max(known.since_ms, parcel.at_ms)
        if known.failed < MOST_FAILED or self._ledger.clock.now_ms() < since_ms + MOST_AGE_MS:
            return text
        event = SubscriptionLapsed(subscription_id=recipient, leaf_index=parcel.leaf_index, tries=known.failed)
        try:
            self._record(recipient, known, event)
        except LedgerError as unrecorded:
            return f"{text}; that it lapses could not be recorded: {unrecorded}"
        self._drop(recipient)
        return f"{text}; it is tried no more"

    def save(self) -> None:
        """Write nothing down: all of it is in the ledger."""

    def _post(self, known: _Open, parcel: Recorded) -> None:
        if known.address is None:
            known.address = address_of(self._ledger, known.log_id, known.opened)
        target = Target.parse(known.address.url)
        hosts = addresses(target, self._allowed)
        body = message(known.origin, known.opened.subscription_id, parcel)
        headers = signed_headers(
            target.url,
            body,
            self._ledger.keyring.get(known.log_id).webhook_key(),
            message_id=message_id(known.origin, known.opened.subscription_id, parcel.leaf_index),
            content_type=CONTENT_TYPE,
            now_s=self._ledger.clock.now_ms() // SECOND_MS,
        )
        post(target, body, headers, hosts=hosts, timeout_s=self._timeout_s)

    def _record(self, recipient: str, known: _Open, event: ResultDelivered | SubscriptionLapsed) -> bool:
        stream = subscription_stream(recipient)
        try:
            self._ledger.append([Pending(known.log_id, stream, known.version + 1, event)])
        except ConflictError:  # another process recorded something first: go on from there
            self._reread(recipient, known)
            return False
        known.version += 1
        known.after, known.since_ms = event.leaf_index, self._ledger.clock.now_ms()
        return True

    def _reread(self, recipient: str, known: _Open) -> None:
        row = Results(self._ledger, known.log_id).standing(recipient)
        if row is None or row["status"] != "open":
            self._drop(recipient)
            return
        last = row["last_leaf_index"]
        known.version = int(row["version"])
        known.after = known.after if last is None else max(known.after, int(last))
        known.fresh = True

    def _read(self, log_id: UUID) -> None:
        """Take up which subscriptions of a log are open. A log that can't be read has none."""
        try:
            opened = load_subscriptions(self._ledger, log_id).open
            found = Results(self._ledger, log_id) if opened else None
        except LedgerError:
            opened, found = {}, None
        for name, one in opened.items():
            row = None if found is None else found.standing(name)
            with self._lock:
                if row is not None and row["status"] == "open" and name not in self._open:
                    last = row["last_leaf_index"]
                    after = one.after if last is None else int(last)
                    since_ms = int(row["last_at_ms"] or row["opened_at_ms"])
                    origin = self._ledger.log(log_id).origin
                    self._open[name] = _Open(log_id, origin, one, after, int(row["version"]), since_ms)
        with self._lock:
            for name in [name for name, one in self._open.items() if one.log_id == log_id and name not in opened]:
                del self._open[name]

    def _freshen(self, log_id: UUID) -> None:
        with self._lock:
            for one in self._open.values():
                one.fresh = one.fresh or one.log_id == log_id

    def _find(self, recipient: str) -> _Open | None:
        with self._lock:
            return self._open.get(recipient)

    def _drop(self, recipient: str) -> None:
        with self._lock:
            self._open.pop(recipient, None)


def _cac_of(parcel: Recorded) -> str:
    event: Event = parcel.event
    return event.cac_id if isinstance(event, CacIssued | CacOverturned) else ""
