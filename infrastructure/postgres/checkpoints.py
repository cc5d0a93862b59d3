"""Kept states of the scheduler's fold, as sealed parts. One of each name: the newest replaces the one before."""

from collections.abc import Sequence

from infrastructure.postgres.arrays import bigints, byteas
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated

_QUERIES = load("checkpoints.sql")


class Checkpoints(Reader):
    """The kept states of one database."""

    def read(self, name: str) -> list[bytes]:
        """Return the parts of a state, in order; none where none is kept."""
        return [bytes(sealed) for (sealed,) in self.run_query(_QUERIES["read"], {"name": name})]

    def put(self, name: str, parts: Sequence[bytes]) -> None:
        """Keep a state in place of the one before, in one transaction."""
        with translated(), self.datastore.transaction(commit=True) as cursor:
            cursor.execute(_QUERIES["lock"], {"name": name})
            cursor.execute(_QUERIES["forget"], {"name": name})
            columns = {"name": name, "parts": bigints(range(len(parts))), "sealed": byteas(parts)}
            cursor.execute(_QUERIES["put"], columns)
