"""Nobody waits for ever for a quota that others share, nor for its own tenant's tokens."""

from collections.abc import Callable

import pytest

from domain.bounds import MEBIBYTE, Bounds
from domain.canonical import canonical, parse_canonical
from domain.policies.kinds import Policy
from domain.quotas.events import Quota
from domain.scheduling import passing
from domain.scheduling.decide import next_act
from domain.scheduling.passing import BYPASSES
from domain.scheduling.state import Scheduling
from domain.workloads.events import WorkloadCancelled, WorkloadDeferred, WorkloadPlaced
from tests.domain import samples
from tests.domain.cell import log_of
from tests.domain.samples import node
from tests.domain.slow_quotas import granted, tokens
from tests.domain.test_scheduling_bounded_wait import HIGH, LOW, end_oldest
from tests.domain.test_scheduling_qos import LAND, TREATY, A, B, C, Stage, stage, tree


def at_rest(cell: Stage) -> bool:
    """Tell whether a second state, which looks at everybody again, would decide nothing either."""
    again = Scheduling.load(parse_canonical(canonical(cell.state.dump())))
    return next_act(again, samples.ENGINE) == () and again.digest() == cell.state.digest()


def full_scope() -> Stage:
    """Return a cell with room enough, and a scope of four slots."""
    cell = tree()
    cell.grant(LAND, 4)
    return cell


def lent_scope() -> Stage:
    """Return a cell whose scope lends four slots to tenants that have none of their own."""
    cell = tree()
    cell.grant(LAND, 9, lend=4)
    cell.grant(A, 0, borrow=9)
    cell.grant(B, 0, borrow=9)
    return cell


def deep_scope() -> Stage:
    """Return a cell whose treaty lends four slots to a jurisdiction that has none of its own, and to another tenant."""
    cell = tree()
    cell.hang(C, TREATY)
    cell.grant(TREATY, 9, lend=4)
    cell.grant(LAND, 0, borrow=9)
    cell.grant(C, 0, borrow=9)
    return cell


def scarce_memory() -> Stage:
    """Return a cell with room enough, and a scope of memory for four."""
    cell = tree()
    cell.record(LAND, log_of(LAND), granted(None, 1, Quota(nominal=4 * MEBIBYTE)))
    cell.settle()
    return cell


SCOPES = {"full": full_scope, "lent": lent_scope, "lent further up": deep_scope, "of memory": scarce_memory}
FLOWS: dict[str, Callable[[Stage, int], object]] = {
    "another's": lambda cell, _: cell.submit(B),
    "its own tenant's and another's": lambda cell, at: cell.submit((A, B)[at % 2]),
    "those of a higher level": lambda cell, _: cell.submit(B, resource_class=HIGH),
    "those of levels above and below": lambda cell, at: cell.submit(B, resource_class=(HIGH, LOW)[at % 2]),
}


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("scope", SCOPES)
def test_whoever_waits_for_a_shared_quota_is_placed_after_so_many_others(scope: str, flow: str) -> None:
    cell = SCOPES[scope]()
    while len(cell.living()) < 4:
        FLOWS[flow](cell, 0)
    large = cell.submit(A, slots=4, bounds=Bounds(memory_bytes=4 * MEBIBYTE, fuel=1000, wall_ms=60_000))
    before = len(cell.order())
    for at in range(500):
        if (A, large) not in cell.state.waiting:
            break
        FLOWS[flow](cell, at)
        end_oldest(cell)
    assert (A, large) not in cell.state.waiting
    assert len(cell.order()) - before <= BYPASSES + 6
    assert cell.state.kept is None
    assert cell.state.headroom is None


@pytest.mark.parametrize("other", [HIGH, LOW])
def test_whoever_waits_for_its_tenants_tokens_gets_them_after_so_many_others(other: str) -> None:
    cell = stage(slots=64)
    cell.record(A, log_of(A), tokens(1, 1_000, 4))
    for _ in range(4):
        cell.submit(A, resource_class=other)
    large = cell.submit(A, slots=4)
    for _ in range(500):
        if (A, large) not in cell.state.waiting:
            break
        cell.submit(A, resource_class=other)
        cell.advance(1_000)
        end_oldest(cell)
    assert (A, large) not in cell.state.waiting
    assert len(cell.order()) <= 4 + BYPASSES + 2
    assert cell.state.advances == {}


def busy(cell: Stage, monkeypatch: pytest.MonkeyPatch, slots: int = 4) -> str:
    """Fill a scope of four slots; let a workload that asks for all of them wait until quota is kept for it."""
    monkeypatch.setattr(passing, "BYPASSES", 2)
    while len(cell.living()) < 4:
        cell.submit(B)
    large = cell.submit(A, slots=slots)
    while cell.state.kept is None:
        cell.submit(B)
        end_oldest(cell)
    assert cell.state.kept == ((), (A, large)), "no node stands idle for it"
    assert cell.state.kept_quota
    return large


def test_quota_that_is_kept_hinders_nobody_who_shares_none_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = full_scope()
    busy(cell, monkeypatch)
    cell.submit(C, slots=9)
    assert len(cell.living(C)) == 1
    assert at_rest(cell)


def test_whoever_fits_beside_what_is_kept_is_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = full_scope()
    large = busy(cell, monkeypatch, slots=2)
    end_oldest(cell)
    cell.submit(B)
    assert len(cell.living()) == 3, "one more would take what is kept"
    deferral = cell.said(WorkloadDeferred, B)[-1]
    assert (deferral.rule, deferral.have) == ("quota_slots", "too little left above")
    cell.grant(LAND, 6)
    assert (A, large) not in cell.state.waiting
    assert len(cell.living()) == 5
    assert at_rest(cell)


@pytest.mark.parametrize("how", ["cancelled", "by another policy", "by a smaller quota", "by a limit of its own"])
def test_quota_is_let_go_with_whom_it_was_kept_for(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    cell = full_scope()
    large = busy(cell, monkeypatch)
    end_oldest(cell)
    cell.submit(B)
    assert len(cell.living()) == 3
    if how == "cancelled":
        cell.on(A, large, WorkloadCancelled(workload_id=large, statement="s"))
    elif how == "by another policy":
        cell.adopt(A, Policy())
    elif how == "by a smaller quota":
        cell.record(LAND, log_of(LAND), granted(Quota(nominal=3)))
    else:
        cell.record(A, log_of(A), granted(Quota(nominal=3)))
    cell.settle()
    assert cell.state.kept is None
    assert not cell.state.kept_quota
    assert len(cell.living()) == (3 if how == "by a smaller quota" else 4), "others have it at once"
    while len(cell.living()) >= 3 and cell.state.waiting.keys() - {(A, large)}:
        end_oldest(cell)
    cell.submit(B)
    assert len(cell.living()) >= 3
    assert at_rest(cell)


def test_for_a_tenants_own_limit_nothing_is_kept_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "BYPASSES", 2)
    cell = full_scope()
    cell.grant(A, 1)
    cell.submit(A)
    cell.submit(A)
    for _ in range(8):
        cell.submit(B)
        cell.finish(cell.living(B)[0])
    assert cell.state.kept is None


def test_who_lacks_nodes_when_it_has_its_quota_gets_them_kept_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passing, "BYPASSES", 2)
    cell = stage(node("n1", slots=4))
    for slot, parent in ((A, LAND), (B, LAND)):
        cell.hang(slot, parent)
    cell.grant(LAND, 3)
    for slot in (B, B, B, C):
        cell.submit(slot)
    large = cell.submit(A, slots=3)
    for _ in range(40):
        if (A, large) not in cell.state.waiting:
            break
        cell.submit(B)
        cell.submit(C)
        end_oldest(cell)
        assert at_rest(cell)
    assert (A, large) not in cell.state.waiting
    assert {deferral.reason for deferral in cell.said(WorkloadDeferred)} == {"quota", "no_node_now"}


# Tokens.


def short(monkeypatch: pytest.MonkeyPatch) -> tuple[Stage, str]:
    """Let a workload of four slots wait for tokens, of which small ones take each that comes, until it is its turn."""
    monkeypatch.setattr(passing, "BYPASSES", 2)
    cell = stage(slots=64)
    cell.record(A, log_of(A), tokens(1, 1_000, 4))
    for _ in range(4):
        cell.submit(A)
    large = cell.submit(A, slots=4)
    while not cell.state.advances:
        cell.submit(A)
        cell.advance(1_000)
    assert list(cell.state.advances) == [(A, large)]
    return cell, large


def test_what_is_set_aside_comes_at_the_instant_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, large = short(monkeypatch)
    began = cell.clock_ms
    cell.submit(A)
    cell.advance(3_999)
    assert (A, large) in cell.state.waiting
    assert [one.retry_ms for one in cell.said(WorkloadDeferred) if one.workload_id == large][-1] == began + 4_000
    assert at_rest(cell)
    cell.advance(1)
    assert (A, large) not in cell.state.waiting
    placed = len(cell.said(WorkloadPlaced))
    cell.advance(999)
    assert len(cell.said(WorkloadPlaced)) == placed, "the small one's comes after it"
    cell.advance(1)
    assert len(cell.said(WorkloadPlaced)) == placed + 1


def test_a_new_grant_moves_what_is_set_aside_and_forgets_what_it_could_never_grant(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cell, large = short(monkeypatch)
    cell.record(A, log_of(A), tokens(2, 2_000, 5))
    cell.settle()
    cell.advance(2_999)
    assert (A, large) in cell.state.waiting
    cell.advance(1)
    assert (A, large) not in cell.state.waiting, "of the greater burst there is one at once"
    cell, large = short(monkeypatch)
    cell.record(A, log_of(A), tokens(1, 1_000, 3))
    cell.settle()
    assert cell.state.advances == {}
    cell.advance(60_000)
    assert (A, large) in cell.state.waiting
    assert at_rest(cell)


@pytest.mark.parametrize("how", ["cancelled", "by another policy"])
def test_what_was_set_aside_is_spent(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    cell, large = short(monkeypatch)
    if how == "cancelled":
        cell.on(A, large, WorkloadCancelled(workload_id=large, statement="s"))
    else:
        cell.adopt(A, Policy())
    cell.settle()
    assert cell.state.advances == {}
    placed = len(cell.said(WorkloadPlaced))
    cell.submit(A)
    cell.advance(4_999)
    assert len(cell.said(WorkloadPlaced)) == placed
    cell.advance(1)
    assert len(cell.said(WorkloadPlaced)) == placed + 1


def test_tokens_that_are_set_aside_are_nobody_elses_business(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, _ = short(monkeypatch)
    cell.record(B, log_of(B), tokens(1, 1_000, 4))
    for _ in range(4):
        cell.submit(B)
    assert len(cell.living(B)) == 4
