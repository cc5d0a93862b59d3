"""What the scheduler works out in advance is what `feasible` says, for each node and each neighbour."""

from fractions import Fraction
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import MEBIBYTE, Bounds
from domain.policies import kinds
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.feasible import allowed, feasible, findings_of_node
from domain.policies.kinds import Policy
from domain.scheduling import tokens
from domain.scheduling.capacity import Capacity, bucket
from domain.scheduling.colocation import Presence, manners
from domain.scheduling.eligibility import Eligibility, bits, mask_of
from domain.scheduling.tables import Bandwidth
from tests.domain.samples import facts, node

DAOS = ("AlphaDAO", "BetaDAO", "GammaDAO")
words = st.sampled_from([(), ("x",), ("y",), ("x", "y")])
rules = st.one_of(
    st.builds(lambda some: kinds.InCountry(kind="in_country", countries=some), st.sampled_from([(), ("FRA",)])),
    st.builds(
        lambda yes, no: kinds.Operators(kind="operators", allowed=yes, forbidden=no),
        st.sampled_from([(), ("o1",)]), st.sampled_from([(), ("o2",)]),
    ),
    st.builds(lambda no: kinds.Nodes(kind="nodes", forbidden=no), st.sampled_from([(), ("n0",), ("n1", "n2")])),
    st.builds(
        lambda named, domains, tags, alone: kinds.NoColocation(
            kind="no_colocation", authorised=named, domains=domains, tags=tags, exclusive=alone and named is not None
        ),
        st.sampled_from([None, (), ("AlphaDAO",), ("BetaDAO", "GammaDAO")]), st.sampled_from([(), ("Finance",)]), words,
        st.booleans(),
    ),
    st.just(kinds.IndependentAttestations(kind="independent_attestations", count=2)),
    st.builds(
        lambda domain, trigger: kinds.DomainBesideTrigger(kind="domain_beside_trigger", domain=domain, trigger=trigger),
        st.sampled_from(["Finance", "Disaster"]), st.sampled_from(["t", "u"]),
    ),
    st.builds(
        lambda domain: kinds.Evidence(kind="evidence", classes=("vendor",), domain=domain),
        st.sampled_from([None, "Finance"]),
    ),
    st.builds(
        lambda pools, nodes: kinds.Overflow(kind="overflow", pools=pools, nodes=nodes),
        st.sampled_from([(), ("reserve",)]), st.sampled_from([(), ("n1",)]),
    ),
)  # fmt: skip
policies = st.lists(rules, max_size=3).map(lambda some: Policy(rules=tuple(some)))
workloads = st.builds(
    facts,
    dao=st.sampled_from(DAOS),
    jurisdiction=st.sampled_from(["DEU", "EU"]),
    resource_class=st.sampled_from(["Disaster::A@v1", "Finance::B@v1"]),
    trigger=st.sampled_from([None, "t", "u"]),
    tags=words,
    forbid_tags=words,
    required_attributes=st.sampled_from([(), ("gpu",)]),
    bounds=st.sampled_from([Bounds(memory_bytes=size * MEBIBYTE, fuel=1, wall_ms=1) for size in (1, 4)]),
)
some_nodes = st.lists(
    st.fixed_dictionaries(
        {
            "country": st.sampled_from(["DEU", "FRA", "KEN"]),
            "operator": st.sampled_from(["o1", "o2"]),
            "pool": st.sampled_from(["primary", "secondary", "reserve"]),
            "memory_bytes": st.sampled_from([MEBIBYTE, 3 * MEBIBYTE, 8 * MEBIBYTE]),
            "attributes": st.sampled_from([(), ("gpu",)]),
            "platform_ids": st.sampled_from([(), ("amd:a",)]),
            "evidence_class": st.sampled_from(["vendor", "software"]),
            "admits": st.sampled_from([None, ("AlphaDAO",), ("AlphaDAO", "BetaDAO")]),
        }
    ),
    min_size=1,
    max_size=8,
).map(lambda several: [node(f"n{at}", **members) for at, members in enumerate(several)])


@given(some_nodes, policies, workloads)
def test_nodes_that_are_eligible_are_those_whose_own_facts_pass(
    nodes: list[NodeFacts], policy: Policy, workload: WorkloadFacts
) -> None:
    eligibility = Eligibility()
    for one in nodes:
        eligibility.put(one)
    demands = eligibility.by_demand(policy, workload)
    for at, one in enumerate(nodes):
        findings = findings_of_node(policy, workload, one)
        assert all(mask >> at & 1 for _, mask in demands) == allowed(findings)
        failed = {finding.rule for finding in findings if not finding.passed}
        assert {name for name, mask in demands if not mask >> at & 1} == failed
    assert eligibility.primary == mask_of([at for at, one in enumerate(nodes) if one.pool == "primary"])


@given(st.lists(st.tuples(policies, workloads, st.integers(0, 2), st.booleans()), max_size=8), policies, workloads)
def test_who_may_live_where_is_what_feasible_says_of_the_residents(
    lives: list[tuple[Policy, WorkloadFacts, int, bool]], policy: Policy, newcomer: WorkloadFacts
) -> None:
    presence, there = Presence(), dict[int, list[Resident]]()
    for number, (rules_of, workload, at, _) in enumerate(lives):
        presence.settle(at, manners(rules_of, workload))
        resident = Resident(execution_id=f"e{number}", workload=workload, policy=rules_of)
        there.setdefault(at, []).append(resident)
    for number, (rules_of, workload, at, leaves) in enumerate(lives):
        if leaves:
            presence.leave(at, manners(rules_of, workload))
            there[at] = [resident for resident in there[at] if resident.execution_id != f"e{number}"]
    who = manners(policy, newcomer)
    closed = presence.barred(who.avoids) | presence.closed_to(who, 0b111)
    for at in range(3):
        findings = feasible(policy, newcomer, node("n"), there.get(at, ()), 0)
        kept_out = any(finding.about == "residents" and not finding.passed for finding in findings)
        assert bool(closed >> at & 1) == kept_out
        assert presence.bars(who.avoids, at) == bool(presence.barred(who.avoids) >> at & 1)
    assert bits(presence.occupied) == sorted(at for at, residents in there.items() if residents)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5000)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 2), st.integers(0, 900)), max_size=12),
    st.integers(0, 4095),
    st.integers(1, 3),
    st.integers(1, 3000),
)
def test_the_tightest_node_is_the_one_that_looking_at_each_finds(
    rooms: list[tuple[int, int]], taken: list[tuple[int, int, int]], among: int, slots: int, memory: int
) -> None:
    capacity = Capacity()
    for at, room in enumerate(rooms):
        capacity.put(at, *room)
    for at, some, bytes_ in taken:
        if at < len(rooms):
            capacity.take(at, some, bytes_)
    fitting = [at for at in range(len(rooms)) if among >> at & 1 and capacity.fits(at, slots, memory)]
    ordered = sorted(fitting, key=lambda at: (capacity.slots[at], bucket(capacity.memory[at]), at))
    assert list(capacity.all(among, slots, memory)) == ordered
    assert capacity.first(among, slots, memory) == (ordered[0] if ordered else None)
    assert bits(capacity.roomy(among, slots, memory)) == fitting


@given(st.integers(1, 2**48), st.integers(1, 2**48))
def test_buckets_rise_with_the_amount(one: int, other: int) -> None:
    if one <= other:
        assert bucket(one) <= bucket(other)


@given(
    st.builds(Bandwidth, st.just(1), st.integers(1, 9), st.integers(1, 5000), st.integers(1, 9), st.integers(0, 900),
              st.integers(1000, 9000)),
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 10)), max_size=30),
)  # fmt: skip
def test_tokens_are_those_of_a_bucket_that_fills_up_and_the_retry_instant_is_exact(
    grant: Bandwidth, asks: list[tuple[int, int]]
) -> None:
    spent, now_ms, level, at_ms = 0, 0, Fraction(grant.burst), 0
    for later, cost in asks:
        now_ms += later
        level = min(Fraction(grant.burst), level + Fraction((now_ms - at_ms) * grant.tokens, grant.period_ms))
        at_ms = now_ms
        inside = grant.from_ms <= now_ms < grant.until_ms
        assert tokens.passes(grant, spent, cost, now_ms) == (inside and level >= cost)
        assert tokens.available(grant, spent, now_ms) == (int(level) if inside else 0)
        if inside and level >= cost:
            spent, level = tokens.spend(grant, spent, cost, now_ms), level - cost
            continue
        retry_ms = tokens.retry_ms(grant, spent, cost, now_ms)
        if retry_ms is None:
            assert not any(tokens.passes(grant, spent, cost, at) for at in (now_ms, max(now_ms, grant.until_ms - 1)))
        else:
            assert tokens.passes(grant, spent, cost, retry_ms)
            assert not tokens.passes(grant, spent, cost, retry_ms - 1)


@given(st.lists(st.integers(0, 3000), unique=True))
def test_bits_are_the_nodes_of_a_mask(nodes: list[Any]) -> None:
    assert bits(mask_of(nodes)) == sorted(nodes)
