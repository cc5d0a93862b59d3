"""What the scheduler knows: plain tables, which the fold writes and the decision reads."""

from dataclasses import dataclass, field
from uuid import UUID

from domain.message import Event
from domain.policies.facts import NodeFacts, Resident
from domain.policies.kinds import Policy
from domain.scheduling.silence import Signs
from domain.workloads.events import WorkloadQueued

Key = tuple[int, str]
"""Slot and workload id: ids are chosen by submitters, so two tenants may choose the same one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """An event for one stream of the log of one slot, at the version that follows what was folded."""

    slot: int
    stream_id: UUID
    version: int
    event: Event


@dataclass(frozen=True, slots=True)
class Waiting:
    """A workload in the queue."""

    slot: int
    queued: WorkloadQueued
    arrived: int

    @property
    def key(self) -> Key:
        """Return whose workload it is, and which."""
        return self.slot, self.queued.workload_id


@dataclass(frozen=True, slots=True)
class Live:
    """An execution that holds a place, with what was queued for it."""

    slot: int
    queued: WorkloadQueued
    node: str
    resident: Resident
    until_ms: int
    phase: str

    @property
    def key(self) -> Key:
        """Return whose workload it is, and which."""
        return self.slot, self.queued.workload_id


@dataclass
class Tables:
    """Everything that the decisions read."""

    host: str = ""
    now_ms: int = 0
    inputs: int = 0
    arrivals: int = 0
    levels: tuple[str, ...] = ()
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    policies: dict[int, tuple[int, Policy]] = field(default_factory=dict)
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    live: dict[str, Live] = field(default_factory=dict)
    versions: dict[tuple[int, str], int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    deferred: set[Key] = field(default_factory=set)
    failures: dict[Key, int] = field(default_factory=dict)
    again: dict[Key, WorkloadQueued] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    held: set[Key] = field(default_factory=set)
    attempts: dict[Key, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    ran: set[Key] = field(default_factory=set)
    unsettled: dict[Key, WorkloadQueued] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    signs: Signs = field(default_factory=Signs)
    gone: set[str] = field(default_factory=set)
    monitors: dict[int, tuple[str, ...]] = field(default_factory=dict)
    stirred: bool = True  # whether waiting workloads have to be looked at again: no part of the state, but of its work
