"""The ledger: load, decide elsewhere, save. One object per process over one database and one keyring.

Invariants:
- What `append` returns is durable. Everything of a command is stored in one transaction or not at all; commands of
  several threads share transactions (infrastructure.postgres.group), and a refused one fails alone.
- A command id with the same body returns the first answer; with another body it is refused.
- Recorded instants never fall within a process: a clock that steps back is clamped.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from domain.canonical import canonical, parse_canonical
from domain.errors import ConflictError, RefusedError, UnknownError
from domain.identifiers import PLATFORM_SLOT, origin
from domain.message import Pending, Recorded
from domain.payloads import StoredPayload
from domain.transparency.frontier import Frontier
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.ids import IdSource, free_slot
from infrastructure.keys.keyring import Keyring, LogKeys, LogKind
from infrastructure.keys.sealing import Sealer, payload_digest
from infrastructure.keys.wrapping import passphrase_from
from infrastructure.mapper import NOT_STORED, SealingMapper, placed
from infrastructure.postgres.batch import Batch, prepare
from infrastructure.postgres.connect import Database, open_database
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.group import GroupCommit
from infrastructure.postgres.recorder import LedgerRecorder
from infrastructure.postgres.records import Appended, CommandKnownError, CommandRecord, Guard, Log, Payload

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Command:
    """A command that may be repeated: who, its id, the digest of its body, and the answer that every repeat gets."""

    log_id: UUID
    issuer: str
    command_id: str
    body: bytes
    answer: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Attachment:
    """Bytes too large for an entry, for a stream; sealed under its key and stored under H(sealed bytes)."""

    log_id: UUID
    digest: bytes
    sealed: bytes
    plaintext_digest: bytes

    def reference(self) -> StoredPayload:
        """Return what an event says of it."""
        return StoredPayload(
            digest=self.digest.hex(), size_bytes=len(self.sealed), plaintext_digest=self.plaintext_digest.hex()
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """A command's answer; `recorded` is empty when it is a repeat of one that was carried out before."""

    answer: Mapping[str, Any]
    recorded: tuple[Recorded, ...]


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What a command will write: its events as sealed, and the batch that holds them."""

    unplaced: tuple[Recorded, ...]
    batch: Batch


class Ledger:
    """Events of all logs of one cell. Use `open_ledger`."""

    def __init__(self, database: Database, keyring: Keyring, *, clock: Clock, ids: IdSource, entropy: Entropy) -> None:
        self.clock = clock
        self.ids = ids
        self.entropy = entropy
        self.keyring = keyring
        self._database = database
        self._datastore = LedgerDatastore(database.conninfo)
        self.recorder = LedgerRecorder(self._datastore)
        self._group = GroupCommit(self.recorder)
        self.mapper = SealingMapper(self._sealer)
        self._sealers: dict[UUID, Sealer] = {}
        self._logs: dict[UUID, Log] = {}
        self._facts: dict[tuple[str, object], Any] = {}
        self._last_at_ms = 0
        self._lock = threading.Lock()

    def create_log(self, kind: LogKind, host: str) -> tuple[Log, LogKeys]:
        """Make an empty log: id, slot and keys. The keys are durable before the log exists."""
        slot = PLATFORM_SLOT
        if kind is not LogKind.PLATFORM:
            slot = free_slot(frozenset(log.slot for log in self.recorder.logs()), self.ids)
        log_id = self.ids.uuid(self.clock.now_ms())
        keys = self.keyring.create(log_id, kind)
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

    def append(
        self,
        pending: Sequence[Pending],
        *,
        command: Command | None = None,
        attachments: Sequence[Attachment] = (),
        epoch: int | None = None,
        claims: Sequence[Command] = (),
        guards: Sequence[Guard] = (),
    ) -> Answer:
        """Store a command's events, in one transaction.

        Args:
            pending: in the order in which each log shall hold them, with the versions that they expect.
            command: whose events they are; None for what nobody repeats.
            attachments: sealed payloads that the events name.
            epoch: the decider's number; None for what no decider decides.
            claims: names that are taken for ever in the same transaction.
            guards: streams that the decision rests on and that must not have moved on.

        Raises:
            ConflictError: when a stream moved on, a name is taken, or the command id came with another body.
            FencedError: when a newer decider is at work.
        """
        prepared = self._prepare(pending, command, attachments, claims, guards)
        return self._settled(prepared, command, self._group.submit(prepared.batch, epoch).result)

    async def append_async(
        self,
        pending: Sequence[Pending],
        *,
        command: Command | None = None,
        attachments: Sequence[Attachment] = (),
        claims: Sequence[Command] = (),
    ) -> Answer:
        """Do what `append` does without holding a thread while the commit is under way."""
        prepared = self._prepare(pending, command, attachments, claims)
        done = asyncio.wrap_future(self._group.submit(prepared.batch))
        await asyncio.wait([done])
        return self._settled(prepared, command, done.result)

    def _prepare(
        self,
        pending: Sequence[Pending],
        command: Command | None,
        attachments: Sequence[Attachment],
        claims: Sequence[Command],
        guards: Sequence[Guard] = (),
    ) -> _Prepared:
        """Stamp, seal and hash, before any lock is taken."""
        at_ms = self._instant()
        unplaced = tuple(
            Recorded(item.log_id, NOT_STORED, item.stream_id, item.version, at_ms, item.event, b"") for item in pending
        )
        stored = [self.mapper.to_stored_event(recorded) for recorded in unplaced]
        records = [_record(one) for one in (*([command] if command else []), *claims)]
        payloads = [Payload(item.log_id, item.digest, item.sealed) for item in attachments]
        return _Prepared(unplaced, prepare(stored, records, payloads, guards))

    def _settled(
        self, prepared: _Prepared, command: Command | None, outcome: Callable[[], Sequence[Appended]]
    ) -> Answer:
        try:
            places = outcome()
        except CommandKnownError as error:
            return _repeated(command, error)
        except IntegrityError:
            raise ConflictError("something else was recorded first; read again and repeat") from None
        recorded = tuple(
            placed(one, place.leaf_index, place.leaf_hash) for one, place in zip(prepared.unplaced, places, strict=True)
        )
        return Answer(command.answer if command else {}, recorded)

    def attach(self, log_id: UUID, stream_id: UUID, data: bytes) -> Attachment:
        """Seal bytes under a stream's key, for `append`."""
        sealed = self._sealer(log_id).seal_payload(stream_id, data)
        return Attachment(log_id, payload_digest(sealed), sealed, sha256(data).digest())

    def attached(self, log_id: UUID, stream_id: UUID, digest: str) -> bytes:
        """Return the bytes that were stored under a digest.

        Raises:
            UnknownError: when there are none.
        """
        sealed = self.recorder.find_payload(log_id, bytes.fromhex(digest))
        if sealed is None:
            raise UnknownError("no payload is stored under this digest")
        return self._sealer(log_id).open_payload(stream_id, sealed)

    def answered(self, command: Command) -> Mapping[str, Any] | None:
        """Return the answer of a command that was carried out before, or None.

        Raises:
            ConflictError: when its id came with another body.
        """
        known = self.recorder.find_command(command.log_id, command.issuer, command.command_id)
        if known is None:
            return None
        return _same_answer(command, known)

    def stream(self, log_id: UUID, stream_id: UUID) -> tuple[Recorded, ...]:
        """Return a stream's events, in order. Their leaf index is not looked up."""
        events = self.recorder.select_events(stream_id, log_id=log_id)
        return tuple(self.mapper.to_domain_event(stored) for stored in events)

    def history(self, log_id: UUID, *, first: int = 0, size: int | None = None) -> Iterator[Recorded]:
        """Yield a log's events in leaf order, from a leaf index up to a size (a count; None: what it holds now)."""
        end = self.head(log_id).size if size is None else size
        while first < end:
            page = self.recorder.entries(log_id, first, min(_PAGE, end - first))
            if not page:
                return
            for stored in page:
                yield self.mapper.opened(stored)
            first = page[-1].leaf_index + 1

    def at(self, log_id: UUID, leaf_index: int) -> Recorded:
        """Return one event by its place.

        Raises:
            UnknownError: when the log is not that long.
        """
        for recorded in self.history(log_id, first=leaf_index, size=leaf_index + 1):
            return recorded
        raise UnknownError("the log has no entry at that index")

    def once(self, kind: str, name: object, read: Callable[[], T]) -> T:
        """Return a fact that never changes once it is there: read at the first call, then remembered.

        Args:
            kind: what sort of fact it is.
            name: which one, within its kind.
            read: reads it; what it raises is not remembered.
        """
        if (kind, name) not in self._facts:
            self._facts[kind, name] = read()
            if len(self._facts) > _FACTS:
                self._facts.pop(next(iter(self._facts)))
        found: T = self._facts[kind, name]
        return found

    def head(self, log_id: UUID) -> Frontier:
        """Return a log's size and frontier."""
        return self.recorder.head(log_id)

    def close(self) -> None:
        """Leave the database."""
        self._group.close()
        self._datastore.close()
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def conninfo(self) -> str:
        """Return the connection string of the database. It may hold a password: never show it."""
        return self._database.conninfo

    @property
    def datastore(self) -> LedgerDatastore:
        """Return the connections of this process."""
        return self._datastore

    def _instant(self) -> int:
        with self._lock:
            self._last_at_ms = max(self._last_at_ms, self.clock.now_ms())
            return self._last_at_ms

    def _sealer(self, log_id: UUID) -> Sealer:
        """Return the one sealer of a log in this process: two would count their sealings apart."""
        with self._lock:
            sealer = self._sealers.get(log_id)
            if sealer is None:
                keys = self.keyring.get(log_id)
                size = self.recorder.head(log_id).size
                sealer = Sealer(self.log(log_id).origin, keys.data_key, self.entropy, sealed_before=size)
                self._sealers[log_id] = sealer
            return sealer


_PAGE = 1000
_FACTS = 4096


def open_ledger(data_dir: Path, environ: Mapping[str, str], *, clock: Clock, ids: IdSource, entropy: Entropy) -> Ledger:
    """Open the ledger of a data directory, starting its embedded database where no other is configured.

    Raises:
        LedgerError: when database or keyring can't be opened; the text says what to do.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    keyring = Keyring.open(data_dir / "keys", entropy, passphrase=passphrase_from(environ))
    return Ledger(open_database(data_dir, environ), keyring, clock=clock, ids=ids, entropy=entropy)


def _record(command: Command) -> CommandRecord:
    digest = sha256(command.body).digest()
    return CommandRecord(command.log_id, command.issuer, command.command_id, digest, canonical(dict(command.answer)))


def _repeated(command: Command | None, error: CommandKnownError) -> Answer:
    for known in error.known:
        if command and (known.log_id, known.issuer, known.command_id) == (
            command.log_id,
            command.issuer,
            command.command_id,
        ):
            return Answer(_same_answer(command, known), ())
    raise ConflictError("that name is taken already") from None


def _same_answer(command: Command, known: CommandRecord) -> Mapping[str, Any]:
    if known.digest != sha256(command.body).digest():
        raise ConflictError("this command id was used before with another body")
    answer: Mapping[str, Any] = parse_canonical(known.answer)
    return answer
