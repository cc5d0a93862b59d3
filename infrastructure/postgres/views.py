"""Read models: rows of bytes under a key, per edition and log, and how far each has come.

Invariants:
- Rows and position change in one transaction: a change counts exactly once, whatever crashes and however often it is
  tried.
- A position moves only from where its runner believes it to be: of two runners that race, one is refused.
- Rows are written for an edition that is live or being built, never for another. Readers read the live one, in one
  statement: they see one edition, whole, before and after a switch.
- An edition goes live only when it has come as far as the one before it: readers never go back.
- Everything here is derived, so it may be deleted; nothing else in the database may. So it does not wait for the disk
  either: a crash of the server takes back rows and position together.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import TupleRow, tuple_row

from domain.errors import ConflictError, MalformedError
from infrastructure.postgres.arrays import byteas, texts
from infrastructure.postgres.editions import family_of
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated

_VIEWS = load("views.sql")
_ALL_LOGS = UUID(int=0), UUID(int=2**128 - 1)
_SWEPT = 2000
"""Rows of a retired edition that are removed in one transaction."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where an edition stands still: the entry that could not be folded, the kind of error, since when (ms)."""

    leaf_index: int
    error: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a projection stands in one log. Positions count leaves; `live` is None before the first batch."""

    log_id: UUID
    size: int
    live: str | None
    position: int
    building: str | None
    built: int
    retired: bool
    fault: Fault | None


class Views(Reader):
    """The read models of one database."""

    def apply(
        self,
        edition: str,
        log_id: UUID,
        from_position: int,
        changes: Mapping[str, bytes | None],
        *,
        to_position: int,
    ) -> None:
        """Change rows and move on, together.

        Args:
            edition: its stored name, such as `disputes_v1`.
            log_id: whose rows these are.
            from_position: up to where it had come before (0 at first).
            changes: the new value of each key; None removes the row.
            to_position: up to where it has come now, above `from_position`: a count of leaves.

        Raises:
            ConflictError: when it is not at `from_position`: the change was made already, or another runner is at work;
                or when it is neither live nor being built any more.
            MalformedError: when the position does not rise.
        """
        if to_position <= from_position:
            raise MalformedError("a read model only moves forward")
        where = {"edition": edition, "log_id": log_id, "family": family_of(edition)}
        kept = {key: value for key, value in changes.items() if value is not None}
        removed = [key for key, value in changes.items() if value is None]
        with self._changing() as cursor:
            if from_position == 0:
                cursor.execute(_VIEWS["open_edition"], where, prepare=True)
            if cursor.execute(_VIEWS["hold_edition"], where, prepare=True).fetchone() is None:
                raise ConflictError(f"{edition} is not in use any more")
            if from_position == 0:
                cursor.execute(_VIEWS["open_position"], where, prepare=True)
            cursor.execute(_VIEWS["move_position"], where | {"from": from_position, "to": to_position}, prepare=True)
            if cursor.rowcount != 1:
                raise ConflictError(f"{edition} is not at position {from_position}")
            if removed:
                cursor.execute(_VIEWS["delete_rows"], where | {"keys": texts(removed)}, prepare=True)
            if kept:
                columns = {"keys": texts(kept), "values": byteas(list(kept.values()))}
                cursor.execute(_VIEWS["put_rows"], where | columns, prepare=True)
            cursor.execute(_VIEWS["clear_fault"], where, prepare=True)

    def stop(self, edition: str, log_id: UUID, leaf_index: int, error: str) -> None:
        """Note that an edition stands still before an entry, and the kind of error: nothing of the entry."""
        values = {"edition": edition, "log_id": log_id, "leaf_index": leaf_index, "error": error}
        with self._changing() as cursor:
            cursor.execute(_VIEWS["put_fault"], values, prepare=True)

    def begin_build(self, projection: str, log_id: UUID) -> str:
        """Begin a new edition beside the live one, under a new name; what was being built is given up.

        Raises:
            ConflictError: when there is no live one: then nothing has to be built beside it.
        """
        values = {"family": family_of(projection), "log_id": log_id, "name": projection}
        with self._changing() as cursor:
            row = cursor.execute(_VIEWS["begin_build"], values, prepare=True).fetchone()
        if row is None:
            raise ConflictError(f"{projection} has no rows of this log yet")
        return str(row[0])

    def switch(self, edition: str, log_id: UUID) -> bool:
        """Let readers read an edition that was built; return False when it has not come as far as the live one yet.

        Raises:
            ConflictError: when it is not the one that is being built.
        """
        where = {"family": family_of(edition), "log_id": log_id, "building": edition}
        with self._changing() as cursor:
            locked = cursor.execute(_VIEWS["lock_edition"], where, prepare=True).fetchone()
            if locked is None or locked[1] != edition:
                raise ConflictError(f"{edition} is not being built any more")
            came = dict(cursor.execute(_VIEWS["positions"], where | {"live": locked[0]}, prepare=True).fetchall())
            if came.get(edition, 0) < came.get(locked[0], 0):
                return False
            cursor.execute(_VIEWS["switch"], where, prepare=True)
            cursor.execute(_VIEWS["clear_fault"], {"edition": locked[0], "log_id": log_id}, prepare=True)
        return True

    def sweep(self, projection: str, log_id: UUID) -> None:
        """Remove rows of retired editions of one log, some of each at a time."""
        values = {"family": family_of(projection), "log_id": log_id}
        for (edition,) in self._fetch_view("retired", **values):
            where = values | {"edition": edition}
            with self._changing() as cursor:
                cursor.execute(_VIEWS["sweep_rows"], where | {"limit": _SWEPT}, prepare=True)
                if cursor.rowcount < _SWEPT:
                    for name in ("clear_position", "clear_fault", "forget_edition"):
                        cursor.execute(_VIEWS[name], where, prepare=True)

    def drop(self, log_id: UUID) -> None:
        """Forget every read model of one log. Waits for the disk."""
        with translated(), self.datastore.transaction(commit=True) as cursor:
            for name in ("drop_editions", "drop_positions", "drop_faults", "drop_rows"):
                cursor.execute(_VIEWS[name], {"log_id": log_id}, prepare=True)

    def standings(self, projection: str, log_id: UUID | None = None) -> list[Standing]:
        """Return how a projection stands, in one log or in each."""
        first, last = (log_id, log_id) if log_id else _ALL_LOGS
        found = self._fetch_view("standings", family=family_of(projection), name=projection, first=first, last=last)
        return [_standing(row) for row in found]

    def position(self, projection: str, log_id: UUID) -> int:
        """Return how far the live edition has come; 0 before its first change."""
        found = self._fetch_view("position", family=family_of(projection), log_id=log_id)
        return int(found[0][0]) if found else 0

    def rows(self, projection: str, log_id: UUID) -> dict[str, bytes]:
        """Return all rows of the live edition, by key in order."""
        found = self._fetch_view("rows", family=family_of(projection), log_id=log_id)
        return {key: bytes(value) for key, value in found}

    def row(self, projection: str, log_id: UUID, key: str) -> bytes | None:
        """Return one row's value in the live edition, or None."""
        found = self._fetch_view("row", family=family_of(projection), log_id=log_id, key=key)
        return bytes(found[0][0]) if found else None

    def rows_between(self, projection: str, log_id: UUID, first: str, last: str, limit: int) -> dict[str, bytes]:
        """Return rows of the live edition by key: those in [first, last) and the one before them, `limit` at most."""
        where = {"family": family_of(projection), "log_id": log_id, "first": first, "last": last, "limit": limit}
        return {key: bytes(value) for key, value in self._fetch_view("rows_between", **where)}

    def row_of(self, edition: str, log_id: UUID, key: str) -> bytes | None:
        """Return one row's value in one edition, or None: for whoever folds it."""
        found = self._fetch_view("row_of_edition", edition=edition, log_id=log_id, key=key)
        return bytes(found[0][0]) if found else None

    @contextmanager
    def _changing(self) -> Iterator[Cursor[TupleRow]]:
        with translated(), self.datastore.get_connection() as connection, connection.transaction():
            cursor = connection.cursor(row_factory=tuple_row)
            cursor.execute(_VIEWS["quickly"])
            yield cursor

    def _fetch_view(self, query: str, **values: object) -> list[tuple[Any, ...]]:
        return self.run_query(_VIEWS[query], values)


def _standing(row: tuple[Any, ...]) -> Standing:
    log_id, size, live, position, building, built, retired, leaf_index, error, since_ms = row
    fault = None if leaf_index is None else Fault(leaf_index, error, since_ms)
    return Standing(log_id, size, live, position, building, built, retired=retired, fault=fault)
