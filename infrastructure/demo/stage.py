"""The cell at work in virtual time: arrivals, decisions, executions, completions.

Invariants:
- The clock stands still until nothing more can happen at its instant, and then moves to the next one that matters.
- At one instant: completions by (finish instant, execution id), then arrivals as planned, then decisions, then starts.
- How long an execution takes is a function of its fuel, never of this machine.

One machine plays every node here. Nodes share one pool of keeps, which is one process for each tenant's log: tenants
stay apart, as on a real node, but the nodes of a quorum don't run on hardware of their own.
"""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from domain.policies.facts import NodeFacts
from domain.policies.feasible import feasible
from domain.policies.kinds import Evidence, Rule
from domain.tenants.state import Tenant
from infrastructure.attestation.attesting import Attester, SyntheticAttester, own_machine
from infrastructure.client import acts
from infrastructure.client.machines import enrol_machine
from infrastructure.clock import VirtualClock
from infrastructure.commands.evidence import trust_roots
from infrastructure.commands.loading import load_tenant
from infrastructure.decider import Decider
from infrastructure.demo.board import Board
from infrastructure.demo.cast import MACHINES, RSA_BITS, Member, duration_ms
from infrastructure.demo.display import Display
from infrastructure.demo.questions import Question, Questions
from infrastructure.demo.scene import AS_USUAL, VIRTUAL, Ask, Pace, asked
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet
from infrastructure.ledger import Ledger
from infrastructure.node_agent import NodeAgent, Running
from infrastructure.runtime.pool import KeepPool
from infrastructure.work import remember_node


@dataclass
class Stage:
    """Everything that the acts of the demo share."""

    ledger: Ledger
    clock: VirtualClock
    keeps: KeepPool
    display: Display
    folder: Path
    chance: random.Random
    pace: Pace = VIRTUAL
    board: Board = field(default_factory=Board)
    wallets: dict[str, Wallet] = field(default_factory=dict)
    agents: dict[str, NodeAgent] = field(default_factory=dict)
    machines: dict[str, SyntheticAttester] = field(default_factory=dict)
    logs: dict[str, UUID] = field(default_factory=dict)
    kept_apart: set[str] = field(default_factory=set)
    _arrivals: list[tuple[int, int, Callable[[], object]]] = field(default_factory=list)
    _finishing: list[tuple[int, str]] = field(default_factory=list)
    _running: dict[str, Running] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make what follows from the rest."""
        self.decider = Decider(self.ledger, self.board.fold)
        self.questions = Questions(self.chance)
        self._order = itertools.count()

    def now_ms(self) -> int:
        """Return the instant, of virtual time."""
        return self.clock.now_ms()

    def wallet(self, name: str, file: str | None = None) -> Wallet:
        """Return a person's or node's wallet, drawn and written when first asked for."""
        if name not in self.wallets:
            path = self.folder / (file or f"wallets/{name}.json")
            path.parent.mkdir(mode=0o700, exist_ok=True)
            self.wallets[name] = wallets.create(path, name, self.ledger.entropy)
        return self.wallets[name]

    def admin(self, member: Member) -> Wallet:
        """Return the wallet of a tenant's admin."""
        return self.wallet(f"{member.dao}-admin")

    def tenant(self, member: Member) -> Tenant:
        """Return a tenant as it is now."""
        return load_tenant(self.ledger, self.logs[member.name])

    def know(self, member: Member, tenant: Tenant) -> None:
        """Note whose log a tenant's is."""
        self.logs[member.name] = UUID(tenant.log_id)
        self.board.know(self.logs[member.name], member.name)

    def enrol(self, facts: NodeFacts, root: Wallet) -> None:
        """Enrol a node whose synthetic machine proves itself, and let it take work."""
        name = facts.node
        wallet, kind = self.wallet(name), MACHINES[facts.vendor]
        machine = own_machine(self.folder, kind, name, self.clock.now_ms, bits=RSA_BITS)
        trust_roots(self.folder, machine.root_pem)
        enrol_machine(self.ledger, wallet, root, facts, machine)
        self.machines[name] = machine
        remember_node(self.folder, name, self.folder / "wallets" / f"{name}.json", kind)
        self.enlist(name, machine)
        self.board.nodes.append(facts)

    def enlist(self, node: str, machine: Attester) -> None:
        """Let an enrolled node take work, with evidence of that machine."""
        self.agents[node] = NodeAgent(self.ledger, self.wallet(node), self.keeps, machine)

    def rules(self, member: Member) -> tuple[Rule, ...]:
        """Return a tenant's lasting policy; the roots of the machines are this run's own."""
        if not member.verified_hardware:
            return member.rules
        roots = next(iter(self.machines.values())).vendor_roots
        return (*member.rules, Evidence(kind="evidence", classes=("vendor",), roots=roots))

    def submit(self, member: Member, question: Question, ask: Ask = AS_USUAL) -> str:
        """Ask a question now; return the workload's id."""
        content, inputs = asked(question, ask)
        return acts.submit(self.ledger, self.tenant(member), self.admin(member), content, inputs).workload

    def plan(self, at_ms: int, act: Callable[[], object]) -> None:
        """Have something happen at an instant. What is planned first happens first."""
        heapq.heappush(self._arrivals, (at_ms, next(self._order), act))

    def play(self) -> None:
        """Go on until nothing is planned, running, or waiting for an instant."""
        self._turn()
        while (at_ms := self._next_instant()) is not None:
            self.clock.advance_to(at_ms)
            while self._finishing and self._finishing[0][0] <= at_ms:
                self._finish(heapq.heappop(self._finishing)[1])
            while self._arrivals and self._arrivals[0][0] <= at_ms:
                heapq.heappop(self._arrivals)[2]()
            self._turn()

    def _next_instant(self) -> int | None:
        instants = [heap[0][0] for heap in (self._arrivals, self._finishing) if heap]
        due_ms = self.decider.state.due_ms()
        return min([*instants, *([] if due_ms is None else [due_ms])], default=None)

    def _turn(self) -> None:
        """Decide and start until both are at rest."""
        while True:
            self.decider.settle()
            state = self.decider.state
            ready = sorted(
                name for name, live in state.live.items() if live.phase == "reserved" and name not in state.over
            )
            if not ready:
                break
            for execution in ready:
                self._start(execution)
        self._note_kept_apart()
        self.display.moved(self.board, self.clock.now_ms())

    def _start(self, execution: str) -> None:
        state = self.decider.state
        if execution in state.over or execution not in state.live:
            return
        running = self.agents[state.live[execution].node].start(state, execution)
        if running is None or running.result is None:
            self.decider.catch_up()  # it was denied: others of its attempt are over
            return
        self._running[execution] = running
        finish_ms = self.clock.now_ms() + duration_ms(running.result.fuel_used)
        heapq.heappush(self._finishing, (finish_ms, execution))

    def _finish(self, execution: str) -> None:
        running = self._running.pop(execution)
        state = self.decider.catch_up()
        fuel = running.result.fuel_used if running.result else 0
        self.agents[state.live[execution].node].finish(state, running, duration_ms(fuel))

    def _note_kept_apart(self) -> None:
        """Note who waits at rest though a node has room, because those who live there and it may not meet."""
        state = self.decider.state
        for waiting in state.waiting.values():
            facts, policy = waiting.queued.facts, state.effective(waiting)[1]
            for node in state.nodes.values():
                slots, memory = state.free(node)
                if slots < 1 or memory < facts.bounds.memory_bytes:
                    continue
                findings = feasible(policy, facts, node, state.residents(node.node), state.now_ms)
                failed = {finding.about for finding in findings if not finding.passed}
                if failed == {"residents"}:
                    self.kept_apart.add(waiting.queued.workload_id)
