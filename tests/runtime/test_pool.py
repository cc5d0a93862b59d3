"""Keeps side by side: as many processes of one tenant as it has use for, and never one of two tenants."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from domain.bounds import Bounds
from domain.errors import ConflictError, UnavailableError
from infrastructure.demo import observations
from infrastructure.runtime import pool as pools
from infrastructure.runtime.keep import Keep
from infrastructure.runtime.messages import Completed, Faulted
from infrastructure.runtime.pool import KeepPool
from tests.runtime.scenario import ORIGIN, Scenario, clause, hostile

OTHER = "ledger.example/t/6"
ROWS = observations.text(observations.load("nile").rows)
PARAMETERS = observations.parameters(1000)


def flood() -> Scenario:
    """Return a flood workload over the Nile."""
    return Scenario(clause("flood"), ROWS, PARAMETERS)


def perform(pool: KeepPool, scenario: Scenario) -> Completed | Faulted:
    """Prepare, run and reset."""
    with pool.lane(ORIGIN, scenario.execution_id) as keep:
        answer = keep.run(scenario.run(keep.prepare(scenario.prepare())))
        keep.reset(scenario.execution_id)
        return answer


def test_executions_at_the_same_time_have_processes_of_their_own_up_to_a_bound() -> None:
    with KeepPool(lanes=2) as pool, ExitStack() as stack:
        mine = [stack.enter_context(pool.lane(ORIGIN, f"exec-{number}")) for number in range(4)]
        others = [stack.enter_context(pool.lane(OTHER, f"other-{number}")) for number in range(3)]
        assert [len({keep.pid for keep in keeps}) for keeps in (mine, others)] == [2, 2]
        assert {keep.pid for keep in mine}.isdisjoint(keep.pid for keep in others)
        assert [mine.count(keep) for keep in dict.fromkeys(mine)] == [2, 2], "each has as much in hand"
        with pytest.raises(ConflictError):
            stack.enter_context(pool.lane(ORIGIN, "exec-1"))
    with pytest.raises(UnavailableError):
        pool.keep(ORIGIN)


def test_one_after_another_needs_one_process() -> None:
    with KeepPool(lanes=4) as pool:
        pids = set()
        for number in range(3):
            with pool.lane(ORIGIN, f"exec-{number}") as keep:
                pids.add(keep.pid)
        assert pids == {pool.keep(ORIGIN).pid}


def test_a_long_run_holds_up_nothing_else_of_its_tenant() -> None:
    endless = Scenario(hostile("infinite_loop"), bounds=Bounds(memory_bytes=65_536, fuel=10**12, wall_ms=4_000))
    with KeepPool(lanes=2) as pool, ThreadPoolExecutor(1) as beside:
        perform(pool, flood())
        long = beside.submit(perform, pool, endless)
        time.sleep(0.2)
        assert isinstance(perform(pool, flood()), Completed)
        assert isinstance(perform(pool, flood()), Completed)
        assert not long.done()
        ended = long.result()
        assert isinstance(ended, Faulted)
        assert ended.fault == "deadline"


def test_a_process_that_dies_takes_nothing_of_the_other_one_along() -> None:
    with KeepPool(lanes=2) as pool, pool.lane(ORIGIN, "stays") as first:
        scenario = flood()
        prepared = first.prepare(scenario.prepare())
        with pool.lane(ORIGIN, "dies") as second:
            assert second.pid != first.pid
            second.close()
        assert isinstance(first.run(scenario.run(prepared)), Completed)


def test_what_has_nothing_in_hand_for_a_while_ends_but_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_IDLE_S", 0.0)
    with KeepPool(lanes=2) as pool:
        with pool.lane(ORIGIN, "one") as first, pool.lane(ORIGIN, "two") as second:
            assert first is not second
        with pytest.raises(UnavailableError, match="closed"):
            second.prepare(flood().prepare())
        assert pool.keep(ORIGIN) is first
        assert isinstance(perform(pool, flood()), Completed)


def test_all_logs_together_have_so_many_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "MOST_EXTRA", 1)
    with KeepPool(lanes=3) as pool, ExitStack() as stack:
        mine = {stack.enter_context(pool.lane(ORIGIN, f"exec-{number}")).pid for number in range(3)}
        others = {stack.enter_context(pool.lane(OTHER, f"other-{number}")).pid for number in range(3)}
        assert (len(mine), len(others)) == (2, 1)


def test_where_no_further_process_is_to_be_had_an_execution_waits_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with KeepPool(lanes=2) as pool:
        first = pool.keep(ORIGIN)

        def none(_: KeepPool, __: str) -> Keep:
            raise UnavailableError("no process")

        monkeypatch.setattr(KeepPool, "_started", none)
        with pool.lane(ORIGIN, "one") as one, pool.lane(ORIGIN, "two") as two:
            assert one is two is first


def test_many_threads_share_a_pool() -> None:
    with KeepPool(lanes=2) as pool, ThreadPoolExecutor(8) as threads:
        began = threading.Barrier(8)

        def one(_: int) -> Completed | Faulted:
            began.wait()
            return perform(pool, flood())

        assert all(isinstance(answer, Completed) for answer in threads.map(one, range(8)))
        assert len({lane.keep.pid for lane in pool._lanes[ORIGIN]}) == 2
        assert [lane.in_hand for lane in pool._lanes[ORIGIN]] == [0, 0]
