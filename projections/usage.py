"""What a tenant's executions used, as it was metered: line by line in rows of a few, by day (UTC) and node, in all.

Invariants:
- Pure, as every projection: the sums are those of the log's own entries, up to any size.
- Each execution is metered once, so nothing is counted twice.
- Instants here never fall: what was metered counts at the highest instant at which anything was, by then. So a period
  is a stretch of the log, and a day's sums are those of its lines.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from domain.cacs.events import UsageMetered
from domain.message import Recorded
from domain.time import rfc3339
from domain.usage.statements import Line, Sums, line_of

NAME: Final = "usage_v2"
TOTAL: Final = "total"
NEWEST: Final = "newest"
CHUNK: Final = 32
"""Lines in one row."""
_INSTANT_DIGITS: Final = 15

Row = dict[str, Any]


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes.

    By key: `total`, `newest`, `day/<YYYY-MM-DD>`, `node/<YYYY-MM-DD>/<node>`, `at/<instant>/<leaf index>`.
    """
    event = recorded.event
    if not isinstance(event, UsageMetered):
        return {}
    newest = rows.get(NEWEST, {"key": None, "at_ms": 0})
    at_ms = max(recorded.at_ms, newest["at_ms"])
    known = [] if newest["key"] is None else rows[newest["key"]]["lines"]
    key = newest["key"]
    if key is None or len(known) >= CHUNK:
        key, known = f"{key_from(at_ms)}/{recorded.leaf_index:0{_INSTANT_DIGITS}d}", []
    line = line_of(event, leaf_index=recorded.leaf_index, leaf_hash=recorded.leaf_hash, at_ms=at_ms)
    day = rfc3339(at_ms).partition("T")[0]
    by_node = f"node/{day}/{line.node}"
    of_node = {"day": day, "node": line.node, "operator": line.operator}
    return {
        key: {"lines": [*known, line.model_dump()]},
        NEWEST: {"key": key, "at_ms": at_ms},
        **{name: _added(rows.get(name, {}), line) for name in (TOTAL, f"day/{day}")},
        by_node: _added(rows.get(by_node, {}), line) | of_node,
    }


def total(rows: Mapping[str, Row]) -> Sums:
    """Return the sums over all days; zeros where nothing was metered yet."""
    return sums_of(rows.get(TOTAL, {}))


def days(rows: Mapping[str, Row]) -> list[tuple[str, Sums]]:
    """Return the sums of each day, in order."""
    return [(key.partition("/")[2], sums_of(row)) for key, row in sorted(rows.items()) if key.startswith("day/")]


def sums_of(row: Row) -> Sums:
    """Return the sums in a row. Rows of before told less."""
    return Sums.model_validate({name: row.get(name, 0) for name in Sums.model_fields})


def key_from(at_ms: int) -> str:
    """Return the key below which no line lies that counts from an instant on, but in the row before it."""
    return f"at/{at_ms:0{_INSTANT_DIGITS}d}"


def within(rows: Iterable[Row], from_ms: int, to_ms: int) -> Iterator[Line]:
    """Yield the lines of rows that lie in [from_ms, to_ms)."""
    return (Line.model_validate(one) for row in rows for one in row["lines"] if from_ms <= one["at_ms"] < to_ms)


def _added(row: Row, line: Line) -> Row:
    return sums_of(row).plus(line.sums).model_dump(mode="json")
