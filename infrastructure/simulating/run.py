"""Virtual time: the cell's own decisions over a file's workloads.

Invariants:
- Who runs where is decided by `next_act` alone. Here, views are made of what the files say and of the ends of what was
  placed, and time passes from one instant at which something happens to the next.
- At one instant what ends comes first, then what arrives, in the order of the file; then everything is decided.
- Nothing depends on a clock, on chance or on the order of a set.
- What is held here beside the decisions' own state: the arrivals, and what runs.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from domain.errors import UnavailableError
from domain.quotas.events import QuotaBorrowed
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.time import MAX_INSTANT_MS
from domain.workloads.events import WorkloadDeferred, WorkloadDenied, WorkloadPlaced
from infrastructure.engine_digest import engine_digest
from infrastructure.pauses import seldom_collecting
from infrastructure.simulating.feed import Feed
from infrastructure.simulating.governance import Governance
from infrastructure.simulating.inputs import NodeLine
from infrastructure.simulating.shapes import Job

MAX_ACTS = 1_000_000
"""Acts at one instant: beyond that the decisions don't come to rest."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One enclave of an attempt: where it ran, from when to when."""

    job: Job
    execution: str
    attempt: int
    node: str
    start_ms: int
    end_ms: int


@dataclass(slots=True)
class Outcome:
    """What came of it.

    Attributes:
        placements: every enclave, in the order in which they were placed.
        denied: rule by workload id of the file.
        decisions: how many decisions there were, of every kind.
        deferrals: how many of them deferred a class, by reason.
        borrowed_slot_ms: slots that were borrowed, for as long as they were.
        freed: how often a place was given back.
    """

    placements: list[Placement] = field(default_factory=list)
    denied: dict[str, str] = field(default_factory=dict)
    decisions: int = 0
    deferrals: Counter[str] = field(default_factory=Counter)
    borrowed_slot_ms: int = 0
    freed: int = 0


Told = Callable[[int, int], None]
"""Is told, at every instant, how many workloads have arrived and what virtual time it is."""


def run(nodes: Sequence[NodeLine], jobs: Sequence[Job], governance: Governance, told: Told | None = None) -> Outcome:
    """Simulate until nothing more can happen.

    Args:
        nodes: of the cell; all are there from the first instant on.
        jobs: in the order in which they arrive.
        governance: what is in force.
        told: hears how it goes.

    Raises:
        UnavailableError: when the decisions don't come to rest, which is a fault of the program.
    """
    with seldom_collecting():
        return _run(nodes, jobs, governance, told)


def _run(nodes: Sequence[NodeLine], jobs: Sequence[Job], governance: Governance, told: Told | None) -> Outcome:
    tenants = {job.shape.tenant: None for job in jobs}
    tenants |= dict.fromkeys((*governance.policies, *governance.limits, *governance.tokens))
    feed = Feed(tenants, [scope.name for scope in governance.scopes])
    cell = _Cell(feed, {(feed.slots[job.shape.tenant], job.workload_id): job for job in jobs})
    for view in feed.beginning(nodes, governance):
        cell.state.fold(view)
    cell.settle()
    arrivals = iter(jobs)
    arriving = next(arrivals, None)
    arrived = 0
    while (at_ms := cell.next_ms(arriving)) is not None:
        cell.end_what_ends(at_ms)
        while arriving is not None and arriving.at_ms == at_ms:
            cell.state.fold(feed.queued(arriving, at_ms))
            arrived += 1
            arriving = next(arrivals, None)
        if cell.state.now_ms < at_ms:
            cell.state.fold(feed.platform(at_ms, {"kind": "tick", "due_ms": at_ms}))
        cell.settle()
        if told is not None:
            told(arrived, at_ms)
    return cell.outcome


class _Cell:
    """The decisions' state, and what runs."""

    def __init__(self, feed: Feed, jobs: dict[tuple[int, str], Job]) -> None:
        self.state = Scheduling()
        self.outcome = Outcome()
        self._feed = feed
        self._jobs = jobs
        self._engine = engine_digest()
        self._ends: list[tuple[int, int, int, tuple[Placement, ...]]] = []

    def next_ms(self, arriving: Job | None) -> int | None:
        """Return the next instant at which something happens: an arrival, an end, or what the decisions wait for."""
        instants = [arriving.at_ms] if arriving is not None else []
        if self._ends:
            instants.append(self._ends[0][0])
        due_ms = self.state.due_ms()
        if due_ms is not None and self.state.now_ms < due_ms < MAX_INSTANT_MS:
            instants.append(due_ms)
        return min(instants, default=None)

    def end_what_ends(self, at_ms: int) -> None:
        """Fold the ends of what ends at an instant, in the order in which it was placed."""
        while self._ends and self._ends[0][0] == at_ms:
            _, _, slot, attempt = heappop(self._ends)
            job = attempt[0].job
            kind = "faulted" if job.fails else "finished"
            for placement in attempt:
                self._report(slot, kind, placement)
            for placement in attempt:
                self._report(slot, "freed", placement)
                self._feed.forget(placement.execution)
            self.outcome.freed += len(attempt)
            if len(attempt) > 1:
                self.state.fold(self._feed.settled(slot, job, attempt[0].attempt, at_ms))
            self._feed.forget(job.workload_id)

    def settle(self) -> None:
        """Decide until nothing more can be decided."""
        for _ in range(MAX_ACTS):
            act = next_act(self.state, self._engine)
            if not act:
                return
            self.state.apply(act)
            self._feed.decided(act)
            self._note(act)
        raise UnavailableError("the decisions don't come to rest; this is a fault of the program")

    def _note(self, act: Iterable[Decision]) -> None:
        for made in act:
            self.outcome.decisions += 1
            match made.event:
                case WorkloadPlaced() as placed:
                    job = self._jobs[made.slot, placed.workload_id]
                    self._place(made.slot, job, placed)
                case WorkloadDenied() as denied:
                    self.outcome.denied[self._jobs[made.slot, denied.workload_id].id] = denied.rule
                case WorkloadDeferred() as deferred:
                    self.outcome.deferrals[deferred.reason] += 1
                case QuotaBorrowed() as borrow:
                    job = self._jobs[made.slot, borrow.workload_id]
                    self.outcome.borrowed_slot_ms += borrow.slots * job.runtime_ms
                case _:
                    pass

    def _place(self, slot: int, job: Job, placed: WorkloadPlaced) -> None:
        start_ms = self.state.now_ms
        attempt = tuple(
            Placement(job, place.execution_id, placed.attempt, place.node, start_ms, start_ms + job.runtime_ms)
            for place in placed.places
        )
        first = len(self.outcome.placements)
        self.outcome.placements += attempt
        heappush(self._ends, (start_ms + job.runtime_ms, first, slot, attempt))

    def _report(self, slot: int, kind: str, placement: Placement) -> None:
        self.state.fold(self._feed.of_execution(slot, kind, placement.execution, placement.end_ms))
