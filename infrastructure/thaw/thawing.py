"""Thaws frozen logs: the entries that the database lost come back byte for byte, with all that stands beside them.

What comes back: entries at their leaf indices with their stream, version and topic; payloads; the records of commands;
notes about keys. What is derived (read models, positions) goes on from there by itself.

What can't come back is the order of commits across logs, which no log holds. Entries of several logs are imported in
the order of their recorded instants, and within one instant in that of the logs' ids, which is the order in a commit.
Entries of different commits within a millisecond, or of processes whose clocks differ, may so change places in the
feed; within each log nothing does. For the decider this means: all that it decided is in the logs, and is folded as it
was; but of two workloads of different tenants that wait and arrived within that span, the other one may now count as
first. The trace of decisions of rounds before the loss can't be computed again from the new order.

Of a log whose data keys were destroyed the entries come back sealed (infrastructure.thaw.sealed). They come first:
their instants can't be read, and nothing is decided because of them. What a restored scheduler still holds for that
tenant goes when it folds the platform log's KeyDestroyed, which comes back with that log.

Invariants:
- One transaction: everything comes back or nothing; it commits only if every head is the one that was computed.
- Nobody signs for these logs meanwhile, and nobody appends until all of it is done.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from domain.errors import RefusedError, VerificationError
from domain.logs.events import KeyRotated
from domain.message import Recorded, event_from
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.key_notes import KeyNote
from domain.transparency.note import parse_note
from infrastructure.commands.log_keys import key_note, signed_note
from infrastructure.keys.sealing import EntryRecord
from infrastructure.logbook import Logbook
from infrastructure.mapper import NOT_STORED
from infrastructure.postgres.importing import Import, importing
from infrastructure.postgres.publication import KeyNoteRow, Publications
from infrastructure.postgres.records import Log, LoggedEvent, Payload
from infrastructure.postgres.views import Views
from infrastructure.publish.floors import RESTORED_ALONE, Floors
from infrastructure.publish.freezing import freeze_log
from infrastructure.publish.places import floors_of
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.thaw.copies import Copy, examine
from infrastructure.thaw.restored import commands_of, payloads_of
from infrastructure.thaw.sealed import kept_notes, sealed_records
from infrastructure.transactions import Command, command_record

_RUN = 500

Progress = Callable[[int], None]
"""Called with the number of entries done so far."""


@dataclass(frozen=True, slots=True)
class Thawed:
    """A log that goes on.

    Attributes:
        origin: which.
        entries: how many came back.
        size: its size now.
        payloads_missing: payloads that no copy had.
        sealed: its data keys were destroyed.
        compared: something told what was signed since the backup: floors, a published log or a copy. Otherwise only
            the backup itself says that nothing was.
    """

    origin: str
    entries: int
    size: int
    payloads_missing: int
    sealed: bool = False
    compared: bool = True


@dataclass(frozen=True, slots=True)
class Item:
    """An entry that comes back, with its place among those of all logs: the greatest instant so far in its log."""

    at_ms: int
    copy: Copy
    entry: bytes
    record: EntryRecord


def thaw(
    book: Logbook,
    copies: Sequence[tuple[UUID, TileDirectory, bool]],
    *,
    without_payloads: bool = False,
    progress: Progress | None = None,
) -> list[Thawed]:
    """Bring back what these logs lost, and let them go on.

    Args:
        book: the ledger, opened for thawing. Nothing else may append to it meanwhile.
        copies: for each log its id, a copy, and whether that is our own published directory.
        without_payloads: go on though payloads are in no copy: what rests on them can't be carried out any more.
        progress: called with the number of entries imported, now and then.

    Raises:
        RefusedError: when a copy doesn't hold what was signed, or has another history than the database.
        VerificationError: when a copy is damaged.
    """
    publications, floors = Publications(book.datastore), floors_of(book)
    heads = {log_id: publications.log_head(log_id) for log_id, _, _ in copies}
    for head in heads.values():
        freeze_log(book, head.log, "it is being thawed; if nothing does that any more, thaw it again")
    alone = {log_id for log_id, tiles, _ in copies if _alone(floors, heads[log_id].log, tiles)}
    with ExitStack() as stack:
        for origin in sorted(head.log.origin for head in heads.values()):
            stack.enter_context(floors.signing(origin))
        examined = [examine(book, publications.log_head(log_id), tiles, own=own) for log_id, tiles, own in copies]
        for copy in examined:
            if copy.signed is not None:
                floors.raise_to(copy.signed)
        back = [copy for copy in examined if copy.missing]
        missing = _import(book, back, without_payloads=without_payloads, progress=progress) if back else {}
        for copy in examined:
            if copy.signed is not None:
                publications.found(copy.log.log_id, copy.signed)
            if book.erased(copy.log.log_id):
                Views(book.datastore).drop(copy.log.log_id)  # which the backup still had
            floors.thaw(copy.log.origin)
            publications.thaw(copy.log.log_id)
    return [
        Thawed(
            copy.log.origin, copy.missing, copy.target.size, missing.get(copy.log.log_id, 0),
            sealed=book.erased(copy.log.log_id), compared=copy.log.log_id not in alone,
        )
        for copy in examined
    ]  # fmt: skip


def _alone(floors: Floors, log: Log, tiles: TileDirectory) -> bool:
    """Tell whether a log was restored with nothing beside its backup, and no copy is there to hold it against."""
    return (floors.frozen(log.origin) or "").startswith(RESTORED_ALONE) and tiles.checkpoint() is None


def _import(
    book: Logbook, copies: Sequence[Copy], *, without_payloads: bool, progress: Progress | None
) -> dict[UUID, int]:
    """Import the entries of all copies in the order of their instants; return how many payloads each log lacks."""
    items = heapq.merge(*(_items(book, copy) for copy in copies), key=lambda item: (item.at_ms, item.copy.log.log_id))
    missing: dict[UUID, int] = {}
    done = 0
    with importing(book.datastore, [copy.log.log_id for copy in copies], thawing=True) as landing:
        for log_id, run in itertools.groupby(items, key=lambda item: item.copy.log.log_id):
            while taken := list(itertools.islice(run, _RUN)):
                landing.add(log_id, [_stored(item) for item in taken])
                if not book.erased(log_id):
                    missing[log_id] = missing.get(log_id, 0) + _beside(book, landing, taken)
                done += len(taken)
                if progress is not None:
                    progress(done)
        if any(missing.values()) and not without_payloads:
            raise RefusedError(
                f"{sum(missing.values())} payloads that these entries name are in no copy: take a mirror that has "
                "them; or use --without-payloads, if what rests on them may stay undone"
            )
        for copy in copies:
            if book.erased(copy.log.log_id):
                for row in kept_notes(book, copy):
                    landing.add_key_note(copy.log.log_id, row)
            if landing.heads[copy.log.log_id] != copy.target:
                raise VerificationError(f"{copy.tiles.path} changed while it was read; nothing was imported")
    return missing


def _items(book: Logbook, copy: Copy) -> Iterator[Item]:
    """Yield a copy's missing entries, opened. Their instants never fall, so that merging keeps each log's order."""
    if book.erased(copy.log.log_id):
        for entry, record in sealed_records(book, copy):
            yield Item(record.at_ms, copy, entry, record)
        return
    at_ms = 0
    for entry in copy.tiles.tree(copy.target.size).entries(copy.head.size):
        record = book.read_entry(copy.log.log_id, entry)
        at_ms = max(at_ms, record.at_ms)
        yield Item(at_ms, copy, entry, record)


def _stored(item: Item) -> LoggedEvent:
    record = item.record
    return LoggedEvent(record.stream_id, record.version, record.topic, item.entry, item.copy.log.log_id)


def _beside(book: Logbook, landing: Import, items: Sequence[Item]) -> int:
    """Bring back what stands beside entries of one log; return how many of their payloads are nowhere."""
    missing = 0
    commands: list[Command] = []
    for item in items:
        log_id, record, tiles = item.copy.log.log_id, item.record, item.copy.tiles
        event = event_from(record.topic, record.event)
        recorded = Recorded(log_id, NOT_STORED, record.stream_id, record.version, record.at_ms, event, b"")
        commands += commands_of(book, recorded)
        if isinstance(event, KeyRotated):
            for row in _key_notes(book, item.copy, event):
                landing.add_key_note(log_id, row)
        for digest in payloads_of(event):
            sealed = tiles.payload(digest)
            if sealed is not None:
                landing.add_payloads([Payload(log_id, bytes.fromhex(digest), sealed)])
            elif book.recorder.find_payload(log_id, bytes.fromhex(digest)) is None:
                missing += 1
    landing.add_commands([command_record(command, book.at_rest(command.log_id)) for command in commands])
    return missing


def _key_notes(book: Logbook, copy: Copy, event: KeyRotated) -> Iterator[KeyNoteRow]:
    """Yield the notes of a rotation: those of the copy, or signed again, for their text follows from log and keyring.

    Raises:
        VerificationError: when they are not what the entry names.
    """
    kept = copy.tiles.key_notes()
    starts = [copy.tiles.tree(copy.target.size).checkpoint(copy.log.origin, event.from_size)]
    if event.generation == 1:
        starts.insert(0, Checkpoint(copy.log.origin, 0, EMPTY_ROOT))
    for generation, start in enumerate(starts, event.generation + 1 - len(starts)):
        data = kept.get(generation)
        if data is None:
            row = signed_note(book, copy.log, key_note(book, copy.log, generation, start))
        else:
            row = KeyNoteRow(generation, start.size, data)
        note = KeyNote.parse(parse_note(row.note).text)
        if note.start != start or (generation == event.generation and note.digest != event.note_digest):
            raise VerificationError(f"{copy.tiles.path}: the note of generation {generation} is not the entry's")
        yield row
