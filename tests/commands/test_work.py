"""Work that is interrupted at any step, and work again afterwards: everything comes to rest, nothing is doubled."""

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.errors import LedgerError
from domain.executions.events import ExecutionFaulted
from infrastructure.audit.export import export_bundle
from infrastructure.audit.replay import replay_log
from infrastructure.audit.verify import verify_bundle
from infrastructure.node_agent import NodeAgent
from infrastructure.projector import Projector
from infrastructure.work import local_nodes, remember_node, work
from tests.commands.cell import Cell, Member, founded
from tests.database import TestServer

ROOT = Path(__file__).resolve().parents[2]

# Works until so many appends were durable; says so then, and waits to be killed.
WORKER = """
import os, sys, time
from pathlib import Path
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.work import work

data, left = Path(sys.argv[1]), int(sys.argv[2])
append = Ledger.append

def counting(self, *arguments, **named):
    global left
    answer = append(self, *arguments, **named)
    left -= not (answer.recorded and answer.recorded[0].event.TOPIC.startswith("node."))  # a heartbeat is no step
    if left == 0:
        print("here", flush=True)
        time.sleep(100)
    return answer

Ledger.append = counting
with open_ledger(data, os.environ, clock=SystemClock(), ids=SystemIds(), entropy=SystemEntropy()) as ledger:
    work(ledger, data)
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def now(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """A cell that lives in the present and whose nodes work here."""
    with postgres.database() as name:
        folder = tmp_path_factory.mktemp("a cell")
        cell = founded(folder, postgres.conninfo(name), at_ms=time.time_ns() // 1_000_000)
        for node, wallet in cell.nodes.items():
            remember_node(folder / "data", node, cell.path_of(wallet))
        yield cell
        cell.close()


def data_dir(cell: Cell) -> Path:
    """Return the data directory, and let the cell's clock catch up with the world's."""
    cell.clock.advance_to(time.time_ns() // 1_000_000)
    return cell.folder / "data"


def working(cell: Cell, appends: int) -> "subprocess.Popen[bytes]":
    """Start a process that works, up to so many appends."""
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, str(data_dir(cell)), str(appends)], stdout=subprocess.PIPE, cwd=ROOT,
        env={**os.environ, **cell.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def assert_verifies(cell: Cell, member: Member, out: Path) -> None:
    """Assert that the log verifies as a whole, and that the read models tell the same as a replay."""
    export_bundle(cell.ledger, member.log_id, out, with_keys="all")
    verdict = verify_bundle(out)
    assert verdict.ok, verdict.first_error
    projector = Projector(cell.ledger)
    projector.catch_up()
    assert projector.digest(member.log_id) == replay_log(cell.ledger, member.log_id).digest


STEPS = [
    (1, "placed", "cac.issued.v1"), (2, "challenged", "cac.issued.v1"), (3, "released", "usage.metered.v1"),
    (4, "started", "usage.metered.v1"), (5, "completed", "cac.issued.v1"), (6, "reset", "cac.issued.v1"),
]  # fmt: skip


@pytest.mark.parametrize(("appends", "reached", "last"), STEPS, ids=[step[1] for step in STEPS])
def test_work_killed_at_any_step_comes_to_rest_when_somebody_works_again(
    now: Cell, tmp_path: Path, appends: int, reached: str, last: str
) -> None:
    member = now.join()
    now.submit(member)
    worker = working(now, appends)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"here\n"
    worker.kill()
    worker.communicate()
    work(now.ledger, data_dir(now))
    topics = now.topics(member)
    assert topics[-1] == last, reached
    assert now.decider.catch_up().live == {}
    assert all(count == 1 for topic, count in Counter(topics).items() if topic.startswith(("execution", "cac")))
    if last == "usage.metered.v1":
        assert [event.kind for event in now.events(member, ExecutionFaulted)] == ["node_lost"]
    size = len(topics)
    assert work(now.ledger, data_dir(now)) == 0
    assert len(now.topics(member)) == size
    assert_verifies(now, member, tmp_path / "bundle")


def test_a_second_process_waits_for_the_first_and_finds_nothing_left(now: Cell) -> None:
    members = [now.join() for _ in range(3)]
    for member in members:
        now.submit(member)
    workers = [working(now, 10**6) for _ in range(2)]
    for worker in workers:
        assert worker.communicate(timeout=60)[0] == b"done\n"
        assert worker.returncode == 0
    for member in members:
        assert now.topics(member).count("cac.issued.v1") == 1
        assert "execution.faulted.v1" not in now.topics(member)


def test_an_execution_that_fails_here_is_told_of_and_the_others_go_on(
    now: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [now.join() for _ in range(2)]
    for member in members:
        now.submit(member)
    real, failing = NodeAgent.start, list[str]()

    def start(self: NodeAgent, cell: object, execution: str) -> object:
        if not failing:
            failing.append(execution)
            raise LedgerError("the enclave does not start")
        return real(self, cell, execution)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(NodeAgent, "start", start)
    told: list[str] = []
    assert work(now.ledger, data_dir(now), trouble=told.append) == 1
    assert len(told) == 1
    assert "the enclave does not start" in told[0]
    assert failing[0] in told[0]
    assert sorted(now.topics(member)[-1] for member in members) == ["cac.issued.v1", "execution.reserved.v1"]
    monkeypatch.undo()
    assert work(now.ledger, data_dir(now)) == 1
    assert [now.topics(member)[-1] for member in members] == ["cac.issued.v1"] * 2


def test_a_run_whose_report_is_lost_ends_as_a_fault_of_the_node_at_once(
    now: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = now.join()
    now.submit(member)

    def finish(*_: object) -> None:
        raise LedgerError("nobody answers")

    monkeypatch.setattr(NodeAgent, "finish", finish)
    told: list[str] = []
    work(now.ledger, data_dir(now), trouble=told.append)
    assert len(told) == 1
    assert [event.kind for event in now.events(member, ExecutionFaulted)] == ["node_lost"]
    assert now.topics(member)[-3:-1] == ["execution.faulted.v1", "execution.runtime_reset.v1"]


def test_two_projectors_at_the_same_time_count_every_event_once(now: Cell) -> None:
    member = now.join()
    for _ in range(4):
        now.submit(member, clause_id="UNDRR::Disaster::Unregistered@1.0.0")
    projectors = [Projector(now.ledger) for _ in range(4)]
    threads = [threading.Thread(target=projector.catch_up) for projector in projectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert projectors[0].digest(member.log_id) == replay_log(now.ledger, member.log_id).digest


def test_local_nodes_are_remembered_with_their_wallets(tmp_path: Path) -> None:
    assert local_nodes(tmp_path) == {}
    remember_node(tmp_path, "alpha", tmp_path / "a b.json")
    assert local_nodes(tmp_path) == {"alpha": (tmp_path / "a b.json").resolve()}
