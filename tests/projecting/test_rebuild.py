"""Built again beside the live rows: killed after and in the middle of every change, and read all the while."""

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from infrastructure.ledger import Ledger
from infrastructure.postgres.views import Views
from infrastructure.projecting import follower as follower_module
from infrastructure.projecting.follower import Follower
from tests.database import as_role
from tests.projecting.histories import CHAIN, chain, finish, folded, make_log, stored, tick

ROOT = Path(__file__).resolve().parents[2]

# Builds again, and stops after its first change, or in the transaction of its second one, until it is killed.
BUILDER = """
import sys, time
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID
from infrastructure.postgres import views as views_module
from infrastructure.postgres.views import Views
from infrastructure.projecting import follower as follower_module
from infrastructure.projecting.follower import Follower
from tests.feed.conftest import opened
from tests.projecting.histories import CHAIN, chain, finish

folder, conninfo, log_id, where = sys.argv[1:]
follower_module.BATCH, views_module._SWEPT = 3, 2
changing, changes = Views._changing, 0

def stop():
    print("here", flush=True)
    time.sleep(100)

@contextmanager
def watched(self):
    global changes
    with changing(self) as cursor:
        yield cursor
        if where == "inside" and changes == 1:
            stop()
    changes += 1
    if where == "after":
        stop()

Views._changing = watched
with opened(Path(folder), conninfo) as ledger:
    follower, log_id = Follower(ledger, CHAIN, chain), UUID(log_id)
    if Views(ledger.datastore).standings(CHAIN, log_id)[0].live == CHAIN:
        follower.rebuild(log_id)
    finish(follower, log_id)
print("done", flush=True)
"""


def build(folder: Path, conninfo: str, log_id: UUID, where: str) -> "subprocess.Popen[str]":
    """Start a process that builds."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(folder), conninfo, str(log_id), where], text=True,
        stdout=subprocess.PIPE, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def left(conninfo: str) -> tuple[Any, ...]:
    """Return which editions have rows and positions, and what the table of editions says."""
    with psycopg.connect(as_role(conninfo)) as admin:
        rows = admin.execute("SELECT DISTINCT projection FROM ledger.view_rows").fetchall()
        positions = admin.execute("SELECT projection FROM ledger.view_positions").fetchall()
        editions = admin.execute("SELECT live, building, retired FROM ledger.view_editions").fetchall()
    return rows, positions, editions


@pytest.mark.parametrize("where", ["after", "inside"])
def test_a_build_killed_at_every_change_is_gone_on_with_and_readers_see_one_whole_version(
    ledger: Ledger, tmp_path: Path, conninfo: str, where: str
) -> None:
    log_id = make_log(ledger)
    tick(ledger, log_id, 7)
    finish(Follower(ledger, CHAIN, chain), log_id)
    whole = folded(chain, list(ledger.history(log_id)))
    ended, wrong = threading.Event(), list[object]()

    def read() -> None:
        while not ended.is_set():
            seen = stored(ledger, CHAIN, log_id)
            if seen != whole:
                wrong.append(seen)

    reader = threading.Thread(target=read)
    reader.start()
    kills = 0
    try:
        while True:
            with build(tmp_path / "data", conninfo, log_id, where) as process:
                assert process.stdout is not None
                said = process.stdout.readline()
                process.kill()
            if said == "done\n":
                break
            assert said == "here\n"
            kills += 1
            assert kills < 30
    finally:
        ended.set()
        reader.join()
    assert wrong == []
    assert kills >= 5
    assert left(conninfo) == ([("chain_v1.1",)], [("chain_v1.1",)], [("chain_v1.1", None, [])])
    tick(ledger, log_id, 2)
    finish(Follower(ledger, CHAIN, chain), log_id)
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))


def test_while_one_builds_another_keeps_the_live_rows_and_readers_never_go_back(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "BATCH", 5)
    log_id = make_log(ledger)
    tick(ledger, log_id, 40)
    keeper, builder, views = Follower(ledger, CHAIN, chain), Follower(ledger, CHAIN, chain), Views(ledger.datastore)
    finish(keeper, log_id)
    assert builder.rebuild(log_id)
    seen, steps = 40, 0
    while views.standings(CHAIN, log_id)[0].building is not None:
        builder.step(log_id)
        steps += 1
        if steps < 20:
            tick(ledger, log_id, 3)
            keeper.step(log_id)
        count = stored(ledger, CHAIN, log_id)["all"]["count"]
        assert count >= seen
        seen = count
    finish(builder, log_id)
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))
    assert views.standings(CHAIN, log_id)[0].live == "chain_v1.1"


def test_a_log_without_rows_needs_no_build(ledger: Ledger) -> None:
    log_id = make_log(ledger)
    follower = Follower(ledger, CHAIN, chain)
    assert not follower.rebuild(log_id)
    tick(ledger, log_id)
    assert not follower.rebuild(log_id)
    assert not follower.rebuild(UUID(int=1))
