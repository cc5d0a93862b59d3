"""What is requested and not delivered, derived from the ledger's events; and the record that it was.

Invariants:
- What is open follows from the feed: a request opens, a record of delivery closes. The file (notices.journal) saves
  looking again: a lost or older one costs reading, nothing else.
- A look at the feed is bounded; so is what is read of streams: those that the feed names, and those that are tried.
- A notice is recorded as delivered at its stream's next version, after it was found open there: once, however many
  processes deliver, and whenever they are killed. Killed between the two, it is handed out again.
- The position carries the hash of the event that it stands at: after a restored backup it does not fit, and all is
  derived anew.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final
from uuid import UUID

from domain.errors import ConflictError, ErasedError, UnavailableError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.executions.notices import How, Notice, undelivered
from domain.identifiers import stream_of
from domain.message import Pending
from infrastructure.commands.loading import load_tenant
from infrastructure.ledger import Ledger
from infrastructure.notices.journal import Open, OutboxJournal
from infrastructure.postgres.feed import Feed
from infrastructure.statements import jws

DIRECTORY = "notices"

PAGE: Final = 500
"""So many events of notices are looked at in one look."""
WINDOW: Final = 100_000
"""So many positions of the feed are searched for them in one look."""

_ATTEMPTS = 16
_TOPICS = (NoticeRequested.TOPIC, NoticeDelivered.TOPIC)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A notice on its way, with the log that it is of, and how often it was tried."""

    log_id: UUID
    notice: Notice
    tries: int


class Outbox:
    """The outbox of one data directory.

    Args:
        ledger: whose notices.
        directory: made (0700) when the first position is written.
    """

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self._journal = OutboxJournal(directory)
        self._position, self._mark = 0, ""
        self._open: dict[UUID, Open] = {}
        self._queues: dict[str, dict[UUID, None]] = {}
        self._changed: dict[UUID, Open] = {}
        self._read()

    def look(self) -> bool:
        """Look at some of what was committed since, and keep the position. Tells whether there is more."""
        last = self._feed.last_event()
        if last == self._position:
            return False
        first, stop = self._position + 1, min(last, self._position + WINDOW)
        found = self._ledger.recorder.select_notifications(first, PAGE, stop, _TOPICS)
        streams = {UUID(str(one.originator_id)): None for one in found if one.topic == NoticeRequested.TOPIC}
        named = (UUID(str(one.originator_id)) for one in found)
        for stream in streams | {one: None for one in named if one in self._open}:
            self._look_at(stream)
        self._position = stop if len(found) < PAGE else found[-1].id
        self._mark = self._hash_at(self._position)
        self.save()
        return self._position < last

    def catch_up(self) -> None:
        """Look at everything that was committed since."""
        while self.look():
            pass

    def waiting(self, recipient: str, most: int) -> list[UUID]:
        """Return executions of which a recipient is to be told, at most so many, who waited longest first."""
        return list(islice(self._queues.get(recipient, ()), most))

    def waits(self, recipients: Collection[str]) -> bool:
        """Tell whether anything is open for one of these recipients."""
        return any(self._queues.get(name) for name in recipients)

    def parcel(self, stream: UUID, recipient: str) -> Parcel | None:
        """Return what is open for a recipient of an execution; None, and it is let go, where nothing is any more."""
        return next(iter(self.parcels_of(stream, recipient)), None)

    def parcels_of(self, stream: UUID, recipient: str) -> list[Parcel]:
        """Return all that is open for a recipient of an execution; nothing, and it is let go, where nothing is."""
        mine = [notice for notice in self._look_at(stream) if notice.recipient == recipient]
        known = self._open.get(stream)
        return [] if known is None else [Parcel(known.log_id, notice, known.to[recipient]) for notice in mine]

    def parcels(self) -> Iterator[Parcel]:
        """Yield all that is open now. Executions of which nothing is, or which nobody can read any more, are let go."""
        for stream in list(self._open):
            for notice in self._look_at(stream):
                known = self._open[stream]
                yield Parcel(known.log_id, notice, known.to[notice.recipient])

    def statement(self, parcel: Parcel) -> str:
        """Return the notice as its recipient gets it: signed by the tenant's attestation key.

        Raises:
            LedgerError: when the log's keys can't be used.
        """
        tenant = self._ledger.once("tenant identity", parcel.log_id, lambda: load_tenant(self._ledger, parcel.log_id))
        content = parcel.notice.statement(iss=tenant.did, origin=tenant.origin)
        return jws.sign(jws.ENDORSEMENT, self._ledger.keyring.get(parcel.log_id).attestation_key(), content)

    def failed(self, parcel: Parcel) -> None:
        """Count a try that failed; others come first now. It is kept with the next `save`."""
        stream, recipient = stream_of(parcel.notice.execution_id), parcel.notice.recipient
        known = self._open.get(stream)
        if known is not None and recipient in known.to:
            self._put(stream, Open(known.log_id, {**known.to, recipient: parcel.tries + 1}))
            self._queues[recipient].pop(stream, None)
            self._queues[recipient][stream] = None

    def delivered(self, parcel: Parcel, how: How) -> bool:
        """Record that a notice reached its recipient; tell whether that was not recorded before.

        Raises:
            LedgerError: when the log can't be written. The notice stays open.
        """
        stream, recipient = stream_of(parcel.notice.execution_id), parcel.notice.recipient
        for _ in range(_ATTEMPTS):
            events = self._ledger.stream(parcel.log_id, stream)
            left = {notice.name: notice for notice in undelivered(events)}
            known = left.pop(parcel.notice.name, None)
            more = any(notice.recipient == recipient for notice in left.values())
            if known is None:
                self._settled(stream, recipient, more=more)
                return False
            event: NoticeDelivered = parcel.notice.delivered(how, parcel.tries + 1)
            try:
                self._ledger.append([Pending(parcel.log_id, stream, events[-1].version + 1, event)])
            except ConflictError:  # the execution's own events, or another deliverer, came first
                continue
            self._settled(stream, recipient, more=more)
            return True
        raise UnavailableError("the execution's stream keeps growing: the notice is handed out again")

    def save(self) -> None:
        """Write down what has changed. Processes that race each write what is true by itself."""
        self._journal.add(self._changed.items(), self._position, self._mark, lambda: self._open)
        self._changed.clear()

    def _look_at(self, stream: UUID) -> tuple[Notice, ...]:
        """Read what is open in a stream, and return it."""
        known = self._open.get(stream)
        log_id = known.log_id if known is not None else self._ledger.recorder.log_of_stream(stream)
        if log_id is None:
            return ()
        try:
            notices = undelivered(self._ledger.stream(log_id, stream))
        except ErasedError:
            notices = ()
        tried = {} if known is None else known.to
        to = {notice.recipient: tried.get(notice.recipient, 0) for notice in notices}
        if to != tried:
            self._put(stream, Open(log_id, to))
        return notices

    def _settled(self, stream: UUID, recipient: str, *, more: bool) -> None:
        """Close a recipient's notice of a stream; where it has more there, they are tried from the first."""
        known = self._open.get(stream)
        if known is not None and recipient in known.to:
            others = {name: n for name, n in known.to.items() if name != recipient}
            self._put(stream, Open(known.log_id, {**others, recipient: 0} if more else others))

    def _put(self, stream: UUID, one: Open) -> None:
        before = self._open.pop(stream, None)
        for recipient in () if before is None else before.to.keys() - one.to.keys():
            del self._queues[recipient][stream]
            if not self._queues[recipient]:
                del self._queues[recipient]
        if one.to:
            self._open[stream] = one
        for recipient in one.to:
            self._queues.setdefault(recipient, {}).setdefault(stream)
        self._changed[stream] = one

    def _read(self) -> None:
        position, mark, opened = self._journal.read()
        if position <= self._feed.last_event() and mark == self._hash_at(position):
            self._position, self._mark = position, mark
            for stream, one in opened.items():
                self._put(stream, one)
            self._changed.clear()

    def _hash_at(self, position: int) -> str:
        page = self._feed.page(position, 1) if position else []
        return page[0].leaf_hash.hex() if page else ""
