"""What is requested and not delivered, derived from the ledger's events; and the record that it was.

Invariants:
- The file (position in the feed, executions with open notices) is written whole, after what it names was looked at: a
  crash leaves an older one, from which the same is derived again. Without the file it is derived from the start.
- What is open is read from the execution's own stream each time: the file only says where to look.
- A notice is recorded as delivered at its stream's next version, after it was found open there: once, however many
  processes deliver, and whenever they are killed. Killed between the two, it is handed out again.
- The position carries the hash of the event that it stands at: after a restored backup it does not fit, and all is
  derived anew.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from domain.errors import ConflictError, ErasedError, MalformedError, UnavailableError
from domain.executions.events import NoticeDelivered, NoticeRequested
from domain.executions.notices import How, Notice, undelivered
from domain.identifiers import stream_of
from domain.message import Pending
from infrastructure.commands.loading import load_tenant
from infrastructure.keys.private_files import locked, make_private_directory, write_private
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed
from infrastructure.statements import jws

DIRECTORY = "notices"

_FILE = "outbox.json"
_LOCK = "outbox.lock"
_PAGE = 500
_ATTEMPTS = 16
_TOPIC = NoticeRequested.TOPIC


@dataclass(frozen=True, slots=True)
class Parcel:
    """A notice on its way, with the log that it is of, and how often it was tried."""

    log_id: UUID
    notice: Notice
    tries: int


@dataclass
class _Open:
    """An execution with notices that are open, as far as is known, and the tries of each recipient that failed."""

    log_id: UUID
    tries: dict[str, int] = field(default_factory=dict)


class Outbox:
    """The outbox of one data directory.

    Args:
        ledger: whose notices.
        directory: made (0700) when the first position is written.
    """

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self._ledger = ledger
        self._feed = Feed(ledger.datastore)
        self._directory = directory
        self._position, self._mark = 0, ""
        self._open: dict[UUID, _Open] = {}
        self._read()

    def catch_up(self) -> None:
        """Look at what was committed since, and keep the position."""
        last = self._feed.last_event()
        if last == self._position:
            return
        first = self._position + 1
        while first <= last:
            found = self._ledger.recorder.select_notifications(first, _PAGE, last, (_TOPIC,))
            for one in found:
                stream = UUID(str(one.originator_id))
                log_id = self._ledger.recorder.log_of_stream(stream)
                if log_id is not None:
                    self._open.setdefault(stream, _Open(log_id))
            first = last + 1 if len(found) < _PAGE else found[-1].id + 1
        self._position, self._mark = last, self._hash_at(last)
        self.save()

    def parcels(self) -> Iterator[Parcel]:
        """Yield what is open now. Executions of which nothing is, or which nobody can read any more, are let go."""
        for stream, known in list(self._open.items()):
            try:
                notices = undelivered(self._ledger.stream(known.log_id, stream))
            except ErasedError:
                notices = ()
            if not notices:
                del self._open[stream]
            for notice in notices:
                yield Parcel(known.log_id, notice, known.tries.get(notice.recipient, 0))

    def statement(self, parcel: Parcel) -> str:
        """Return the notice as its recipient gets it: signed by the tenant's attestation key.

        Raises:
            LedgerError: when the log's keys can't be used.
        """
        tenant = self._ledger.once("tenant identity", parcel.log_id, lambda: load_tenant(self._ledger, parcel.log_id))
        content = parcel.notice.statement(iss=tenant.did, origin=tenant.origin)
        return jws.sign(jws.ENDORSEMENT, self._ledger.keyring.get(parcel.log_id).attestation_key(), content)

    def failed(self, parcel: Parcel) -> None:
        """Count a try that failed. It is kept with the next `save`."""
        known = self._open.get(stream_of(parcel.notice.execution_id))
        if known is not None:
            known.tries[parcel.notice.recipient] = parcel.tries + 1

    def delivered(self, parcel: Parcel, how: How) -> bool:
        """Record that a notice reached its recipient; tell whether that was not recorded before.

        Raises:
            LedgerError: when the log can't be written. The notice stays open.
        """
        stream = stream_of(parcel.notice.execution_id)
        for _ in range(_ATTEMPTS):
            events = self._ledger.stream(parcel.log_id, stream)
            if parcel.notice.recipient not in {notice.recipient for notice in undelivered(events)}:
                return False
            event: NoticeDelivered = parcel.notice.delivered(how, parcel.tries + 1)
            try:
                self._ledger.append([Pending(parcel.log_id, stream, events[-1].version + 1, event)])
            except ConflictError:  # the execution's own events, or another deliverer, came first
                continue
            return True
        raise UnavailableError("the execution's stream keeps growing: the notice is handed out again")

    def save(self) -> None:
        """Write position and open executions, whole. Processes that race each write what is true by itself."""
        opened = {str(stream): [str(one.log_id), one.tries] for stream, one in self._open.items()}
        content = {"position": self._position, "mark": self._mark, "open": opened}
        make_private_directory(self._directory)
        with locked(self._directory / _LOCK):
            write_private(self._directory / _FILE, json.dumps(content).encode())

    def _read(self) -> None:
        try:
            content = json.loads((self._directory / _FILE).read_bytes())
            position, mark = int(content["position"]), str(content["mark"])
            opened = {UUID(stream): _Open(UUID(log), dict(tries)) for stream, (log, tries) in content["open"].items()}
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MalformedError(
                f"{self._directory / _FILE} is not of its form; without it, everything is derived from the start"
            ) from None
        if position <= self._feed.last_event() and mark == self._hash_at(position):
            self._position, self._mark, self._open = position, mark, opened

    def _hash_at(self, position: int) -> str:
        page = self._feed.page(position, 1) if position else []
        return page[0].leaf_hash.hex() if page else ""
