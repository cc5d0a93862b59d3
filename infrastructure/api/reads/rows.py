"""Rows of the read models of one log, as that log's own principals may read them.

Invariants:
- They are read bound to that log: an id of another's finds nothing, on the same way as one that does not exist.
- They are brought up to what was committed before they are read, by one thread for each log at a time.
- A page is bounded, and so is what is opened for it.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any, Final
from uuid import UUID

from domain.errors import MalformedError, UnknownError
from infrastructure.api.problems import NOTHING
from infrastructure.ledger import Ledger
from infrastructure.projecting.rows import opened_row
from infrastructure.projector import Projector

Row = dict[str, Any]

MOST_OPENED: Final = 1_000
"""Rows that are opened for one page, where most are filtered out."""
_CHUNK: Final = 128
_STRIPES: Final = 64
_ID_DIGITS: Final = 32

_catching_up: Final = tuple(threading.Lock() for _ in range(_STRIPES))


class OwnRows:
    """The read models of one log.

    Args:
        ledger: the cell.
        log_id: whose, from the asker's token.
        projections: brought up to date before they are read.
    """

    def __init__(self, ledger: Ledger, log_id: UUID, *projections: str) -> None:
        self._ledger = ledger
        self._reader = ledger.as_tenant(log_id)
        self._at_rest = ledger.at_rest(log_id)
        self.log_id = log_id
        with _catching_up[log_id.int % _STRIPES]:
            Projector(ledger).catch_up(log_id, projections)

    def row(self, projection: str, key: str) -> Row | None:
        """Return one row, or None."""
        value = self._reader.row(projection, key)
        return None if value is None else opened_row(self._at_rest, self.log_id, projection, key, value)

    def need(self, projection: str, key: str) -> Row:
        """Return one row.

        Raises:
            UnknownError: when there is none in this log, whatever there is elsewhere.
        """
        found = self.row(projection, key)
        if found is None:
            raise UnknownError(NOTHING)
        return found

    def all(self, projection: str) -> dict[str, Row]:
        """Return all rows of a read model that has few."""
        found = self._reader.rows(projection)
        return {key: opened_row(self._at_rest, self.log_id, projection, key, value) for key, value in found.items()}

    def between(self, projection: str, first: str, last: str, limit: int) -> list[tuple[str, Row]]:
        """Return up to `limit` rows from one key to another, by key in order."""
        found = self._reader.rows_within(projection, first, last, limit)
        return [(key, opened_row(self._at_rest, self.log_id, projection, key, value)) for key, value in found]

    def page(
        self, projection: str, kind: str, after: str | None, limit: int, wanted: Callable[[Row], bool]
    ) -> tuple[list[Row], str | None]:
        """Return rows whose keys are ids, in the order of these, and after which id to go on; None at the end.

        Args:
            projection: its stored name.
            kind: key and id before their digits: `workload/wl`.
            after: the last id that was dealt with; None: from the start.
            limit: so many at most. There may be fewer, though there are more to come: what is opened is bounded too.
            wanted: chooses.
        """
        found: list[Row] = []
        last, seen = after, 0
        for key, row in self._ids(projection, kind, after):
            seen, last = seen + 1, key.partition("/")[2]
            if wanted(row):
                found.append(row)
            if len(found) == limit or seen == MOST_OPENED:
                return found, last
        return found, None

    def _ids(self, projection: str, kind: str, after: str | None) -> Iterator[tuple[str, Row]]:
        first, last = (f"{kind}-0x{digit * _ID_DIGITS}" for digit in "0f")
        known = after is not None  # what `first` names was dealt with
        if after is not None:
            first = f"{kind.partition('/')[0]}/{after}"
        while True:
            found = self._reader.rows_within(projection, first, last, _CHUNK)
            for key, value in found:
                if not known or key != first:
                    yield key, opened_row(self._at_rest, self.log_id, projection, key, value)
            if len(found) < _CHUNK:
                return
            first, known = found[-1][0], True


def require_id(text: str, kind: str) -> str:
    """Return an id unchanged, if it is spelled as one of a kind.

    Raises:
        UnknownError: when it is none: there is nothing of such an id.
    """
    digits = text.removeprefix(f"{kind}-0x")
    if len(digits) != _ID_DIGITS or len(text) == len(digits) or digits.strip("0123456789abcdef"):
        raise UnknownError(NOTHING)
    return text


def require_after(text: str, kind: str) -> str:
    """Return the id that a cursor names.

    Raises:
        MalformedError: when it names none.
    """
    try:
        return require_id(text, kind)
    except UnknownError:
        raise MalformedError("the cursor is none that this gave: begin again without one") from None
