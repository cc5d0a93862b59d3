"""Quality of service, rule by rule: levels, fair shares, quotas, tokens, overflow, and nobody passed over for ever."""

from typing import Any

import pytest

from domain.bounds import MEBIBYTE, Bounds
from domain.canonical import canonical, parse_canonical
from domain.executions.events import ExecutionAbandoned, ExecutionReserved, RuntimeReset
from domain.hashing import sha256_hex
from domain.identifiers import stream_of
from domain.message import Event
from domain.policies.kinds import InCountry, IndependentAttestations, Overflow, Policy, Rule, Validity
from domain.quotas.events import Quota, QuotaBorrowed, QuotaLent
from domain.scheduling.decide import next_act
from domain.scheduling.desk import Desk
from domain.scheduling.passing import BYPASSES, LEVEL_TURN
from domain.scheduling.state import Scheduling
from domain.scheduling.tables import PAST
from domain.tenants.events import ScopeRegisteredBelow, TenantRegistered
from domain.workloads.events import (
    OverflowAccepted,
    OverflowClosed,
    OverflowOffered,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadPlaced,
)
from tests.domain import samples
from tests.domain.cell import Cell, log_of
from tests.domain.samples import facts, node
from tests.domain.slow_quotas import granted, tokens
from tests.domain.test_scheduling_cases import end, name

A, B, C = 11, 12, 13
DAOS = {A: "AlphaDAO", B: "BetaDAO", C: "GammaDAO"}
LAND, TREATY = 21, 22
SMALL = Bounds(memory_bytes=MEBIBYTE, fuel=1000, wall_ms=60_000)


class Stage(Cell):
    """A cell with steps that a test can read."""

    submitted: int = 0

    def submit(self, slot: int = A, *rules: Rule, settle: bool = True, patience_ms: int = 10**9, **changes: Any) -> str:
        """Queue a workload, and decide."""
        self.submitted += 1
        workload = name(self.submitted)
        changes = {"dao": DAOS[slot], "bounds": SMALL, **changes}
        self.on(
            slot, workload,
            samples.queued(
                workload_id=workload, facts=facts(**changes), clause_rules=rules,
                not_after_ms=self.clock_ms + patience_ms,
            ),
        )  # fmt: skip
        if settle:
            self.settle()
        return workload

    def said(self, kind: type[Event], slot: int = A) -> list[Any]:
        """Return a log's events of a kind."""
        return [event for event in self.events_of(slot) if isinstance(event, kind)]

    def order(self) -> list[int]:
        """Return whose placements there were, in order."""
        return [slot for slot, stored in self.feed if isinstance(stored.event, WorkloadPlaced)]

    def living(self, slot: int | None = None) -> list[str]:
        """Return the executions that hold a place."""
        return [one for one, live in self.state.live.items() if slot is None or live.slot == slot]

    def finish(self, execution: str) -> None:
        """Let an execution end."""
        end(self, execution, slot=self.state.live[execution].slot)

    def hang(self, slot: int, parent: int) -> None:
        """Register a tenant or a scope below another."""
        kind = TenantRegistered if slot in DAOS else ScopeRegisteredBelow
        event = samples.SAMPLES_BY_TOPIC[kind.TOPIC].model_copy(update={"parent": f"{samples.HOST}/t/{parent}"})
        self.record(slot, log_of(slot), event)

    def grant(self, slot: int, nominal: int, borrow: int = 0, lend: int = 0, weight: int = 1) -> None:
        """Grant slots, and decide."""
        self.record(slot, log_of(slot), granted(Quota(nominal=nominal, borrow=borrow, lend=lend), weight))
        self.settle()


def stage(*nodes: Any, slots: int = 4) -> Stage:
    made = Stage()
    made.begin()
    for one in nodes or (node("n1", slots=slots),):
        made.join(one)
    made.settle()
    return made


def tree() -> Stage:
    """Return a cell in which A and B hang below a jurisdiction, which hangs below a treaty; C stands alone."""
    cell = stage(slots=64)
    for slot, parent in ((LAND, TREATY), (A, LAND), (B, LAND)):
        cell.hang(slot, parent)
    return cell


# Levels.


def test_a_level_that_was_passed_over_for_its_turn_goes_first_once() -> None:
    cell = stage(slots=1)
    cell.submit(A, resource_class="Disaster::A@v1")
    late = cell.submit(B, resource_class="Planning::P@v1")
    for _ in range(LEVEL_TURN + 3):
        cell.submit(A, resource_class="Disaster::A@v1", settle=False)
    cell.settle()
    for _ in range(LEVEL_TURN + 2):
        cell.finish(cell.living()[0])
    order = cell.order()
    assert order.count(B) == 1
    assert order.index(B) == LEVEL_TURN + 1  # the first placement found nobody waiting
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced, B)] == [late]


def test_a_level_with_nobody_waiting_saves_up_no_turns() -> None:
    cell = stage(slots=1)
    for _ in range(LEVEL_TURN + 5):
        cell.submit(A, resource_class="Disaster::A@v1")
        cell.finish(cell.living()[0])
    assert cell.state.passes == {}


# Fair shares.


def test_equals_that_wait_differ_by_at_most_one() -> None:
    cell = stage(slots=7)
    cell.drain("n1")
    for slot in (A, A, A, A, A, A, B, B, B, B, C, C, C, C):
        cell.submit(slot)
    cell.join(node("n1", slots=7))
    cell.settle()
    assert cell.order() == [A, B, C, A, B, C, A]


def test_a_tenant_of_weight_three_holds_three_times_as_much() -> None:
    cell = stage(slots=8)
    cell.record(B, log_of(B), granted(None, 3))
    cell.drain("n1")
    for _ in range(9):
        cell.submit(A)
        cell.submit(B)
    cell.join(node("n1", slots=8))
    cell.settle()
    assert (cell.order().count(A), cell.order().count(B)) == (2, 6)


def test_shares_are_compared_where_ways_part_in_the_tree() -> None:
    cell = tree()
    cell.hang(C, TREATY)
    cell.drain("n1")
    for slot in (A, A, A, B, B, B, C, C, C, C, C, C):
        cell.submit(slot)
    cell.join(node("n1", slots=8))
    cell.settle()
    # One below the treaty as the jurisdiction is, C gets as much as A and B together.
    assert sorted(cell.order()) == [A, A, B, B, C, C, C, C]


def test_the_dominant_resource_counts() -> None:
    cell = stage(node("n1", slots=100, memory_bytes=100 * MEBIBYTE))
    cell.submit(A, bounds=Bounds(memory_bytes=50 * MEBIBYTE, fuel=1, wall_ms=1))
    cell.submit(B, slots=20)
    cell.drain("n1")
    cell.submit(A)
    cell.submit(B)
    cell.join(node("n1", slots=100, memory_bytes=100 * MEBIBYTE))
    cell.settle()
    assert cell.order() == [A, B, B, A]  # half of the memory is more than a fifth of the slots


# Quotas.


def test_a_limit_that_is_full_makes_wait_and_says_the_tenants_own_numbers() -> None:
    cell = tree()
    cell.grant(A, 2)
    for _ in range(4):
        cell.submit(A)
    assert len(cell.living()) == 2
    (deferral,) = cell.said(WorkloadDeferred)
    assert (deferral.reason, deferral.rule, deferral.have, deferral.need) == (
        "quota",
        "quota_slots",
        "2 used of 2",
        "1",
    )
    cell.finish(cell.living()[0])
    assert len(cell.living()) == 2
    assert len(cell.said(WorkloadDeferred)) == 1


def test_a_limit_above_is_named_only_when_it_is_full() -> None:
    cell = tree()
    cell.grant(LAND, 2)
    cell.submit(B, slots=2)
    cell.submit(A)
    (deferral,) = cell.said(WorkloadDeferred)
    assert (deferral.rule, deferral.have) == ("quota_slots", "limit 2 reached")
    assert DAOS[B] not in str(deferral)


def test_what_goes_beyond_a_nominal_is_borrowed_above_and_said_on_both_sides_alike() -> None:
    cell = tree()
    cell.grant(LAND, 4, lend=2)
    cell.grant(A, 1, borrow=3)
    cell.grant(B, 1)
    for _ in range(4):
        cell.submit(A)
    borrowed, lent = cell.said(QuotaBorrowed), cell.said(QuotaLent, LAND)
    assert len(cell.living()) == 3, "one own, two lent"
    assert [(one.borrow_id, one.slots, one.tick) for one in borrowed] == [
        (one.borrow_id, one.slots, one.tick) for one in lent
    ]
    assert [one.lender for one in borrowed] == [f"{samples.HOST}/t/{LAND}"] * 2
    assert DAOS[A] not in str(lent)
    assert [deferral.have for deferral in cell.said(WorkloadDeferred)] == ["nothing that is lent above"]


def test_what_was_lent_is_free_again_when_the_borrowing_attempt_ends() -> None:
    cell = tree()
    cell.grant(LAND, 4, lend=1)
    cell.grant(A, 0, borrow=3)
    first, second = cell.submit(A), cell.submit(A)
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)] == [first]
    cell.finish(cell.living()[0])
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)] == [first, second]
    assert [event.slots for event in cell.said(QuotaLent, LAND)] == [1, 1]
    assert cell.state.tree.of(LAND).lent == [1, 0]


def test_nobody_borrows_from_a_dao() -> None:
    cell = tree()
    cell.grant(B, 10, lend=10)
    cell.grant(A, 1, borrow=10)
    for _ in range(2):
        cell.submit(A)
    assert len(cell.living()) == 1
    assert cell.said(QuotaBorrowed) == []


def test_a_full_jurisdiction_borrows_from_the_treaty() -> None:
    cell = tree()
    cell.grant(TREATY, 8, lend=2)
    cell.grant(LAND, 2, borrow=2, lend=2)
    cell.grant(A, 2, borrow=4)
    for _ in range(5):
        cell.submit(A)
    assert [one.lender for one in cell.said(QuotaBorrowed)] == [f"{samples.HOST}/t/{TREATY}"] * 2
    assert len(cell.living()) == 4


def test_memory_has_quotas_as_slots_have() -> None:
    cell = tree()
    cell.record(A, log_of(A), granted(None, 1, Quota(nominal=3 * MEBIBYTE)))
    for _ in range(4):
        cell.submit(A)
    (deferral,) = cell.said(WorkloadDeferred)
    assert (len(cell.living()), deferral.rule) == (3, "quota_memory_bytes")


def test_more_that_is_granted_lets_those_run_who_waited_for_it() -> None:
    cell = tree()
    cell.grant(A, 1)
    for _ in range(3):
        cell.submit(A)
    cell.grant(A, 3)
    assert len(cell.living()) == 3


# Bandwidth.


def test_a_denial_for_tokens_names_the_exact_instant_at_which_it_passes() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(1, 10_000, 2))
    began = cell.clock_ms
    for _ in range(4):
        cell.submit(A)
    (deferral,) = cell.said(WorkloadDeferred)
    assert (deferral.reason, deferral.have, deferral.need) == ("bandwidth", "0 tokens", "1 tokens")
    assert deferral.retry_ms == began + 10_000 == cell.state.due_ms()
    cell.advance(9_999)
    assert len(cell.living()) == 2
    cell.advance(1)
    assert len(cell.living()) == 3
    cell.advance(9_999)
    assert [deferral.retry_ms for deferral in cell.said(WorkloadDeferred)] == [began + 10_000, began + 20_000]
    cell.advance(1)
    assert len(cell.living()) == 4
    assert len(cell.said(WorkloadDeferred)) == 2


def test_a_grant_that_is_over_admits_nothing_and_names_no_instant() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(5, 1, 5, until_ms=cell.clock_ms))
    cell.submit(A)
    (deferral,) = cell.said(WorkloadDeferred)
    assert (deferral.reason, deferral.retry_ms) == ("bandwidth", None)
    cell.record(A, log_of(A), tokens(5, 1, 5))
    cell.settle()
    assert len(cell.living()) == 1


def test_tokens_are_counted_by_slots_and_enclaves() -> None:
    cell = stage(node("n1", slots=8), node("n2", slots=8))
    cell.record(A, log_of(A), tokens(1, 60_000, 6))
    two = IndependentAttestations(kind="independent_attestations", count=2)
    cell.submit(A, two, slots=2)
    assert len(cell.living()) == 2
    cell.submit(A, two, slots=2)
    (deferral,) = cell.said(WorkloadDeferred)
    assert (deferral.have, deferral.need) == ("2 tokens", "4 tokens")


def test_a_new_grant_forgets_nothing_that_was_spent() -> None:
    cell = stage(slots=8)
    for _ in range(3):
        cell.record(A, log_of(A), tokens(1, 60_000, 1))
        cell.submit(A)
    assert len(cell.living()) == 1


def test_who_has_no_grant_is_not_limited_by_the_grant_of_another() -> None:
    cell = stage(slots=8)
    cell.record(A, log_of(A), tokens(1, 60_000, 1))
    for _ in range(3):
        cell.submit(A)
        cell.submit(B)
    assert (len(cell.living(A)), len(cell.living(B))) == (1, 3)


# Overflow.


def test_overflow_is_offered_accepted_placed_and_closed_when_the_primary_pool_is_full() -> None:
    cell = stage(node("n1", slots=1), node("s1", slots=2, pool="secondary"), node("s2", slots=1, pool="secondary"))
    cell.submit(A)
    workload = cell.submit(A)
    (offered,), (accepted,), (closed,) = (
        cell.said(kind) for kind in (OverflowOffered, OverflowAccepted, OverflowClosed)
    )
    assert offered.nodes == ("s2",), "one candidate, the tightest"
    assert accepted.offer_hash == sha256_hex(canonical(offered.payload()))
    assert [one.pool for one in accepted.standing] == ["secondary"]
    assert offered.offer_id == accepted.offer_id == closed.offer_id
    assert closed.reason == "placed"
    kinds = [type(one.event) for slot, one in cell.feed if slot == A and one.stream_id == stream_of(workload)]
    assert kinds[1:] == [OverflowOffered, OverflowAccepted, WorkloadPlaced, OverflowClosed]
    reserved = cell.said(ExecutionReserved)[1]
    assert (reserved.node, reserved.until_ms) == ("s2", offered.expires_ms)


def test_a_policy_that_no_primary_node_satisfies_is_a_denial_though_a_secondary_one_would_do() -> None:
    cell = stage(node("n1", slots=1, country="FRA"), node("s1", pool="secondary"))
    cell.submit(A, InCountry(kind="in_country", countries=("DEU",)))
    (denial,) = cell.said(WorkloadDenied)
    assert (denial.rule, denial.nodes) == ("in_country", 1)
    assert cell.said(OverflowOffered) == []


def test_without_any_primary_node_a_workload_waits() -> None:
    cell = stage(node("s1", pool="secondary"))
    cell.submit(A)
    assert cell.living() == []
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now"]
    cell.join(node("n1"))
    cell.settle()
    assert len(cell.living()) == 1


def test_a_policy_says_where_a_workload_may_overflow_to() -> None:
    cell = stage(node("n1", slots=1), node("s1", pool="secondary"), node("r1", pool="reserve"))
    cell.adopt(A, Policy(rules=(Overflow(kind="overflow", pools=("reserve",)),)))
    cell.submit(A)
    cell.submit(A)
    assert [offered.nodes for offered in cell.said(OverflowOffered)] == [("r1",)]
    cell.adopt(A, Policy(rules=(Overflow(kind="overflow"),)))
    cell.submit(A)
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now"]


def test_without_a_standing_offer_nothing_overflows_and_an_offer_wakes_who_waits() -> None:
    cell = stage(node("n1", slots=1))
    cell.open_pools = False
    cell.join(node("s1", operator="Reserve", pool="secondary"))
    cell.join(node("s2", operator="Other", pool="secondary"))
    cell.submit(A)
    cell.submit(A)
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now"]
    cell.offer("reserve", "Reserve")
    cell.settle()
    assert cell.said(OverflowOffered) == [], "of another pool"
    cell.offer("secondary", "Reserve")
    cell.settle()
    (accepted,) = cell.said(OverflowAccepted)
    (standing,) = accepted.standing
    assert (standing.pool, standing.operator, standing.number) == ("secondary", "Reserve", 0)
    assert standing.statement == sha256_hex(b"o.f.f")
    assert [offered.nodes for offered in cell.said(OverflowOffered)] == [("s1",)]


def test_an_offer_that_is_withdrawn_or_over_takes_no_more_and_ends_nothing() -> None:
    cell = stage(node("n1", slots=1), node("s1", slots=4, operator="Reserve", pool="secondary"))
    for _ in range(2):
        cell.submit(A)
    cell.withdraw("secondary", "Reserve")
    cell.submit(A)
    assert len(cell.living()) == 2
    cell.offer("secondary", "Reserve", until_ms=cell.clock_ms + 5_000)
    cell.settle()
    assert [one.standing[0].number for one in cell.said(OverflowAccepted)] == [0, 2]
    cell.clock_ms += 5_000
    cell.submit(A)
    assert len(cell.living()) == 3


def test_an_offer_is_never_used_beyond_what_it_offers() -> None:
    cell = stage(node("n1", slots=1))
    cell.open_pools = False
    cell.offer("secondary", "Reserve", slots=2)
    for one in ("s1", "s2"):
        cell.join(node(one, slots=4, operator="Reserve", pool="secondary"))
    for _ in range(4):
        cell.submit(A)
    assert len(cell.living()) == 3
    cell.finish(next(one for one in cell.living() if cell.state.live[one].node != "n1"))
    assert len(cell.living()) == 3
    cell.offer("secondary", "Reserve", memory_bytes=3 * MEBIBYTE)
    for _ in range(3):
        cell.submit(A)
    assert len(cell.living()) == 4
    assert Scheduling.load(parse_canonical(canonical(cell.state.dump()))).digest() == cell.state.digest()


def test_what_is_given_back_of_an_offer_wakes_who_waits_for_another_node_of_it() -> None:
    cell = stage(node("n1", slots=1, attributes=("gpu",)))
    cell.open_pools = False
    cell.offer("secondary", "Reserve", slots=1)
    cell.join(node("s1", slots=1, operator="Reserve", pool="secondary"))
    cell.join(node("s2", slots=4, operator="Reserve", pool="secondary", attributes=("gpu",)))
    for _ in range(2):
        cell.submit(A)
    cell.submit(A, required_attributes=("gpu",))
    assert [live.node for live in cell.state.live.values()] == ["n1", "s1"]
    cell.finish(next(one for one in cell.living() if cell.state.live[one].node == "s1"))
    assert [live.node for live in cell.state.live.values()] == ["n1", "s2"]


def test_several_enclaves_overflow_only_as_far_as_they_must() -> None:
    cell = stage(node("n1", slots=1), node("s1", pool="secondary"), node("s2", slots=1, pool="secondary"))
    cell.submit(A, IndependentAttestations(kind="independent_attestations", count=2))
    assert cell.said(WorkloadDenied), "the primary pool alone could never do"
    cell.join(node("n2", slots=1))
    cell.settle()
    cell.submit(B)
    cell.submit(A, IndependentAttestations(kind="independent_attestations", count=2))
    (offered,) = cell.said(OverflowOffered)
    assert len(offered.nodes) == 1
    assert len(cell.living(A)) == 2


# Slots, and nobody passed over for ever.


def test_a_placement_takes_the_slots_that_it_asks_for() -> None:
    cell = stage(slots=5)
    for _ in range(3):
        cell.submit(A, slots=2)
    assert len(cell.living()) == 2
    cell.submit(A, slots=1)
    assert len(cell.living()) == 3
    assert cell.state.free(cell.state.nodes["n1"])[0] == 0


@pytest.mark.parametrize("nodes", [1, 3])
def test_a_large_workload_is_not_passed_over_for_ever_by_small_ones(nodes: int) -> None:
    cell = stage(*(node(f"n{at}", slots=4) for at in range(nodes)))
    for _ in range(4 * nodes):
        cell.submit(B)
    large = cell.submit(A, slots=4)
    for _ in range(12):
        cell.submit(B, settle=False)
    rounds = 0
    while not cell.said(WorkloadPlaced):
        rounds += 1
        assert rounds <= BYPASSES + 20 * nodes, "passed over for too long"
        oldest = min(cell.living(), key=lambda one: cell.state.live[one].waiting.arrived)
        cell.submit(B, settle=False)
        cell.finish(oldest)
    assert rounds >= BYPASSES
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)] == [large]
    assert cell.state.kept is None
    assert len(cell.living()) == 4 * nodes - 3, "while the large one's node was kept, the others were used"


def test_a_node_that_is_kept_is_let_go_when_its_workload_goes() -> None:
    cell = stage(slots=2)
    for _ in range(2):
        cell.submit(B)
    large = cell.submit(A, slots=2)
    while cell.state.kept is None:
        cell.submit(B, settle=False)
        cell.finish(cell.living()[0])
    assert Scheduling.load(parse_canonical(canonical(cell.state.dump()))).digest() == cell.state.digest()
    cell.finish(cell.living()[0])
    waiting = len(cell.state.waiting)
    cell.on(A, large, samples.SAMPLES_BY_TOPIC["workload.cancelled.v1"].model_copy(update={"workload_id": large}))
    cell.settle()
    assert cell.state.kept is None
    assert len(cell.living()) == min(2, waiting)


# What is told, and when.


def test_a_class_is_told_once_and_again_when_the_reason_is_another() -> None:
    cell = stage(slots=1)
    cell.submit(B)
    for _ in range(5):
        cell.submit(A)
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now"]
    cell.grant(A, 0)
    assert len(cell.said(WorkloadDeferred)) == 1, "what was told is still true"
    cell.finish(cell.living()[0])
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now", "quota"]
    cell.submit(B)
    cell.grant(A, 9)
    assert [deferral.reason for deferral in cell.said(WorkloadDeferred)] == ["no_node_now", "quota", "no_node_now"]


def test_a_release_tells_nobody_anything_that_was_told_before() -> None:
    cell = stage(slots=2)
    for slot in (A, B, C) * 10:
        cell.submit(slot)
    before = sum(len(cell.said(WorkloadDeferred, slot)) for slot in DAOS)
    for _ in range(12):
        cell.finish(cell.living()[0])
    assert sum(len(cell.said(WorkloadDeferred, slot)) for slot in DAOS) == before == 3


def test_a_workload_is_due_when_the_validity_of_its_policy_ends() -> None:
    cell = stage(slots=1)
    cell.submit(B)
    until = cell.clock_ms + 5_000
    cell.submit(A, Validity(kind="validity", from_ms=0, until_ms=until))
    assert cell.state.due_ms() == until
    cell.advance(4_999)
    assert cell.said(WorkloadDenied) == []
    cell.advance(1)
    assert [denial.rule for denial in cell.said(WorkloadDenied)] == ["validity"]


def test_a_new_policy_looks_again_at_what_waits() -> None:
    cell = stage(node("n1", slots=1), node("n2", slots=1, country="FRA"))
    german = Policy(rules=(InCountry(kind="in_country", countries=("DEU",)),))
    cell.adopt(B, german)
    cell.submit(B)
    cell.adopt(A, german)
    workload = cell.submit(A)
    assert cell.living(A) == []
    cell.adopt(A, Policy())
    cell.settle()
    assert [placed.workload_id for placed in cell.said(WorkloadPlaced)] == [workload]


# What is kept.


def test_versions_of_streams_that_have_ended_do_not_pile_up() -> None:
    cell = stage(slots=1)
    for number in range(PAST):
        cell.submit(A)
        execution = cell.living()[0]
        cell.on(A, execution, ExecutionAbandoned(execution_id=execution, reason="provisioning_denied"))
        if number == 3:
            few = len(cell.state.versions)
    cell.settle()
    assert len(cell.state.past) <= PAST
    assert len(cell.state.versions) <= few + PAST
    assert not cell.state.attempts


def test_deciding_changes_nothing_that_can_be_seen() -> None:
    cell = stage(slots=2)
    for slot in (A, B, C, A, B, C):
        cell.submit(slot, settle=False)
    while True:
        before = cell.state.digest()
        act = next_act(cell.state, samples.ENGINE)
        assert next_act(cell.state, samples.ENGINE) == act
        assert cell.state.digest() == before
        if not act:
            break
        cell.state.apply(act)


def test_a_reset_gives_its_place_back_once() -> None:
    cell = stage(slots=1)
    cell.submit(A)
    execution = cell.living()[0]
    cell.finish(execution)
    cell.on(A, execution, RuntimeReset(execution_id=execution, report="r"))
    assert cell.state.free(cell.state.nodes["n1"])[0] == 1


@pytest.mark.parametrize(("limit", "looked_at"), [(None, ["s1"]), (4, ["s1", "s2", "s3"])])
def test_the_end_of_an_overflow_looks_at_its_whole_pool_only_where_an_offer_has_a_limit(
    limit: int | None, looked_at: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = stage(node("n1", slots=1))
    cell.open_pools = False
    for one in ("s1", "s2", "s3"):
        cell.join(node(one, slots=1, operator="Reserve", pool="secondary"))
    cell.offer("secondary", "Reserve", limit)
    for _ in range(2):
        cell.submit(A)
    (overflown,) = [one for one, live in cell.state.live.items() if live.node == "s1"]
    looked: list[str] = []
    emptied = Desk._emptied

    def noted(desk: Desk, at: int) -> None:
        looked.append(desk.eligibility.facts[at].node)
        emptied(desk, at)

    monkeypatch.setattr(Desk, "_emptied", noted)
    assert cell.state.leave(overflown) is not None
    assert sorted(looked) == looked_at
