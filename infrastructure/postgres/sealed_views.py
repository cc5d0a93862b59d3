"""Rows of the scheduler's views, as sealed bytes, and how far along the feed they go.

Invariants:
- Up to the position every entry has its view: rows and position change in one transaction.
- A row is never changed and never removed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from infrastructure.postgres.arrays import bigints, byteas, uuids
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated

_QUERIES = load("sealed_views.sql")


@dataclass(frozen=True)
class SealedView:
    """A view as it is kept, with the leaf hash of the entry at its place (empty while it is being written)."""

    log_id: UUID
    leaf_index: int
    sealed: bytes = field(repr=False)
    leaf_hash: bytes = b""


class SealedViews(Reader):
    """The sealed views of one database."""

    def position(self) -> int:
        """Return up to which position of the feed every entry has its view."""
        return int(self.run_query(_QUERIES["position"], {})[0][0])

    def read(self, log_id: UUID, first: int, last: int) -> list[SealedView]:
        """Return the views there are of a log from leaf index `first` up to, not including, `last`, in order."""
        rows = self.run_query(_QUERIES["read"], {"log_id": log_id, "first": first, "last": last})
        return [SealedView(log_id, index, bytes(sealed), bytes(leaf)) for index, sealed, leaf in rows]

    def count(self, log_id: UUID, size: int) -> int:
        """Return how many of a log's first `size` entries have a view."""
        return int(self.run_query(_QUERIES["count"], {"log_id": log_id, "size": size})[0][0])

    def put(self, views: Sequence[SealedView], position: int, *, durable: bool = False) -> None:
        """Write views that follow those there are, up to a position of the feed.

        Args:
            views: of every entry between a position that was reached and this one. One that is there already stays.
            position: the feed's position after them.
            durable: wait for the disk. Otherwise a crash may lose the last ones, and they are made again.
        """
        with translated(), self.datastore.transaction(commit=True) as cursor:
            if not durable:
                cursor.execute(_QUERIES["lazily"])
            if views:
                columns = {
                    "log_ids": uuids([one.log_id for one in views]),
                    "leaf_indices": bigints([one.leaf_index for one in views]),
                    "sealed": byteas([one.sealed for one in views]),
                }
                cursor.execute(_QUERIES["put"], columns, prepare=True)
            cursor.execute(_QUERIES["move_on"], {"position": position}, prepare=True)

    def plain_until(self, log_id: UUID) -> datetime | None:
        """Return until when an older program kept a log's read models in the clear; None where none did."""
        found = self.run_query(_QUERIES["plain_until"], {"log_id": log_id})
        return found[0][0] if found else None
