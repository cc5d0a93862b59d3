"""What the scheduler knows: plain tables, which the fold writes and the decision reads.

Invariants:
- Everything here is state proper: it is dumped, and it follows from inputs and decisions alone. What is worked out from
  it for speed (bitsets, lines of who waits for what) lies in `domain.scheduling.work` and is never dumped.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple
from uuid import UUID

from domain.message import Event
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.kinds import Policy, Rule
from domain.scheduling.colocation import Manners
from domain.scheduling.silence import Signs
from domain.workloads.events import WorkloadQueued

Key = tuple[int, str]
"""Slot and workload id: ids are chosen by submitters, so two tenants may choose the same one."""

UNRELEASED: Final = frozenset({"reserved", "awaiting"})
"""Phases of an execution whose inputs were not released: it may be given up without a fault."""

PAST = 1024
"""Of so many streams that ended last the version is still known."""


class Decision(NamedTuple):
    """An event for one stream of the log of one slot, at the version that follows what was folded."""

    slot: int
    stream_id: UUID
    version: int
    event: Event


class Shape:
    """Facts of a workload with its clause's own rules, as many workloads share them. `key` is the facts' JSON."""

    __slots__ = ("clause_rules", "facts", "key")

    def __init__(self, facts: WorkloadFacts, clause_rules: tuple[Rule, ...]) -> None:
        self.key = facts.model_dump_json()
        self.facts = facts
        self.clause_rules = clause_rules


class Waiting:
    """A workload in the queue. Frozen by convention: who changes one makes another."""

    __slots__ = ("arrived", "attempt", "clause_id", "draft", "key", "module_digest", "not_after_ms", "shape")

    def __init__(
        self, key: Key, attempt: int, shape: Shape, clause_id: str, module_digest: str, not_after_ms: int, draft: bool,
        arrived: int,
    ) -> None:  # fmt: skip
        self.key = key
        self.attempt = attempt
        self.shape = shape
        self.clause_id = clause_id
        self.module_digest = module_digest
        self.not_after_ms = not_after_ms
        self.draft = draft
        self.arrived = arrived

    @property
    def facts(self) -> WorkloadFacts:
        """Return the workload's facts."""
        return self.shape.facts

    @property
    def slot(self) -> int:
        """Return whose it is."""
        return self.key[0]

    @property
    def queued(self) -> WorkloadQueued:
        """Return the event that it waits by."""
        return WorkloadQueued.model_construct(
            workload_id=self.key[1], attempt=self.attempt, facts=self.shape.facts, clause_rules=self.shape.clause_rules,
            clause_id=self.clause_id, module_digest=self.module_digest, not_after_ms=self.not_after_ms,
            draft=self.draft,
        )  # fmt: skip


@dataclass(slots=True)
class Borrow:
    """What one attempt has borrowed: of whom, how much, and how many of its executions still hold it."""

    lender: int
    slots: int
    memory_bytes: int
    left: int


class Live:
    """An execution that holds a place, with what was queued for it and the policy that it was placed under.

    `resident` is who lives there, as others see it. Only `until_ms` and `phase` change: reserved, perhaps awaiting (the
    tenant's releaser), released, finished.
    """

    __slots__ = ("borrow", "manners", "name", "node", "phase", "policy", "resident", "until_ms", "waiting")

    def __init__(
        self, name: str, waiting: Waiting, policy: Policy, manners: Manners, node: str, until_ms: int, phase: str,
        borrow: Borrow | None,
    ) -> None:  # fmt: skip
        self.name = name
        self.manners = manners
        self.waiting = waiting
        self.policy = policy
        self.node = node
        self.until_ms = until_ms
        self.phase = phase
        self.borrow = borrow
        self.resident = Resident.model_construct(execution_id=name, workload=waiting.shape.facts, policy=policy)

    @property
    def slot(self) -> int:
        """Return whose it is."""
        return self.waiting.key[0]

    @property
    def key(self) -> Key:
        """Return whose workload it is, and which."""
        return self.waiting.key

    @property
    def facts(self) -> WorkloadFacts:
        """Return the workload's facts."""
        return self.waiting.shape.facts

    @property
    def queued(self) -> WorkloadQueued:
        """Return the event that it was queued by."""
        return self.waiting.queued


class Limit(NamedTuple):
    """Of one resource: one's own, how much more may be borrowed, how much of what is idle may be lent."""

    nominal: int
    borrow: int
    lend: int


class Quota(NamedTuple):
    """A grant: limits of slots and of memory in bytes (None: not limited here), and the weight for fair sharing."""

    number: int
    slots: Limit | None
    memory_bytes: Limit | None
    weight: int


class Bandwidth(NamedTuple):
    """A grant of tokens: so many each period, at most `burst` at once, within [from_ms, until_ms)."""

    number: int
    tokens: int
    period_ms: int
    burst: int
    from_ms: int
    until_ms: int


class Offer(NamedTuple):
    """A standing offer: what overflow may hold there at once (None: no limit), until when, and H(its statement)."""

    number: int
    slots: int | None
    memory_bytes: int | None
    until_ms: int
    statement: str


class Place(NamedTuple):
    """Where a scope or tenant hangs in the quota tree: the slot above it; None: below the top."""

    parent: int | None


@dataclass
class Tables:
    """Everything that the decisions read.

    Attributes:
        passes: how many placements a level was passed over for, while somebody of it waited.
        spent: per tenant with a grant of tokens the theoretical arrival time, in ms times tokens.
        offers: the standing offers of pools' operators, by pool and operator, until they are withdrawn.
        advances: of workloads whose tokens are set aside what `spent` was with them: as soon as a placement that costs
            nothing would pass after it, they have come.
        turns: per tenant with a grant of tokens how many placements it had, and how many at the last turn.
        placements: how many there were.
        kept: the nodes that are kept free, and the workload for whose class they are.
        kept_quota: whether quota is kept for that class.
        kept_from: how many placements there had been when nodes were kept last.
        again_after: of what is to be placed again, for which reason its last attempt was abandoned.
    """

    host: str = ""
    now_ms: int = 0
    inputs: int = 0
    arrivals: int = 0
    placements: int = 0
    kept: tuple[tuple[str, ...], Key] | None = None
    kept_quota: bool = False
    kept_from: int = 0
    levels: tuple[str, ...] = ()
    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    drained: set[str] = field(default_factory=set)
    policies: dict[int, tuple[int, Policy]] = field(default_factory=dict)
    places: dict[int, Place] = field(default_factory=dict)
    quotas: dict[int, Quota] = field(default_factory=dict)
    bandwidths: dict[int, Bandwidth] = field(default_factory=dict)
    spent: dict[int, int] = field(default_factory=dict)
    offers: dict[tuple[str, str], Offer] = field(default_factory=dict)
    advances: dict[Key, int] = field(default_factory=dict)
    turns: dict[int, tuple[int, int]] = field(default_factory=dict)
    passes: dict[int, int] = field(default_factory=dict)
    waiting: dict[Key, Waiting] = field(default_factory=dict)
    live: dict[str, Live] = field(default_factory=dict)
    versions: dict[tuple[int, str], int] = field(default_factory=dict)
    past: dict[tuple[int, str], None] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)
    failures: dict[Key, int] = field(default_factory=dict)
    again: dict[Key, Waiting] = field(default_factory=dict)
    again_after: dict[Key, str] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    held: set[Key] = field(default_factory=set)
    attempts: dict[Key, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    ran: set[Key] = field(default_factory=set)
    unsettled: dict[Key, Waiting] = field(default_factory=dict)
    closed: set[int] = field(default_factory=set)
    signs: Signs = field(default_factory=Signs)
    gone: set[str] = field(default_factory=set)
    monitors: dict[int, tuple[str, ...]] = field(default_factory=dict)
    loads: dict[str, int] = field(default_factory=dict)
