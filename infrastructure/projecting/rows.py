"""Rows of read models: how they lie in the database, and how a fold reads them, one by one as it asks.

Invariants:
- Rows are sealed under the log's data key: no content is in the database, and what is left of them goes with that key.
- A fold reads a row at most once in a batch and sees its own changes. It holds the rows that it asked for, never all.
- What is held between two batches is good only at the position that the batch before reached: whoever finds another
  position reads anew.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn
from uuid import UUID

from domain.canonical import canonical
from infrastructure.keys.at_rest import AtRest
from infrastructure.postgres.editions import family_of

Row = dict[str, Any]


def sealed_row(at_rest: AtRest, log_id: UUID, edition: str, key: str, row: Row) -> bytes:
    """Return a row as the database keeps it."""
    return at_rest.seal(_place(log_id, edition, key), canonical(row))


def opened_row(at_rest: AtRest, log_id: UUID, edition: str, key: str, value: bytes) -> Row:
    """Return a row that the database kept, of whatever edition of that projection.

    Raises:
        VerificationError: when it was changed, or lay elsewhere.
    """
    row: Row = json.loads(at_rest.open(_place(log_id, edition, key), value))
    return row


def _place(log_id: UUID, edition: str, key: str) -> bytes:
    return canonical(["row", str(log_id), family_of(edition), key])


class StoredRows(Mapping[str, Row]):
    """The rows of one edition of one log, for a fold.

    Args:
        read: returns a row as it is stored, or None.
    """

    def __init__(self, read: Callable[[str], Row | None]) -> None:
        self._read = read
        self._known: dict[str, Row | None] = {}

    @property
    def held(self) -> int:
        """How many rows are in memory."""
        return len(self._known)

    def change(self, changes: Mapping[str, Row]) -> None:
        """Take a fold's changes in."""
        self._known.update(changes)

    def __getitem__(self, key: str) -> Row:
        if key not in self._known:
            self._known[key] = self._read(key)
        row = self._known[key]
        if row is None:
            raise KeyError(key)
        return row

    def __iter__(self) -> Iterator[str]:
        return _not_counted()

    def __len__(self) -> int:
        return _not_counted()


def _not_counted() -> NoReturn:
    raise TypeError("a projection reads rows by their keys; it doesn't count or list them")
