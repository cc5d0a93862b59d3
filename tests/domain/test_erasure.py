"""Erasure as a decision: who orders it, when it may be carried out, and what it does to what the tenant has."""

import pytest

from domain.canonical import canonical
from domain.errors import ConflictError, NotAuthorisedError, RefusedError
from domain.executions.decisions import authorize_retry
from domain.executions.holds import open_holds
from domain.identifiers import erasure_stream
from domain.message import Event, Sealed, topics
from domain.platform.events import KeyDestroyed
from domain.scheduling.state import Scheduling
from domain.scheduling.views import view_of
from domain.tenants import events as tenants
from domain.tenants.erasure import (
    COOLING_OFF_MS,
    order_claims,
    order_erasure,
    require_cooled_off,
    require_nothing_new,
    withdraw_erasure,
    withdrawal_claims,
)
from domain.tenants.state import Tenant, evolve
from domain.time import DAY_MS, rfc3339
from domain.workloads.decisions import submit_workload
from domain.workloads.events import WorkloadDenied
from tests.domain import samples
from tests.domain.cell import PLATFORM, Cell, log_of
from tests.domain.people import signed, submission, tenant
from tests.domain.samples import NOW, node
from tests.domain.test_scheduling_cases import A, B, submit
from tests.domain.test_submissions import GOOD

ORDER = samples.SAMPLES_BY_TOPIC[tenants.ErasureOrdered.TOPIC]


def ordered(of: Tenant, *names: str, cooling_off_ms: int = COOLING_OFF_MS) -> tenants.ErasureOrdered:
    signatures = [signed(name, order_claims(of, cooling_off_ms)) for name in names]
    return order_erasure(of, cooling_off_ms, signatures, holds=(), now_ms=NOW)


def after(of: Tenant, *events: Event) -> Tenant:
    for event in events:
        of = evolve(event, of)
    return of


def test_admins_at_their_threshold_order_it_and_it_cools_off() -> None:
    two = tenant("ada", "bob", threshold=2)
    order = ordered(two, "ada", "bob")
    assert (order.cooling_off_ms, order.not_before_ms) == (7 * DAY_MS, NOW + 7 * DAY_MS)
    assert order.statements == ("token.of.ada", "token.of.bob")
    for too_few in ((), ("ada",), ("ada", "ada"), ("sam", "ada"), ("eve", "ada")):
        with pytest.raises(NotAuthorisedError):
            ordered(two, *too_few)
    ending = after(two, order)
    assert ending.version == two.version + 1
    for early in (NOW, order.not_before_ms - 1):
        with pytest.raises(RefusedError, match=f"cooling off until {rfc3339(order.not_before_ms)}"):
            require_cooled_off(ending, early)
    require_cooled_off(ending, order.not_before_ms)
    with pytest.raises(RefusedError, match="not ordered"):
        require_cooled_off(two, NOW + 99 * DAY_MS)


@pytest.mark.parametrize(
    "changes", [{"tenant": "another"}, {"cooling_off_ms": DAY_MS}, {"act": "withdraw_erasure"}, {"more": 1}]
)
def test_a_statement_that_says_something_else_orders_nothing(changes: dict[str, object]) -> None:
    member = tenant("ada")
    said = signed("ada", order_claims(member, COOLING_OFF_MS) | changes)
    with pytest.raises(NotAuthorisedError, match="differs"):
        order_erasure(member, COOLING_OFF_MS, [said], holds=(), now_ms=NOW)


@pytest.mark.parametrize("cooling_off_ms", [0, DAY_MS - 1, 365 * DAY_MS + 1])
def test_a_cooling_off_is_a_day_to_a_year(cooling_off_ms: int) -> None:
    for right in (DAY_MS, 365 * DAY_MS):
        assert ordered(tenant("ada"), "ada", cooling_off_ms=right).cooling_off_ms == right
    with pytest.raises(RefusedError, match="1 to 365 days"):
        ordered(tenant("ada"), "ada", cooling_off_ms=cooling_off_ms)


def test_a_second_order_a_scope_and_a_fault_that_waits_for_a_decision_refuse() -> None:
    with pytest.raises(ConflictError, match="ordered already"):
        ordered(after(tenant("ada"), ORDER), "ada")
    scope = evolve(samples.scope_registered(), None)
    with pytest.raises(RefusedError, match="scope"):
        ordered(scope, "ada")
    member = tenant("ada")
    signatures = [signed("ada", order_claims(member, DAY_MS))]
    with pytest.raises(RefusedError, match=r"wl-0x1 is held after a fault.*\(2 held\)"):
        order_erasure(member, DAY_MS, signatures, holds=("wl-0x1", "wl-0x2"), now_ms=NOW)
    with pytest.raises(RefusedError, match=r"dispute d1 is not decided yet \(2 open\)"):
        order_erasure(member, DAY_MS, signatures, holds=(), disputes=("d1", "d2"), now_ms=NOW)


def test_an_order_is_taken_back_while_it_cools_off_and_no_longer() -> None:
    two = tenant("ada", "bob", threshold=2)
    ending = after(two, ordered(two, "ada", "bob"))
    claims = withdrawal_claims(ending)
    both = [signed("ada", claims), signed("bob", claims)]
    due = ending.erasure_not_before_ms or 0
    back = withdraw_erasure(ending, both, now_ms=due - 1)
    again = after(ending, back)
    assert again.erasure_not_before_ms is None
    require_nothing_new(again)
    with pytest.raises(RefusedError, match="cooling-off was over"):
        withdraw_erasure(ending, both, now_ms=due)
    with pytest.raises(NotAuthorisedError):
        withdraw_erasure(ending, both[:1], now_ms=NOW)
    with pytest.raises(RefusedError, match="no erasure is ordered"):
        withdraw_erasure(two, both, now_ms=NOW)
    later = after(again, ORDER.model_copy(update={"not_before_ms": due + 1}))
    with pytest.raises(NotAuthorisedError, match="differs"):  # it was of the other order
        withdraw_erasure(later, both, now_ms=NOW)


def test_after_the_order_nothing_new_is_taken() -> None:
    ending = after(tenant("ada"), ORDER)
    with pytest.raises(RefusedError, match="takes nothing new"):
        submit_workload(ending, None, submission(), GOOD, stored=(), engine="e", seen=0, now_ms=NOW)
    with pytest.raises(RefusedError, match="takes nothing new"):
        authorize_retry(
            ending, None, None, None, policy=None, bounds=None, maximum=None,  # type: ignore[arg-type]
            not_after_ms=NOW, node_operator="", signatures=(), now_ms=NOW,
        )  # fmt: skip


def test_a_hold_is_open_from_the_fault_to_the_decision_on_its_workload() -> None:
    reserved = samples.SAMPLES_BY_TOPIC["execution.reserved.v1"]
    second = "exec-0x" + "9" * 32
    partner = reserved.model_copy(update={"execution_id": second, "k": 1})
    faults = [samples.fault(), samples.fault(execution_id=second)]
    refused = samples.SAMPLES_BY_TOPIC["execution.retry_refused.v1"]
    history: list[Event] = [reserved, partner]
    assert open_holds(history) == ()
    assert open_holds([*history, *faults]) == (samples.WORKLOAD,)
    assert open_holds([*history, *faults, samples.authorized()]) == ()
    assert open_holds([*history, *faults, refused]) == ()
    assert open_holds([*history, faults[0], refused, faults[1]]) == (samples.WORKLOAD,)


def cell_of_two() -> Cell:
    cell = Cell().begin()
    cell.join(node("n1", slots=1))
    return cell


def test_what_waits_and_what_has_not_begun_is_denied_and_others_get_the_place() -> None:
    cell = cell_of_two()
    placed, waiting, other = submit(cell, 1, A), submit(cell, 2, A), submit(cell, 3, B)
    cell.record(A, log_of(A), ORDER)
    cell.settle()
    denied = {event.workload_id: event for event in cell.events_of(A) if isinstance(event, WorkloadDenied)}
    assert denied.keys() == {placed, waiting}
    for event in denied.values():
        assert (event.gate, event.rule) == ("queue", "erasure_ordered")
    assert [live.queued.workload_id for live in cell.state.live.values()] == [other]
    assert cell.state.at_rest(A)
    assert not cell.state.at_rest(B)


def test_what_has_its_inputs_runs_to_its_end_and_a_fault_is_not_run_again() -> None:
    cell = cell_of_two()
    submit(cell, 1, A)
    (execution,) = cell.state.live
    cell.on(A, execution, samples.released(execution_id=execution))
    cell.record(A, log_of(A), ORDER)
    cell.settle()
    assert not cell.state.at_rest(A)
    cell.on(A, execution, samples.fault(execution_id=execution))
    cell.on(A, execution, samples.SAMPLES_BY_TOPIC["execution.runtime_reset.v1"].model_copy(
        update={"execution_id": execution}
    ))  # fmt: skip
    cell.settle()
    assert cell.state.at_rest(A)


def test_after_a_withdrawal_work_is_placed_again() -> None:
    cell = cell_of_two()
    cell.record(A, log_of(A), ORDER)
    cell.record(A, log_of(A), tenants.ErasureWithdrawn(statements=()))
    submit(cell, 1, A)
    assert cell.state.live


def destroyed(slot: int) -> KeyDestroyed:
    return KeyDestroyed(slot=slot, size=1, root=samples.hexed(1), round=None)


def test_with_the_key_goes_what_a_restored_history_still_holds_for_the_tenant() -> None:
    cell = cell_of_two()
    submit(cell, 1, A), submit(cell, 2, A), submit(cell, 3, B)
    assert [live.slot for live in cell.state.live.values()] == [A]
    cell.record(PLATFORM, erasure_stream(A), destroyed(A))
    cell.settle()
    assert cell.state.at_rest(A)
    assert [live.slot for live in cell.state.live.values()] == [B]
    told = len(cell.events_of(A))
    cell.advance(DAY_MS)
    assert len(cell.events_of(A)) == told, "nothing is decided for it any more"


def test_a_key_that_goes_when_its_tenant_is_at_rest_changes_nothing() -> None:
    cell = cell_of_two()
    submit(cell, 1, B), submit(cell, 2, B)
    before = cell.state.dump()
    cell.record(PLATFORM, erasure_stream(A), destroyed(A))
    changed = {name for name, value in cell.state.dump().items() if canonical(value) != canonical(before[name])}
    assert changed <= {"inputs", "seen", "versions"}


def test_what_can_not_be_read_any_more_changes_nothing_but_what_was_seen() -> None:
    recorded = samples.recorded(Sealed(), leaf=4, version=3, at_ms=0)
    view = view_of(recorded, 11)
    assert view["kind"] == "moved"
    state = Scheduling(now_ms=NOW)
    before = state.dump()
    state.fold(view)
    changed = {name for name, value in state.dump().items() if canonical(value) != canonical(before[name])}
    assert changed == {"inputs", "seen"}, "nothing is decided on that stream"
    assert Sealed.TOPIC not in topics()
