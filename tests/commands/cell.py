"""A small founded ledger for tests: root scope, tenants, nodes, clauses, a decider, and time that stands still."""

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from domain.bounds import Bounds
from domain.clauses.events import ClauseMetadata
from domain.identifiers import DECIDER_STREAM
from domain.message import Event, Recorded
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Policy
from domain.tenants.state import Tenant
from domain.time import DAY_MS, HOUR_MS
from domain.workloads.events import WorkloadPlaced
from infrastructure.client import acts
from infrastructure.client.submission import InputSource, SubmissionFile
from infrastructure.clock import VirtualClock
from infrastructure.commands.loading import load_tenant
from infrastructure.commands.tenants import OwnCustody
from infrastructure.decider import Decider
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SeededIds
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.node_agent import NodeAgent
from infrastructure.runtime.module import module_bytes
from infrastructure.runtime.pool import KeepPool

HOST = "ledger.example"
NOW = 1_700_000_000_000
ENTROPY = SystemEntropy()
BOUNDS = Bounds(memory_bytes=1_048_576, fuel=10_000_000, wall_ms=2_000)
MAXIMUM = Bounds(memory_bytes=1 << 24, fuel=10**9, wall_ms=10_000)
FAMILIES = (
    "UNDRR::Disaster::Flood", "UNDRR::Disaster::Trap", "UNDRR::Disaster::Memory", "UNDRR::Disaster::Deadline",
    "UNDRR::Disaster::Simulation", "UNDRR::Disaster::Output", "UNDRR::Disaster::Unregistered",
)  # fmt: skip
CLASS = "Disaster::Flood@v1"
FLOOD = "UNDRR::Disaster::Flood@1.0.0"
FLOWS = b"1871,1120\n1872,1160\n1873,963\n"
THRESHOLD = b"950\n"

_REPO = Path(__file__).resolve().parents[2]
_EventT = TypeVar("_EventT", bound=Event)


@cache
def clause_module(name: str) -> bytes:
    """Return a clause of the demo, or one of the keep's hostile modules."""
    demo = _REPO / "infrastructure/demo/clauses" / f"{name}.wat"
    return module_bytes(demo if demo.is_file() else _REPO / "tests/runtime/hostile" / f"{name}.wat")


@dataclass
class Member:
    """A tenant with its admins' wallets."""

    cell: "Cell" = field(repr=False)
    log_id: UUID
    admins: list[Wallet]

    @property
    def tenant(self) -> Tenant:
        """Return the tenant as its log tells it now."""
        return load_tenant(self.cell.ledger, self.log_id)

    @property
    def name(self) -> str:
        """Return DAO/JUR."""
        return f"{self.tenant.dao}/{self.tenant.jurisdiction}"

    def adopt(self, *rules: dict[str, Any]) -> None:
        """Put a policy in force."""
        policy = Policy.model_validate_json(json.dumps({"rules": list(rules)}))
        tenant = self.tenant
        acts.adopt_policy(self.cell.ledger, tenant, self.admins[: tenant.threshold], policy)


class Cell:
    """One cell with its people. `folder` keeps wallets and keyring."""

    def __init__(self, folder: Path, conninfo: str, *, seed: int = 1, at_ms: int = NOW) -> None:
        self.folder = folder
        self.environ = {"LEDGER_DATABASE_URL": conninfo}
        self.clock = VirtualClock(at_ms)
        self.ledger: Ledger = open_ledger(
            folder / "data", self.environ, clock=self.clock, ids=SeededIds(seed), entropy=ENTROPY
        )
        self._numbers = itertools.count(1)
        self.nodes: dict[str, Wallet] = {}
        self.paths: dict[str, Path] = {}
        self.decider = Decider(self.ledger)
        self.keeps = KeepPool()
        self.root = self.wallet("root-admin")

    def found(self) -> "Cell":
        """Write the genesis; enrol three nodes in three countries; register the flood clause."""
        acts.begin_cell(self.ledger, HOST, [self.root], 1)
        acts.adopt_levels(self.ledger, [self.root], ["Disaster", "Finance"])
        for name, country, operator in (("alpha", "DEU", "OpA"), ("beta", "KEN", "OpB"), ("gamma", "FRA", "OpC")):
            self.enrol(name, country=country, operator=operator)
        self.owner = self.join("ClauseHouse")
        self.register(FLOOD, "flood", inputs=2)
        return self

    def close(self) -> None:
        """Leave keeps and database."""
        self.keeps.close()
        self.ledger.close()

    def wallet(self, name: str, *, custody: bool = False) -> Wallet:
        """Make a wallet of a person or machine of that name."""
        path = self.folder / f"{name}-{next(self._numbers)}.json"
        wallet = wallets.create(path, name, ENTROPY, custody=custody)
        self.paths[wallet.did(Purpose.REPORT)] = path
        return wallet

    def path_of(self, wallet: Wallet) -> Path:
        """Return the file of a wallet."""
        return self.paths[wallet.did(Purpose.REPORT)]

    def enrol(self, name: str, *, country: str = "DEU", operator: str = "OpA", **facts: Any) -> Wallet:
        """Enrol a node with a wallet of its own."""
        wallet = self.nodes[name] = self.wallet(name)
        known: dict[str, Any] = {"vendor": "soft", "memory_bytes": 1 << 28, "slots": 8, **facts}
        acts.enrol_node(
            self.ledger, wallet, self.root, NodeFacts(node=name, operator=operator, country=country, **known)
        )
        return wallet

    def join(
        self,
        dao: str | None = None,
        *,
        jurisdiction: str = "DEU",
        admins: int = 1,
        threshold: int = 1,
        valid_ms: int = 3000 * DAY_MS,
        families: Sequence[str] = FAMILIES,
        classes: Sequence[str] = (CLASS,),
        memory_bytes: int = 1 << 24,
        persons: Sequence[str] = (),
        own_custody: bool = False,
    ) -> Member:
        """Register a tenant whose admins are new persons."""
        name = dao or f"Dao{next(self._numbers)}"
        people = persons or [f"{name}-admin-{number}" for number in range(admins)]
        signing = [self.wallet(person, custody=own_custody) for person in people]
        held = signing[0].custody() if own_custody else None
        tenant = acts.register_tenant(
            self.ledger, dao=name, jurisdiction=jurisdiction, admins=signing, threshold=threshold,
            root_admins=[self.root], families=families, resource_classes=classes, memory_bytes=memory_bytes,
            valid_ms=valid_ms,
            custody=None if held is None else OwnCustody(held.release.public, held.output.public),
        )  # fmt: skip
        return Member(self, UUID(tenant.log_id), signing)

    def register(self, clause_id: str, module: str, *, inputs: int = 1, **metadata: Any) -> None:
        """Register a clause by ClauseHouse, open to everybody."""
        known = {"maximum_bounds": MAXIMUM.model_dump(), "resource_classes": [CLASS], **metadata}
        described = ClauseMetadata.model_validate_json(
            json.dumps({"clause_id": clause_id, "owner": "ClauseHouse", "inputs": inputs, **known})
        )
        acts.register_clause(self.ledger, self.owner.tenant, self.owner.admins, described, clause_module(module))

    def submit(
        self,
        member: Member,
        inputs: Sequence[bytes] = (FLOWS, THRESHOLD),
        *,
        wallet: Wallet | None = None,
        **asked: Any,
    ) -> str:
        """Submit a workload of the flood clause, or what is asked for; return its id."""
        named: dict[str, Any] = {"clause_id": FLOOD, "resource_class": CLASS, "bounds": BOUNDS, **asked}
        content = SubmissionFile(inputs=tuple(InputSource(text="x") for _ in inputs), **named)
        return acts.submit(self.ledger, member.tenant, wallet or member.admins[0], content, inputs).workload

    def settle(self) -> None:
        """Decide until nothing more can be decided."""
        self.decider.settle()

    def advance(self, ms: int) -> None:
        """Let time pass, and what is due come due."""
        self.clock.advance_to(self.clock.now_ms() + ms)
        self.settle()

    def rest(self) -> None:
        """Let everything that waits or lives run out of time."""
        while self.decider.catch_up().due_ms() is not None:
            self.advance(HOUR_MS)

    def place(self, member: Member, inputs: Sequence[bytes] = (FLOWS, THRESHOLD), **asked: Any) -> tuple[str, ...]:
        """Submit and place; return the executions."""
        workload = self.submit(member, inputs, **asked)
        self.settle()
        return self.executions(member, workload)

    def executions(self, member: Member, workload: str) -> tuple[str, ...]:
        """Return the executions of a workload's newest attempt."""
        placed = [event for event in self.events(member, WorkloadPlaced) if event.workload_id == workload]
        return tuple(place.execution_id for place in placed[-1].places)

    def node_of(self, execution: str) -> str:
        """Return the node of a live execution."""
        return self.decider.catch_up().live[execution].node

    def run(self, execution: str) -> None:
        """Run an execution in a real keep, from assignment to reset."""
        agent = NodeAgent(self.ledger, self.nodes[self.node_of(execution)], self.keeps)
        running = agent.start(self.decider.catch_up(), execution)
        if running is not None:
            self.clock.advance_to(self.clock.now_ms() + 500)
            agent.finish(self.decider.catch_up(), running, 500)
        self.settle()

    def history(self, member: Member | UUID) -> list[Recorded]:
        """Return a log's events."""
        return list(self.ledger.history(member if isinstance(member, UUID) else member.log_id))

    def events(self, member: Member, kind: type[_EventT]) -> list[_EventT]:
        """Return a log's events of one type."""
        return [recorded.event for recorded in self.history(member) if isinstance(recorded.event, kind)]

    def topics(self, member: Member) -> list[str]:
        """Return a log's topics, in order."""
        return [recorded.event.TOPIC for recorded in self.history(member)]

    def sizes(self) -> dict[str, int]:
        """Return the size of every log by origin."""
        return {log.origin: self.ledger.head(log.log_id).size for log in self.ledger.logs()}

    def entries(self, *, without: Member | None = None) -> dict[str, list[bytes]]:
        """Return every stored byte of every log, but for one, and but for the marks of the decider's batches."""
        return {
            log.origin: [
                stored.entry
                for stored in self.ledger.recorder.every_entry(log.log_id)
                if stored.stream_id != DECIDER_STREAM
            ]
            for log in self.ledger.logs()
            if without is None or log.log_id != without.log_id
        }

    @contextmanager
    def nothing_written(self) -> Iterator[None]:
        """Assert that no log grew."""
        before = self.sizes()
        yield
        assert self.sizes() == before

    @contextmanager
    def only_written_to(self, member: Member) -> Iterator[None]:
        """Assert that every other log is byte for byte what it was."""
        before = self.entries(without=member)
        yield
        assert self.entries(without=member) == before


def founded(folder: Path, conninfo: str, *, seed: int = 1, at_ms: int = NOW) -> Cell:
    """Return a founded cell."""
    return Cell(folder, conninfo, seed=seed, at_ms=at_ms).found()


MakeCell = Callable[..., Cell]


@contextmanager
def another_process(cell: Cell) -> Iterator[Ledger]:
    """Open the cell's ledger a second time, as another process does."""
    data = cell.folder / "data"
    with open_ledger(data, cell.environ, clock=cell.clock, ids=SeededIds(99), entropy=ENTROPY) as ledger:
        yield ledger
