"""Two standing deciders: one decides, the other takes over within five seconds when that is gone."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.workloads.events import WorkloadPlaced
from infrastructure.decider import Decider
from infrastructure.deciding import keep_deciding
from tests.commands.cell import Cell, Member, founded
from tests.commands.redeciding import redecide
from tests.database import TestServer

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def now(postgres: TestServer, tmp_path: Path) -> Iterator[Cell]:
    """A cell that lives in the present."""
    with postgres.database() as name:
        cell = founded(tmp_path, postgres.conninfo(name), at_ms=time.time_ns() // 1_000_000)
        yield cell
        cell.close()


def standing(cell: Cell) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "infrastructure.cli", "decide", "--data-dir", str(cell.folder / "data")],
        stderr=subprocess.PIPE, cwd=ROOT, env={**os.environ, **cell.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def waited(cell: Cell, member: Member, workload: str, seconds: float) -> float:
    """Wait until a workload is placed; return how long that took."""
    began = time.monotonic()
    while workload not in {event.workload_id for event in cell.events(member, WorkloadPlaced)}:
        assert time.monotonic() < began + seconds, "nobody decides"
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_standby_takes_over_within_five_seconds_of_a_kill(now: Cell) -> None:
    member = now.join()
    leader = standing(now)
    assert leader.stderr is not None
    assert b"this process decides" in leader.stderr.readline()
    standby = standing(now)
    try:
        waited(now, member, now.submit(member), 30)
        time.sleep(2)  # the standby has begun, and follows
        leader.kill()
        leader.wait()
        assert waited(now, member, now.submit(member), 30) < 5
    finally:
        leader.kill()
        standby.terminate()
        assert standby.wait(20) == 0
        leader.communicate()
        standby.communicate()
    with_views = Decider(now.ledger)
    assert with_views.catch_up().digest() == redecide(now.ledger).state.digest()


def test_who_is_deposed_stands_by_and_takes_over_again(now: Cell) -> None:
    stop, told, member = threading.Event(), list[str](), now.join()
    thread = threading.Thread(target=keep_deciding, args=(now.ledger,), kwargs={"stop": stop, "told": told.append})
    thread.start()
    try:
        waited(now, member, now.submit(member), 30)
        now.settle()  # takes the epoch
        waited(now, member, now.submit(member), 30)
    finally:
        stop.set()
        thread.join()
    decides, stands_by = "this process decides", "another process decides: this one stands by"
    assert told == [decides, stands_by, decides]
