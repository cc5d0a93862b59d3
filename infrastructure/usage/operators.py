"""What nodes were used for, all tenants together: totals by node and day, and never whose they are.

Invariants:
- No tenant is named, counted or told apart: what is told is a sum over all logs that can be read.
- An operator is told of its own nodes; who governs the root scope of all. Everybody else of none.
- Periods are whole days (UTC). What was metered before nodes were named has no node here.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final
from uuid import UUID

from domain.errors import ErasedError, MalformedError
from domain.time import DAY_MS, MAX_INSTANT_MS, rfc3339
from domain.usage.statements import NodeSums, OperatorSums, Sums
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import usage

FRESH_MS: Final = 60_000
"""So old an answer may be: it takes a look at every log."""
_ROWS: Final = 512
_MOST_KEPT: Final = 64


def days_of(from_ms: int | None, to_ms: int | None, now_ms: int) -> tuple[str, str]:
    """Return the first day of a period and the day after its last, as rows name them.

    Raises:
        MalformedError: when the period is not of whole days (UTC), or ends before it begins.
    """
    first = 0 if from_ms is None else from_ms
    last = now_ms - now_ms % DAY_MS + DAY_MS if to_ms is None else to_ms
    if first % DAY_MS or last % DAY_MS or not 0 <= first < last <= MAX_INSTANT_MS:
        raise MalformedError("a period is of whole days (UTC): from and to, in ms since 1970, are midnights")
    return rfc3339(first).partition("T")[0], rfc3339(last).partition("T")[0]


class NodeUsage:
    """Sums by node over all logs. Safe to ask from several threads.

    Args:
        ledger: the cell.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str], tuple[int, list[NodeSums]]] = {}

    def rows(self, days: tuple[str, str], wanted: Callable[[str], bool]) -> list[NodeSums]:
        """Return the sums of each node in a period, by node, of the operators that are wanted."""
        now_ms = self._ledger.clock.now_ms()
        with self._lock:
            made = self._kept.get(days)
            if made is None or not made[0] <= now_ms < made[0] + FRESH_MS:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept.clear()
                made = self._kept[days] = (now_ms, self._sums(days))
        return [row for row in made[1] if wanted(row.operator)]

    def _sums(self, days: tuple[str, str]) -> list[NodeSums]:
        projector = Projector(self._ledger)
        projector.catch_up(projections=(usage.NAME,))
        found: dict[tuple[str, str], Sums] = {}
        for log in self._ledger.logs():
            try:
                self._add(projector, log.log_id, days, found)
            except ErasedError:
                continue
        return [NodeSums(node=node, operator=of, **dict(sums)) for (node, of), sums in sorted(found.items())]

    def _add(
        self, projector: Projector, log_id: UUID, days: tuple[str, str], found: dict[tuple[str, str], Sums]
    ) -> None:
        first, last, seen = f"node/{days[0]}", f"node/{days[1]}", ""
        while True:
            rows = projector.between(log_id, usage.NAME, first, last, _ROWS)
            for key in sorted(one for one in rows if one.startswith("node/") and one >= first and one > seen):
                row = rows[key]
                named = row["node"], row["operator"]
                found[named] = found.get(named, Sums()).plus(usage.sums_of(row))
                seen = key
            if len(rows) < _ROWS:
                return
            first = seen + "0"


def told(rows: Sequence[NodeSums]) -> dict[str, Any]:
    """Return the sums in all, by operator and by node, as commands and routes tell them."""
    total, operators = Sums(), dict[str, Sums]()
    for row in rows:
        total, operators[row.operator] = total.plus(row), operators.get(row.operator, Sums()).plus(row)
    of_operators = [OperatorSums(operator=name, **dict(sums)) for name, sums in sorted(operators.items())]
    return {
        **total.model_dump(mode="json"),
        "operators": [one.model_dump(mode="json") for one in of_operators],
        "nodes": [one.model_dump(mode="json") for one in rows],
    }
