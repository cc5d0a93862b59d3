"""Read models: rows of bytes under a key, per projection and log, and how far each has come.

Invariants:
- Rows and position change in one transaction: a change counts exactly once, whatever crashes and however often it is
  tried.
- A position moves only from where its runner believes it to be: of two runners that race, one is refused.
- Everything here is derived, so it may be deleted; nothing else in the database may.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from domain.errors import ConflictError, MalformedError
from infrastructure.postgres.arrays import byteas, texts
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated

_VIEWS = load("views.sql")


class Views(Reader):
    """The read models of one database."""

    def apply(
        self,
        projection: str,
        log_id: UUID,
        from_position: int,
        changes: Mapping[str, bytes | None],
        *,
        to_position: int,
    ) -> None:
        """Change rows and move on, together.

        Args:
            projection: its stored name, such as `disputes_v1`.
            log_id: whose rows these are.
            from_position: up to where it had come before (0 at first).
            changes: the new value of each key; None removes the row.
            to_position: up to where it has come now, above `from_position`. What a position counts (leaf indices,
                feed positions) is the projection's choice.

        Raises:
            ConflictError: when it is not at `from_position`: the change was made already, or another runner is at work.
            MalformedError: when the position does not rise.
        """
        if to_position <= from_position:
            raise MalformedError("a read model only moves forward")
        where = {"projection": projection, "log_id": log_id}
        kept = {key: value for key, value in changes.items() if value is not None}
        removed = [key for key, value in changes.items() if value is None]
        with translated(), self.datastore.transaction(commit=True) as cursor:
            if from_position == 0:
                cursor.execute(_VIEWS["open_position"], where, prepare=True)
            cursor.execute(_VIEWS["move_position"], where | {"from": from_position, "to": to_position}, prepare=True)
            if cursor.rowcount != 1:
                raise ConflictError(f"{projection} is not at position {from_position}")
            if removed:
                cursor.execute(_VIEWS["delete_rows"], where | {"keys": texts(removed)}, prepare=True)
            if kept:
                columns = {"keys": texts(kept), "values": byteas(list(kept.values()))}
                cursor.execute(_VIEWS["put_rows"], where | columns, prepare=True)

    def reset(self, projection: str, log_id: UUID) -> None:
        """Forget a read model of one log: its rows and its position. It is built again from the start."""
        with translated(), self.datastore.transaction(commit=True) as cursor:
            for name in ("clear_position", "clear_rows"):
                cursor.execute(_VIEWS[name], {"projection": projection, "log_id": log_id}, prepare=True)

    def drop(self, log_id: UUID) -> None:
        """Forget every read model of one log."""
        with translated(), self.datastore.transaction(commit=True) as cursor:
            for name in ("drop_positions", "drop_rows"):
                cursor.execute(_VIEWS[name], {"log_id": log_id}, prepare=True)

    def position(self, projection: str, log_id: UUID) -> int:
        """Return how far it has come; 0 before its first change."""
        found = self._fetch_view("position", projection=projection, log_id=log_id)
        return int(found[0][0]) if found else 0

    def rows(self, projection: str, log_id: UUID) -> dict[str, bytes]:
        """Return all rows, by key in order."""
        found = self._fetch_view("rows", projection=projection, log_id=log_id)
        return {key: bytes(value) for key, value in found}

    def row(self, projection: str, log_id: UUID, key: str) -> bytes | None:
        """Return one row's value, or None."""
        found = self._fetch_view("row", projection=projection, log_id=log_id, key=key)
        return bytes(found[0][0]) if found else None

    def _fetch_view(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self.run_query(_VIEWS[name], values)
