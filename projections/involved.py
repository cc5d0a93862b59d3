"""What ran where: a log's executions in the order of their reservation, in rows of a few, to be found by instant.

From a node, clause or span of time this leads to every execution concerned, whoever asks being let to see that log.

Invariants:
- Pure, as every projection. Rows are named by instants alone: which node or clause served whom is inside, sealed.
- Instants here never fall: an execution counts as reserved at the highest instant that the log had recorded by then.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from domain.executions.events import ExecutionReserved
from domain.message import Recorded

NAME: Final = "involved_v1"
NEWEST: Final = "newest"
CHUNK: Final = 32
"""Executions in one row."""
_INSTANT_DIGITS = 15

Row = dict[str, Any]


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`newest`, `at/<instant>/<leaf index>`)."""
    event = recorded.event
    if not isinstance(event, ExecutionReserved):
        return {}
    newest = rows.get(NEWEST, {"key": None, "at_ms": 0})
    at_ms = max(recorded.at_ms, newest["at_ms"])
    known = [] if newest["key"] is None else rows[newest["key"]]["executions"]
    key = newest["key"]
    if key is None or len(known) >= CHUNK:
        key, known = f"{key_from(at_ms)}/{recorded.leaf_index:0{_INSTANT_DIGITS}d}", []
    one = {
        "execution": event.execution_id, "workload": event.workload_id, "node": event.node, "clause": event.clause_id,
        "cac": event.cac_id, "at_ms": at_ms, "leaf_index": recorded.leaf_index,
    }  # fmt: skip
    return {key: {"executions": [*known, one]}, NEWEST: {"key": key, "at_ms": at_ms}}


def key_from(at_ms: int) -> str:
    """Return the key below which no execution lies that was reserved from an instant on, but in the row before it."""
    return f"at/{at_ms:0{_INSTANT_DIGITS}d}"


def within(rows: Iterable[Row], from_ms: int, to_ms: int) -> Iterator[Row]:
    """Yield the executions of rows that were reserved in [from_ms, to_ms)."""
    return (one for row in rows for one in row["executions"] if from_ms <= one["at_ms"] < to_ms)
