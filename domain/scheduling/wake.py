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

from collections.abc import Callable, Iterable

from domain.scheduling.classes import WorkClass
from domain.scheduling.fairness import Order, Turn
from domain.scheduling.quotas import Account

NODES, QUOTA, BANDWIDTH = "no_node_now", "quota", "bandwidth"


class Line:
    """Classes of one level that wait for the same thing.

    Args:
        level: of all of them.
        opened: tells whether what they wait for may be there for the next of them.
        lent: whether it is something lent that they wait for: then what a tenant itself gives back may help it.
    """

    __slots__ = ("aside", "lent", "level", "opened", "order")

    def __init__(self, level: int, opened: Callable[[], bool], *, lent: bool = False) -> None:
        self.level = level
        self.opened = opened
        self.order = Order()
        self.aside: dict[WorkClass, None] = {}
        self.lent = lent


class Spot:
    """Room of one size on the same nodes, and the lines of who looks for it."""

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
        self.hot: dict[Line, None] = {}
        self.spots: dict[tuple[int, int, int], Spot] = {}
        self.quota_lines: dict[tuple[object, ...], Line] = {}
        self.by_dao: dict[str, dict[WorkClass, None]] = {}
        self.guarding: dict[str, dict[WorkClass, None]] = {}
        self.untold: dict[WorkClass, None] = {}
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

    def leave(self, work: WorkClass) -> None:
        """Take a class from wherever it stands."""
        if work.order is not None:
            work.order.remove(work)
        line = work.line
        if line is not None:
            line.aside.pop(work, None)
            work.line = None
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
        if aside:
            line.aside[work] = None
        else:
            line.order.add(work)
        if reason == NODES:
            self.by_dao.setdefault(work.manners.dao, {})[work] = None
            for dao in sorted(work.manners.guard or ()):
                self.guarding.setdefault(dao, {})[work] = None

    def call(self, line: Line) -> None:
        """Let a line be looked at, those who stand aside included."""
        if line.aside:
            for work in line.aside:
                line.order.add(work)
            line.aside.clear()
        if line.order.size:
            self.hot[line] = None

    def freed(self, node: int, slots: int, memory: int) -> None:
        """Call the lines of who could use a node that has so much room."""
        bit, empty = 1 << node, []
        for key, spot in self.spots.items():
            if spot.slots <= slots and spot.memory <= memory and spot.nodes & bit:
                for name, line in list(spot.lines.items()):
                    if line.order.size or line.aside:
                        self.call(line)
                    else:
                        del spot.lines[name]
                if not spot.lines:
                    empty.append(key)
        for key in empty:
            del self.spots[key]

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

    def levels(self) -> list[int]:
        """Return the levels of which somebody has to be looked at."""
        found = {line.level for line in self.hot}
        found.update(level for level, order in self.ready.items() if order.size)
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
        for line in [line for line in self.hot if line.level == level]:
            first = line.order.best() if line.opened() else None
            if first is None:
                del self.hot[line]
            elif least is None or first[0] < least:
                least, found = first
        return found

    @staticmethod
    def _unlist(table: dict[str, dict[WorkClass, None]] | dict[int, dict[WorkClass, None]], key: str | int,
                work: WorkClass) -> None:  # fmt: skip
        listed = table[key]  # type: ignore[index]  # each table with keys of its own kind
        del listed[work]
        if not listed:
            del table[key]  # type: ignore[arg-type]
