"""Who has to be looked at, and who waits for what: nobody is looked at whom nothing can have helped.

Classes that have to be looked at stand in the order of their level (`ready`). One that was looked at in vain waits in
a line: of those that look for the same room on the same nodes, or that hang on the same quota. What falls free makes
lines hot; of a hot line only the next class is looked at, and when there is nothing for it the line goes cold as a
whole. A class which its line can't speak for (several enclaves, neighbours that know its name) stands aside in it, and
comes back when the line is called again.

Invariants:
- No lost wake-up: a class that waits, in a line that is not hot, can't be placed. (A state machine holds that against a
  second state which looks at everybody.)
- Nothing here is state: it may be thrown away and begun anew with everybody ready, and the decisions are the same.
"""

from collections.abc import Callable, Iterable, Iterator

from domain.scheduling.classes import WorkClass
from domain.scheduling.fairness import Order, Turn
from domain.scheduling.quotas import Account

NODES, QUOTA, BANDWIDTH = "no_node_now", "quota", "bandwidth"


class Line:
    """Classes of one level that wait for the same thing.

    Args:
        level: of all of them.
        opened: tells whether what they wait for may be there for the next of them.
        admits: for a line that waits for room, tells whether one node could let the next of them in.
        lent: whether it is something lent that they wait for: then what a tenant itself gives back may help it.
        rule: what they are told who wait in it.
    """

    __slots__ = ("absent", "admits", "aside", "called", "first", "lent", "level", "opened", "order", "rule", "seen")

    def __init__(
        self, level: int, opened: Callable[["Line"], bool], *, rule: str, lent: bool = False,
        admits: Callable[[int], bool] | None = None,
    ) -> None:  # fmt: skip
        self.admits = admits
        self.called = 0  # the nodes for which it was called since it was cold: there is nothing on others
        self.level = level
        self.rule = rule
        self.opened = opened
        self.order = Order()
        self.aside: dict[WorkClass, None] = {}
        self.absent: dict[WorkClass, None] = {}  # who was told of this line and waits in another one
        self.lent = lent
        self.seen = (-1, -1)  # at which move of the state, and change of its order, `first` was worked out
        self.first: tuple[Turn, WorkClass] | None = None

    def speaks(self) -> bool:
        """Tell whether anybody waits in it, or was told of it."""
        return bool(self.order.size or self.aside or self.absent)


class Spot:
    """Room of about one size on the same nodes, and the lines of who looks for it; `memory` is the least of them."""

    __slots__ = ("lines", "memory", "nodes", "slots")

    def __init__(self, nodes: int, slots: int, memory: int) -> None:
        self.nodes = nodes
        self.slots = slots
        self.memory = memory
        self.lines: dict[object, Line] = {}


class Queues:
    """All orders and lines."""

    def __init__(self) -> None:
        self.ready: dict[int, Order] = {}
        self.hot: dict[int, dict[Line, None]] = {}
        self.moves = 0  # of the state, since the beginning
        self.spots: dict[tuple[int, int, int], Spot] = {}
        self.quota_lines: dict[tuple[object, ...], Line] = {}
        self.by_dao: dict[str, dict[WorkClass, None]] = {}
        self.guarding: dict[str, dict[WorkClass, None]] = {}
        self.untold: dict[WorkClass, None] = {}
        self.proofs: dict[Line, None] = {}  # lines with somebody absent
        self._in_turn: list[WorkClass] | None = None  # those who are not told yet, the last to come first
        self.tokens: dict[int, dict[WorkClass, None]] = {}

    def look_at(self, work: WorkClass) -> None:
        """Let a class be looked at."""
        ready = self.ready.get(work.level)
        if ready is None:
            ready = self.ready[work.level] = Order()
        if work.order is ready:
            ready.push(work)
            return
        self.leave(work)
        ready.add(work)

    def next_of(self, work: WorkClass) -> None:
        """Take note that the head of a class is another."""
        if work.order is not None:
            work.order.changed(work)
        if work in self.untold:
            self._in_turn = None

    def not_told(self, work: WorkClass) -> None:
        """Note that a class is to be told why it waits."""
        if work not in self.untold:
            self.untold[work] = None
            self._in_turn = None

    def to_tell(self) -> Iterator[WorkClass]:
        """Yield who is to be told why it waits, by arrival. Meanwhile they may be told, and others not be added."""
        for line in [line for line in self.proofs if not line.absent or line.opened(line)]:
            del self.proofs[line]
            for work in list(line.absent):  # what they were told may be true no more
                self.unproved(work)
                self.not_told(work)
        if self._in_turn is None:
            self._in_turn = sorted(self.untold, key=lambda work: -work.head.arrived)
        found = self._in_turn
        while found and found[-1] not in self.untold:
            found.pop()
        return (work for work in reversed(found) if work in self.untold)

    def leave(self, work: WorkClass) -> None:
        """Take a class from wherever it stands."""
        if work.order is not None:
            work.order.remove(work)
        line = work.line
        if line is not None:
            line.aside.pop(work, None)
            work.line = None
            if line.lent and not (work.proof is not None and work.proof.lent):
                del work.account.borrowers[work]
        self.unproved(work)
        if work.waits_for == NODES:
            self._unlist(self.by_dao, work.manners.dao, work)
            for dao in sorted(work.manners.guard or ()):
                self._unlist(self.guarding, dao, work)
        elif work.waits_for == BANDWIDTH:
            self._unlist(self.tokens, work.account.slot, work)
        work.waits_for = ""

    def wait(self, work: WorkClass, reason: str, line: Line | None, *, aside: bool) -> None:
        """Let a class wait that was looked at in vain: in a line, or for its tenant's tokens."""
        self.leave(work)
        work.waits_for = reason
        if line is None:
            self.tokens.setdefault(work.account.slot, {})[work] = None
            return
        work.line = line
        if line.lent:
            work.account.borrowers[work] = None
        if aside:
            line.aside[work] = None
        else:
            line.order.add(work)
        if reason == NODES:
            self.by_dao.setdefault(work.manners.dao, {})[work] = None
            for dao in sorted(work.manners.guard or ()):
                self.guarding.setdefault(dao, {})[work] = None

    def proved(self, work: WorkClass, line: Line) -> None:
        """Note that what a class was told holds as long as a line is closed in which it doesn't wait."""
        work.proof = line
        if line.lent:
            work.account.borrowers[work] = None
        line.absent[work] = None
        self.proofs[line] = None

    def unproved(self, work: WorkClass) -> None:
        """Note that no other line speaks for a class."""
        proof = work.proof
        if proof is not None:
            proof.absent.pop(work, None)
            work.proof = None
            if proof.lent and not (work.line is not None and work.line.lent):
                del work.account.borrowers[work]

    def call(self, line: Line) -> None:
        """Let a line be looked at, those who stand aside included."""
        if line.aside:
            for work in line.aside:
                line.order.add(work)
            line.aside.clear()
        if line.order.size:
            self.hot.setdefault(line.level, {})[line] = None

    def freed(self, node: int, slots: int, memory: int) -> None:
        """Call the lines of who could use a node that has so much room."""
        bit, empty = 1 << node, []
        for key, spot in self.spots.items():
            fits = spot.slots <= slots and spot.memory <= memory and spot.nodes & bit
            if fits and not self._call_at(spot, node, bit):
                empty.append(key)
        for key in empty:
            del self.spots[key]

    def _call_at(self, spot: Spot, node: int, bit: int) -> bool:
        """Call the lines of a spot for a node; tell whether there are any."""
        over = []
        for name, line in spot.lines.items():
            if line.aside or (line.order.size and line.admits is not None and line.admits(node)):
                line.called |= bit
                self.call(line)
            elif not line.order.size:
                over.append(name)
        for name in over:
            del spot.lines[name]
        return bool(spot.lines)

    def returned(self, path: Iterable[Account]) -> None:
        """Call the lines that hang on accounts where something was given back."""
        for account in path:
            for line in list(account.lines):
                if line.order.size or line.aside:
                    self.call(line)
                else:
                    del account.lines[line]

    def everybody(self, classes: Iterable[WorkClass]) -> None:
        """Let all of these be looked at."""
        for work in classes:
            if work.members:
                self.look_at(work)

    def sweep(self, accounts: Iterable[Account]) -> None:
        """Forget the lines that speak for nobody."""
        self.quota_lines = {key: line for key, line in self.quota_lines.items() if line.speaks()}
        for account in accounts:
            account.lines = {line: None for line in account.lines if line.speaks()}
        for spot in self.spots.values():
            spot.lines = {key: line for key, line in spot.lines.items() if line.speaks()}
        self.spots = {key: spot for key, spot in self.spots.items() if spot.lines}

    def levels(self) -> list[int]:
        """Return the levels of which somebody has to be looked at."""
        found = {level for level, order in self.ready.items() if order.size}
        found.update(level for level, lines in self.hot.items() if lines)
        return sorted(found)

    def best(self, level: int) -> WorkClass | None:
        """Return who is next of a level. Lines that have nothing for anybody go cold."""
        least: Turn | None = None
        found: WorkClass | None = None
        ready = self.ready.get(level)
        if ready is not None:
            first = ready.best()
            if first is not None:
                least, found = first
        cold: list[Line] = []
        hot = self.hot.get(level, {})
        for line in hot:
            seen = (self.moves, line.order.changes)
            if line.seen != seen:
                line.seen = seen
                line.first = line.order.best() if line.opened(line) else None
            first = line.first
            if first is None:
                cold.append(line)
            elif least is None or first[0] < least:
                least, found = first
        for line in cold:
            line.called = 0
            del hot[line]
        return found

    @staticmethod
    def _unlist(table: dict[str, dict[WorkClass, None]] | dict[int, dict[WorkClass, None]], key: str | int,
                work: WorkClass) -> None:  # fmt: skip
        listed = table[key]  # type: ignore[index]  # each table with keys of its own kind
        del listed[work]
        if not listed:
            del table[key]  # type: ignore[arg-type]
