"""What the database keeps beside the entries: payloads, commands with their answers, how far read models have come."""

from hashlib import sha256
from itertools import islice
from uuid import UUID

from infrastructure.fsck.reading import Inspection
from infrastructure.fsck.report import Report
from infrastructure.keys.sealing import MAX_SEALED_PAYLOAD
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.transactions import kept_answer

_MAX_ANSWER_BYTES = 1 << 20


def check_payloads(inspection: Inspection, log: Log, report: Report) -> None:
    """Hash every payload again."""
    for digest, length, sealed in inspection.payloads(log.log_id, MAX_SEALED_PAYLOAD):
        if sealed is None:
            report.differs("payloads", log.origin, f"{digest.hex()} has {length} bytes, more than a payload has")
        elif sha256(sealed).digest() != digest:
            report.differs("payloads", log.origin, f"{digest.hex()} is not the digest of its bytes")
        report.checked["payloads hashed again"] += 1


def check_commands(ledger: Ledger, inspection: Inspection, log: Log, report: Report) -> None:
    """Open the answer of every command."""
    at_rest = ledger.at_rest(log.log_id)
    for name, record in inspection.commands(log.log_id, _MAX_ANSWER_BYTES):
        if record is None:
            report.differs("commands", log.origin, f"{name}: an answer of more than {_MAX_ANSWER_BYTES} bytes")
            continue
        with report.reading("commands", log.origin):
            kept_answer(record, at_rest)
        report.checked["answers of commands opened"] += 1


def check_positions(inspection: Inspection, log: Log, report: Report) -> None:
    """Look whether anything has come further than the log."""
    for index, size in inspection.beyond(log.log_id):
        report.differs("stored_events", log.origin, f"it lies beyond the head's size {size}", entry=index)
    for name, position, size in inspection.early_views(log.log_id):
        report.differs("view_positions", log.origin, f"{name} claims {position} entries of {size}")
    for index in inspection.early_sealed_views(log.log_id):
        report.differs("sealed_views", log.origin, "a view of an entry that is not there", entry=index)


def check_order(inspection: Inspection, log: Log, size: int, report: Report) -> None:
    """Look whether each stream's versions are dense and in leaf order, by the columns."""
    for stream, version, index, due in inspection.disordered(log.log_id, size):
        what = f"version {version} of stream {stream}, where {due} is next, or before the one it follows"
        report.differs("stored_events", log.origin, what, entry=index)


def check_cell(inspection: Inspection, report: Report) -> None:
    """Look at what belongs to no log."""
    for table, log_id in inspection.strangers():
        report.differs(table, None, f"rows of a log that there is not: {UUID(log_id)}")
    for position, last in islice(inspection.early_position(), 1):
        report.differs("sealed_views_position", None, f"position {position} lies beyond the feed's last, {last}")
