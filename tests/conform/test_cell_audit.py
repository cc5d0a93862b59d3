"""A cell's auditor: the package conforms with no tenant's key, and whatever is wrong with it is named."""

import json
import os
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.canonical import canonical
from domain.errors import LedgerError, VerificationError
from domain.scheduling import decide
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import Decision
from domain.workloads.events import WorkloadPlaced
from infrastructure import decider as deciding
from infrastructure.anchors.keys import anchor_signer
from infrastructure.anchors.publisher import AnchorPublisher
from infrastructure.anchors.witnesses import NOBODY
from infrastructure.audit.anchored import Expected
from infrastructure.conform import checking
from infrastructure.conform import package as packages
from infrastructure.conform.cell import conform_live, conform_package, export_cell
from infrastructure.conform.checking import Report
from infrastructure.conform.package import Package
from infrastructure.engine_digest import engine_digest
from infrastructure.erasure import destroy_keys
from infrastructure.redeciding import replay as replaying
from infrastructure.redeciding.replay import DifferenceError
from infrastructure.tracing.lines import TracedRound
from tests.commands.cell import Cell, MakeCell, founded
from tests.commands.driver import Driver
from tests.commands.test_erasure import order
from tests.database import TestServer

ROOT = Path(__file__).resolve().parents[2]


def turn(cell: Cell) -> None:
    """Make a round of what there is."""
    told: list[str] = []
    AnchorPublisher(cell.ledger, NOBODY, tell=told.append).turn()
    assert told == []


def lived(cell: Cell) -> None:
    """Let decisions of many kinds be made, with rounds in between."""
    turn(cell)
    one, other = cell.join(), cell.join()
    one.adopt({"kind": "in_country", "countries": ["KEN"]})
    cell.submit(one)
    (execution,) = cell.place(other)
    for _ in range(2):
        cell.place(other)
    turn(cell)
    Driver(cell, execution).whole()
    for execution in list(cell.decider.catch_up().live):
        Driver(cell, execution).fail()
    cell.settle()
    turn(cell)
    turn(cell)
    cell.advance(700_000)
    cell.rest()
    turn(cell)


@pytest.fixture(scope="module")
def audited(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Path]]:
    """A cell that has lived, and its package."""
    with postgres.database() as name:
        folder = tmp_path_factory.mktemp("cell")
        cell = founded(folder, postgres.conninfo(name))
        lived(cell)
        export_cell(cell.ledger, folder / "package")
        yield cell, folder / "package"
        cell.close()


@pytest.fixture
def package(audited: tuple[Cell, Path], tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    return Path(shutil.copytree(audited[1], tmp_path / "package"))


def test_a_package_conforms_and_says_which_rounds_with_which_engine(audited: tuple[Cell, Path]) -> None:
    cell, package = audited
    outside = Expected(keys=anchor_signer(cell.ledger).verifier_keys())
    report, found = conform_package(package, outside)
    assert (report.runs, report.untraced, report.engine) == ([(0, 4)], [], engine_digest())
    assert report.redecided >= 8
    assert report.complete
    assert found.authentic
    assert report.entries == sum(cell.sizes().values())
    assert not conform_package(package, Expected())[1].authentic


def test_the_live_cell_conforms_as_its_package_does(audited: tuple[Cell, Path]) -> None:
    cell, package = audited
    live, waiting = conform_live(cell.ledger)
    assert live == conform_package(package, Expected())[0]
    assert waiting == 0


def test_a_range_is_what_is_told_of(audited: tuple[Cell, Path]) -> None:
    cell, package = audited
    assert conform_live(cell.ledger, first=1, last=2)[0].runs == [(1, 2)]
    assert conform_package(package, Expected(), first=3)[0].runs == [(3, 4)]
    with pytest.raises(LedgerError, match="5 rounds"):
        conform_live(cell.ledger, first=1, last=5)
    with pytest.raises(LedgerError, match="5 rounds"):
        conform_package(package, Expected(), first=9)


def rewritten(path: Path, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    """Change one line of a file of lines, which stays canonical."""
    lines = path.read_bytes().splitlines()
    members = json.loads(lines[number])
    change(members)
    lines[number] = canonical(members)
    path.write_bytes(b"".join(line + b"\n" for line in lines))


def without(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    del lines[number]
    path.write_bytes(b"".join(lines))


def swapped(path: Path, number: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[number], lines[number + 1] = lines[number + 1], lines[number]
    path.write_bytes(b"".join(lines))


OTHER = "0" * 64
TRACE = "traces/1.jsonl"
TAMPERING: dict[str, tuple[Callable[[Path], object], str]] = {
    "a view": (
        lambda path: rewritten(path / TRACE, 3, lambda m: m.update(view=m["view"].replace('"v":1', '"v":2'))),
        "round 1: its entries don't give the trace root",
    ),
    "a kind": (lambda path: rewritten(path / TRACE, 2, lambda m: m.update(kind="decision")), "round 1: .*trace root"),
    "a leaf hash": (lambda path: rewritten(path / TRACE, 2, lambda m: m.update(leaf=OTHER)), "round 1: .*trace root"),
    "a salt": (lambda path: rewritten(path / TRACE, 2, lambda m: m.update(entry_salt=OTHER)), "round 1: .*trace root"),
    "an order": (lambda path: rewritten(path / TRACE, 2, lambda m: m.update(order_salt=OTHER)), "round 1: .*root"),
    "an entry left out": (lambda path: without(path / TRACE, 2), "round 1: .*trace root"),
    "entries swapped": (lambda path: swapped(path / TRACE, 2), "round 1: .*trace root"),
    "the closing state": (lambda path: rewritten(path / TRACE, -1, lambda m: m.update(view=OTHER)), "round 1: .*root"),
    "the closing state left out": (lambda path: without(path / TRACE, -1), "round 1: .*closing state"),
    "a position": (
        lambda path: rewritten(path / TRACE, 2, lambda m: m.update(position=m["position"] + 2)),
        "round 1: position .* is followed by",
    ),
    "a trace left out": (lambda path: (path / TRACE).unlink(), "traces/1.jsonl: missing"),
    "an empty trace": (lambda path: (path / TRACE).write_bytes(b""), "round 1: its entry names a trace"),
    "a trace denied": (
        lambda path: rewritten(path / "rounds.jsonl", 1, lambda m: m.update(trace=None)), "round 1: .*not here"
    ),
    "padding": (
        lambda path: rewritten(path / "rounds.jsonl", 1, lambda m: m["trace"].update(padding=OTHER)),
        "round 1: .*trace root",
    ),
    "a round left out": (lambda path: without(path / "rounds.jsonl", 1), "rounds.jsonl line 2: .*of round 1"),
    "the last round left out": (lambda path: without(path / "rounds.jsonl", -1), "rounds.jsonl: .*checkpoint"),
    "another entry": (
        lambda path: rewritten(path / "rounds.jsonl", 1, lambda m: m.update(entry=m["entry"].replace("\n64", "\n128"))),
        "rounds.jsonl: .*checkpoint",
    ),
    "another spelling": (
        lambda path: (path / TRACE).write_bytes((path / TRACE).read_bytes().replace(b":", b": ", 1)),
        "traces/1.jsonl line 1: JSON is not in canonical form",
    ),
    "no kind": (lambda path: rewritten(path / TRACE, 0, lambda m: m.pop("kind")), "traces/1.jsonl line 1: not a"),
    "a kind that is no text": (
        lambda path: rewritten(path / TRACE, 0, lambda m: m.update(kind=[])), "traces/1.jsonl line 1: not a"
    ),
    "a torn line": (lambda path: (path / TRACE).write_bytes((path / TRACE).read_bytes()[:-5]), "traces/1.jsonl line"),
    "not finished": (lambda path: (path / "cell.json").unlink(), "cell.json: missing"),
    "no checkpoint": (lambda path: (path / "anchors/checkpoint").unlink(), "anchors/checkpoint: missing"),
    "no keys": (lambda path: (path / "anchors/log.vkey").unlink(), "anchors/"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
def test_a_package_that_was_tampered_with_is_refused_and_what_is_wrong_is_named(package: Path, what: str) -> None:
    change, named = TAMPERING[what]
    change(package)
    with pytest.raises(VerificationError, match=named):
        conform_package(package, Expected())


def test_a_rounds_lines_are_never_all_in_memory(package: Path) -> None:
    path = package / TRACE
    long = path.read_bytes().splitlines(keepends=True)[0].replace(b'"view":"', b'"view":"' + b"x" * 100_000)
    path.write_bytes(long * 400)
    one = next(one for one in Package(package, Expected()).rounds() if one.index == 1)
    tracemalloc.start()
    assert sum(len(line.view) for line in one.lines) > 40_000_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000
    with pytest.raises(VerificationError, match=r"round 1: .*closing state"):
        conform_package(package, Expected())


def test_a_round_of_too_many_lines_is_refused_before_they_are_read(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "MAX_LINES", 3)
    with pytest.raises(VerificationError, match=r"traces/0.jsonl line 4: a round has 3 lines at most"):
        conform_package(package, Expected())


def test_a_package_that_changes_while_it_is_read_is_refused(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checking._require_root

    def changed(one: TracedRound) -> None:
        real(one)
        if one.index == 1:
            rewritten(package / TRACE, 2, lambda members: members.update(leaf=OTHER))

    monkeypatch.setattr(checking, "_require_root", changed)
    with pytest.raises(VerificationError, match=r"traces/1.jsonl: it was changed while it was read"):
        conform_package(package, Expected())


def test_a_package_of_another_cell_is_no_package_of_this_one(audited: tuple[Cell, Path], make_cell: MakeCell) -> None:
    other = make_cell(seed=2)
    with pytest.raises(VerificationError):
        conform_package(audited[1], Expected(keys=anchor_signer(other.ledger).verifier_keys()))


def elsewhere(state: Scheduling, engine: str) -> tuple[Decision, ...]:
    """Decide as the engine does, but for the node of each placement: a favour."""
    made = decide.next_act(state, engine)
    if not any(isinstance(one.event, WorkloadPlaced) for one in made):
        return made
    chosen = {place.node for one in made if isinstance(one.event, WorkloadPlaced) for place in one.event.places}
    other = next(name for name in sorted(state.nodes) if name not in chosen)

    def favour(one: Decision) -> Decision:
        if isinstance(one.event, WorkloadPlaced):
            places = tuple(place.model_copy(update={"node": other}) for place in one.event.places)
            return Decision(one.slot, one.stream_id, one.version, one.event.model_copy(update={"places": places}))
        return Decision(one.slot, one.stream_id, one.version, one.event.model_copy(update={"node": other}))

    return tuple(favour(one) for one in made)


def test_a_forged_decision_is_found_and_named(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cell = make_cell()
    with monkeypatch.context() as patch:
        for module in (deciding, replaying):
            patch.setattr(module, "next_act", elsewhere)
        member = cell.join()
        cell.place(member)
        turn(cell)
        export_cell(cell.ledger, tmp_path / "package")
        assert conform_package(tmp_path / "package", Expected())[0].complete, "who forges believes it"
    slot = cell.ledger.log(member.log_id).slot
    named = rf"round 0: slot {slot}, entry \d+ \(placed, .*differs from what is decided \(workload.placed.v1\)"
    with pytest.raises(DifferenceError, match=named):
        conform_package(tmp_path / "package", Expected())
    with pytest.raises(DifferenceError, match=named):
        conform_live(cell.ledger)


def test_the_whole_cell_conforms_after_a_tenants_key_is_destroyed(make_cell: MakeCell, tmp_path: Path) -> None:
    cell = make_cell()
    gone, other = cell.join(), cell.join()
    cell.run(*cell.place(gone))
    cell.place(other)
    turn(cell)
    cell.rest()
    order(cell, gone)
    destroy_keys(cell.ledger, gone.log_id)
    cell.place(other)
    turn(cell)
    export_cell(cell.ledger, tmp_path / "package")
    report, _ = conform_package(tmp_path / "package", Expected())
    assert report.complete
    assert report.runs == [(0, 1)]
    assert report == conform_live(cell.ledger)[0]


def test_another_hash_seed_decides_the_same(audited: tuple[Cell, Path]) -> None:
    told = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "infrastructure.cli", "audit", "conform", "--cell-audit", str(audited[1]), "--json"],
            capture_output=True, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        told.add(done.stdout)
    assert len(told) == 1
    assert json.loads(told.pop())["conform"] is True


def test_what_another_engine_decided_is_said_not_to_be_checked(
    make_cell: MakeCell, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = make_cell()
    member = cell.join()
    with monkeypatch.context() as patch:
        patch.setattr(deciding, "engine_digest", lambda: OTHER)
        cell.decider = deciding.Decider(cell.ledger)
        cell.place(member)
    cell.decider = deciding.Decider(cell.ledger)
    (execution,) = cell.place(member)
    Driver(cell, execution).whole()
    turn(cell)
    report: Report = conform_live(cell.ledger)[0]
    assert not report.complete
    assert set(report.foreign) == {OTHER}
    assert report.redecided > 0, "what this engine decided afterwards is decided again"
