"""Decisions of a large cell, in memory: how long a release takes, what it denies, what co-location costs.

Invariants:
- A release is one execution that ends and is reset, with all the decisions that follow until the state is at rest.
- The clock runs over folding, deciding and applying; views are made before.
- Before releases are measured the cell is full, and so many workloads are pending as the size says.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.errors import VerificationError
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.scheduling.views import View
from domain.workloads.events import WorkloadDeferred, WorkloadDenied, WorkloadPlaced
from infrastructure.engine_digest import engine_digest
from infrastructure.simulating.checking import violations
from infrastructure.simulating.feed import Feed
from infrastructure.simulating.governance import Governance
from infrastructure.simulating.inputs import NodeLine
from infrastructure.simulating.run import Placement
from infrastructure.simulating.shapes import Job, jobs_of
from scripts.bench.rounds import clean_heap, percentile
from scripts.bench.schedule.cell import Size, governance_of, nodes_of, tenant_of, workloads_of

GAP_MS = 7
"""Virtual time between two releases."""


@dataclass(slots=True)
class Cell:
    """A cell in memory: its inputs and decisions, in order, as long as `history` is kept."""

    nodes: tuple[NodeLine, ...]
    governance: Governance
    feed: Feed
    state: Scheduling = field(default_factory=Scheduling)
    jobs: dict[tuple[int, str], Job] = field(default_factory=dict)
    placements: list[Placement] = field(default_factory=list)
    running: list[tuple[int, Placement]] = field(default_factory=list)
    pending: int = 0
    deferred: int = 0
    denied: int = 0
    decisions: int = 0
    now_ms: int = 0

    @classmethod
    def begin(cls, size: Size, *, colocation: bool = True) -> "Cell":
        """Return a cell with everything in force and no work."""
        governance = governance_of(size, colocation=colocation)
        tenants = [tenant_of(size, number) for number in range(size.daos)]
        feed = Feed(tenants, [scope.name for scope in governance.scopes])
        cell = cls(tuple(nodes_of(size)), governance, feed)
        for view in feed.beginning(cell.nodes, governance):
            cell.state.fold(view)
        cell.settle()
        return cell

    def arrivals(self, size: Size, count: int, first: int = 0, *, colocation: bool = True) -> list[View]:
        """Return the views of workloads that arrive."""
        lines = workloads_of(size, count, first, colocation=colocation)
        jobs = jobs_of(lines, self.governance.levels, self.governance.policies)
        self.jobs |= {(self.feed.slots[job.shape.tenant], job.workload_id): job for job in jobs}
        self.pending += len(jobs)
        return [self.feed.queued(job, self.now_ms) for job in jobs]

    def end(self, at: int) -> list[View]:
        """Return the views of the end and the reset of one of what runs."""
        self.now_ms += GAP_MS
        slot, placement = self.running[at]
        self.running[at] = self.running[-1]
        self.running.pop()
        return [
            self.feed.of_execution(slot, kind, placement.execution, self.now_ms)
            for kind in ("released", "finished", "freed")
        ]

    def fold(self, views: Sequence[View]) -> None:
        """Fold inputs."""
        for view in views:
            self.state.fold(view)

    def settle(self) -> list[Decision]:
        """Decide until nothing more can be decided."""
        engine = engine_digest()
        made: list[Decision] = []
        while act := next_act(self.state, engine):
            self.state.apply(act)
            made += act
        return made

    def note(self, made: Sequence[Decision]) -> None:
        """Keep what decisions came to."""
        self.feed.decided(made)
        self.decisions += len(made)
        for decision in made:
            match decision.event:
                case WorkloadPlaced() as placed:
                    job = self.jobs[decision.slot, placed.workload_id]
                    self.pending -= 1
                    some = [
                        Placement(
                            job, p.execution_id, placed.attempt, p.node, self.now_ms, self.now_ms + job.runtime_ms
                        )
                        for p in placed.places
                    ]
                    self.placements += some
                    self.running += [(decision.slot, one) for one in some]
                case WorkloadDeferred():
                    self.deferred += 1
                case WorkloadDenied():
                    self.denied += 1
                    self.pending -= 1
                case _:
                    pass


@dataclass(frozen=True, slots=True)
class Releases:
    """What releases came to."""

    count: int
    p99_ms: float
    denials: float
    pending: int


def measure_releases(size: Size, count: int) -> Releases:
    """Fill a cell, then measure so many releases.

    Raises:
        VerificationError: when fewer than `size.pending` wait, or a release frees nothing that is taken.
    """
    cell = full_cell(size)
    took_s: list[float] = []
    before = cell.deferred + cell.denied
    placed = len(cell.placements)
    with clean_heap():
        for number in range(count):
            views = cell.end(number * 7919 % len(cell.running))
            began = time.perf_counter()
            cell.fold(views)
            made = cell.settle()
            took_s.append(time.perf_counter() - began)
            cell.note(made)
    if len(cell.placements) - placed < count // 2:
        raise VerificationError(f"{count} releases made room for {len(cell.placements) - placed} only")
    denials = (cell.deferred + cell.denied - before) / count
    return Releases(count, percentile(took_s, 99) * 1000, denials, cell.pending)


def full_cell(size: Size) -> Cell:
    """Return a cell whose nodes are full, with `size.pending` that wait.

    Raises:
        VerificationError: when a placement breaks a rule, or fewer wait.
    """
    cell = Cell.begin(size)
    first = 0
    while cell.pending < size.pending:
        more = size.pending - cell.pending
        cell.fold(cell.arrivals(size, more, first))
        first += more
        cell.note(cell.settle())
    policies = cell.governance.policies
    broken = violations(cell.placements, [node.facts() for node in cell.nodes], policies)
    if broken:
        raise VerificationError(f"placements break rules: {dict(broken)}")
    return cell


def measure_placing(size: Size, *, colocation: bool) -> float:
    """Return placements per second until a cell is full, with or without rules about who may share a node."""
    cell = Cell.begin(size, colocation=colocation)
    views = cell.arrivals(size, size.nodes, colocation=colocation)
    with clean_heap():
        began = time.perf_counter()
        cell.fold(views)
        made = cell.settle()
        took_s = time.perf_counter() - began
    cell.note(made)
    return len(cell.placements) / took_s
