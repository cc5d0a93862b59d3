"""The logs of one cell as this process reads them: their names, keys and events.

Invariants:
- Before each request of a log its keys are looked at: what was rotated or destroyed elsewhere counts here too.
- Of a log whose data key was destroyed a stream can't be read (ErasedError); its history is `Sealed` from end to end.
- What never changes is read once (`once`); everything else is read when it is asked for.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from domain.errors import RefusedError, UnknownError
from domain.identifiers import PLATFORM_SLOT, erasure_stream, origin
from domain.message import Recorded
from domain.platform.events import KeyDestroyed
from domain.transparency.frontier import Frontier
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.ids import IdSource, free_slot
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.keyring import LogKeys, LogKind
from infrastructure.keys.port import KeyringPort
from infrastructure.keys.sealing import EntryRecord
from infrastructure.mapper import SealingMapper
from infrastructure.payloads import Payloads
from infrastructure.postgres.connect import Database
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Log, LoggedEvent, StoredEntry
from infrastructure.postgres.tenant import TenantReader
from infrastructure.recent import Recent
from infrastructure.sealers import Sealers
from infrastructure.streams import StreamKey, Streams

T = TypeVar("T")

_PAGE = 1000
_NEWEST = 8
_FACTS = 4096
_MOST_KEPT_BYTES = 8192
"""Longer events that this process stores itself are read when they are needed: they would fill its memory."""


class Logbook:
    """Reads of all logs of one cell. `data_dir` is where its logs are published; None: they can't be."""

    def __init__(
        self,
        database: Database,
        keyring: KeyringPort,
        *,
        clock: Clock,
        ids: IdSource,
        entropy: Entropy,
        data_dir: Path | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.clock = clock
        self.ids = ids
        self.entropy = entropy
        self.keyring = keyring
        self._database = database
        self._datastore = LedgerDatastore(database.conninfo, database.tenant_conninfo)
        self.recorder = LedgerRecorder(self._datastore)
        self.sealers = Sealers(
            keyring, entropy, self.recorder, is_destroyed=self._destruction_is_recorded, forget=self._forget
        )
        self.mapper = SealingMapper(self.sealers)
        self._streams = Streams(self.recorder, self.mapper.to_domain_event)
        self._payloads = Payloads()
        self._recent = Recent()
        self._datastore.on_connect = self.forget_reads
        self._logs: dict[UUID, Log] = {}
        self._facts: dict[tuple[str, object], Any] = {}  # replaced whole when all is forgotten
        self._lock = threading.Lock()

    def create_log(self, kind: LogKind, host: str, *, own_custody: bool = False) -> tuple[Log, LogKeys]:
        """Make an empty log: id, slot and keys. The keys are durable before the log exists.

        With `own_custody` a tenant's keyring has no release and no output key: the tenant holds them.
        """
        slot = PLATFORM_SLOT
        if kind is not LogKind.PLATFORM:
            slot = free_slot(frozenset(log.slot for log in self.recorder.logs()), self.ids)
        log_id = self.ids.uuid(self.clock.now_ms())
        keys = self.keyring.create(log_id, kind, own_custody=own_custody)
        log = self.recorder.create_log(log_id, slot, origin(host, slot))
        self._logs[log_id] = log
        return log, keys

    def logs(self) -> tuple[Log, ...]:
        """Return all logs, by slot."""
        found = tuple(self.recorder.logs())
        self._logs.update({log.log_id: log for log in found})
        return found

    def log(self, log_id: UUID) -> Log:
        """Return one log.

        Raises:
            UnknownError: when there is none.
        """
        if log_id not in self._logs:
            self._logs[log_id] = self.recorder.log(log_id)
        return self._logs[log_id]

    def platform(self) -> Log:
        """Return the platform log.

        Raises:
            RefusedError: before genesis.
        """
        for known in (self._logs.values, self.logs):  # a log's slot never changes: ask the database at most once
            for log in known():
                if log.slot == PLATFORM_SLOT:
                    return log
        raise RefusedError("this ledger has no genesis yet; run `enclave-ledger init` first")

    def erased(self, log_id: UUID) -> bool:
        """Tell whether a log's data keys were destroyed.

        Raises:
            UnknownError: when its keys are missing, though nothing says that they were destroyed.
        """
        self.sealers.check((log_id,))
        return self.sealers.of(log_id) is None

    def at_rest(self, log_id: UUID) -> AtRest:
        """Return what seals a log's read models and answers in the database.

        Raises:
            ErasedError: when the log's data keys were destroyed.
        """
        self.sealers.check((log_id,))
        return self.sealers.readable(log_id).at_rest

    def keys(self, log_id: UUID) -> LogKeys:
        """Return a log's keys, which were opened once and are looked at again when they change.

        Raises:
            ErasedError: when the log's data keys were destroyed.
        """
        self.sealers.check((log_id,))
        return self.sealers.keys(log_id)

    def attached(self, log_id: UUID, stream_id: UUID, digest: str) -> bytes:
        """Return the bytes that were stored under a digest.

        Raises:
            UnknownError: when there are none.
            ErasedError: when the log's data keys were destroyed.
        """
        sealed = self._payloads.get(log_id, digest) or self.recorder.find_payload(log_id, bytes.fromhex(digest))
        if sealed is None:
            raise UnknownError("no payload is stored under this digest")
        self.sealers.check((log_id,))
        return self.sealers.readable(log_id).open_payload(stream_id, sealed)

    def stream(self, log_id: UUID, stream_id: UUID) -> tuple[Recorded, ...]:
        """Return a stream's events, in order, with their places in the log.

        Raises:
            ErasedError: when the log's data keys were destroyed.
        """
        (found,) = self.streams([(log_id, stream_id)])
        return found

    def streams(self, wanted: Sequence[StreamKey], *, known: bool = False) -> list[tuple[Recorded, ...]]:
        """Return several streams, each given as log and stream, as they stood at one instant.

        With `known` those are given as this process knows them, unasked, of which it knows anything: see Streams.

        Raises:
            ErasedError: when the data key of one of the logs was destroyed.
        """
        logs = dict.fromkeys(log_id for log_id, _ in wanted)
        self.sealers.check(logs)
        for log_id in logs:
            self.sealers.readable(log_id)
        if known:
            with self._datastore.get_connection():  # alive; or new, after a restore, and then all is forgotten
                pass
        return self._streams.read(wanted, known=known)

    def folded(self, stream: tuple[Recorded, ...], fold: Callable[[Sequence[Recorded]], T]) -> T:
        """Return what a stream that `streams` gave folds to; folded once as long as it doesn't grow."""
        return self._streams.folded(stream, fold)

    def forget_reads(self) -> None:
        """Let go of all that was read: a connection is new, and a backup may have been restored meanwhile."""
        self._streams.forget()
        self._payloads.forget()
        self._recent.forget()
        self._facts = {}

    def _stored(self, events: Iterable[LoggedEvent], recorded: Sequence[Recorded], epoch: int) -> None:
        """Take up what this process has stored itself: nobody here reads or opens it again.

        Args:
            events: as they were sealed.
            recorded: the same, opened, with their places.
            epoch: `Streams.epoch` when they were sealed; what was let go of since is not taken up.
        """
        recent = self._recent.epoch
        short = [both for both in zip(events, recorded, strict=True) if len(both[0].state) <= _MOST_KEPT_BYTES]
        if not self._streams.follow([one for _, one in short], epoch):
            return
        for event, one in short:
            self.mapper.remember(event, one)
        self._recent.put([one for _, one in short], recent)

    def first(self, log_id: UUID, stream_id: UUID) -> Recorded | None:
        """Return a stream's first event, or None. Raises as `stream` does."""
        self.sealers.check((log_id,))
        self.sealers.readable(log_id)
        page = self.recorder.select_events(stream_id, log_id=log_id, limit=1)
        return self.mapper.to_domain_event(page[0]) if page else None

    def newest(self, log_id: UUID, stream_id: UUID) -> Iterator[Recorded]:
        """Yield a stream's events, the newest first, as far as they are asked for. Raises as `stream` does."""
        self.sealers.check((log_id,))
        self.sealers.readable(log_id)
        last: int | None = None
        while last is None or last >= 0:
            page = self.recorder.select_events(stream_id, log_id=log_id, desc=True, limit=_NEWEST, lte=last)
            if not page:
                return
            for stored in page:
                yield self.mapper.to_domain_event(stored)
            last = page[-1].originator_version - 1

    def history(self, log_id: UUID, *, first: int = 0, size: int | None = None) -> Iterator[Recorded]:
        """Yield a log's events in leaf order, from a leaf index up to a size (a count; None: what it holds now)."""
        end = self.head(log_id).size if size is None else size
        while first < end:
            page = self.recorder.entries(log_id, first, min(_PAGE, end - first))
            if not page:
                return
            yield from self.opened(page)
            first = page[-1].leaf_index + 1

    def newly(self, log_id: UUID, first: int, size: int) -> Iterator[Recorded]:
        """Yield what `history` does, for followers: what this process has stored or read a moment ago is not read."""
        while first < size:
            self.sealers.check((log_id,))
            found = self._recent.run(log_id, first, size)
            if not found:
                break
            yield from found
            first += len(found)
        epoch, read = self._recent.epoch, []
        try:
            for recorded in self.history(log_id, first=first, size=size):
                read.append(recorded)
                yield recorded
        finally:
            self._recent.put(read, epoch)

    def opened(self, page: Iterable[StoredEntry]) -> Iterator[Recorded]:
        """Yield entries opened, each log's with its keys as they are now. One that doesn't open raises in its turn."""
        checked: set[UUID] = set()
        for stored in page:
            if stored.log_id not in checked:
                self.sealers.check((stored.log_id,))
                checked.add(stored.log_id)
            yield self.mapper.opened(stored)

    def at(self, log_id: UUID, leaf_index: int) -> Recorded:
        """Return one event by its place.

        Raises:
            UnknownError: when the log is not that long.
        """
        for recorded in self.history(log_id, first=leaf_index, size=leaf_index + 1):
            return recorded
        raise UnknownError("the log has no entry at that index")

    def at_all(self, log_id: UUID, leaf_indices: Sequence[int]) -> list[Recorded]:
        """Return events by their places, in order: one question for all.

        Raises:
            UnknownError: when the log has no entry at one of them.
        """
        return list(self.opened(self.recorder.entries_at(log_id, leaf_indices)))

    def read_entry(self, log_id: UUID, entry: bytes) -> EntryRecord:
        """Open an entry that is not stored, such as one from a published directory. Raises as `Sealer.read` does."""
        self.sealers.check((log_id,))
        return self.sealers.readable(log_id).read(entry)

    def once(self, kind: str, name: object, read: Callable[[], T]) -> T:
        """Return a fact that never changes once it is there: read at the first call, then remembered.

        Args:
            kind: what sort of fact it is.
            name: which one, within its kind.
            read: reads it; what it raises is not remembered.
        """
        facts = self._facts  # what is read while all is forgotten goes with those
        found: T | None = facts.get((kind, name))
        if found is None:
            found = facts[kind, name] = read()
            if len(facts) > _FACTS:
                facts.pop(next(iter(facts)), None)
        return found

    def as_tenant(self, log_id: UUID) -> TenantReader:
        """Return reads that see this tenant's rows only, whatever they are asked for."""
        return TenantReader(self._datastore, log_id)

    def head(self, log_id: UUID) -> Frontier:
        """Return a log's size and frontier."""
        return self.recorder.head(log_id)

    @property
    def conninfo(self) -> str:
        """Return the connection string of the database. It may hold a password: never show it."""
        return self._database.conninfo

    @property
    def datastore(self) -> LedgerDatastore:
        """Return the connections of this process."""
        return self._datastore

    def _destruction_is_recorded(self, log: Log) -> bool:
        """Tell whether the platform log says that a log's data keys were destroyed."""
        platform = next((one for one in self.logs() if one.slot == PLATFORM_SLOT), None)
        if platform is None:  # this log is being made, and the platform's after it
            return False
        found = self.recorder.select_events(erasure_stream(log.slot), log_id=platform.log_id)
        events = (self.mapper.to_domain_event(stored).event for stored in found)
        return any(isinstance(event, KeyDestroyed) and event.slot == log.slot for event in events)

    def _forget(self, log_id: UUID) -> None:
        self.mapper.forget(log_id)
        self._streams.forget(log_id)
        self._payloads.forget()
        self._recent.forget()
        self._facts = {}
