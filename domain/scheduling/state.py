"""The scheduler's state: a fold of inputs' views, and of decisions when they are decided.

Invariants:
- `apply` has the effect that folding the views of the act's events would have, but for decision time, `seen` and the
  count of inputs: those move with inputs only, so who replays need not know when a batch became durable.
- `fold` is total and deterministic; two folds of the same views have the same digest at every prefix.
- Decision time is the greatest instant folded so far: a clock that steps back does not move it.
- What is kept of workloads that are finished is bounded.

The object is an accumulator owned by one decider; nobody else changes it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import PLATFORM_SLOT
from domain.scheduling.desk import Desk
from domain.scheduling.dumps import dumped, load_into
from domain.scheduling.folding import HANDLERS, NODE_REASONS
from domain.scheduling.instants import due_ms
from domain.scheduling.tables import Decision
from domain.scheduling.views import VIEW_VERSION, View, members_of, newest_version

__all__ = ["NODE_REASONS", "Scheduling"]

_BEGINNINGS = frozenset({"queued", "reserved"})
"""Kinds with which a stream begins to be one that decisions are made on. The platform's always are."""


@dataclass
class Scheduling(Desk):
    """What the decisions read, and how it moves on."""

    def fold(self, view: View) -> None:
        """Take one input in.

        Raises:
            MalformedError: for a view of a version that this engine does not read.
        """
        if not VIEW_VERSION <= view["v"] <= newest_version(view["kind"]):
            raise MalformedError(f"view version {view['v']} is not read by this engine")
        self.inputs += 1
        self.queues.moves += 1
        self.now_ms = max(self.now_ms, view["at_ms"])
        slot = view["slot"]
        self.seen[slot] = view["leaf"]
        self._move(slot, view["stream"], view["version"], view["kind"])
        handler = HANDLERS.get(view["kind"])
        if handler is not None:
            handler(self, view)

    def apply(self, act: Iterable[Decision]) -> None:
        """Take decisions in that `next_act` returned, or the first of them."""
        self.queues.moves += 1
        for slot, stream, version, event in act:
            view = members_of(event)
            view["slot"] = slot
            view["at_ms"] = self.now_ms
            self._move(slot, str(stream), version, view["kind"])
            handler = HANDLERS.get(view["kind"])
            if handler is not None:
                handler(self, view)

    def _move(self, slot: int, stream: str, version: int, kind: str) -> None:
        key = (slot, stream)
        if kind in _BEGINNINGS:
            self.past.pop(key, None)
            self.versions[key] = version
        elif slot == PLATFORM_SLOT or key in self.versions:
            self.versions[key] = version

    def next_version(self, slot: int, stream: UUID) -> int:
        """Return the version that the next event of a stream in the log of `slot` has."""
        return self.versions.get((slot, str(stream)), -1) + 1

    def due_ms(self) -> int | None:
        """Return the next instant at which something comes due, if anything can."""
        return due_ms(self)

    def digest(self) -> str:
        """Return H(JCS of the folded state)."""
        return sha256_hex(canonical(self.dump()))

    def dump(self) -> dict[str, Any]:
        """Return the state as restricted JSON, everything in a fixed order."""
        return dumped(self)

    @classmethod
    def load(cls, dump: dict[str, Any]) -> "Scheduling":
        """Return the state of a dump: it goes on as the one that was dumped would have."""
        state = cls()
        load_into(state, dump)
        return state
