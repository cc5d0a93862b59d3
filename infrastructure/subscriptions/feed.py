"""A tenant's results to be pulled: those that are wanted, after a leaf index, and from where to go on.

Invariants:
- Rows come in leaf order and are looked at whole, so going on after the leaf index that a page names leaves nothing out
  and gives nothing twice.
- A page is bounded in what it looks at, not only in what it finds.
"""

from collections.abc import Iterator
from typing import Any, Final
from uuid import UUID

from domain.message import Recorded
from domain.subscriptions.events import Wanted
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import results

MOST_LOOKED_AT: Final = 2_000
_ROWS: Final = 256


class Results:
    """One log's results, brought up to what was committed before."""

    def __init__(self, ledger: Ledger, log_id: UUID) -> None:
        self._ledger = ledger
        self._log_id = log_id
        self._projector = Projector(ledger)
        self._projector.catch_up(log_id, (results.NAME,))

    def page(self, wanted: Wanted, after: int, limit: int) -> tuple[list[int], int]:
        """Return leaf indices of results, `limit` at most, and after which leaf index to go on.

        Args:
            wanted: chooses.
            after: the leaf index after which to look; -1: from the first.
            limit: so many at most.
        """
        found: list[int] = []
        for looked, row in enumerate(self._rows(after)):
            if len(found) == limit or looked == MOST_LOOKED_AT:
                break
            after = int(row["leaf_index"])
            if wanted.takes(row["clause_id"], row["resource_class"], row["outcome"]):
                found.append(after)
        return found, after

    def entries(self, leaf_indices: list[int]) -> list[Recorded]:
        """Return the entries at leaf indices."""
        return self._ledger.at_all(self._log_id, leaf_indices) if leaf_indices else []

    def standing(self, subscription_id: str) -> dict[str, Any] | None:
        """Return how a subscription stands; None where there is none."""
        return self._projector.row(self._log_id, results.NAME, f"subscription/{subscription_id}")

    def standings(self) -> list[dict[str, Any]]:
        """Return how all subscriptions of the log stand, by id."""
        first = "subscription/"
        rows = self._projector.between(self._log_id, results.NAME, first, "subscription0", _ROWS)
        return [row for key, row in sorted(rows.items()) if key.startswith(first)]

    def _rows(self, after: int) -> Iterator[dict[str, Any]]:
        while True:
            first = results.key_of(after + 1)
            rows = self._projector.between(self._log_id, results.NAME, first, results.LAST_KEY, _ROWS)
            new = sorted(key for key in rows if key >= first)  # the row before `first` comes along
            yield from (rows[key] for key in new)
            if len(rows) < _ROWS or not new:
                return
            after = int(rows[new[-1]]["leaf_index"])
