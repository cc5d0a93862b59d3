"""The scheduler's state of this process for several threads: one decides, the others ask who lives where.

Invariants:
- The state moves under one lock. It is let go while a batch is being stored, so nobody waits for the disk.
- What is asked may be decided and not stored yet, but for reservations: a node is told of those that are stored. Who
  acts on it goes through the ledger, which knows what is stored.
- A watch of one node is rung when something was decided for that node, and by nothing of any other's.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from domain.errors import UnavailableError
from domain.executions.events import ExecutionReserved
from domain.message import Pending
from domain.policies.facts import NodeFacts, Resident
from domain.scheduling.state import Scheduling
from infrastructure.decider import MOST_S, Decider
from infrastructure.deciding import Told, keep_deciding
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Guard

T = TypeVar("T")
Ring = Callable[[], object]

_AWAY_S = 0.5


class _StoppedError(Exception):
    """This process ends: what is left of the feed is not followed any more."""


class _Shared(Decider):
    """A decider whose state others may look at between two of its moves."""

    def __init__(self, ledger: Ledger, reserved: Callable[[Collection[str] | None], None]) -> None:
        self.lock = threading.RLock()
        self._reserved = reserved
        self.storing: frozenset[str] = frozenset()
        self.stop: threading.Event | None = None
        super().__init__(ledger, most_s=MOST_S)

    def settle(self) -> int:
        with self.lock:
            return super().settle()

    def follow(self) -> None:
        with self.lock:
            super().follow()
        self._reserved(None)

    def _store(self, pending: Sequence[Pending], guards: Sequence[Guard]) -> int:
        reserved = [one.event for one in pending if isinstance(one.event, ExecutionReserved)]
        self.storing = frozenset(one.execution_id for one in reserved)
        self.lock.release()
        try:
            stored = super()._store(pending, guards)
        finally:
            self.lock.acquire()
        self.storing = frozenset()  # who can't be stored stays unknown to nodes until the state is made anew
        if stored:
            self._reserved({one.node for one in reserved})
        return stored

    def _before_page(self) -> None:
        if self.stop is not None and self.stop.is_set():
            raise _StoppedError

    def _begin_again(self) -> None:
        super()._begin_again()
        self.storing = frozenset()


def awaiting(state: Scheduling, slot: int) -> list[str]:
    """Return the executions of a tenant that wait for its releaser, in the order of their ids."""
    living = state.tree.of(slot).living
    return sorted(name for name in living if name in state.live and state.live[name].phase == "awaiting")


class LiveCell:
    """One cell as this process decides, or follows, it. `keep` runs on one thread; all else is for any.

    Args:
        ledger: the cell's ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._watches: dict[str, set[Ring]] = {}
        self._watches_lock = threading.Lock()
        self._decider = _Shared(ledger, self._ring)

    def keep(self, stop: threading.Event, told: Told, rest: Callable[[], object]) -> None:
        """Decide, or stand by, until stopped; `rest` waits for what may follow. Raises as `keep_deciding` does."""
        keep_deciding(self._ledger, stop=stop, told=told, decider=self._decider, rest=rest)

    def follow(self, stop: threading.Event, told: Told, rest: Callable[[], object]) -> None:
        """Follow what another process decides, until stopped; `rest` waits for what may follow.

        Raises:
            DifferenceError: when stored decisions are not those that this engine makes.
        """
        while not stop.is_set():
            try:
                self._decider.follow()
            except UnavailableError as error:
                told(str(error))
                stop.wait(_AWAY_S)
            rest()

    def catch_up(self, stop: threading.Event | None = None) -> bool:
        """Follow everything that was committed, or until `stop` is set; tell whether it was all."""
        with self._decider.lock:
            self._decider.stop = stop
            try:
                self._decider.catch_up()
            except _StoppedError:
                return False
            finally:
                self._decider.stop = None
        return True

    def position(self) -> int:
        """Return up to which position of the feed this process has followed."""
        with self._decider.lock:
            return self._decider.position

    def residents(self, node: str, *, without: str = "") -> tuple[Resident, ...]:
        """Return who lives on a node now, in the order of their ids, but for one execution."""
        with self._decider.lock:
            return self._decider.state.residents(node, without=without)

    def reserved(self, node: str, holding: Collection[str], limit: int) -> list[str]:
        """Return executions that are reserved for a node and have no evidence yet, but for those that it holds."""
        with self._decider.lock:
            state, storing = self._decider.state, self._decider.storing
            ready = (
                name
                for name, live in state.living.get(node, {}).items()
                if live.phase == "reserved" and not (name in holding or name in storing or name in state.over)
            )
            return [name for name, _ in zip(ready, range(limit), strict=False)]

    def awaiting(self, slot: int, holding: Collection[str]) -> list[str]:
        """Return executions of a tenant that wait for its releaser, but for those that it has settled."""
        with self._decider.lock:
            return [name for name in awaiting(self._decider.state, slot) if name not in holding]

    def living(self, node: str) -> list[str]:
        """Return all executions that hold a place on a node, in the order of their ids."""
        with self._decider.lock:
            return sorted(self._decider.state.living.get(node, {}))

    def nodes(self) -> dict[str, NodeFacts]:
        """Return the enrolled nodes."""
        with self._decider.lock:
            return dict(self._decider.state.nodes)

    def look(self, made: Callable[[Scheduling], T]) -> T:
        """Return what a function makes of the state between two of its moves. It keeps nothing of it."""
        with self._decider.lock:
            return made(self._decider.state)

    def standing(self, node: str) -> str:
        """Return how a node stands: drained, not known yet, or as the scheduler says (`Signs.standing`)."""
        with self._decider.lock:
            state = self._decider.state
            if node not in state.nodes:
                return "not known yet"
            return "drained" if node in state.drained else state.signs.standing(node)

    @contextmanager
    def watch(self, node: str, ring: Ring) -> Iterator[None]:
        """Call `ring`, from another thread, whenever something was decided for a node."""
        with self._watches_lock:
            self._watches.setdefault(node, set()).add(ring)
        try:
            yield
        finally:
            with self._watches_lock:
                rings = self._watches[node]
                rings.discard(ring)
                if not rings:
                    del self._watches[node]

    def _ring(self, nodes: Collection[str] | None) -> None:
        with self._watches_lock:
            concerned = self._watches if nodes is None else [node for node in nodes if node in self._watches]
            rings = [ring for node in concerned for ring in self._watches[node]]
        for ring in rings:
            ring()

    def ring_all(self) -> None:
        """Wake whoever waits: this process ends."""
        self._ring(None)
