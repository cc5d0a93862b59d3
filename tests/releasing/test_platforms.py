"""A releaser and evidence of hardware: under its own roots, by its own clock, and again by the ledger."""

from pathlib import Path

import pytest

from domain.errors import VerificationError
from domain.executions.events import InputsReleased
from infrastructure.attestation.roots import named_roots, vendor_roots
from infrastructure.attestation.synthetic.platform import SyntheticPlatform
from infrastructure.commands.evidence import ROOTS_FILE
from infrastructure.commands.releases import release
from infrastructure.releasing.demands import Demands
from infrastructure.releasing.judging import judge
from tests.commands.cell import NOW, MakeCell
from tests.commands.platforms import ENROL_NODES, Machines
from tests.releasing.scene import Scene, releaser_of
from tests.releasing.test_custody_of_inputs import made


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("machines")


def placed(make_cell: MakeCell, root: Path) -> tuple[Machines, Scene]:
    """Return an execution on a synthetic machine that waits for its releaser."""
    cell = make_cell()
    machines = Machines(cell, root)
    for name, kind, country, operator in ENROL_NODES:
        machines.enrol(name, kind, country=country, operator=operator)
    member = cell.join(own_custody=True)
    member.adopt(machines.hardware())
    driver = machines.place(member)
    assert driver.evidence().answer["accepted"]
    cell.settle()
    return machines, Scene(cell, member, driver.execution, driver)


def test_hardware_evidence_is_verified_under_the_releasers_own_roots(make_cell: MakeCell, root: Path) -> None:
    machines, scene = placed(make_cell, root)
    named = named_roots(machines.platform.root_pem)
    assert scene.agent(roots=(named, vendor_roots())).once().released == 1, scene.told
    assert len(scene.cell.events(scene.member, InputsReleased)) == 1


def test_a_root_that_the_releaser_does_not_trust_gets_nothing(make_cell: MakeCell, root: Path, tmp_path: Path) -> None:
    machines, scene = placed(make_cell, root)
    offered, now_ms = scene.offered(), scene.cell.clock.now_ms()
    with pytest.raises(VerificationError, match="root"):
        judge(offered, scene.execution, releaser_of(scene.member), now_ms)
    other = named_roots(SyntheticPlatform(tmp_path, NOW // 1000 - 86_400, bits=2048).root_pem)
    with pytest.raises(VerificationError):
        judge(offered, scene.execution, releaser_of(scene.member, roots=(other, vendor_roots())), now_ms)
    named = (named_roots(machines.platform.root_pem), vendor_roots())
    wants = releaser_of(scene.member, roots=named, demands=Demands(evidence_classes=("vendor",)))
    with pytest.raises(VerificationError, match="class of evidence is none that this releaser allows: synthetic"):
        judge(offered, scene.execution, wants, now_ms)
    scene.agent().once()
    assert scene.cell.events(scene.member, InputsReleased) == []
    assert "not released" in scene.told[-2]
    assert "the ledger has the refusal" in scene.told[-1]


def test_evidence_that_came_without_its_bytes_is_refused(make_cell: MakeCell, root: Path) -> None:
    machines, scene = placed(make_cell, root)
    named = (named_roots(machines.platform.root_pem), vendor_roots())
    offered = scene.offered()
    without = type(offered)(offered.execution, offered.origin, offered.entries, offered.node, (), offered.inputs)
    with pytest.raises(VerificationError, match="did not come along"):
        judge(without, scene.execution, releaser_of(scene.member, roots=named), scene.cell.clock.now_ms())


def test_a_root_that_the_cell_trusts_no_more_is_held_at_the_release(
    make_cell: MakeCell, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines, scene = placed(make_cell, root)
    cell = scene.cell
    named = (named_roots(machines.platform.root_pem), vendor_roots())
    monkeypatch.setattr(
        "tests.releasing.test_custody_of_inputs.releaser_of", lambda member: releaser_of(member, roots=named)
    )
    token, sealed = made(scene)
    (cell.folder / "data" / ROOTS_FILE).unlink()
    answer = release(cell.ledger, cell.decider.catch_up(), token, sealed).answer
    assert answer["released"] is False
    assert "evidence" in answer["reason"]
