"""Signs of life: which nodes are silent, lost or claim more than they have. Told by views alone.

Invariants:
- Only a node that has reported telemetry is ever silent: silence is held against the instant of its last report.
- A node in doubt gets no new work. Silence ends with its next report; a lost node returns with its next report once
  what ran there was settled; who claimed too much returns by the operator's word only (`node.returned.v1`).
- One tenant alone can't bring a node into doubt: shortfalls count from several tenants, in a row.
- Instants of `heard` and `silent` rise with decision time, so the first one is the oldest: nothing is searched.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from domain.bounds import Bounds
from domain.nodes.events import NodeLost, NodeSuspected
from domain.policies.facts import NodeFacts
from domain.scheduling.views import View
from domain.time import MINUTE_MS, SECOND_MS

SILENT_MS = 30 * SECOND_MS
"""A node that reports telemetry is suspected after so long without any."""

LOST_MS = 5 * MINUTE_MS
"""A silent node is lost after so long: what runs there counts as faulted."""

CLAIMS_IN_A_ROW = 2
"""One report that claims what is taken may have crossed a release on its way; so many can't."""

SHORTFALLS_IN_A_ROW = 3
SHORTFALL_TENANTS = 2
"""Executions that got less than the node claims, with none in between that came to its end, and of how many tenants."""

MIN_FUEL_PER_MS = 1000
"""A node that burns less until a deadline hasn't the processor that it claims: a slow one does 100 times it."""

MEMORY_SHARE = 4
"""A fault for memory below one part in so many of what the execution was given is the node's shortage."""


Told = NodeSuspected | NodeLost


@dataclass(frozen=True, slots=True)
class Held:
    """What the executions that have their inputs, and so are known to the node, hold of it."""

    slots: int = 0
    memory_bytes: int = 0


@dataclass
class Signs:
    """What is known of the nodes' signs of life. Instants in ms of decision time, oldest first.

    `caught` holds nodes that are to be suspected for their claims, with the instant at which that showed.
    """

    heard: dict[str, int] = field(default_factory=dict)
    silent: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    caught: dict[str, int] = field(default_factory=dict)
    doubted: set[str] = field(default_factory=set)
    overclaims: dict[str, int] = field(default_factory=dict)
    shortfalls: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def usable(self, node: str) -> bool:
        """Tell whether a node may get new work, as far as its signs of life go."""
        return not (node in self.silent or node in self.lost or node in self.doubted or node in self.caught)

    def standing(self, node: str) -> str:
        """Return what is held against a node: lost, capacity_claims or silent; or that it reports, or never did."""
        if node in self.lost:
            return "lost"
        if node in self.doubted or node in self.caught:
            return "capacity_claims"
        if node in self.silent:
            return "silent"
        return "reports" if node in self.heard else "never reported"

    def reported(self, view: View, now_ms: int, facts: NodeFacts, held: Held, *, settled: bool) -> None:
        """Take a telemetry view in.

        Args:
            view: of kind `telemetry`.
            now_ms: decision time.
            facts: what the node enrolled with.
            held: what it knows to be taken there.
            settled: whether nothing of what it ran when it was lost is still to be settled.
        """
        node = view["node"]
        if node in self.lost and not settled:
            return  # its next report brings it back
        for table in (self.heard, self.silent, self.lost):
            table.pop(node, None)
        self.heard[node] = now_ms
        if claims_more(view, facts, Held()):
            self._catch(node, now_ms)  # more than it enrolled with: no race can explain that
        elif claims_more(view, facts, held):
            self.overclaims[node] = self.overclaims.get(node, 0) + 1
            if self.overclaims[node] >= CLAIMS_IN_A_ROW:
                self._catch(node, now_ms)
        else:
            self.overclaims.pop(node, None)

    def fell_short(self, node: str, slot: int, now_ms: int) -> None:
        """Note that an execution of the tenant in `slot` got less than the node claims to have."""
        if node not in self.heard:
            return  # it claims nothing
        tenants = self.shortfalls[node] = (*self.shortfalls.get(node, ()), slot)[-SHORTFALLS_IN_A_ROW:]
        if len(tenants) == SHORTFALLS_IN_A_ROW and len(set(tenants)) >= SHORTFALL_TENANTS:
            self._catch(node, now_ms)

    def delivered(self, node: str) -> None:
        """Note that an execution got what it was given there."""
        self.shortfalls.pop(node, None)

    def suspected(self, view: View) -> None:
        """Take in that a node is suspected."""
        node = view["node"]
        if view["reason"] == "silent":
            self.silent[node] = self.heard.pop(node, view["at_ms"])
        else:
            self.caught.pop(node, None)
            self.doubted.add(node)

    def given_up(self, view: View) -> None:
        """Take in that a node is lost."""
        node = view["node"]
        self.lost[node] = self.silent.pop(node, self.heard.pop(node, view["at_ms"]))

    def welcome(self, node: str) -> None:
        """Take in that the operator vouches for a node: it begins anew. It is silent only after it reported again."""
        for table in (self.heard, self.silent, self.lost, self.caught, self.overclaims, self.shortfalls):
            table.pop(node, None)
        self.doubted.discard(node)

    def due(self, now_ms: int) -> tuple[Told, ...]:
        """Return what is to be said now: of one kind, and so once of a node, at the version that its stream is at.

        Oldest first, so that what is folded of it keeps the order of instants.
        """
        caught = _oldest(self.caught.items())
        if caught:
            return tuple(NodeSuspected(node=node, reason="capacity_claims", since_ms=since) for node, since in caught)
        silent = _oldest(_before(self.heard, now_ms - SILENT_MS))
        if silent:
            return tuple(NodeSuspected(node=node, reason="silent", since_ms=since) for node, since in silent)
        lost = _oldest(_before(self.silent, now_ms - LOST_MS))
        return tuple(NodeLost(node=node, since_ms=since) for node, since in lost)

    def due_ms(self) -> int | None:
        """Return the next instant at which a node is silent or lost, if one can be. What is caught is due at once."""
        instants = [since_ms + SILENT_MS for since_ms in _first(self.heard)]
        instants += [since_ms + LOST_MS for since_ms in _first(self.silent)]
        return min(instants, default=None)

    def dump(self) -> dict[str, Any]:
        """Return all of it as restricted JSON, everything in a fixed order."""
        return {
            "heard": dict(self.heard),
            "silent": dict(self.silent),
            "lost": dict(self.lost),
            "caught": dict(self.caught),
            "doubted": sorted(self.doubted),
            "overclaims": dict(self.overclaims),
            "shortfalls": {node: list(tenants) for node, tenants in self.shortfalls.items()},
        }

    @classmethod
    def load(cls, dump: dict[str, Any]) -> "Signs":
        """Return what `dump` gave; what became due alike is told by name, so its order there is not missed."""
        return cls(
            heard=dict(_oldest(dump["heard"].items())),
            silent=dict(_oldest(dump["silent"].items())),
            lost=dict(dump["lost"]),
            caught=dict(dump["caught"]),
            doubted=set(dump["doubted"]),
            overclaims=dict(dump["overclaims"]),
            shortfalls={node: tuple(tenants) for node, tenants in dump["shortfalls"].items()},
        )

    def _catch(self, node: str, now_ms: int) -> None:
        if node not in self.doubted:
            self.caught.setdefault(node, now_ms)


def claims_more(view: View, facts: NodeFacts, held: Held) -> bool:
    """Tell whether a telemetry view claims more free slots or memory than a node can have beside what it holds.

    Of the bucket of free memory its least amount counts: two to the power of one less.
    """
    bucket, left = view["free_memory_bucket"], facts.memory_bytes - held.memory_bytes
    least_is_more = left < 0 or bucket > left.bit_length()
    return bool(view["free_slots"] > facts.slots - held.slots or least_is_more)


def shows_shortage(kind: str, fuel_bucket: int, memory_bucket: int, bounds: Bounds) -> bool:
    """Tell whether a fault shows that the node had less than the execution was given. Of buckets the most counts."""
    if kind == "memory":
        return memory_bucket < (bounds.memory_bytes // MEMORY_SHARE).bit_length()
    return kind == "deadline" and fuel_bucket < (bounds.wall_ms * MIN_FUEL_PER_MS).bit_length()


def _first(instants: dict[str, int]) -> list[int]:
    return [next(iter(instants.values()))] if instants else []


def _before(instants: dict[str, int], latest_ms: int) -> Iterator[tuple[str, int]]:
    for node, since_ms in instants.items():
        if since_ms > latest_ms:
            return
        yield node, since_ms


def _oldest(instants: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return sorted(instants, key=lambda item: (item[1], item[0]))
