"""What others say of a log's tree at some size: its head, floor, checkpoint, notes about keys, rounds that anchor it.

Invariants:
- Marks come by size, so that one pass over the leaf hashes answers all of them; nothing of them is kept.
- What is published was read before the head: it never lies ahead of an undamaged database.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import NamedTuple

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.key_notes import KeyNote
from domain.transparency.note import parse_note
from infrastructure.fsck.reading import Inspection, Pin
from infrastructure.fsck.report import Report
from infrastructure.ledger import Ledger
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.records import Log
from infrastructure.publish.places import floors_of, tiles_of


class Mark(NamedTuple):
    """A root at a size, and who says so (table or file, and in words)."""

    size: int
    root: bytes
    table: str
    whose: str


@dataclass(frozen=True, slots=True)
class Outside:
    """What lies outside the database of one log: floor and published checkpoint, None where there is none."""

    floor: Checkpoint | None = None
    published: Checkpoint | None = None


def read_outside(ledger: Ledger, log: Log, report: Report) -> Outside:
    """Read what lies in the data directory of a log: first the checkpoint, which never goes before the floor."""
    published = floor = None
    with report.reading("published", log.origin):
        published = tiles_of(ledger, log).checkpoint()
    with report.reading("floors", log.origin):
        floor = floors_of(ledger).read(log.origin)
    if published is not None and (floor is None or floor.size < published.size):
        report.differs(
            "floors", log.origin, f"the floor does not cover the published checkpoint of size {published.size}"
        )
    return Outside(floor, published)


def marks(
    ledger: Ledger, inspection: Inspection, pin: Pin, outside: Outside, rounds: int, report: Report
) -> Iterator[Mark]:
    """Yield what is said of a log's roots, by size; what is malformed, or of another log, is noted."""
    stated = _stated(pin, outside, report)
    stated += _key_notes(ledger, pin.log, report)
    yield from merge(sorted(stated), _anchored(inspection, pin.log, rounds, report))


def _stated(pin: Pin, outside: Outside, report: Report) -> list[Mark]:
    found = []
    for name, checkpoint in (("floors", outside.floor), ("published", outside.published)):
        if checkpoint is not None and report.require(
            checkpoint.origin == pin.log.origin, name, pin.log.origin, "it is of another log"
        ):
            found.append(Mark(checkpoint.size, checkpoint.root, name, "the checkpoint"))
    if pin.published is not None:
        found.append(Mark(*pin.published, "publications", "the floor that was found"))
    if pin.size is not None:
        with report.reading("log_heads", pin.log.origin):
            found.append(Mark(pin.size, Frontier.from_bytes(pin.size, pin.frontier).root(), "log_heads", "the head"))
    return found


def _key_notes(ledger: Ledger, log: Log, report: Report) -> list[Mark]:
    found = []
    for row in Publications(ledger.datastore).key_notes(log.log_id):
        with report.reading("key_notes", log.origin):
            note = KeyNote.parse(parse_note(row.note).text)
            told = (note.generation, note.start.size, note.start.origin)
            if told != (row.generation, row.from_size, log.origin):
                report.differs("key_notes", log.origin, f"the note of generation {row.generation} is of another place")
            else:
                found.append(Mark(note.start.size, note.start.root, "key_notes", f"generation {row.generation}"))
    return found


def _anchored(inspection: Inspection, log: Log, rounds: int, report: Report) -> Iterable[Mark]:
    last = 0
    for number, text in inspection.anchored(log.slot, rounds):
        checkpoint = None
        with report.reading("anchored_checkpoints", log.origin):
            checkpoint = Checkpoint.parse(text)
        if checkpoint is None:
            continue
        if checkpoint.origin != log.origin or checkpoint.size < last:
            report.differs(
                "anchored_checkpoints", log.origin, f"round {number}: of another log, or smaller than before"
            )
            continue
        last = checkpoint.size
        yield Mark(checkpoint.size, checkpoint.root, "anchored_checkpoints", f"round {number}")
