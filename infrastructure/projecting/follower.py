"""Folds one projection, log by log and batch by batch, the live edition and the one that is built beside it.

Invariants:
- A batch is bounded, and its rows and position are written in one transaction (`Views.apply`): whatever crashes, each
  event counts once. Of several processes that fold at once one writes a batch, the others are refused and read again.
- An event that can't be folded stops its own log only: what came before it is written, where it stands is noted with
  the kind of error and nothing of the event, and nothing after it is folded. A later try begins there.
- A live edition of an older version is left as it is, and read, until one of ours is built beside it and has come as
  far; one of a newer version is left alone: a newer program keeps it.
- A log whose data key was destroyed has no read models.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

from domain.errors import ConflictError, ErasedError, LedgerError, UnavailableError
from domain.message import Recorded
from infrastructure.ledger import Ledger
from infrastructure.postgres.editions import version_of
from infrastructure.postgres.views import Standing, Views
from infrastructure.projecting.rows import Row, StoredRows, opened_row, sealed_row

Project = Callable[[Mapping[str, Row], Recorded], dict[str, Row]]
"""Returns the rows that an event changes, by key; pure."""

BATCH = 500
"""Events in one transaction."""
MOST_ROWS = 20_000
"""Rows held in memory between batches, over all logs."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: how many events it folded, whether something is left to do, whether an event is in the way."""

    folded: int = 0
    more: bool = False
    stopped: bool = False

    def __add__(self, other: "Step") -> "Step":
        """Return what both did: where one has more to do there is more to do, where one is stopped it is said."""
        return Step(self.folded + other.folded, self.more or other.more, self.stopped or other.stopped)


NOTHING = Step()


@dataclass(frozen=True, slots=True)
class _Held:
    position: int
    rows: StoredRows


class Follower:
    """One projection of one cell.

    Args:
        ledger: whose logs it follows.
        name: the projection's stored name, with its version.
        project: its fold.
    """

    def __init__(self, ledger: Ledger, name: str, project: Project) -> None:
        self._ledger = ledger
        self.name = name
        self._project = project
        self._views = Views(ledger.datastore)
        self._held: dict[tuple[UUID, str], _Held] = {}

    def behind(self, log_id: UUID | None = None) -> list[UUID]:
        """Return the logs where something is to be done, of all or of one."""
        return [one.log_id for one in self._views.standings(self.name, log_id) if self._open(one)]

    def step(self, log_id: UUID) -> Step:
        """Do one bounded piece of what is to be done for a log.

        Raises:
            ConflictError: when another process did it at the same time; step again.
            UnavailableError: when the database does not answer.
        """
        standing = self._standing(log_id)
        if standing is None or not self._open(standing):
            return NOTHING
        if standing.retired:
            self._views.sweep(self.name, log_id)
            return Step(more=True)
        try:
            return NOTHING if self._ledger.erased(log_id) else self._live(standing) + self._build(standing)
        except ErasedError:  # meanwhile
            return NOTHING
        except (ConflictError, UnavailableError):
            raise
        except LedgerError as error:  # its keys are missing or damaged, and nothing says that they were destroyed
            return self._stopped(log_id, standing.live or self.name, standing.position, error)

    def _live(self, standing: Standing) -> Step:
        edition = standing.live or self.name
        if self._is_ours(edition) and standing.position < standing.size:
            return self._fold(standing.log_id, edition, standing.position, standing.size)
        return NOTHING

    def _build(self, standing: Standing) -> Step:
        log_id, edition = standing.log_id, standing.building
        if edition is None or not self._is_ours(edition):
            if standing.live is not None and not self._is_ours(standing.live):
                self._views.begin_build(self.name, log_id)
                return Step(more=True)
            return NOTHING
        if standing.built < standing.size:
            step = self._fold(log_id, edition, standing.built, standing.size)
            return step if step.stopped else step + Step(more=True)
        if self._views.switch(edition, log_id):
            self._held.clear()
        return Step(more=True)  # rows of the edition before are left; or the live one has gone on, and is still ahead

    def _fold(self, log_id: UUID, edition: str, position: int, size: int) -> Step:
        held = self._held.pop((log_id, edition), None)
        rows = held.rows if held is not None and held.position == position else self._rows(log_id, edition)
        changes: dict[str, Row] = {}
        reached, trouble = position, None
        try:
            for recorded in self._ledger.newly(log_id, position, min(size, position + BATCH)):
                changed = self._project(rows, recorded)
                rows.change(changed)
                changes.update(changed)
                reached = recorded.leaf_index + 1
        except (UnavailableError, ErasedError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever a fold does with an event, other logs go on
            trouble = error
        if reached > position:
            at_rest = self._ledger.at_rest(log_id)
            values = {key: sealed_row(at_rest, log_id, edition, key, row) for key, row in changes.items()}
            self._views.apply(edition, log_id, position, values, to_position=reached)
        if trouble is not None:
            return Step(reached - position) + self._stopped(log_id, edition, reached, trouble)
        self._hold(log_id, edition, reached, rows)
        return Step(reached - position, more=reached < size)

    def _stopped(self, log_id: UUID, edition: str, leaf_index: int, error: Exception) -> Step:
        self._views.stop(edition, log_id, leaf_index, type(error).__name__)
        return Step(stopped=True)

    def _rows(self, log_id: UUID, edition: str) -> StoredRows:
        at_rest = self._ledger.at_rest(log_id)

        def read(key: str) -> Row | None:
            value = self._views.row_of(edition, log_id, key)
            return None if value is None else opened_row(at_rest, log_id, edition, key, value)

        return StoredRows(read)

    def _hold(self, log_id: UUID, edition: str, position: int, rows: StoredRows) -> None:
        """Keep rows for the next batch, unless that would be too many."""
        if rows.held + sum(held.rows.held for held in self._held.values()) > MOST_ROWS:
            self._held.clear()
        elif rows.held:
            self._held[log_id, edition] = _Held(position, rows)

    def rebuild(self, log_id: UUID) -> bool:
        """Begin to build a log's rows anew beside the live ones, or go on with what was begun; `step` does the work.

        Returns:
            Whether there is anything to build.
        """
        standing = self._standing(log_id)
        if standing is None or standing.live is None or version_of(standing.live) > version_of(self.name):
            return False
        if standing.building is None or not self._is_ours(standing.building):
            self._views.begin_build(self.name, log_id)
        return True

    def _standing(self, log_id: UUID) -> Standing | None:
        found = self._views.standings(self.name, log_id)
        return found[0] if found else None

    def _is_ours(self, edition: str) -> bool:
        return version_of(edition) == version_of(self.name)

    def _open(self, standing: Standing) -> bool:
        """Tell whether anything is to be done."""
        if standing.live is None:
            return standing.size > 0
        if version_of(standing.live) > version_of(self.name):
            return False
        behind = standing.position < standing.size
        return behind or standing.retired or standing.building is not None or not self._is_ours(standing.live)
