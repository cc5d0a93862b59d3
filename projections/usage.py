"""What a tenant's executions used, as it was metered: in all, and by the day (UTC) on which it was recorded.

Invariants:
- Pure, as every projection: the sums are those of the log's own entries, up to any size.
- Each execution is metered once, so nothing is counted twice.
"""

from collections.abc import Mapping
from typing import Any, Final

from domain.cacs.events import UsageMetered
from domain.message import Recorded
from domain.time import rfc3339

NAME = "usage_v1"
TOTAL: Final = "total"

Row = dict[str, Any]

_NOTHING: Row = {"executions": 0, "slot_ms": 0, "memory_mib_ms": 0, "fuel": 0}


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`total`, `day/<YYYY-MM-DD>`)."""
    event = recorded.event
    if not isinstance(event, UsageMetered):
        return {}
    day = f"day/{rfc3339(recorded.at_ms).partition('T')[0]}"
    return {key: _added(rows.get(key, _NOTHING), event) | {"leaf_index": recorded.leaf_index} for key in (TOTAL, day)}


def total(rows: Mapping[str, Row]) -> Row:
    """Return the sums over all days; zeros where nothing was metered yet."""
    return {name: rows.get(TOTAL, _NOTHING)[name] for name in _NOTHING}


def days(rows: Mapping[str, Row]) -> list[Row]:
    """Return the sums of each day, in order."""
    found = sorted((key.partition("/")[2], row) for key, row in rows.items() if key.startswith("day/"))
    return [{"day": day, **{name: row[name] for name in _NOTHING}} for day, row in found]


def _added(row: Row, event: UsageMetered) -> Row:
    return {
        "executions": row["executions"] + 1,
        "slot_ms": row["slot_ms"] + event.slot_ms,
        "memory_mib_ms": row["memory_mib_ms"] + event.memory_mib_ms,
        "fuel": row["fuel"] + event.fuel,
    }
