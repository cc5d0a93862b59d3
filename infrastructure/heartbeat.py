"""The heartbeat of the nodes that work here: each reports its load and what is free, for as long as they work.

Invariants:
- Reports go on while a clause runs: they come from a thread of their own.
- What a node calls free is never more than the ledger knows to be free: a slot counts only after its reset was
  recorded. What is placed meanwhile is told with the next report.
- A report that can't be made is tried again at the next beat; the work goes on.
"""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from domain.errors import LedgerError
from domain.nodes.telemetry import INTERVAL_MS
from domain.scheduling.state import Scheduling
from domain.time import SECOND_MS
from infrastructure.node_agent import NodeAgent

_PERCENT = 100


def machine_load_percent() -> int:
    """Return how busy the machine's processors were in the last minute, at most 100."""
    return min(_PERCENT, int(_PERCENT * os.getloadavg()[0] / (os.cpu_count() or 1)))


@dataclass(frozen=True, slots=True)
class _Free:
    slots: int
    memory_bytes: int


class Heartbeat:
    """Beats for the length of a `with` block: once at its start, then at every interval.

    Args:
        agents: the nodes that work here, by name.
        state: what the ledger knows at the start.
        trouble: told, once for each node, why it can't report.
        load_percent: how busy the machine is.
    """

    def __init__(
        self,
        agents: Mapping[str, NodeAgent],
        state: Scheduling,
        trouble: Callable[[str], None] | None = None,
        load_percent: Callable[[], int] = machine_load_percent,
    ) -> None:
        self._agents = agents
        self._trouble = trouble
        self._load_percent = load_percent
        self._told: set[str] = set()
        self._free: Mapping[str, _Free] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ledger-heartbeat", daemon=True)
        self.note(state)

    def note(self, state: Scheduling) -> None:
        """Take note of what is free now. Called by the one thread that moves the state on."""
        known = [(name, state.nodes[name]) for name in self._agents if name in state.nodes]
        free = {name: state.free(facts) for name, facts in known}
        self._free = {name: _Free(max(0, slots), max(0, memory)) for name, (slots, memory) in free.items()}

    def beat(self) -> None:
        """Let every node report once."""
        load = self._load_percent()
        for node, free in self._free.items():
            try:
                self._agents[node].heartbeat(node, load, free.slots, free.memory_bytes)
            except LedgerError as error:
                if self._trouble is not None and node not in self._told:
                    self._told.add(node)
                    self._trouble(f"{node} can't report that it is alive: {error}")

    def __enter__(self) -> Self:
        self.beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(INTERVAL_MS / SECOND_MS):
            self.beat()
