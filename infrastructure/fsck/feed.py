"""The feed: dense, and over every entry exactly once.

Invariants:
- Positions and notification ids follow each other from 1 to the counter's; a log's rows follow each other from leaf 0
  to its head's size. So each entry has one notification id, and each id one entry.
"""

from uuid import UUID

from infrastructure.fsck.reading import Inspection, Pins
from infrastructure.fsck.report import Report

TABLE = "feed"


def check_feed(inspection: Inspection, pins: Pins, report: Report) -> None:
    """Look at the feed up to its pinned end."""
    origins = {pin.log.log_id: pin.log.origin for pin in pins.logs}
    ends: dict[UUID, int] = {}
    position, notification = 0, 1
    for row in inspection.feed(pins.last_position):
        origin = origins.get(row.log_id)
        if row.position != position + 1:
            report.differs(TABLE, None, f"positions {position + 1} to {row.position - 1} are missing")
        if row.first_notification_id != notification:
            what = f"position {row.position} begins with notification {row.first_notification_id}, not {notification}"
            report.differs(TABLE, None, what)
        due = ends.get(row.log_id, 0)
        if row.first_index != due:
            what = f"position {row.position} begins with entry {row.first_index}, where {due} is next"
            report.differs(TABLE, origin, what, entry=due)
        position, notification = row.position, row.first_notification_id + row.count
        ends[row.log_id] = row.first_index + row.count
        report.checked["rows of the feed"] += 1
    if position != pins.last_position:
        report.differs(TABLE, None, f"it ends at position {position}; the counter has given out {pins.last_position}")
    if notification - 1 != pins.last_notification_id:
        what = f"its last notification is {notification - 1}; the counter has given out {pins.last_notification_id}"
        report.differs(TABLE, None, what)
    for pin in pins.logs:
        end = ends.get(pin.log.log_id, 0)
        if end != pin.size:
            report.differs(TABLE, pin.log.origin, f"it covers {end} entries; the head's size is {pin.size}", entry=end)
    for beyond in inspection.beyond_feed():
        report.differs(TABLE, None, f"position {beyond} was never given out")
