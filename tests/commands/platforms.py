"""A cell whose nodes run on synthetic machines in hardware formats, made once for a module's tests."""

from pathlib import Path
from typing import Any

from domain.policies.facts import NodeFacts
from domain.time import SECOND_MS
from infrastructure.attestation.attesting import Attester, SyntheticAttester
from infrastructure.attestation.synthetic.platform import Kind, SyntheticPlatform
from infrastructure.client.machines import enrol_machine
from infrastructure.commands.evidence import ROOTS_FILE
from infrastructure.keys.wallet import Wallet
from infrastructure.node_agent import NodeAgent
from tests.commands.cell import NOW, Cell, Member
from tests.commands.driver import Driver

ENROL_NODES: tuple[tuple[str, Kind, str, str], ...] = (
    ("snp-a", "snp", "DEU", "OpA"), ("snp-b", "snp", "KEN", "OpB"), ("sgx-a", "sgx", "FRA", "OpC"),
)  # fmt: skip


class Machines:
    """Synthetic machines of one directory, and the nodes of a cell that run on them."""

    def __init__(self, cell: Cell, root: Path) -> None:
        self.cell = cell
        self.platform = SyntheticPlatform(root, NOW // SECOND_MS - 86_400, bits=2048)
        self.attesters: dict[str, Attester] = {}
        (cell.folder / "data" / ROOTS_FILE).write_bytes(self.platform.root_pem)

    def attester(self, name: str, kind: Kind = "snp") -> SyntheticAttester:
        """Return what makes a machine's evidence."""
        return SyntheticAttester(self.platform, kind, name, self.cell.clock.now_ms)

    def enrol(
        self, name: str, kind: Kind = "snp", *, country: str = "DEU", operator: str = "OpA", **facts: Any
    ) -> Wallet:
        """Enrol a node on a machine of its own name."""
        wallet = self.cell.nodes[name] = self.cell.wallet(name)
        attester = self.attester(name, kind)
        self.attesters[name] = attester
        known: dict[str, Any] = {"vendor": "synthetic", "memory_bytes": 1 << 28, "slots": 8, **facts}
        described = NodeFacts(node=name, operator=operator, country=country, **known)
        enrol_machine(self.cell.ledger, wallet, self.cell.root, described, attester)
        return wallet

    @property
    def roots(self) -> list[str]:
        """Return the roots of both vendors, as a policy names them."""
        return [*self.attester("any").vendor_roots]

    def hardware(self, **more: Any) -> dict[str, Any]:
        """Return the rule that demands verified hardware, with these roots named."""
        return {"kind": "evidence", "classes": ["vendor"], "roots": self.roots, **more}

    def place(self, member: Member, **asked: Any) -> Driver:
        """Place a workload; return its driver, whose evidence is the platform's."""
        (execution,) = self.cell.place(member, **asked)
        node = self.cell.node_of(execution)
        return Driver(self.cell, execution, attester=self.attesters.get(node))

    def run(self, execution: str) -> None:
        """Run an execution in a real keep on its machine."""
        cell = self.cell
        node = cell.node_of(execution)
        agent = NodeAgent(cell.ledger, cell.nodes[node], cell.keeps, self.attesters[node])
        running = agent.start(cell.decider.catch_up(), execution)
        assert running is not None
        cell.clock.advance_to(cell.clock.now_ms() + 500)
        agent.finish(cell.decider.catch_up(), running, 500)
        cell.settle()
