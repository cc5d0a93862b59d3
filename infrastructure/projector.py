"""Keeps the live read models: follows every log, folds, and writes rows and position together (exactly once).

Rows are sealed under the log's data key: no content is in the database, and what is left of them goes with that key.
"""

import json
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import ConflictError, UnavailableError
from infrastructure.audit.replay import PROJECTIONS, Rows, state_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.views import Views

_BATCH = 500
_ATTEMPTS = 100


class Projector:
    """The read models of one cell. A position counts leaves of the log.

    Args:
        ledger: the ledger that it follows.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._views = Views(ledger.datastore)

    def catch_up(self) -> int:
        """Fold what was committed since; return how many events that was, over all logs and projections.

        A log whose data key was destroyed has no read models.
        """
        return sum(self._follow(log.log_id, name) for log in self._ledger.logs() for name in PROJECTIONS)

    def rows(self, log_id: UUID, projection: str) -> Rows:
        """Return a read model's rows.

        Raises:
            ErasedError: when the log's data key was destroyed.
        """
        at_rest = self._ledger.at_rest(log_id)
        return {
            key: json.loads(at_rest.open(_place(log_id, projection, key), value))
            for key, value in self._views.rows(projection, log_id).items()
        }

    def row(self, log_id: UUID, projection: str, key: str) -> dict[str, Any] | None:
        """Return one row, or None. Raises as `rows` does."""
        at_rest = self._ledger.at_rest(log_id)
        value = self._views.row(projection, log_id, key)
        return None if value is None else json.loads(at_rest.open(_place(log_id, projection, key), value))

    def digest(self, log_id: UUID) -> str:
        """Return the state digest over the stored rows of a log."""
        return state_digest({name: self.rows(log_id, name) for name in PROJECTIONS})

    def rebuild(self, log_id: UUID) -> None:
        """Forget a log's read models and fold them again from the first event."""
        for name in PROJECTIONS:
            self._views.reset(name, log_id)
            self._follow(log_id, name)

    def _follow(self, log_id: UUID, name: str) -> int:
        """Fold on from where it is. Where another process did so at the same time, look again how far that came."""
        for _ in range(_ATTEMPTS):
            try:
                return self._fold(log_id, name)
            except ConflictError:
                continue
        raise UnavailableError("other processes keep moving the read models on; repeat")

    def _fold(self, log_id: UUID, name: str) -> int:
        position, size = self._views.position(name, log_id), self._ledger.head(log_id).size
        if position == size or self._ledger.erased(log_id):
            return 0
        rows, project, folded = self.rows(log_id, name), PROJECTIONS[name], 0
        changes: Rows = {}
        start = position
        for recorded in self._ledger.history(log_id, first=position, size=size):
            changed = project(rows, recorded)
            rows.update(changed)
            changes.update(changed)
            position, folded = recorded.leaf_index + 1, folded + 1
            if folded % _BATCH == 0:
                self._write(log_id, name, start, position, changes)
                start, changes = position, {}
        if position > start:
            self._write(log_id, name, start, position, changes)
        return folded

    def _write(self, log_id: UUID, name: str, start: int, end: int, changes: Rows) -> None:
        at_rest = self._ledger.at_rest(log_id)
        values = {key: at_rest.seal(_place(log_id, name, key), canonical(row)) for key, row in changes.items()}
        self._views.apply(name, log_id, start, values, to_position=end)


def _place(log_id: UUID, projection: str, key: str) -> bytes:
    return canonical(["row", str(log_id), projection, key])
