"""Checks that a cell's rounds conform: nothing is missing, and each decision is the one that its engine makes.

Invariants:
- A round's entries are held against line 5 of its entry in the anchor log before anything of them is believed.
- Every leaf of every log comes once, in order, from the first; every position of the feed is there.
- It needs views and salts, and no tenant's key. What it can't tell it says: batches of other engines, batches that were
  brought back after a restore, rounds without a trace.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from domain.canonical import parse_canonical
from domain.errors import LedgerError, VerificationError
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.traces import CLOSING_LEAF, Kind, TraceTree, order_value, root_of_cells, trace_value
from infrastructure.redeciding.replay import DifferenceError, OvertakenError, Replay
from infrastructure.tracing.lines import Line, TracedRound

_UNREADABLE = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError
)  # fmt: skip
"""What the fold of a view raises whose members no event could have."""

_MEMBERS = {"slot": int, "stream": str, "version": int, "leaf": int, "at_ms": int, "kind": str}


@dataclass
class Report:
    """What was found. `runs` are the rounds that conform, first and last of each; `untraced` those without a trace."""

    engine: str
    runs: list[tuple[int, int]] = field(default_factory=list)
    untraced: list[int] = field(default_factory=list)
    entries: int = 0
    redecided: int = 0
    foreign: dict[str, int] = field(default_factory=dict)
    returned: int = 0

    @property
    def complete(self) -> bool:
        """Tell whether every decision in every round was made again here."""
        return bool(self.runs) and not (self.foreign or self.returned)


class Checker:
    """Checks one round after the other.

    Args:
        engine: digest of the engine that is imported here.
        first: the first round that is asked for; those before are checked too, as what follows rests on them.
    """

    def __init__(self, engine: str, first: int = 0) -> None:
        self.report = Report(engine)
        self._first = first
        self._replay = Replay(engine)
        self._leaves: dict[int, int] = {}
        self._position = 0
        self._closing = (-1, "")

    def check(self, one: TracedRound) -> None:
        """Check the next round.

        Raises:
            VerificationError: naming the round, and what differs first.
        """
        try:
            self._check(one)
        except (DifferenceError, OvertakenError) as error:
            raise DifferenceError(f"round {one.index}: {error}") from None
        except LedgerError as error:
            raise VerificationError(f"round {one.index}: {error}") from None
        except _UNREADABLE as error:
            raise VerificationError(f"round {one.index}: a view that this engine can't read ({error!r:.100})") from None
        self.report.redecided = self._replay.redecided
        self.report.foreign = self._replay.foreign
        self.report.returned = self._replay.returned

    def _check(self, one: TracedRound) -> None:
        if not one.traced:
            if one.entry.trace_root != EMPTY_ROOT:
                raise VerificationError("its entry names a trace, which is not here")
            self.report.untraced.append(one.index)
            return
        if one.after != self._position or one.position < one.after:
            raise VerificationError(f"it begins after position {one.after}, where {self._position} was reached")
        _require_root(one)
        kinds: list[Kind] = []
        closing = b""
        for place, line in enumerate(one.lines):
            if line.kind is Kind.CLOSING:
                closing = line.view
            else:
                self._take(place, line)
                kinds.append(line.kind)
        if self._position != one.position:
            raise VerificationError(f"it ends at position {one.position}, and its entries at {self._position}")
        self._close(kinds, closing)
        self._conforms(one.index)

    def _take(self, place: int, line: Line) -> None:
        view = _view(line, place)
        slot, leaf = view["slot"], view["leaf"]
        if leaf != self._leaves.get(slot, 0):
            raise VerificationError(f"slot {slot}: entry {self._leaves.get(slot, 0)} should follow, and {leaf} does")
        self._leaves[slot] = leaf + 1
        if line.position not in (self._position, self._position + 1):
            raise VerificationError(f"position {self._position} of the feed is followed by {line.position}")
        self._position = line.position
        self.report.entries += 1
        self._replay.take(line.position, view, returned=line.returned)

    def _close(self, traced: Iterable[Kind], closing: bytes) -> None:
        self._replay.finish()
        for place, (told, kind) in enumerate(zip(traced, self._replay.drain(), strict=True)):
            if told is not kind:
                raise DifferenceError(f"place {place} is traced as {told.name}, and is {kind.name}")
        if self._closing[0] != self._replay.batches:
            self._closing = (self._replay.batches, self._replay.state.digest())
        if closing.hex() != self._closing[1]:
            raise DifferenceError(f"the state that closes it is {self._closing[1]}, traced is {closing.hex()}")

    def _conforms(self, index: int) -> None:
        if index < self._first:
            return
        runs = self.report.runs
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))


def check_rounds(
    rounds: Iterable[TracedRound], engine: str, *, first: int = 0, progress: Callable[[int], None] | None = None
) -> Report:
    """Check a cell's rounds, which begin with its first one. Raises as `Checker.check` does."""
    checker = Checker(engine, first)
    for one in rounds:
        checker.check(one)
        if progress is not None:
            progress(one.index + 1)
    return checker.report


def _require_root(one: TracedRound) -> None:
    """Hold the lines against line 5 of the round's entry, one cell's."""
    values: list[bytes] = []
    closed: list[tuple[int, bytes]] = []
    for place, line in enumerate(one.lines):
        order = order_value(line.order_salt, one.index, place)
        values.append(trace_value(line.entry_salt, line.kind, line.leaf_hash, line.view_digest, order))
        if line.kind is Kind.CLOSING and len(closed) <= 1:
            closed.append((place, line.leaf_hash))
    if not values:
        raise VerificationError("its entry names a trace, which is not here")
    if closed != [(len(values) - 1, CLOSING_LEAF)]:
        raise VerificationError("its trace doesn't end with the closing state")
    if root_of_cells([TraceTree(values, one.padding_seed).root]) != one.entry.trace_root:
        raise VerificationError(
            "its entries don't give the trace root of the anchor log: one was changed, left out, added or moved"
        )


def _view(line: Line, place: int) -> dict[str, Any]:
    view = parse_canonical(line.view)
    if not isinstance(view, dict) or any(type(view.get(name)) is not kind for name, kind in _MEMBERS.items()):
        raise VerificationError(f"place {place} holds no view")
    return view
