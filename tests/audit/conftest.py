"""One cell with a full history, and its bundles; tests only ever add to it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infrastructure.audit.export import export_bundle, log_signer
from infrastructure.client import acts
from infrastructure.projector import Projector
from tests.audit.past import Past, live
from tests.commands.cell import BOUNDS, FLOWS, Cell, Member, founded
from tests.commands.driver import Driver
from tests.database import TestServer, postgres

__all__ = ["postgres"]


@dataclass
class Scene:
    """A cell, a tenant that has seen much, and its bundle with every key. Each act was 7 s after the one before."""

    cell: Cell
    member: Member
    bundle: Path
    workload: str

    @property
    def vkey(self) -> str:
        """Return the log's Ed25519 verifier key, as the tenant would give it to an auditor."""
        return str(log_signer(self.cell.ledger, self.member.log_id).verifier_keys()[0])


def _live(cell: Cell, member: Member) -> str:
    """Let a tenant live through everything once; the read models follow in pieces. Return one workload that ran."""
    projector = Projector(cell.ledger)

    def pause() -> None:
        projector.catch_up()
        cell.advance(7_000)

    member.adopt({"kind": "re_authorisation", "threshold": 1}, {"kind": "in_country"})
    pause()
    workload = cell.submit(member)
    pause()
    (execution,) = cell.executions(member, workload)
    cell.run(execution)  # in a real keep
    pause()
    (execution,) = cell.place(member)
    Driver(cell, execution).fail("fuel")
    pause()
    acts.authorize_retry(cell.ledger, execution, member.admins, bounds=BOUNDS)
    cell.settle()
    pause()
    (again,) = cell.decider.state.live
    node = Driver(cell, again)
    node.evidence()
    node.tell({"kind": "reset"})
    pause()
    node.seq, node.prev = 1, _digest(node.tokens[0][0])
    node.started()
    node.completed()
    node.reset()
    cell.submit(member, clause_id="UNDRR::Disaster::Unregistered@1.0.0")
    cell.place(member, inputs=(FLOWS, b"1\n"))
    cell.rest()
    pause()
    return workload


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture(scope="session")
def scene(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The cell with its history."""
    with postgres.database() as name:
        cell = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        member = cell.join("ClimateDAO")
        workload = _live(cell, member)
        bundle = tmp_path_factory.mktemp("bundles") / "all"
        export_bundle(cell.ledger, member.log_id, bundle, with_keys="all", recipient="the court")
        yield Scene(cell, member, bundle, workload)
        cell.close()


@pytest.fixture(scope="session")
def past(scene: Scene) -> Past:
    """A tenant's past that tests write on or write again, each for itself."""
    return live(scene.cell)


@pytest.fixture(scope="session")
def early(past: Past) -> Past:
    """The past up to the end of its third run: one is done, one is held, one was refused a retry."""
    return past.until(past.of("execution.retry_refused.v1"))
