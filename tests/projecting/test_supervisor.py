"""Projections kept live by one process of several, through kills, lost connections, faults and new versions."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from domain.errors import UnavailableError
from domain.message import Recorded
from infrastructure.feed.hub import Hub
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.leases import Leases, held
from infrastructure.postgres.postmaster import wait_for
from infrastructure.postgres.views import Views
from infrastructure.projecting.follower import Follower, Project
from infrastructure.projecting.rows import Row
from infrastructure.projecting.status import read_status
from infrastructure.projecting.supervisor import Supervisor, lease_of
from tests.database import TestServer
from tests.projecting.histories import CHAIN, chain, finish, folded, make_log, stored, tick

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 20.0
TERMINATE = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'ledger'"

# Keeps the chain live; says when it has the lease. With a step it stops there, once it has folded something.
KEEPER = """
import sys, time
from contextlib import contextmanager
from pathlib import Path
from infrastructure.feed.hub import Hub
from infrastructure.postgres.views import Views
from infrastructure.projecting import supervisor as module
from tests.feed.conftest import opened
from tests.projecting.histories import CHAIN, chain

folder, conninfo, step = sys.argv[1:]
apply, changing, folds = Views.apply, Views._changing, 0

def stop():
    print("here", flush=True)
    time.sleep(100)

def folding(rows, recorded):
    global folds
    folds += 1
    if step == "folding" and folds == 3:
        stop()
    return chain(rows, recorded)

def applying(self, *arguments, **named):
    if step == "before writing":
        stop()
    apply(self, *arguments, **named)
    if step == "committed":
        stop()

@contextmanager
def watched(self):
    with changing(self) as cursor:
        yield cursor
        if step == "written":
            stop()

Views.apply, Views._changing = applying, watched
with opened(Path(folder), conninfo) as ledger, Hub(ledger.datastore) as hub:
    with module.Supervisor(ledger, hub, {CHAIN: folding}) as supervisor:
        while not supervisor.running():
            time.sleep(0.01)
        print("runs", flush=True)
        time.sleep(100)
"""


def keeper(folder: Path, conninfo: str, step: str = "never") -> "subprocess.Popen[str]":
    """Start a process that keeps the chain live."""
    return subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(folder), conninfo, step], text=True, cwd=ROOT,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def say(process: "subprocess.Popen[str]") -> str:
    """Return the next line that a process prints."""
    assert process.stdout is not None
    return process.stdout.readline()


def is_live(ledger: Ledger, log_id: UUID) -> Callable[[], bool]:
    """Return what tells whether the chain has come to the end of a log."""
    views = Views(ledger.datastore)
    return lambda: views.position(CHAIN, log_id) == ledger.head(log_id).size


def assert_exact(ledger: Ledger, log_id: UUID) -> None:
    """Assert that each event counted once, in order."""
    assert stored(ledger, CHAIN, log_id) == folded(chain, list(ledger.history(log_id)))


@pytest.mark.parametrize("step", ["folding", "before writing", "written", "committed"])
def test_a_keeper_killed_between_two_steps_leaves_a_batch_counted_once_or_not_at_all(
    ledger: Ledger, tmp_path: Path, conninfo: str, step: str
) -> None:
    log_id = make_log(ledger)
    tick(ledger, log_id, 5)
    with keeper(tmp_path / "data", conninfo, step) as process:
        while say(process) != "here\n":
            assert process.poll() is None
        process.kill()
    assert Views(ledger.datastore).position(CHAIN, log_id) == (5 if step == "committed" else 0)
    tick(ledger, log_id, 2)
    assert finish(Follower(ledger, CHAIN, chain), log_id) == (2 if step == "committed" else 7)
    assert_exact(ledger, log_id)


def test_when_the_keeper_is_killed_another_process_goes_on_within_seconds(
    ledger: Ledger, tmp_path: Path, conninfo: str
) -> None:
    log_id = make_log(ledger)
    at_work = keeper(tmp_path / "data", conninfo)
    try:
        assert say(at_work) == "runs\n"
        for _ in range(2):
            waiting = keeper(tmp_path / "data", conninfo)
            try:
                tick(ledger, log_id, 3)
                assert wait_for(is_live(ledger, log_id), PATIENCE_S)
                assert held(Views(ledger.datastore), frozenset({lease_of(CHAIN)}))
            finally:
                at_work.kill()
                at_work.communicate()
                at_work = waiting
            tick(ledger, log_id, 3)
            assert say(at_work) == "runs\n"
            assert wait_for(is_live(ledger, log_id), PATIENCE_S)
            assert_exact(ledger, log_id)
    finally:
        at_work.kill()
        at_work.communicate()


def test_a_lease_is_held_once_and_is_lost_with_its_connection(
    postgres: TestServer, ledger: Ledger, conninfo: str
) -> None:
    names = frozenset({"a", "b"})
    with Leases(ledger.datastore) as one, Leases(ledger.datastore) as two:
        assert one.take("a")
        assert not one.take("a")
        assert not two.take("a")
        assert two.take("b")
        assert held(Views(ledger.datastore), names | {"c"}) == names
        one.check("a")
        one.end("a")
        assert two.take("a")
        with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
            admin.execute(TERMINATE)
        ledger.datastore.check()
        with pytest.raises(UnavailableError):
            two.check("a")
        for name in names:
            with pytest.raises(UnavailableError):
                two.check(name)
        assert two.take("a")
    # The server lets go of a session's locks when it notices that the connection has ended: a moment later.
    assert wait_for(lambda: held(Views(ledger.datastore), names) == frozenset(), PATIENCE_S)


def test_commits_are_folded_as_they_come_and_lost_connections_do_not_end_it(
    postgres: TestServer, ledger: Ledger, feeds: Subscriptions
) -> None:
    log_ids = [make_log(ledger) for _ in range(3)]
    told: list[str] = []
    with Supervisor(ledger, feeds.hub, {CHAIN: chain}, trouble=lambda _, why: told.append(why)) as supervisor:
        for number in range(4):
            for log_id in log_ids:
                tick(ledger, log_id, 2)
            assert all(wait_for(is_live(ledger, log_id), PATIENCE_S) for log_id in log_ids), (number, told)
            if number == 1:
                with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
                    admin.execute(TERMINATE)
                assert wait_for(lambda: bool(told), PATIENCE_S)  # the lease was lost: it takes it again
                ledger.datastore.check()
        assert wait_for(lambda: supervisor.running() == {CHAIN}, PATIENCE_S)
    assert supervisor.running() == frozenset()
    assert set(told) <= {
        "the database does not answer: try again",
        "the lease was lost: another process may be at work",
    }
    for log_id in log_ids:
        assert_exact(ledger, log_id)


def test_what_is_committed_while_the_hub_begins_is_not_left_until_the_next_look(
    ledger: Ledger, feeds: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the runner's first look and the hub's: nobody's hint names the log."""
    log_id = make_log(ledger)
    looked = threading.Event()
    behind, begin = Follower.behind, Hub._begin

    def look(self: Follower) -> list[UUID]:
        found = behind(self)
        looked.set()
        return found

    def late(self: Hub) -> None:
        assert looked.wait(PATIENCE_S)
        tick(ledger, log_id, 2)
        begin(self)

    monkeypatch.setattr(Follower, "behind", look)
    monkeypatch.setattr(Hub, "_begin", late)
    with Supervisor(ledger, feeds.hub, {CHAIN: chain}):
        assert wait_for(lambda: ledger.head(log_id).size == 2, PATIENCE_S)
        assert wait_for(is_live(ledger, log_id), PATIENCE_S)


def test_a_poisoned_event_stops_one_log_visibly_until_the_fold_can_take_it(
    ledger: Ledger, feeds: Subscriptions
) -> None:
    ill, well = make_log(ledger), make_log(ledger)
    mended = threading.Event()

    def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
        if recorded.log_id == ill and recorded.leaf_index == 2 and not mended.is_set():
            raise ValueError(f"content: {recorded.event!r}")
        return chain(rows, recorded)

    with Supervisor(ledger, feeds.hub, {CHAIN: project}):
        tick(ledger, ill, 5)
        assert wait_for(lambda: read_status(ledger, [CHAIN], ill).logs[0].state == "stopped", PATIENCE_S)
        for _ in range(3):
            tick(ledger, well, 2)
            assert wait_for(is_live(ledger, well), PATIENCE_S)
        status = read_status(ledger, [CHAIN])
        assert status.kept == {CHAIN}
        found = {one.origin: one for one in status.logs}
        stopped, live = found[ledger.log(ill).origin], found[ledger.log(well).origin]
        assert (stopped.state, stopped.position, stopped.lag_events) == ("stopped", 2, 3)
        assert (stopped.error, stopped.error_at) == ("ValueError", 2)
        assert stopped.lag_ms is not None
        assert stopped.lag_ms >= 0
        assert (live.state, live.lag_events, live.lag_ms, live.error) == ("live", 0, 0, None)
        mended.set()
        assert wait_for(is_live(ledger, ill), PATIENCE_S)
    assert read_status(ledger, [CHAIN]).kept == frozenset()
    for log_id in (ill, well):
        assert_exact(ledger, log_id)


def test_a_projection_that_fails_is_started_again_and_others_do_not_notice(
    ledger: Ledger, feeds: Subscriptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_id = make_log(ledger)
    failures, told = iter(range(3)), list[tuple[str, str]]()
    real = Follower.behind

    def behind(self: Follower) -> list[UUID]:
        if self.name == "other_v1" and next(failures, None) is not None:
            raise RuntimeError("a secret")
        return real(self)

    monkeypatch.setattr(Follower, "behind", behind)
    tick(ledger, log_id, 3)
    both: dict[str, Project] = {CHAIN: chain, "other_v1": chain}
    with Supervisor(ledger, feeds.hub, both, trouble=lambda *what: told.append(what)) as supervisor:
        assert wait_for(is_live(ledger, log_id), PATIENCE_S)
        views = Views(ledger.datastore)
        assert wait_for(lambda: views.position("other_v1", log_id) == 3, PATIENCE_S)
        assert supervisor.running() == set(both)
    assert told == [("other_v1", "a fault of the program (RuntimeError)")] * 3


def test_a_new_version_and_a_build_that_was_left_are_finished_at_the_start(
    ledger: Ledger, feeds: Subscriptions
) -> None:
    one, two = make_log(ledger), make_log(ledger)
    for log_id in (one, two):
        tick(ledger, log_id, 4)
        finish(Follower(ledger, CHAIN, chain), log_id)
    views = Views(ledger.datastore)
    assert Follower(ledger, CHAIN, chain).rebuild(two)  # begun, and left

    def edition(log_id: UUID) -> tuple[str | None, str | None, bool]:
        (standing,) = views.standings(CHAIN, log_id)
        return standing.live, standing.building, standing.retired

    with Supervisor(ledger, feeds.hub, {CHAIN: chain}):
        assert wait_for(lambda: edition(two) == ("chain_v1.1", None, False), PATIENCE_S)
        assert edition(one) == (CHAIN, None, False)
    with Supervisor(ledger, feeds.hub, {"chain_v2": chain}):
        assert wait_for(lambda: edition(two) == ("chain_v2.2", None, False), PATIENCE_S)
        assert wait_for(lambda: edition(one) == ("chain_v2.1", None, False), PATIENCE_S)
        tick(ledger, one, 3)
        assert wait_for(is_live(ledger, one), PATIENCE_S)
    for log_id in (one, two):
        assert_exact(ledger, log_id)


def test_many_events_of_one_log_do_not_keep_others_waiting(ledger: Ledger, feeds: Subscriptions) -> None:
    long, short = make_log(ledger), make_log(ledger)
    order: list[UUID] = []

    def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
        order.append(recorded.log_id)
        return chain(rows, recorded)

    tick(ledger, long, 1500)
    tick(ledger, short, 1)
    with Supervisor(ledger, feeds.hub, {CHAIN: project}):
        assert wait_for(is_live(ledger, long), PATIENCE_S)
    assert order.index(short) <= 1000
