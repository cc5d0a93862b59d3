"""What an entry tells whose data key was destroyed: enough to lay it where it was, and nothing of what it says.

What its database had beside the entries and is not in them in the clear does not come back: streams and versions under
their own names, topics, the records of commands (so names that only this log's entries took are free again), payloads.
Nobody can read those any more, and nothing is appended to such a log.

Invariants:
- Bytes, leaf indices and tree are exactly what was signed. Entries with one tag are one stream, in order, named after
  the tag: that is all which wire formats 10 lets stay of streams.
"""

from collections.abc import Iterator
from uuid import UUID

from domain.errors import VerificationError
from domain.message import Sealed
from domain.transparency.key_notes import KeyNote
from domain.transparency.note import parse_note
from infrastructure.commands.log_keys import key_note
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.sealing import EntryRecord
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import KeyNoteRow
from infrastructure.thaw.copies import Copy


def sealed_records(book: Logbook, copy: Copy) -> Iterator[tuple[bytes, EntryRecord]]:
    """Yield a copy's missing entries with stand-ins for what they say. Their instant is not known: it is 0."""
    versions: dict[UUID, int] = {}
    for entry in copy.tiles.tree(copy.target.size).entries(copy.head.size):
        stream = UUID(bytes=parse_entry(entry).tag)
        if stream not in versions:
            there = book.recorder.select_events(stream, log_id=copy.log.log_id, desc=True, limit=1)
            versions[stream] = there[0].originator_version + 1 if there else 0
        yield entry, EntryRecord(stream, versions[stream], Sealed.TOPIC, 0, {})
        versions[stream] += 1


def kept_notes(book: Logbook, copy: Copy) -> Iterator[KeyNoteRow]:
    """Yield the notes about the log's keys that the copy has: which entries name them can't be read.

    Raises:
        VerificationError: when one is not about our keys and this log's tree.
    """
    tree = copy.tiles.tree(copy.target.size)
    for generation, data in copy.tiles.key_notes().items():
        note = KeyNote.parse(parse_note(data).text)
        size = note.start.size
        if size < copy.target.size:
            start = tree.checkpoint(copy.log.origin, size)
            if note != key_note(book, copy.log, generation, start):
                raise VerificationError(f"{copy.tiles.path}: the note of generation {generation} is not of our keys")
            yield KeyNoteRow(generation, size, data)
