"""The read models as their readers use them: brought up to date at once, read, digested, built again.

Rows are read from the live edition of a projection; how it is kept is infrastructure.projecting's affair.
"""

from collections.abc import Callable, Collection
from typing import Any
from uuid import UUID

from domain.errors import ConflictError, UnavailableError
from infrastructure.audit.replay import PROJECTIONS, Rows, state_digest
from infrastructure.ledger import Ledger
from infrastructure.postgres.views import Views
from infrastructure.projecting.follower import Follower, Step
from infrastructure.projecting.rows import opened_row

_ATTEMPTS = 100


class Projector:
    """The read models of one cell. A position counts leaves of the log.

    Args:
        ledger: the ledger that it follows.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._views = Views(ledger.datastore)
        self._followers = {name: Follower(ledger, name, project) for name, project in PROJECTIONS.items()}

    def catch_up(self, log_id: UUID | None = None, projections: Collection[str] = PROJECTIONS) -> int:
        """Fold what was committed since; return how many events that was, of one log or all, over these projections.

        A log whose data key was destroyed has no read models. One with an event that can't be folded stays behind, and
        the projection's status says where.
        """
        return sum(
            self._follow(self._followers[name], one)
            for name in projections
            for one in self._followers[name].behind(log_id)
        )

    def rows(self, log_id: UUID, projection: str) -> Rows:
        """Return a read model's rows.

        Raises:
            ErasedError: when the log's data key was destroyed.
        """
        at_rest = self._ledger.at_rest(log_id)
        found = self._views.rows(projection, log_id)
        return {key: opened_row(at_rest, log_id, projection, key, value) for key, value in found.items()}

    def row(self, log_id: UUID, projection: str, key: str) -> dict[str, Any] | None:
        """Return one row, or None. Raises as `rows` does."""
        at_rest = self._ledger.at_rest(log_id)
        value = self._views.row(projection, log_id, key)
        return None if value is None else opened_row(at_rest, log_id, projection, key, value)

    def between(self, log_id: UUID, projection: str, first: str, last: str, limit: int) -> Rows:
        """Return rows with keys in [first, last) and the one before them, `limit` at most. Raises as `rows` does."""
        at_rest = self._ledger.at_rest(log_id)
        found = self._views.rows_between(projection, log_id, first, last, limit)
        return {key: opened_row(at_rest, log_id, projection, key, value) for key, value in found.items()}

    def digest(self, log_id: UUID) -> str:
        """Return the state digest over the stored rows of a log."""
        return state_digest({name: self.rows(log_id, name) for name in PROJECTIONS})

    def rebuild(self, log_id: UUID, projection: str | None = None, *, told: Callable[[int], None] | None = None) -> int:
        """Fold a log's read models again from the first event, beside those that are read; then let these be read.

        What was begun and interrupted is gone on with.

        Args:
            log_id: the log.
            projection: its stored name; None: all.
            told: told how many events were folded, now and then.

        Returns:
            How many events were folded.
        """
        names = [projection] if projection else list(self._followers)
        folded = 0
        for name in names:
            if self._followers[name].rebuild(log_id):
                folded += self._follow(self._followers[name], log_id, told)
        return folded

    def _follow(self, follower: Follower, log_id: UUID, told: Callable[[int], None] | None = None) -> int:
        """Do all that is to be done. Where another process did so at the same time, look again how far that came."""
        folded, refused, step = 0, 0, Step(more=True)
        while step.more:
            try:
                step = follower.step(log_id)
            except ConflictError:
                refused += 1
                if refused == _ATTEMPTS:
                    raise UnavailableError("other processes keep moving the read models on; repeat") from None
                continue
            folded += step.folded
            if told is not None:
                told(folded)
        return folded
