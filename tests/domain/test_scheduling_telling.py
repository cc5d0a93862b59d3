"""What a class is told stays true: told again when rule or instant are others, and no oftener."""

from itertools import pairwise

import pytest

from domain.bounds import MEBIBYTE, Bounds
from domain.canonical import canonical, parse_canonical
from domain.quotas.events import Quota
from domain.scheduling import passing
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.workloads.events import WorkloadDeferred, WorkloadPlaced
from tests.domain import samples
from tests.domain.cell import log_of
from tests.domain.samples import node
from tests.domain.slow_quotas import granted, tokens
from tests.domain.test_scheduling_qos import LAND, A, B, Stage, stage, tree

BIG = Bounds(memory_bytes=4 * MEBIBYTE, fuel=1000, wall_ms=60_000)


def rules(cell: Stage, slot: int = A) -> list[str]:
    """Return the rules that a tenant was told, in order."""
    return [deferral.rule for deferral in cell.said(WorkloadDeferred, slot)]


def limited() -> Stage:
    """Return a cell in which two slots and six MiB are left to A."""
    cell = tree()
    cell.record(A, log_of(A), granted(Quota(nominal=2), 1, Quota(nominal=6 * MEBIBYTE)))
    cell.settle()
    return cell


def test_a_class_is_told_again_when_the_quota_that_hinders_it_is_of_another_resource() -> None:
    cell = limited()
    small = cell.submit(A), cell.submit(A)
    big = cell.submit(A, bounds=BIG)
    assert rules(cell) == ["quota_slots"]
    cell.finish(cell.living()[0])
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)] == [*small, big], "a slot and memory for it"
    again = cell.submit(A, bounds=BIG)
    assert rules(cell) == ["quota_slots", "quota_slots"]
    cell.finish(cell.living()[0])
    assert cell.state.told((A, again)) == "quota"
    assert rules(cell) == ["quota_slots", "quota_slots", "quota_memory_bytes"], "slots are there, memory is not"
    cell.submit(A)
    assert len(rules(cell)) == 3, "what it was told is true as long as memory hinders, whatever slots do"
    cell.finish(cell.living()[0])
    assert cell.state.told((A, again)) == ""


def test_slots_that_come_and_go_tell_nobody_anything_while_memory_hinders() -> None:
    cell = limited()
    cell.submit(A, bounds=BIG)
    waiting = cell.submit(A, bounds=BIG)
    assert rules(cell) == ["quota_memory_bytes"]
    for _ in range(9):
        cell.submit(A)
        assert len(cell.living()) == 2
        cell.finish(cell.living()[1])
    assert rules(cell) == ["quota_memory_bytes"]
    assert (A, waiting) in cell.state.waiting


def test_who_is_told_of_memory_that_nobody_lends_is_told_of_slots_when_they_are_what_lacks() -> None:
    cell = tree()
    cell.record(LAND, log_of(LAND), granted(Quota(nominal=9, lend=1), 1, Quota(nominal=99 * MEBIBYTE)))
    cell.record(A, log_of(A), granted(Quota(nominal=0, borrow=9), 1, Quota(nominal=0, borrow=9 * MEBIBYTE)))
    cell.submit(A)
    assert rules(cell) == ["quota_memory_bytes"], "a slot is lent"
    more = Quota(nominal=99 * MEBIBYTE, lend=9 * MEBIBYTE)
    cell.record(LAND, log_of(LAND), granted(Quota(nominal=9, lend=0), 1, more))
    cell.settle()
    assert rules(cell) == ["quota_memory_bytes", "quota_slots"]


def test_the_instant_for_tokens_is_told_again_when_it_has_passed_and_others_took_them() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(1, 10_000, 1))
    began = cell.clock_ms
    cell.submit(A)
    first, second = cell.submit(A), cell.submit(A, tags=("x",))
    assert [deferral.retry_ms for deferral in cell.said(WorkloadDeferred)] == [began + 10_000] * 2
    cell.advance(10_000)
    last = cell.said(WorkloadDeferred)[-1]
    assert (first, second) == (cell.said(WorkloadPlaced)[-1].workload_id, last.workload_id)
    assert (last.retry_ms, last.have) == (began + 20_000, "0 tokens")
    cell.advance(10_000)
    assert cell.said(WorkloadPlaced)[-1].workload_id == second
    assert len(cell.said(WorkloadDeferred)) == 3


def test_who_never_gets_tokens_is_told_at_instants_that_lie_twice_as_far_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(passing, "BYPASSES", 10**9)  # else tokens are set aside for it
    cell = stage(node("n1", slots=4096, memory_bytes=4096 * MEBIBYTE))
    cell.record(A, log_of(A), tokens(1, 500, 2))
    cell.submit(A, slots=2)
    large = cell.submit(A, slots=2, tags=("x",))
    for _ in range(1200):
        cell.submit(A, patience_ms=1_600)
        cell.advance(500)
    told = [
        (stored.at_ms, stored.event)
        for slot, stored in cell.feed
        if slot == A and isinstance(stored.event, WorkloadDeferred) and stored.event.workload_id == large
    ]
    apart = [after[0] - before[0] for before, after in pairwise(told)]
    assert all(event.retry_ms is not None and event.retry_ms > at_ms for at_ms, event in told)
    assert min(apart) >= 1_000
    assert apart == sorted(apart)
    assert len(told) <= 8 + 600 // 64, "ten minutes"
    assert (A, large) in cell.state.waiting


def test_a_new_grant_of_tokens_is_told_to_who_still_waits_for_them() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(1, 3_600_000, 1))
    cell.submit(A)
    cell.submit(A)
    began = cell.clock_ms
    assert [deferral.retry_ms for deferral in cell.said(WorkloadDeferred)] == [began + 3_600_000]
    cell.advance(5_000)
    cell.record(A, log_of(A), tokens(1, 60_000, 1))
    cell.settle()
    assert len(cell.said(WorkloadDeferred)) == 1, "what was spent is spent: it is the same instant"
    cell.record(A, log_of(A), tokens(1, 3_540_000, 2))
    cell.settle()
    assert [deferral.retry_ms for deferral in cell.said(WorkloadDeferred)][1:] == [began + 60_000]
    cell.record(A, log_of(A), tokens(1, 60_000, 1, until_ms=cell.clock_ms + 1_000))
    cell.settle()
    assert len(cell.said(WorkloadDeferred)) == 2, "within a tick nothing is said twice"
    cell.advance(2_000)
    assert [deferral.retry_ms for deferral in cell.said(WorkloadDeferred)][2:] == [None]


def test_a_grant_counts_alike_whether_those_who_wait_were_looked_at_since_the_state_was_loaded() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(1, 3_600_000, 1))
    cell.submit(A)
    cell.submit(A)
    cell.submit(B)
    cell.advance(5_000)
    loaded = Scheduling.load(parse_canonical(canonical(cell.state.dump())))
    cell.record(A, log_of(A), tokens(1, 3_540_000, 2))
    loaded.fold(cell.views[-1])
    assert loaded.digest() == cell.state.digest()
    assert next_act(loaded, samples.ENGINE) == next_act(cell.state, samples.ENGINE) != ()
