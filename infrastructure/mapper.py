"""The eventsourcing mapper of the ledger: events to sealed entries and back.

Invariants:
- The sealed entry is `stored_events.state`: made once here, never re-serialised.
- An entry is opened once and remembered by bytes and columns (the newest few thousand): it can't change.
- Of a log whose data key was destroyed everything is `Sealed`: whoever folds goes on. Nothing is sealed for it again.
- An entry of a generation that isn't held yet has the keys read again, once.
- Opening compares log, stream, version and topic with the database's columns; only then is the topic looked up, in the
  closed registry. The library's default imports whatever module a topic names, before anything is checked.
"""

from collections import OrderedDict
from typing import Any
from uuid import UUID

from eventsourcing.persistence import JSONTranscoder, Mapper, StoredEvent

import domain.registry  # noqa: F401 - fills the registry
from domain.errors import VerificationError
from domain.message import Pending, Recorded, Sealed, event_from
from domain.transparency.hashing import leaf_hash
from infrastructure.keys.generations import LogSealer, UnknownGenerationError
from infrastructure.keys.plaintext import EntryRecord, encode_members
from infrastructure.postgres.records import LoggedEvent, StoredEntry
from infrastructure.sealers import Sealers

NOT_STORED = -1
"""Leaf index of an event that is not stored yet."""

_REMEMBERED = 4096
_SEALED = Sealed()

_Key = tuple[UUID, UUID, int, str, bytes]


class SealingMapper(Mapper[UUID]):
    """Seals events under the key of their log.

    Args:
        sealers: give the sealer of a log.
    """

    def __init__(self, sealers: Sealers) -> None:
        super().__init__(JSONTranscoder())
        self._sealers = sealers
        self._opened: OrderedDict[_Key, Recorded] = OrderedDict()

    def to_stored_event(self, domain_event: Any) -> LoggedEvent:
        """Seal a `Recorded` event into its entry.

        Raises:
            MalformedError: when the entry would be longer than 65,535 bytes or a value has no canonical form.
            ErasedError: when the log's data key was destroyed.
        """
        recorded: Recorded = domain_event
        pending = Pending(recorded.log_id, recorded.stream_id, recorded.version, recorded.event)
        return self.seal(pending, recorded.at_ms)

    def seal(self, pending: Pending, at_ms: int) -> LoggedEvent:
        """Seal an event that is recorded at an instant. Raises as `to_stored_event` does."""
        stream_id, version, topic = pending.stream_id, pending.version, pending.event.TOPIC
        plaintext = encode_members(stream_id, version, topic, at_ms, pending.event.payload())
        entry = self._sealers.readable(pending.log_id).seal(stream_id, plaintext)
        return LoggedEvent(stream_id, version, topic, entry, pending.log_id)

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """Open an entry that the library handed over. Its leaf index is not among its columns.

        Raises:
            VerificationError: when it is not what its columns say, or was changed.
        """
        if not isinstance(stored_event, LoggedEvent):
            raise VerificationError("a stored event names no log")
        stream_id = stored_event.originator_id
        if not isinstance(stream_id, UUID):
            raise VerificationError("a stored event's stream is no UUID")
        found = self._open(
            stored_event.log_id, stream_id, stored_event.originator_version, stored_event.topic, stored_event.state
        )
        return placed(found, NOT_STORED, leaf_hash(stored_event.state))

    def opened(self, stored: StoredEntry) -> Recorded:
        """Open a stored entry with its place in the log. Raises as `to_domain_event` does."""
        found = self._open(stored.log_id, stored.stream_id, stored.version, stored.topic, stored.entry)
        return placed(found, stored.leaf_index, stored.leaf_hash)

    def remember(self, stored: LoggedEvent, recorded: Recorded) -> None:
        """Know what a sealed event holds that this process has sealed and stored itself."""
        key = recorded.log_id, recorded.stream_id, recorded.version, stored.topic, stored.state
        self._keep(key, placed(recorded, NOT_STORED, b""))

    def forget(self, log_id: UUID) -> None:
        """Let go of what was opened of a log."""
        for known in list(self._opened):  # a copy: other threads go on opening
            if known[0] == log_id:
                self._opened.pop(known, None)

    def _open(self, log_id: UUID, stream_id: UUID, version: int, topic: str, entry: bytes) -> Recorded:
        sealer = self._sealers.of(log_id)
        if sealer is None:
            return Recorded(log_id, NOT_STORED, stream_id, version, 0, _SEALED, b"")
        known = self._opened.get((log_id, stream_id, version, topic, entry))
        if known is not None:
            return known
        record = self._read(sealer, log_id, entry)
        if (record.stream_id, record.version, record.topic) != (stream_id, version, topic):
            raise VerificationError("the database's columns are not what the sealed entry says")
        event = event_from(record.topic, record.event)
        found = Recorded(log_id, NOT_STORED, stream_id, version, record.at_ms, event, b"")
        self._keep((log_id, stream_id, version, topic, entry), found)
        return found

    def _keep(self, key: _Key, found: Recorded) -> None:
        self._opened[key] = found
        if len(self._opened) > _REMEMBERED:
            self._opened.popitem(last=False)

    def _read(self, sealer: LogSealer, log_id: UUID, entry: bytes) -> EntryRecord:
        try:
            return sealer.read(entry)
        except UnknownGenerationError:
            self._sealers.renew(log_id)
            return self._sealers.readable(log_id).read(entry)


def placed(recorded: Recorded, leaf_index: int, leaf_hash: bytes) -> Recorded:
    """Return an event with its place."""
    return Recorded(
        recorded.log_id, leaf_index, recorded.stream_id, recorded.version, recorded.at_ms, recorded.event, leaf_hash
    )
