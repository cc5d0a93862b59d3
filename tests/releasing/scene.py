"""A tenant that holds its own release and output key, and its releaser over the ledger of a test's cell."""

import threading
from dataclasses import dataclass, field
from typing import Any

from infrastructure.attestation.roots import vendor_roots
from infrastructure.credentials.verifying import Verifying
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.releasing.agent import ReleaseAgent
from infrastructure.releasing.demands import Demands
from infrastructure.releasing.judging import Releaser
from infrastructure.releasing.nodes import NodeTrust
from infrastructure.releasing.offered import Offered, read_offer
from infrastructure.releasing.sources import LocalSource
from infrastructure.runtime.measurement import runtime_measurement
from tests.commands.cell import ENTROPY, FLOWS, THRESHOLD, Cell, Member
from tests.commands.driver import Driver


def releaser_of(member: Member, wallet: Wallet | None = None, **changed: Any) -> Releaser:
    """Return a tenant's releaser as `release run` makes it."""
    own = wallet or member.admins[0]
    usual: dict[str, Any] = {
        "tenant": member.name, "kid": own.thumbprint(Purpose.ENDORSEMENT), "release": own.custody().release,
        "admins": frozenset(one.thumbprint(Purpose.GOVERNANCE) for one in member.admins), "demands": Demands(),
        "nodes": NodeTrust((member.cell.root.did(Purpose.CREDENTIAL),), Verifying.by_files(None, None)),
        "roots": (vendor_roots(),), "measurement": runtime_measurement(),
    }  # fmt: skip
    return Releaser(**{**usual, **changed})


@dataclass
class Scene:
    """One execution that waits for its tenant's releaser."""

    cell: Cell
    member: Member
    execution: str
    node: Driver
    told: list[str] = field(default_factory=list)

    def source(self) -> LocalSource:
        """Return the ledger as a releaser in this installation has it."""
        return LocalSource(self.cell.ledger, self.member.name, lambda: True)

    def offered(self) -> Offered:
        """Return what the ledger offers."""
        return read_offer(self.source().offer(self.execution))

    def agent(self, wallet: Wallet | None = None, **changed: Any) -> ReleaseAgent:
        """Return a releaser."""
        own = wallet or self.member.admins[0]
        return ReleaseAgent(
            self.source(), own, releaser_of(self.member, own, **changed), clock=self.cell.clock, entropy=ENTROPY,
            tell=self.told.append, stop=threading.Event(),
        )  # fmt: skip


def waiting_scene(cell: Cell, member: Member | None = None, **asked: Any) -> Scene:
    """Return an execution whose enclave was appraised and that waits for its inputs."""
    own = member or cell.join(own_custody=True)
    (execution,) = cell.place(own, (FLOWS, THRESHOLD), **asked)
    node = Driver(cell, execution)
    assert node.evidence().answer["accepted"]
    cell.settle()
    return Scene(cell, own, execution, node)
