"""The recorder: events, leaves, heads, commands, payloads and feed in one transaction, or nothing.

Invariants:
- The order of locks is the same everywhere: the decider's epoch, heads by log id, the feed's counter. So appends to
  different logs run side by side until the counter, which is held for the length of one commit, and none wait in a
  ring.
- Leaf indices are dense per log; feed positions and notification ids are dense over all logs, in order of commit.
- A refused batch has written nothing: a version that is taken (the library's IntegrityError), a known command
  (CommandKnownError), a newer decider (FencedError), an unknown log (UnknownError), a frozen one (FrozenLogError).
- A connection lost in a commit leaves open whether it happened. Entries are sealed with fresh randomness, so a stored
  event with our leaf hash is our own: we look, and write again only what is not there.
- The library's `insert_events` is never called: it commits what it failed to complete.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    Notification,
    PersistenceError,
    StoredEvent,
    Subscription,
)
from eventsourcing.postgres import PostgresApplicationRecorder
from psycopg import Connection
from psycopg.rows import DictRow, tuple_row
from psycopg_pool import PoolTimeout

from domain.errors import ConflictError, ErasedError, UnavailableError, UnknownError
from domain.transparency.frontier import Frontier
from infrastructure.postgres.batch import Batch, Placement, prepare, stream_of
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.pipelined import Pipeline, Statements, bigint
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated
from infrastructure.postgres.records import (
    Appended,
    CommandKnownError,
    CommandRecord,
    FencedError,
    FrozenLogError,
    Log,
    LoggedEvent,
    MovedOnError,
    Payload,
)

_APPEND = load("append.sql")
_STATEMENTS = Statements("append.sql")
_ATTEMPTS = 5
_PAUSE_S = 0.2
_LAST = 2**63 - 1
_FALSE = b"\0"
_PASSING = ("08", "57P", "40")
"""Classes of SQLSTATE: connection lost, server going down or coming up, transaction rolled back for others' sake."""

Meanwhile = Callable[[Mapping[UUID, int]], object]


def nothing(_: Mapping[UUID, int]) -> None:
    """Do nothing meanwhile."""


class LedgerRecorder(Reader, PostgresApplicationRecorder):
    """The library's application recorder over the ledger's schema, and the append that the rest of the program uses.

    Args:
        datastore: connections to a migrated database.
    """

    datastore: LedgerDatastore

    def __init__(self, datastore: LedgerDatastore) -> None:
        PostgresApplicationRecorder.__init__(self, datastore)
        self.sql_create_statements.clear()

    def create_log(self, log_id: UUID, slot: int, origin: str) -> Log:
        """Make a log, empty. Making the same one again does nothing.

        Raises:
            ConflictError: when the id, the slot or the origin belongs to another log.
        """
        with translated(), self.datastore.appends.get_connection() as connection:
            connection.execute(_APPEND["create_log"], {"log_id": log_id, "slot": slot, "origin": origin})
        log = Log(log_id, slot, origin)
        if self.fetch("log", log_id=log_id) != [(log_id, slot, origin)]:
            raise ConflictError("the id, the slot or the origin of this log belongs to another log")
        return log

    def take_epoch(self) -> int:
        """Return the number of a new decider; batches with an older number fail from now on."""
        with translated(), self.datastore.get_connection() as connection:
            row = connection.cursor(row_factory=tuple_row).execute(_APPEND["take_epoch"]).fetchone()
            assert row is not None  # noqa: S101 - the table has one row, which cannot be removed
            return int(row[0])

    def append(
        self,
        events: Sequence[StoredEvent],
        *,
        commands: Sequence[CommandRecord] = (),
        payloads: Sequence[Payload] = (),
        epoch: int | None = None,
    ) -> list[Appended]:
        """Write a batch, durably, in one transaction.

        Args:
            events: of any logs, in the order in which each log shall hold them.
            commands: that these events answer, with the answers.
            payloads: that these events name.
            epoch: the number of the decider that decided them; None for what no decider decides.

        Returns:
            Each event's place, in the order of `events`.

        Raises:
            IntegrityError: when a stream has an event of that version already (the library's own error).
            CommandKnownError: when a command was carried out before.
            FencedError: when a newer decider has taken over.
            UnknownError: when a log does not exist.
            FrozenLogError: when a log is frozen.
            ErasedError: when one is closed, because its data keys are destroyed.
            UnavailableError: when the database does not answer; the same batch may be given again.
        """
        return self.commit(prepare(events, commands, payloads), epoch)

    def commit(self, batch: Batch, epoch: int | None = None, meanwhile: Meanwhile = nothing) -> list[Appended]:
        """Write a prepared batch. Returns and raises as `append` does.

        Args:
            batch: what to write.
            epoch: the decider's number.
            meanwhile: work for while the database writes, called with the first leaf index in each log. What
                it made is good if this returns; the last call has the indices at which the batch is stored.
        """
        if batch.empty:
            return []
        for attempt in range(_ATTEMPTS):
            try:
                return self._write(batch, epoch, meanwhile)
            except (IntegrityError, ConflictError, FrozenLogError, ErasedError):
                mine = self._read_back(batch) if attempt else None
                if mine is None:
                    raise
                meanwhile({part.log_id: mine[part.places[0]].leaf_index for part in batch.parts})
                return mine
            except PersistenceError as error:
                if not _worth_repeating(error) or attempt == _ATTEMPTS - 1:
                    with translated():
                        raise
                time.sleep(_PAUSE_S * attempt)
                self.datastore.check()  # the others are likely lost as well
        raise UnavailableError("unreachable")

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int]:
        """Append, as the library asks for it. Keyword arguments are those of `append`; return the notification ids."""
        known = {name: kwargs[name] for name in ("commands", "payloads", "epoch") if name in kwargs}
        return [one.notification_id for one in self.append(stored_events, **known)]

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
        log_id: UUID | None = None,
    ) -> list[StoredEvent]:
        """Return a stream's events: versions above `gt`, up to `lte`; at most `limit`. Quicker where the log is named.

        Raises:
            ConflictError: when no log is named and two have a stream of this id.
        """
        stream_id = originator_id if isinstance(originator_id, UUID) else UUID(originator_id)
        log_id = self.log_of_stream(stream_id) if log_id is None else log_id
        if log_id is None:
            return []
        rows = self.fetch(
            "stream_descending" if desc else "stream_ascending",
            log_id=log_id, stream_id=stream_id, limit=_LAST if limit is None else limit,
            after=-_LAST if gt is None else gt, last=_LAST if lte is None else lte,
        )  # fmt: skip
        return [LoggedEvent(stream_id, version, topic, bytes(state), log_id) for version, topic, state in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> list[Notification]:
        """Return events of all logs in the order of their commits, from notification id `start` to `stop`."""
        first = 1 if start is None else start + (not inclusive_of_start)
        last = _LAST if stop is None else stop
        rows = self.fetch("notifications", first=first, last=last, limit=limit, topics=list(topics) or None)
        return [
            Notification(stream, version, topic, bytes(state), number) for number, stream, version, topic, state in rows
        ]

    def max_notification_id(self) -> int | None:
        """Return the last notification id, or None before the first event."""
        return int(self.fetch("last_notification")[0][0]) or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Return the library's subscription, listening to the feed's channel."""
        self.channel_name = self.channel()
        return super().subscribe(gt, topics)

    def _write(self, batch: Batch, epoch: int | None, meanwhile: Meanwhile) -> list[Appended]:
        try:
            with self.datastore.appends.get_connection() as connection:
                return _transaction(connection, batch, epoch, meanwhile)
        except IntegrityError as error:
            cause = error.__cause__
            constraint = cause.diag.constraint_name if isinstance(cause, psycopg.Error) else None
            if constraint == "commands_pkey":
                raise CommandKnownError(self._known(batch)) from None
            raise IntegrityError("a stream of this batch has moved on: that version is taken") from None

    def _known(self, batch: Batch) -> tuple[CommandRecord, ...]:
        found = (self.find_command(one.log_id, one.issuer, one.command_id) for one in batch.commands)
        return tuple(one for one in found if one is not None)

    def _read_back(self, batch: Batch) -> list[Appended] | None:
        """Return the places of a batch that an earlier attempt of ours has stored whole; None if it has not."""
        if self._known(batch) != batch.commands:
            return None
        rows = {row[:3]: row[3:] for row in self.fetch("stored_as", **batch.key_columns())} if batch.events else {}
        if len(rows) < len(batch.events):
            return None
        found: dict[int, Appended] = {}
        for part in batch.parts:
            for place, digest in zip(part.places, part.leaf_hashes, strict=True):
                event = batch.events[place]
                index, notification_id, size = rows[part.log_id, stream_of(event), event.originator_version]
                found[place] = Appended(part.log_id, index, digest, size, notification_id)
        return [found[place] for place in range(len(found))]


def _transaction(
    connection: Connection[DictRow], batch: Batch, epoch: int | None, meanwhile: Meanwhile
) -> list[Appended]:
    """Write a batch in two round trips. An error anywhere leaves the transaction open; the pool rolls it back."""
    with Pipeline(connection, _STATEMENTS) as pipeline:
        placement = _lock(pipeline, batch, epoch)
        _insert(pipeline, placement)
        pipeline.send("notify")
        pipeline.send("commit")
        _send(pipeline)
        failed = _failure(meanwhile, placement.firsts())
        *_, fed, _, _ = pipeline.answers()
    # The pipeline has ended without an error: the commit is on disk.
    if failed is not None:
        raise UnavailableError("it is stored, and could not be acknowledged: ask again") from failed
    return placement.appended(min(bigint(first) for (first,) in fed)) if batch.events else []


def _failure(meanwhile: Meanwhile, firsts: Mapping[UUID, int]) -> Exception | None:
    """Do the work for meanwhile; return what it raised: that must not hide whether the batch was stored."""
    try:
        meanwhile(firsts)
    except Exception as error:  # noqa: BLE001 - raised once the commit is known
        return error
    return None


def _lock(pipeline: Pipeline, batch: Batch, epoch: int | None) -> Placement:
    """Begin, check the decider's number, lock the heads and read them."""
    pipeline.send("begin")
    if epoch is not None:
        pipeline.send("share_epoch")
    pipeline.send("lock_heads", {"log_ids": batch.log_ids_column()})
    guarded = bool(batch.guards or batch.follows)
    if guarded:
        pipeline.send("moved_on", batch.guard_columns())
    pipeline.flush()
    _, *answers = pipeline.answers()
    if epoch is not None and [bigint(found) for (found,) in answers.pop(0)] != [epoch]:
        raise FencedError("a newer decider is at work: this one must stop")
    if guarded and [bigint(moved) for (moved,) in answers[1]] != [0]:
        raise MovedOnError
    frontiers = {}
    for log_id, size, hashes, frozen, closed in answers[0]:
        if closed != _FALSE:
            raise ErasedError
        if frozen is not None:
            raise FrozenLogError(frozen.decode())
        frontiers[UUID(bytes=log_id)] = Frontier.from_bytes(bigint(size), hashes or b"")
    if len(frontiers) < len(batch.log_ids):
        raise UnknownError("a log of this batch does not exist")
    return Placement(batch, frontiers)


def _insert(pipeline: Pipeline, placement: Placement) -> None:
    """Queue the inserts; the feed's rows are the answer to the last one, if there are events."""
    batch = placement.batch
    if batch.commands:
        pipeline.send("insert_commands", batch.command_columns())
    if batch.payloads:
        pipeline.send("insert_payloads", batch.payload_columns())
    if batch.events:
        pipeline.send("insert_events", placement.event_columns())
        pipeline.send("update_heads", placement.head_columns())
        pipeline.send("insert_feed", placement.feed_columns())


def _send(pipeline: Pipeline) -> None:
    """Hand over all that is queued: the database works meanwhile."""
    pipeline.end()


def _worth_repeating(error: Exception) -> bool:
    """Tell whether the connection was lost, or the database rolled back for a reason that passes."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) or isinstance(cause, PoolTimeout):
        return False
    return cause.sqlstate is None or cause.sqlstate.startswith(_PASSING)
