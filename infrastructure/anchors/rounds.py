"""The rounds of the anchor log in PostgreSQL.

Invariants:
- A round is its entry's leaf index: rounds are dense, and only ever appended. One transaction at a time makes one, with
  what it commits to, under one lock.
- What a slot was committed to in any round can be read again, so any slot of any round can be opened again.
- A row that can't be read as what it should be raises; it is never skipped.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from eventsourcing.persistence import IntegrityError

from domain.errors import ConflictError
from domain.transparency.anchors import AnchorEntry
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.postgres.arrays import bigints, byteas
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.queries import load
from infrastructure.postgres.reading import Reader, translated
from infrastructure.tracing.covers import Span, Trace

_ANCHORS = load("anchors.sql")
_LOCK = 0x4C454447_414E4348
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Round:
    """One round as it is stored: the entry's bytes, the anchor log's frontier with it, and when it was made."""

    index: int
    entry: bytes
    frontier: Frontier
    at_ms: int

    @property
    def parsed(self) -> AnchorEntry:
        """Return the entry.

        Raises:
            MalformedError: when the bytes are none.
        """
        return AnchorEntry.parse(self.entry)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the next round will hold: its entry, the texts of the slots that changed, and what its trace covers."""

    entry: bytes
    changed: Mapping[int, bytes]
    trace: Trace | None = None


Make = Callable[["Round | None", Mapping[int, bytes], int], Draft | None]
"""`make(newest round, text by slot as of it, up to which feed position is traced)`: the next round, or None."""


class Rounds(Reader):
    """The rounds of one database."""

    def __init__(self, datastore: LedgerDatastore) -> None:
        super().__init__(datastore)

    def append(self, make: Make, at_ms: int) -> Round | None:
        """Make the next round: read the newest, ask what follows it, and write that, in one transaction under the lock.

        Args:
            make: decides; it must not use this database.
            at_ms: the instant that is noted with the round.

        Returns:
            The round, durable; None where `make` returned none.

        Raises:
            ConflictError: when somebody who does not take the lock made the round.
            UnavailableError: when the database does not answer.
        """
        try:
            with translated(), self.datastore.transaction(commit=True) as cursor:
                cursor.execute(_ANCHORS["lock"], {"lock": _LOCK})
                row = cursor.execute(_ANCHORS["newest"]).fetchone()
                newest = None if row is None else _round(*row.values())
                texts: dict[int, bytes] = {}
                if newest is not None:
                    cursor.execute(_ANCHORS["texts"], {"round": newest.index})
                    texts = {found["slot"]: bytes(found["text"]) for found in cursor.fetchall()}
                cursor.execute(_ANCHORS["traced"])
                traced = cursor.fetchone()
                draft = make(newest, texts, 0 if traced is None else traced["position"])
                if draft is None:
                    return None
                before = Frontier.empty() if newest is None else newest.frontier
                made = Round(before.size, draft.entry, before.append(leaf_hash(draft.entry)), at_ms)
                values = {"round": made.index, "entry": made.entry, "at_ms": at_ms}
                cursor.execute(_ANCHORS["add_round"], values | {"frontier": made.frontier.to_bytes()})
                changed = sorted(draft.changed.items())
                columns = {"slots": bigints([slot for slot, _ in changed]), "texts": byteas([t for _, t in changed])}
                cursor.execute(_ANCHORS["add_changes"], {"round": made.index, **columns})
                if draft.trace is not None:
                    cursor.execute(_ANCHORS["add_trace"], {"round": made.index, **draft.trace._asdict()})
        except IntegrityError:
            raise ConflictError("this round was made by somebody else meanwhile; try again") from None
        return made

    def newest(self) -> Round | None:
        """Return the last round, or None before the first."""
        for row in self._anchors("newest"):
            return _round(*row)
        return None

    def frontier(self) -> Frontier:
        """Return the anchor log's size and frontier."""
        newest = self.newest()
        return Frontier.empty() if newest is None else newest.frontier

    def frontier_at(self, size: int) -> Frontier | None:
        """Return the frontier of the first `size` rounds; None where there are not so many."""
        if size == 0:
            return Frontier.empty()
        for row in self._anchors("one", round=size - 1):
            return _round(*row).frontier
        return None

    def read(self, first: int, end: int) -> Iterator[Round]:
        """Yield the rounds from `first`, without `end`, a page at a time."""
        for start in range(first, end, _PAGE):
            for row in self._anchors("rounds", first=start, end=min(start + _PAGE, end)):
                yield _round(*row)

    def traced(self) -> int:
        """Return up to which position of the feed the rounds' traces reach."""
        return int(self._anchors("traced")[0][0])

    def spans(self, first: int, end: int) -> Iterator[Span]:
        """Yield what the traces of the rounds from `first`, without `end`, cover; a round without one is left out."""
        after = int(self._anchors("traced_before", round=first)[0][0])
        for start in range(first, end, _PAGE):
            for index, position, decided, closing in self._anchors("traces", first=start, end=min(start + _PAGE, end)):
                yield Span(index, after, Trace(position, bytes(decided), bytes(closing)))
                after = position

    def texts(self, round_index: int) -> dict[int, bytes]:
        """Return what the slots are committed to as of a round; a slot that isn't there is committed empty."""
        return {slot: bytes(text) for slot, text in self._anchors("texts", round=round_index)}

    def newest_text(self, slot: int) -> tuple[int, bytes] | None:
        """Return what a slot is committed to now, and since which round; None where it was never committed."""
        for index, text in self._anchors("newest_text", slot=slot):
            return index, bytes(text)
        return None

    def changes(self, first: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Yield (round, slot, text) of what changed in the rounds from `first`, without `end`, in order."""
        for start in range(first, end, _PAGE):
            for index, slot, text in self._anchors("changes", first=start, end=min(start + _PAGE, end)):
                yield index, slot, bytes(text)

    def _anchors(self, name: str, **values: object) -> list[tuple[Any, ...]]:
        return self.run_query(_ANCHORS[name], values)


def _round(index: int, entry: bytes, frontier: bytes, at_ms: int) -> Round:
    return Round(index, bytes(entry), Frontier.from_bytes(index + 1, bytes(frontier)), at_ms)
