"""The check of a live database: what `audit verify` does with a bundle, and what only the database can be asked.

Invariants:
- Nothing is written, nothing is frozen, no lock is taken. Writers go on: what lies outside is read first, then all
  heads and ends are pinned in one statement, and nothing behind them is judged.
- Damage is a difference in the report, whatever it is. Only a database that does not answer ends the check.
"""

from collections.abc import Callable, Sequence
from uuid import UUID

from domain.transparency.note import VerifierKey
from infrastructure.fsck.anchors import check_anchors, read_anchors_outside
from infrastructure.fsck.entries import LogCheck
from infrastructure.fsck.feed import check_feed
from infrastructure.fsck.kept import check_cell, check_commands, check_order, check_payloads, check_positions
from infrastructure.fsck.marks import Outside, marks, read_outside
from infrastructure.fsck.published import check_published
from infrastructure.fsck.reading import Inspection, Pin, Pins
from infrastructure.fsck.report import Report
from infrastructure.ledger import Ledger
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.records import Log
from infrastructure.publish.floors import ANCHORS
from infrastructure.publish.logs import generation_at, signer_of_generation
from infrastructure.publish.places import floors_of, tiles_of

NOT_CHECKED = (
    "the server's own files and indexes: run pg_amcheck",
    "content of read models: run audit replay",
    "content of the scheduler's views: run audit conform",
    "plaintext of payloads",
    "cosignatures of the anchor log, and openings that were given out: run audit verify on a bundle",
)
_ALONE = "feed, rounds of the anchor log, rows of no log: only one log was asked for"

Progress = Callable[[int], None]


def check_database(ledger: Ledger, log_id: UUID | None = None, progress: Progress | None = None) -> Report:
    """Check a database.

    Args:
        ledger: opened without holding its logs against their floors: that would freeze what is damaged.
        log_id: one log; None for the whole cell.
        progress: called with the number of entries done.

    Returns:
        What was found. Nothing that lies in the database or in the data directory raises.

    Raises:
        UnavailableError: when the database does not answer.
    """
    report, inspection = Report(), Inspection(ledger.datastore)
    outside = {pin.log.log_id: read_outside(ledger, pin.log, report) for pin in _chosen(inspection.pins(), log_id)}
    anchors = None
    if log_id is None:
        with report.reading("published", None):
            anchors = read_anchors_outside(ledger, report)
    pins = inspection.pins()
    done = 0
    for pin in _chosen(pins, log_id):
        _check_log(
            ledger, inspection, pin, outside.get(pin.log.log_id) or Outside(), pins, report, _added(progress, done)
        )
        done += pin.size or 0
    if log_id is not None:
        report.not_checked.append(_ALONE)
    else:
        check_feed(inspection, pins, report)
        check_cell(inspection, report)
        _check_floors(ledger, pins, report)
        if anchors is not None:
            with report.reading("anchor_rounds", None):
                check_anchors(ledger, inspection, pins.rounds, anchors, report)
    report.not_checked += NOT_CHECKED
    return report


def size_of(ledger: Ledger, log_id: UUID | None) -> int:
    """Return how many entries a check will look at, for a progress bar."""
    return sum(pin.size or 0 for pin in _chosen(Inspection(ledger.datastore).pins(), log_id))


def _check_log(
    ledger: Ledger,
    inspection: Inspection,
    pin: Pin,
    outside: Outside,
    pins: Pins,
    report: Report,
    progress: Progress | None,
) -> None:
    log = pin.log
    if pin.size is None:
        report.differs("log_heads", log.origin, "the log has no head")
        return
    report.sizes[log.origin] = pin.size
    check = LogCheck(ledger, log, report)
    check.run(inspection, pin.size, marks(ledger, inspection, pin, outside, pins.rounds, report), progress)
    report.checked["entries hashed again"] += pin.size
    report.checked["entries opened, each what its columns say"] += check.opened
    _check_rotations(ledger, log, check, report)
    if check.follows and Publications(ledger.datastore).closed(log.log_id):
        report.require(check.audit.erasure_ordered, "log_heads", log.origin, "closed, and no erasure is ordered")
    check_order(inspection, log, pin.size, report)
    check_positions(inspection, log, report)
    check_payloads(inspection, log, report)
    if check.readable:
        with report.reading("commands", log.origin):
            check_commands(ledger, inspection, log, report)
        report.checked.update(dict(_counted(check.audit.checked())))
        report.not_checked += [f"{log.origin}: {words}" for words in check.audit.not_checked()]
    else:
        report.not_checked.append(f"plaintext and answers of {log.origin}: its keys were destroyed, or are missing")
    with report.reading("published", log.origin):
        check_published(tiles_of(ledger, log), log.origin, lambda size: _keys(ledger, log, size), report)


def _check_rotations(ledger: Ledger, log: Log, check: LogCheck, report: Report) -> None:
    """Compare the notes about the log's keys with the entries that record them."""
    recorded = check.audit.rotations() if check.follows else None
    if recorded is None:
        return
    with report.reading("key_notes", log.origin):
        rows = Publications(ledger.datastore).key_notes(log.log_id)[1:]
        told = [(row.generation, row.from_size) for row in rows]
        said = [(event.generation, event.from_size) for event in recorded if event.from_size < check.audit.size]
        if told[: len(said)] != said:
            report.differs("key_notes", log.origin, "the notes are not those that the log's entries record")


def _check_floors(ledger: Ledger, pins: Pins, report: Report) -> None:
    known = {str(pin.log.slot) for pin in pins.logs} | {ANCHORS}
    for name in floors_of(ledger).names():
        report.require(
            name in known, "floors", None, f"slot {name} was published, and the database does not have its log"
        )


def _keys(ledger: Ledger, log: Log, size: int) -> Sequence[VerifierKey]:
    notes = Publications(ledger.datastore).key_notes(log.log_id)
    return signer_of_generation(ledger, log, generation_at(notes, size)).verifier_keys()


def _chosen(pins: Pins, log_id: UUID | None) -> list[Pin]:
    return [pin for pin in pins.logs if log_id in (None, pin.log.log_id)]


def _added(progress: Progress | None, done: int) -> Progress | None:
    return None if progress is None else lambda here: progress(done + here)


def _counted(words: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(what, int(count)) for count, _, what in (one.partition(" ") for one in words)]
