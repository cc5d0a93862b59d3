"""The scheduler against a slow one, over whatever may happen in a cell, in any order."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.bounds import MEBIBYTE, Bounds
from domain.cacs import events as cacs
from domain.canonical import canonical, parse_canonical
from domain.executions import events as executions
from domain.identifiers import uuid7, workload_id
from domain.message import Event
from domain.platform import events as platform
from domain.policies import kinds
from domain.policies.kinds import Policy
from domain.quotas.events import Quota
from domain.scheduling import passing
from domain.scheduling.decide import next_act
from domain.scheduling.state import Scheduling
from domain.tenants import events as tenants
from domain.time import MINUTE_MS
from domain.workloads import events as workloads
from tests.domain import samples
from tests.domain.cell import LEVELS, Cell, log_of
from tests.domain.samples import node
from tests.domain.slow_quotas import granted, tokens
from tests.domain.slow_scheduler import Kept, Living, SlowScheduler

SLOTS = (11, 12, 13)
JURISDICTION, TREATY = 21, 22
PARENTS = {JURISDICTION: TREATY, 11: JURISDICTION, 12: JURISDICTION}
"""13, and the treaty, hang below the top."""
DAOS = {11: ("AlphaDAO", "DEU"), 12: ("BetaDAO", "FRA"), 13: ("GammaDAO", "EU")}
NODES = (
    node("n1", country="DEU", operator="o1", vendor="amd", slots=2, memory_bytes=3 * MEBIBYTE),
    node("n2", country="FRA", operator="o2", vendor="amd", slots=2, memory_bytes=4 * MEBIBYTE, attributes=("gpu",)),
    node("n3", country="ESP", operator="o6", vendor="intel", slots=2, memory_bytes=8 * MEBIBYTE),
    node("n4", country="DEU", operator="o3", vendor="intel", slots=1, platform_ids=()),
    node("n5", country="DEU", operator="o4", vendor="amd", slots=2, platform_ids=("amd:n1",)),
    node("n6", country="FRA", operator="o5", vendor="arm", slots=1, admits=("BetaDAO",), evidence_class="vendor"),
    node("s1", country="DEU", operator="o7", vendor="arm", slots=3, pool="secondary"),
    node("s2", country="FRA", operator="o8", vendor="amd", slots=1, pool="reserve"),
)
TWO = kinds.IndependentAttestations(kind="independent_attestations", count=2, distinct=("operator",))
THREE = kinds.IndependentAttestations(kind="independent_attestations", count=3, distinct=("platform", "operator"))
TIMES = st.sampled_from([0, 1, 999, 5_000, MINUTE_MS, 12 * MINUTE_MS, 60 * MINUTE_MS])


def rules() -> st.SearchStrategy[kinds.Rule]:
    """Return one rule among those that change what can be placed."""
    some: list[kinds.Rule] = [
        kinds.InCountry(kind="in_country"),
        kinds.InCountry(kind="in_country", countries=("FRA", "ESP")),
        kinds.Operators(kind="operators", forbidden=("o1",)),
        kinds.NoColocation(kind="no_colocation", authorised=()),
        kinds.NoColocation(kind="no_colocation", authorised=("AlphaDAO",)),
        kinds.NoColocation(kind="no_colocation", authorised=("BetaDAO",), exclusive=True),
        kinds.NoColocation(kind="no_colocation", domains=("Finance",), tags=("x",)),
        TWO,
        THREE,
        kinds.Overflow(kind="overflow"),
        kinds.Overflow(kind="overflow", pools=("reserve",)),
        kinds.DomainBesideTrigger(kind="domain_beside_trigger", domain="Finance", trigger="t"),
        kinds.Evidence(kind="evidence", classes=("vendor",), domain="Finance"),
        kinds.Validity(kind="validity", from_ms=0, until_ms=samples.NOW + 20 * MINUTE_MS),
        kinds.MaximumBounds(kind="maximum_bounds", bounds=Bounds(memory_bytes=MEBIBYTE, fuel=10**9, wall_ms=MINUTE_MS)),
    ]
    return st.sampled_from(some)


quota_grants = st.one_of(
    st.none(),
    st.builds(
        lambda nominal, borrow, lend: Quota(nominal=nominal, borrow=borrow, lend=lend),
        st.integers(0, 4), st.sampled_from([0, 1, 2, 9]), st.sampled_from([0, 1, 3, 9]),
    ),
)  # fmt: skip
token_grants = st.builds(
    lambda count, period, burst, lasts: (count, period, burst, lasts),
    st.integers(1, 3), st.sampled_from([7, 1_000, 7 * MINUTE_MS]), st.integers(1, 3),
    st.sampled_from([5_000, 30 * MINUTE_MS, 2**40]),
)  # fmt: skip
workload_shapes = st.fixed_dictionaries(
    {
        "resource_class": st.sampled_from(["Disaster::A@v1", "Finance::B@v1", "Planning::C@v1"]),
        "bounds": st.sampled_from(
            [Bounds(memory_bytes=size * MEBIBYTE // 2, fuel=1000, wall_ms=MINUTE_MS) for size in (1, 2, 2, 4, 10)]
        ),
        "trigger": st.sampled_from([None, None, "t"]),
        "tags": st.sampled_from([(), (), ("x",), ("y",)]),
        "forbid_tags": st.sampled_from([(), (), (), ("y",)]),
        "required_attributes": st.sampled_from([(), (), (), ("gpu",)]),
        "slots": st.sampled_from([1, 1, 1, 2]),
    }
)


class Scheduler(RuleBasedStateMachine):
    """What may happen in a cell. Reports obey the execution's own stream; they may race with the decider."""

    def __init__(self) -> None:
        super().__init__()
        self.bounds = passing.LEVEL_TURN, passing.BYPASSES
        passing.LEVEL_TURN, passing.BYPASSES = 3, 2  # that turns and kept nodes come up at all
        self.cell = Cell(watch=self._watch)
        self.slow = SlowScheduler(
            kept=lambda: _named(self.cell.kept, quota=self.cell.kept_quota),
            kept_after=lambda: _named(self.cell.state.kept, quota=self.cell.state.kept_quota),
            advances=lambda: set(self.cell.state.advances), turn=passing.LEVEL_TURN, bypasses=passing.BYPASSES,
        )  # fmt: skip
        self.submitted = 0
        self.resting = True
        self.sound = True

    def _watch(self, slot: int, event: Event, by_decider: bool) -> None:
        self.slow.now_ms = max(self.slow.now_ms, self.cell.clock_ms)
        self.sound = False
        if by_decider and not isinstance(event, workloads.WorkloadQueued):  # it repeats the clause's own rules
            _check_silence(slot, event)
        self.slow.take(slot, event, by_decider=by_decider)
        self.sound = True

    @initialize(limited=st.booleans())
    def begin(self, limited: bool) -> None:
        self.cell.begin()
        for slot, parent in PARENTS.items():
            kind = tenants.TenantRegistered if slot in DAOS else tenants.ScopeRegisteredBelow
            event = samples.SAMPLES_BY_TOPIC[kind.TOPIC].model_copy(update={"parent": f"{samples.HOST}/t/{parent}"})
            self.cell.record(slot, log_of(slot), event)
        if limited:
            for slot, quota in ((JURISDICTION, (3, 1, 2)), (TREATY, (5, 0, 2)), (11, (1, 3, 0)), (12, (1, 3, 0))):
                nominal, borrow, lend = quota
                self.cell.record(slot, log_of(slot), granted(Quota(nominal=nominal, borrow=borrow, lend=lend)))
        for facts in NODES[:4]:
            self.cell.join(facts)

    def after(self, settle: bool) -> None:
        """Settle now, or let more come first."""
        self.resting = settle
        if settle:
            self.cell.settle()

    def of(self, *status: str) -> list[str]:
        """Return executions with one of these states whose window is open."""
        return [
            name
            for name, living in self.slow.known.items()
            if living.status in status and living.until_ms > self.cell.clock_ms
        ]

    @rule(facts=st.sampled_from(NODES), joins=st.sampled_from([True, True, True, False]), settle=st.booleans())
    def a_node_joins_or_drains(self, facts: Any, joins: bool, settle: bool) -> None:
        if joins:
            self.cell.join(facts)
        elif facts.node in self.slow.nodes:
            self.cell.drain(facts.node)
        self.after(settle)

    @rule(
        which=st.sampled_from([("secondary", "o7"), ("reserve", "o8")]),
        slots=st.sampled_from([None, 1, 2]),
        memory=st.sampled_from([None, None, 2 * MEBIBYTE]),
        lasts_ms=st.sampled_from([1_000, 20 * MINUTE_MS, 2**40]),
        stands=st.sampled_from([True, True, False]),
        settle=st.booleans(),
    )
    def an_offer_stands_or_is_withdrawn(
        self, which: tuple[str, str], slots: int | None, memory: int | None, lasts_ms: int, stands: bool, settle: bool
    ) -> None:
        if stands:
            self.cell.offer(*which, slots, memory, self.cell.clock_ms + lasts_ms)
        elif which in self.slow.offers:
            self.cell.withdraw(*which)
        self.after(settle)

    @rule(slot=st.sampled_from(SLOTS), some=st.lists(rules(), max_size=2), settle=st.booleans())
    def a_policy_is_adopted(self, slot: int, some: list[kinds.Rule], settle: bool) -> None:
        self.cell.adopt(slot, Policy(rules=tuple(some)))
        self.after(settle)

    @rule(
        slot=st.sampled_from(SLOTS),
        shape=workload_shapes,
        clause=st.one_of(st.just([]), st.lists(rules(), max_size=1), st.just([TWO]), st.just([THREE])),
        patience=st.sampled_from([1_000, 10 * MINUTE_MS, 200 * MINUTE_MS]),
        copies=st.integers(1, 3),
        settle=st.booleans(),
    )
    def workloads_come(
        self,
        slot: int,
        shape: dict[str, Any],
        clause: list[kinds.Rule],
        patience: int,
        copies: int,
        settle: bool,
    ) -> None:
        if slot in self.slow.closed:
            return
        dao, jurisdiction = DAOS[slot]
        for _ in range(copies):
            self.submitted += 1
            workload = workload_id(uuid7(self.cell.clock_ms, self.submitted))
            self.cell.on(
                slot,
                workload,
                samples.queued(
                    workload_id=workload,
                    facts=samples.facts(dao=dao, jurisdiction=jurisdiction, **shape),
                    clause_rules=tuple(clause),
                    not_after_ms=self.cell.clock_ms + patience,
                ),
            )
        self.after(settle)

    @rule(
        slot=st.sampled_from([*SLOTS, JURISDICTION, JURISDICTION, TREATY]),
        slots=quota_grants,
        memory=st.sampled_from([None, None, None, Quota(nominal=4 * MEBIBYTE, borrow=2 * MEBIBYTE, lend=MEBIBYTE)]),
        weight=st.sampled_from([1, 1, 3]),
        settle=st.booleans(),
    )
    def a_quota_is_granted(
        self, slot: int, slots: Quota | None, memory: Quota | None, weight: int, settle: bool
    ) -> None:
        self.cell.record(slot, log_of(slot), granted(slots, weight, memory))
        self.after(settle)

    @rule(slot=st.sampled_from(SLOTS), grant=token_grants, settle=st.booleans())
    def tokens_are_granted(self, slot: int, grant: tuple[int, int, int, int], settle: bool) -> None:
        count, period_ms, burst, lasts_ms = grant
        until_ms = self.cell.clock_ms + lasts_ms
        self.cell.record(slot, log_of(slot), tokens(count, period_ms, burst, self.cell.clock_ms, until_ms))
        self.after(settle)

    def _pick(self, data: st.DataObject, *status: str) -> tuple[str, Living] | None:
        names = self.of(*status)
        if not names:
            return None
        name = data.draw(st.sampled_from(names))
        return name, self.slow.known[name]

    @rule(data=st.data(), settle=st.booleans())
    def evidence_is_refused(self, data: st.DataObject, settle: bool) -> None:
        picked = self._pick(data, "reserved")
        if picked:
            name, living = picked
            self.cell.on(living.slot, name, _abandoned(name, "evidence_refused"))
            self.after(settle)

    @rule(data=st.data(), settle=st.booleans())
    def provisioning_is_denied(self, data: st.DataObject, settle: bool) -> None:
        picked = self._pick(data, "reserved")
        if picked and picked[1].queued.workload_id not in self.slow.ended:
            name, living = picked
            self.cell.on(living.slot, name, _abandoned(name, "provisioning_denied"))
            workload = living.queued.workload_id
            self.cell.on(living.slot, workload, samples.denied(workload_id=workload, gate="provisioning"))
            self.after(settle)

    @rule(
        data=st.data(),
        settle=st.booleans(),
        then=st.sampled_from(["stays", "completes", "faults", "completes, is reset", "faults, is reset"]),
    )
    def inputs_are_released_and_it(self, data: st.DataObject, settle: bool, then: str) -> None:
        picked = self._pick(data, "reserved")
        if picked:
            self.cell.on(picked[1].slot, picked[0], samples.released(execution_id=picked[0]))
            self._goes_on(*picked, then)
            self.after(settle)

    @precondition(lambda self: self.slow.waiting and self.slow.living)
    @rule(slots=st.lists(st.sampled_from(SLOTS), min_size=2, max_size=8), settle=st.booleans())
    def small_ones_flow_by_those_who_wait(self, slots: list[int], settle: bool) -> None:
        small = Bounds(memory_bytes=MEBIBYTE // 2, fuel=1000, wall_ms=MINUTE_MS)
        shape = {"resource_class": "Finance::B@v1", "bounds": small, "slots": 1}
        for slot in slots:
            self.workloads_come(slot=slot, shape=shape, clause=[], patience=10 * MINUTE_MS, copies=1, settle=True)
            for name in self.of("reserved", "released")[:1]:
                living = self.slow.known[name]
                then = "completes, is reset" if living.status == "released" else "is released, completes, is reset"
                self._goes_on(name, living, then)
            self.after(settle=True)
        self.after(settle)

    @precondition(lambda self: self.of("released"))
    @rule(data=st.data(), settle=st.booleans(), then=st.sampled_from(["completes", "faults", "faults, is reset"]))
    def what_runs(self, data: st.DataObject, settle: bool, then: str) -> None:
        picked = self._pick(data, "released")
        if picked:
            self._goes_on(*picked, then)
            self.after(settle)

    @precondition(lambda self: self.of("completed", "faulted"))
    @rule(data=st.data(), settle=st.booleans())
    def it_is_reset_and_metered(self, data: st.DataObject, settle: bool) -> None:
        picked = self._pick(data, "completed", "faulted")
        if picked:
            self._goes_on(*picked, "is reset")
            self.after(settle)

    def _goes_on(self, name: str, living: Living, then: str) -> None:
        if "released" in then:
            self.cell.on(living.slot, name, samples.released(execution_id=name))
        if "completes" in then:
            self.cell.on(living.slot, name, samples.completed(execution_id=name))
        if "faults" in then:
            self.cell.on(living.slot, name, samples.fault(execution_id=name))
        if "reset" in then:
            self.cell.on(living.slot, name, executions.RuntimeReset(execution_id=name, report="r"), _metered(name))

    @precondition(lambda self: any(not done for done in self.slow.faulted.values()))
    @rule(data=st.data(), settle=st.booleans(), patience=st.sampled_from([1_000, 30 * MINUTE_MS]))
    def governance_authorises(self, data: st.DataObject, settle: bool, patience: int) -> None:
        ready = [n for n, done in self.slow.faulted.items() if not done and self.slow.known[n].status.endswith("reset")]
        ready = [n for n in ready if self.slow.known[n].queued.workload_id not in self.slow.ended]
        ready = [n for n in ready if self.slow.known[n].slot not in self.slow.closed]
        newest = {n: self.slow.queued[self.slow.known[n].queued.workload_id].attempt for n in ready}
        ready = [n for n in ready if self.slow.known[n].queued.attempt == newest[n]]
        if not ready:
            return
        name = data.draw(st.sampled_from(ready))
        living = self.slow.known[name]
        self.slow.faulted[name] = True
        queued = self.slow.queued[living.queued.workload_id]
        again = queued.model_copy(update={"attempt": queued.attempt + 1, "not_after_ms": self.cell.clock_ms + patience})
        self.slow.replaced.pop(queued.workload_id, None)
        self.cell.on(living.slot, name, samples.authorized(execution_id=name, workload_id=queued.workload_id))
        self.cell.on(living.slot, queued.workload_id, again)
        self.after(settle)

    @precondition(lambda self: len(self.slow.slots) > len(self.slow.ended))
    @rule(data=st.data(), settle=st.booleans())
    def a_workload_is_cancelled(self, data: st.DataObject, settle: bool) -> None:
        workload = data.draw(st.sampled_from([name for name in self.slow.slots if name not in self.slow.ended]))
        if any(e.queued.workload_id == workload and e.status != "reserved" for e in self.slow.living.values()):
            return
        cancelled = workloads.WorkloadCancelled(workload_id=workload, statement="s")
        self.cell.on(self.slow.slots[workload], workload, cancelled)
        self.after(settle)

    @rule(slot=st.sampled_from(SLOTS), again=st.sampled_from([True, True, False]), settle=st.booleans())
    def an_erasure_is_ordered_or_withdrawn(self, slot: int, again: bool, settle: bool) -> None:
        if slot in self.slow.closed:
            self.cell.record(slot, log_of(slot), tenants.ErasureWithdrawn(statements=()))
        elif not again:  # seldom: else nothing would ever run
            self.cell.record(slot, log_of(slot), samples.SAMPLES_BY_TOPIC[tenants.ErasureOrdered.TOPIC])
        self.after(settle)

    @rule(by_ms=TIMES)
    def time_passes_and_the_decider_ticks(self, by_ms: int) -> None:
        self.cell.settle()
        self.cell.advance(by_ms)
        self.cell.settle()
        self.resting = True

    @rule(by_ms=TIMES, settle=st.booleans())
    def time_passes_unnoticed(self, by_ms: int, settle: bool) -> None:
        self.cell.clock_ms += by_ms
        self.cell.record(11, log_of(11), samples.enrolled())
        self.after(settle)

    @rule(by_ms=st.integers(1, MINUTE_MS), levels=st.sampled_from([LEVELS, ("Finance",), ("Planning", "Disaster")]))
    def levels_change_while_the_clock_steps_back(self, by_ms: int, levels: tuple[str, ...]) -> None:
        self.cell.clock_ms -= by_ms
        adopted = platform.LevelsAdopted(version=2, domains=levels, statements=())
        self.cell.record(0, log_of(0), adopted)
        self.after(settle=True)
        self.cell.clock_ms += by_ms

    @invariant()
    def no_node_holds_more_than_it_has(self) -> None:
        for facts in self.slow.nodes.values():
            there = [e for e in self.slow.living.values() if e.node == facts.node]
            sizes = [e.queued.facts.bounds.memory_bytes for e in there]
            free = self.cell.state.free(facts)
            taken = sum(e.queued.facts.slots for e in there)
            assert free == (facts.slots - taken, facts.memory_bytes - sum(sizes))

    @invariant()
    def usage_is_what_lives(self) -> None:
        for slot in (*SLOTS, JURISDICTION, TREATY):
            account = self.cell.state.tree.of(slot)
            assert tuple(account.used) == self.slow.quotas.used(self.slow.usage(), slot)
        live = {name: (e.slot, e.node) for name, e in self.cell.state.live.items()}
        assert live == {name: (e.slot, e.node) for name, e in self.slow.living.items()}
        assert {workload for _, workload in self.cell.state.waiting} == set(self.slow.waiting)

    @invariant()
    def at_rest_nothing_more_can_be_decided(self) -> None:
        if self.resting and self.cell.views:
            self.slow.check_at_rest()
            again = Scheduling.load(parse_canonical(canonical(self.cell.state.dump())))
            assert next_act(again, samples.ENGINE) == (), "who looks at everybody again would have decided more"
            assert again.digest() == self.cell.state.digest()

    def teardown(self) -> None:
        """Replay everything; then let all time pass: nothing waits or holds a place for ever."""
        try:
            if self.cell.views and self.sound:  # else what failed is reported already
                self._end()
        finally:
            passing.LEVEL_TURN, passing.BYPASSES = self.bounds

    def _end(self) -> None:
        self.cell.settle()
        assert self.cell.replayed().digest() == self.cell.state.digest()
        for _ in range(40):
            self.cell.advance(300 * MINUTE_MS)
        assert not self.cell.state.waiting
        assert not self.cell.state.live
        assert self.cell.state.due_ms() is None


def _named(kept: tuple[tuple[str, ...], tuple[int, str]] | None, *, quota: bool) -> Kept:
    return None if kept is None else (kept[0], kept[1][1], quota)


def _check_silence(slot: int, event: Event) -> None:
    """Check that a decision names no other tenant, and nodes only where it places."""
    printed = canonical(event.payload()).decode()
    others = {name for other, names in DAOS.items() if other != slot for name in (names[0], f"/t/{other}")}
    assert not [name for name in others if name in printed], f"somebody else is named: {printed}"
    if not isinstance(event, workloads.WorkloadPlaced | executions.ExecutionReserved | workloads.OverflowOffered):
        assert not [facts.node for facts in NODES if f'"{facts.node}"' in printed], "a node is named"


def _abandoned(name: str, reason: Any) -> Event:
    return executions.ExecutionAbandoned(execution_id=name, reason=reason)


def _metered(name: str) -> Event:
    return cacs.UsageMetered(execution_id=name, slot_ms=1, memory_mib_ms=1, fuel=1)


TestScheduler = Scheduler.TestCase
TestScheduler.settings = settings(stateful_step_count=50)
