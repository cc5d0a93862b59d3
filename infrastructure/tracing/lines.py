"""A cell's traced rounds, as the cell's auditor gets them: every entry with its salts, kind, leaf hash and view.

Invariants:
- Nothing here is decided or judged: what is stored is given out, and the checker holds it against the round's entry.
- It needs no tenant's key: views are stored, and kept when a key goes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import NamedTuple

from domain.errors import VerificationError
from domain.identifiers import PLATFORM_SLOT
from domain.transparency.anchors import AnchorEntry
from domain.transparency.traces import CLOSING_LEAF, Kind
from infrastructure.ledger import Ledger
from infrastructure.postgres.feed import Feed, FeedRow
from infrastructure.stored_views import StoredViews
from infrastructure.tracing.covers import Span
from infrastructure.tracing.tracer import TraceKeys, cell_trace_keys

_PAGE = 500


class Line(NamedTuple):
    """One traced entry. Of the closing state, `view` is its digest (32 bytes) and `leaf_hash` is zero."""

    position: int
    returned: bool
    order_salt: bytes
    entry_salt: bytes
    kind: Kind
    leaf_hash: bytes
    view: bytes

    @property
    def view_digest(self) -> bytes:
        """Return H(view)."""
        return sha256(self.view).digest()


@dataclass(frozen=True, slots=True)
class TracedRound:
    """A round: its entry in the anchor log; where its trace begins and ends in the feed; the trace's lines.

    A round without a trace has no lines and no seed, and ends where it begins. The lines can be gone through again;
    they need not be in memory.
    """

    entry: AnchorEntry
    after: int
    position: int
    padding_seed: bytes
    lines: Iterable[Line]

    @property
    def index(self) -> int:
        """Return the round's number."""
        return self.entry.round_index

    @property
    def traced(self) -> bool:
        """Tell whether the round has a trace."""
        return bool(self.padding_seed)


class Source:
    """Reads what is traced from the database.

    Args:
        ledger: the cell.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._feed = Feed(ledger.datastore)
        self._views = StoredViews(ledger)
        self._keys: TraceKeys = cell_trace_keys(ledger)

    def round(self, entry: AnchorEntry, span: Span) -> TracedRound:
        """Return a round that has a trace.

        Raises:
            VerificationError: when a view is missing or damaged, or what the round covers is not there.
        """
        seed = self._keys.padding_seed(span.round_index)
        return TracedRound(entry, span.after, span.trace.position, seed, self.lines(span))

    def rows(self, span: Span) -> Iterator[FeedRow]:
        """Yield the rows of the feed that a round covers."""
        position = span.after
        while position < span.trace.position:
            rows = self._feed.read_feed(position, min(_PAGE, span.trace.position - position))
            if not rows:
                raise VerificationError(
                    f"round {span.round_index} covers the feed up to {span.trace.position}, which ends before"
                )
            yield from rows
            position = rows[-1].position

    def lines(self, span: Span) -> list[Line]:
        """Return the lines of a round's trace, the closing state's last."""
        index, trace = span.round_index, span.trace
        found: list[Line] = []
        rows = self.rows(span)
        while page := list(islice(rows, _PAGE)):
            for row, folded in self._views.follow(page):
                for one in folded:
                    salts = self._salts(index, len(found), one.view["slot"], one.leaf_hash)
                    kind = Kind.DECISION if _bit(trace.decided, len(found)) else Kind.INPUT
                    found.append(Line(row.position, row.returned, *salts, kind, one.leaf_hash, one.data))
        self._views.flush()
        salts = self._salts(index, len(found), PLATFORM_SLOT, CLOSING_LEAF)
        return [*found, Line(trace.position, False, *salts, Kind.CLOSING, CLOSING_LEAF, trace.closing)]  # noqa: FBT003

    def _salts(self, index: int, place: int, slot: int, leaf_hash: bytes) -> tuple[bytes, bytes]:
        return self._keys.order_salt(index, place), self._keys.entry_salt(index, slot, leaf_hash)


def _bit(bits: bytes, number: int) -> bool:
    return number // 8 < len(bits) and bool(bits[number // 8] >> (7 - number % 8) & 1)
