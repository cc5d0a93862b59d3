"""What each rule means: it passes, it fails with its reason, and it says the same at every gate and in both orders."""

from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import MEBIBYTE, Bounds
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.feasible import (
    Finding,
    allowed,
    feasible,
    findings_of_node,
    findings_of_workload,
    independent,
    independent_count,
    told,
)
from domain.policies.kinds import (
    DomainBesideTrigger,
    Evidence,
    InCountry,
    IndependentAttestations,
    MaximumBounds,
    NoColocation,
    Nodes,
    Notification,
    Operators,
    Overflow,
    Policy,
    ReAuthorisation,
    Rule,
    Validity,
)
from domain.scheduling import choice
from domain.scheduling.choice import can_be_chosen, independent_choice
from tests.domain import samples, strategies
from tests.domain.samples import NOW, facts, node

ALWAYS = {"attributes", "node_size", "admission"}


def verdict(
    rule: Rule, workload: WorkloadFacts | None = None, on: NodeFacts | None = None, *, at_ms: int = NOW
) -> dict[str, Finding]:
    """Return the failed findings of one rule, by name."""
    found = feasible(Policy(rules=(rule,)), workload or facts(), on or node(), (), at_ms)
    return {finding.rule: finding for finding in found if not finding.passed}


def resident(workload: WorkloadFacts, *rules: Rule) -> Resident:
    """Return somebody who lives on the node."""
    return Resident(execution_id=samples.EXECUTION, workload=workload, policy=Policy(rules=rules))


def in_country(*countries: str) -> InCountry:
    return InCountry(kind="in_country", countries=countries)


SMALL = Bounds(memory_bytes=MEBIBYTE // 2, fuel=10, wall_ms=10)
IN_ITS_COUNTRY = [
    ((), "DEU", "DEU", True), ((), "DEU", "FRA", False), (("FRA",), "DEU", "FRA", True),
    (("FRA",), "DEU", "DEU", False), ((), "EU", "ESP", True), ((), "EU", "GBR", False), ((), "WHO", "DEU", False),
    (("CHE",), "WHO", "CHE", True),
]  # fmt: skip


@pytest.mark.parametrize(("named", "jurisdiction", "country", "passes"), IN_ITS_COUNTRY)
def test_in_country_means_the_jurisdiction_or_the_countries_named(
    named: tuple[str, ...], jurisdiction: str, country: str, passes: bool
) -> None:
    failed = verdict(in_country(*named), facts(jurisdiction=jurisdiction), node(country=country))
    assert (not failed) is passes
    if failed:
        assert failed["in_country"].have == country
        assert failed["in_country"].about == "node"


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (Operators(kind="operators", allowed=("A",)), {"operator": "A"}, {"operator": "B"}),
        (Operators(kind="operators", forbidden=("B",)), {"operator": "A"}, {"operator": "B"}),
        (Operators(kind="operators", allowed=("A", "B"), forbidden=("B",)), {"operator": "A"}, {"operator": "B"}),
        (Nodes(kind="nodes", allowed=("n1",)), {"name": "n1"}, {"name": "n2"}),
        (Nodes(kind="nodes", forbidden=("n2",)), {"name": "n1"}, {"name": "n2"}),
        (Evidence(kind="evidence", classes=("vendor",)), {"evidence_class": "vendor"}, {"evidence_class": "software"}),
        (
            Evidence(kind="evidence", classes=("vendor",), roots=("a" * 64,), domain="Disaster"),
            {"evidence_class": "synthetic", "evidence_root": "a" * 64},
            {"evidence_class": "software"},
        ),
        (
            Evidence(kind="evidence", classes=("vendor", "synthetic"), roots=("a" * 64,)),
            {"evidence_class": "vendor", "evidence_root": "b" * 64},
            {"evidence_class": "synthetic", "evidence_root": "b" * 64},
        ),
        (Evidence(kind="evidence", classes=("software", "synthetic")), {}, {"evidence_class": "synthetic"}),
        (
            NoColocation(kind="no_colocation", authorised=("Ally",), exclusive=True),
            {"admits": ("ClimateDAO", "Ally")},
            {"admits": ("ClimateDAO", "Stranger")},
        ),
        (NoColocation(kind="no_colocation", authorised=(), exclusive=True), {"admits": ("ClimateDAO",)}, {}),
    ],
)
def test_a_rule_over_a_nodes_own_facts_passes_and_fails_with_its_reason(
    rule: Rule, good: dict[str, Any], bad: dict[str, Any]
) -> None:
    assert verdict(rule, on=node(**good)) == {}
    failed = verdict(rule, on=node(**bad))
    assert set(failed) == {rule.kind}
    assert failed[rule.kind].about == "node"
    assert failed[rule.kind].need
    assert failed[rule.kind].have


def test_evidence_for_one_domain_leaves_the_others_alone() -> None:
    rule = Evidence(kind="evidence", classes=("vendor",), domain="Finance")
    assert verdict(rule, facts(resource_class="Planning::City@v1")) == {}
    assert set(verdict(rule, facts(resource_class="Finance::Bond@v1"))) == {"evidence"}


def test_a_node_needs_the_attributes_the_memory_and_to_admit_the_dao() -> None:
    def failed(workload: WorkloadFacts, on: NodeFacts) -> set[str]:
        return {finding.rule for finding in findings_of_node(Policy(), workload, on) if not finding.passed}

    assert failed(facts(), node()) == set()
    assert failed(facts(required_attributes=("gpu", "x")), node(attributes=("gpu",))) == {"attributes"}
    assert failed(facts(required_attributes=("gpu",)), node(attributes=("gpu",))) == set()
    assert failed(facts(), node(memory_bytes=MEBIBYTE)) == set()
    assert failed(facts(), node(memory_bytes=MEBIBYTE - 1)) == {"node_size"}
    assert failed(facts(), node(admits=("Other",))) == {"admission"}
    assert failed(facts(), node(admits=())) == {"admission"}


def test_maximum_bounds_and_validity_are_about_the_workload() -> None:
    assert set(verdict(MaximumBounds(kind="maximum_bounds", bounds=SMALL))) == {"maximum_bounds"}
    assert verdict(MaximumBounds(kind="maximum_bounds", bounds=SMALL), facts(bounds=SMALL)) == {}
    window = Validity(kind="validity", from_ms=NOW, until_ms=NOW + 10)
    inside = [at for at in range(NOW - 2, NOW + 13) if not verdict(window, at_ms=at)]
    assert inside == list(range(NOW, NOW + 10))
    assert verdict(window, at_ms=NOW - 1)["validity"].about == "workload"


BESIDE = DomainBesideTrigger(kind="domain_beside_trigger", domain="Finance", trigger="evacuate")


def test_a_domain_never_runs_where_a_trigger_runs() -> None:
    alone = facts(resource_class="Finance::Bond@v1", trigger="evacuate")
    assert verdict(BESIDE, alone)["domain_beside_trigger"].about == "workload"
    finance, alarm = facts(resource_class="Finance::Bond@v1"), facts(trigger="evacuate")
    assert verdict(BESIDE, finance) == {} == verdict(BESIDE, alarm)
    for newcomer, there in ((finance, alarm), (alarm, finance)):
        for mine, theirs in (((BESIDE,), ()), ((), (BESIDE,))):
            found = feasible(Policy(rules=mine), newcomer, node(), [resident(there, *theirs)], NOW)
            assert {f.rule for f in found if not f.passed} == {"domain_beside_trigger"}
    assert allowed(feasible(Policy(rules=(BESIDE,)), finance, node(), [resident(finance, BESIDE)], NOW))


@pytest.mark.parametrize(
    ("rule", "other", "passes"),
    [
        (NoColocation(kind="no_colocation"), {"dao": "Stranger"}, True),
        (NoColocation(kind="no_colocation", authorised=()), {"dao": "Stranger"}, False),
        (NoColocation(kind="no_colocation", authorised=()), {"dao": "ClimateDAO", "jurisdiction": "FRA"}, True),
        (NoColocation(kind="no_colocation", authorised=("Ally",)), {"dao": "Ally"}, True),
        (NoColocation(kind="no_colocation", domains=("Finance",)), {"resource_class": "Finance::Bond@v1"}, False),
        (NoColocation(kind="no_colocation", tags=("market",)), {"tags": ("market", "x")}, False),
        (NoColocation(kind="no_colocation", tags=("market",)), {"tags": ("x",)}, True),
    ],
)
def test_co_location_is_refused_in_both_orders_of_arrival(rule: Rule, other: dict[str, Any], passes: bool) -> None:
    mine, theirs = facts(), facts(**other)
    first = feasible(Policy(rules=(rule,)), mine, node(), [resident(theirs)], NOW)
    second = feasible(Policy(), theirs, node(), [resident(mine, rule)], NOW)
    assert allowed(first) is allowed(second) is passes


def test_forbidden_tags_keep_both_apart_in_both_orders() -> None:
    one, other = facts(forbid_tags=("market",)), facts(tags=("market",))
    for newcomer, there in ((one, other), (other, one)):
        failed = [f for f in feasible(Policy(), newcomer, node(), [resident(there)], NOW) if not f.passed]
        assert [(f.rule, f.about) for f in failed] == [("forbid_tags", "residents")]


DAOS, DOMAINS, TRIGGERS, TAGS = ("A", "B", "C"), ("Finance", "Disaster"), ("t1", "t2"), ("x", "y")
small_facts = st.builds(
    lambda dao, domain, trigger, tags, forbid: facts(
        dao=dao, resource_class=f"{domain}::K@v1", trigger=trigger, tags=tuple(tags), forbid_tags=tuple(forbid)
    ),
    st.sampled_from(DAOS),
    st.sampled_from(DOMAINS),
    st.sampled_from([None, *TRIGGERS]),
    st.lists(st.sampled_from(TAGS), max_size=2, unique=True),
    st.lists(st.sampled_from(TAGS), max_size=1),
)
together_rules = st.one_of(
    st.builds(
        NoColocation,
        kind=st.just("no_colocation"),
        authorised=st.none() | st.lists(st.sampled_from(DAOS), max_size=2).map(tuple),
        domains=st.lists(st.sampled_from(DOMAINS), max_size=1).map(tuple),
        tags=st.lists(st.sampled_from(TAGS), max_size=1).map(tuple),
    ),
    st.builds(
        DomainBesideTrigger,
        kind=st.just("domain_beside_trigger"),
        domain=st.sampled_from(DOMAINS),
        trigger=st.sampled_from(TRIGGERS),
    ),
)
small_policies = st.lists(together_rules, max_size=2).map(lambda rules: Policy(rules=tuple(rules)))


def about_residents(policy: Policy, newcomer: WorkloadFacts, there: WorkloadFacts, theirs: Policy) -> list[Finding]:
    """Return what is said of living together, in a fixed order."""
    resident_ = Resident(execution_id=samples.EXECUTION, workload=there, policy=theirs)
    found = [f for f in feasible(policy, newcomer, node(), [resident_], NOW) if f.about == "residents"]
    return sorted(found, key=repr)


@given(a=small_facts, b=small_facts, of_a=small_policies, of_b=small_policies)
def test_a_joins_b_is_judged_as_b_joins_a(a: WorkloadFacts, b: WorkloadFacts, of_a: Policy, of_b: Policy) -> None:
    assert about_residents(of_a, a, b, of_b) == about_residents(of_b, b, a, of_a)


@given(a=small_facts, b=small_facts, of_a=small_policies, of_b=small_policies)
def test_living_together_agrees_with_a_naive_reading_of_the_rules(
    a: WorkloadFacts, b: WorkloadFacts, of_a: Policy, of_b: Policy
) -> None:
    forbidden = bool(set(a.forbid_tags) & set(b.tags) or set(b.forbid_tags) & set(a.tags))
    for owner, rules, other in ((a, of_a.rules, b), (b, of_b.rules, a)):
        for rule in rules:
            if isinstance(rule, NoColocation):
                strangers = rule.authorised is not None and other.dao not in {owner.dao, *rule.authorised}
                forbidden |= strangers or other.domain in rule.domains or bool(set(rule.tags) & set(other.tags))
            elif isinstance(rule, DomainBesideTrigger):
                pairs = {(a.domain, b.trigger), (b.domain, a.trigger)}
                forbidden |= (rule.domain, rule.trigger) in pairs
    assert all(finding.passed for finding in about_residents(of_a, a, b, of_b)) is not forbidden


@pytest.mark.parametrize(
    "rule",
    [
        in_country(),
        in_country("DEU"),
        Operators(kind="operators"),
        Nodes(kind="nodes"),
        NoColocation(kind="no_colocation"),
        NoColocation(kind="no_colocation", authorised=(), exclusive=True),
        IndependentAttestations(kind="independent_attestations", count=2),
    ],
)
def test_a_machine_without_a_platform_id_fails_every_rule_that_needs_to_know_which_machine_it_is(rule: Rule) -> None:
    on: dict[str, Any] = {"admits": ("ClimateDAO",)}
    assert verdict(rule, on=node(**on)) == {}
    assert set(verdict(rule, on=node(platform_ids=(), **on))) == {rule.kind}


def test_rules_about_what_follows_a_fault_never_make_a_node_infeasible() -> None:
    for rule in (ReAuthorisation(kind="re_authorisation"), Notification(kind="notification", recipients=("parent",))):
        found = feasible(Policy(rules=(rule,)), facts(), node(platform_ids=()), [resident(facts(), rule)], NOW)
        assert {f.rule for f in found} == ALWAYS
        assert allowed(found)


@pytest.mark.parametrize(
    ("pools", "nodes", "passes"),
    [((), (), False), (("spare",), (), True), (("other",), (), False), ((), ("node-a",), True), ((), ("b",), False)],
)
def test_overflow_goes_only_where_the_policy_lets_it(
    pools: tuple[str, ...], nodes: tuple[str, ...], *, passes: bool
) -> None:
    rule = Overflow(kind="overflow", pools=pools, nodes=nodes)
    assert set(verdict(rule, on=node(pool="spare"))) == (set() if passes else {"overflow"})
    assert verdict(rule) == {}, "a primary node is no overflow"
    assert allowed(feasible(Policy(), facts(), node(pool="spare"), (), NOW)), "without such a rule: anywhere"


def test_evidence_is_fresh_at_the_gates_that_see_it() -> None:
    fresh = Evidence(kind="evidence", classes=("software",), max_age_ms=60_000)
    elsewhere = fresh.model_copy(update={"domain": "Finance"})

    def passes(rule: Evidence, evidence_ms: int | None) -> bool:
        return allowed(feasible(Policy(rules=(rule,)), facts(), node(), (), NOW, evidence_ms=evidence_ms))

    assert passes(fresh, None), "at the queue there is none yet; it will be made afresh"
    assert passes(fresh, NOW - 60_000)
    assert not passes(fresh, NOW - 60_001)
    assert passes(elsewhere, NOW - 60_001), "another domain is not concerned"


def test_a_rule_of_the_first_release_keeps_its_digest() -> None:
    rule = Evidence(kind="evidence", classes=("vendor",))
    assert rule.model_dump(mode="json") == {"kind": "evidence", "classes": ["vendor"], "domain": None}
    assert rule.model_copy(update={"max_age_ms": 5_000}).model_dump(mode="json")["max_age_ms"] == 5_000
    old = b'{"rules":[{"kind":"evidence","classes":["vendor"],"domain":null}]}'
    assert Policy.model_validate_json(old).digest() == Policy(rules=(rule,)).digest()


def test_of_several_rules_one_that_fails_denies() -> None:
    rules = (in_country("DEU"), Operators(kind="operators", allowed=("nobody",)))
    assert not allowed(feasible(Policy(rules=rules), facts(), node(), (), NOW))
    assert allowed(feasible(Policy(rules=rules[:1]), facts(), node(), (), NOW))


@given(strategies.model(Policy), strategies.model(WorkloadFacts), strategies.model(NodeFacts), small_facts)
def test_the_verdict_is_pure_and_the_parts_make_the_whole(
    policy: Policy, workload: WorkloadFacts, on: NodeFacts, there: WorkloadFacts
) -> None:
    residents = [resident(there, BESIDE)]
    whole = feasible(policy, workload, on, residents, NOW)
    assert whole == feasible(policy, workload, on, residents, NOW)
    at_rest = (*findings_of_workload(policy, workload, NOW), *findings_of_node(policy, workload, on))
    assert whole[: len(at_rest)] == at_rest
    assert all(finding.about == "residents" for finding in whole[len(at_rest) :])
    assert {f.rule for f in findings_of_node(policy, workload, on)} >= ALWAYS
    if not on.platform_ids and {rule.kind for rule in policy.rules} & {"in_country", "operators", "nodes"}:
        assert not allowed(whole)


@given(a=small_facts, b=small_facts, mine=small_policies, theirs=small_policies)
def test_what_a_tenant_is_told_never_depends_on_who_lives_there(
    a: WorkloadFacts, b: WorkloadFacts, mine: Policy, theirs: Policy
) -> None:
    for finding in about_residents(mine, a, b, theirs):
        assert told(finding) == ("no_node_now", "no place", "a place")


def test_other_findings_are_told_as_they_are() -> None:
    failed = verdict(in_country("FRA"))["in_country"]
    assert told(failed) == ("in_country", "DEU", "one of FRA")


def independent_rule(count: int, *distinct: Any) -> IndependentAttestations:
    return IndependentAttestations(kind="independent_attestations", count=count, distinct=distinct or ("platform",))


def test_the_policy_asks_for_the_largest_number_and_every_distinction_named() -> None:
    assert independent_count(Policy()) == (1, ("platform",))
    policy = Policy(rules=(independent_rule(2, "vendor"), independent_rule(3, "operator")))
    assert independent_count(policy) == (3, ("operator", "platform", "vendor"))


some_nodes = st.lists(
    st.builds(
        lambda name, operator, vendor, ids: node(
            name, operator=operator, vendor=vendor, platform_ids=tuple(f"amd:{i}" for i in ids)
        ),
        st.sampled_from(["n1", "n2", "n3", "n4", "n5"]),
        st.sampled_from(["o1", "o2", "o3"]),
        st.sampled_from(["v1", "v2", "v3"]),
        st.lists(st.sampled_from(["p1", "p2", "p3", "p4"]), max_size=2, unique=True),
    ),
    max_size=5,
    unique_by=lambda facts_: facts_.node,
)
distinctions = st.sampled_from(
    [("platform",), ("platform", "operator"), ("vendor",), ("operator", "platform", "vendor")]
)


def naively_independent(nodes: tuple[NodeFacts, ...], distinct: tuple[str, ...]) -> bool:
    ids = [platform for one in nodes for platform in one.platform_ids]
    if not all(one.platform_ids for one in nodes) or len(ids) != len(set(ids)):
        return False
    fields = [name for name in ("operator", "vendor") if name in distinct]
    return all(len({getattr(one, name) for one in nodes}) == len(nodes) for name in fields)


@given(nodes=some_nodes, count=st.integers(2, 4), distinct=distinctions)
def test_the_choice_of_independent_nodes_agrees_with_brute_force(
    nodes: list[NodeFacts], count: int, distinct: tuple[str, ...]
) -> None:
    asked = Policy(rules=(independent_rule(count, *distinct),))
    choices = [c for c in combinations(nodes, count) if naively_independent(c, distinct)]
    chosen = independent_choice(asked, nodes)
    assert chosen == (choices[0] if choices else ())
    for some in combinations(nodes, count):
        assert independent(some, distinct) is naively_independent(some, distinct)


def test_a_node_is_not_independent_of_itself_and_the_search_is_bounded() -> None:
    assert not independent([node("n", platform_ids=("amd:a",)), node("n", platform_ids=("amd:b",))], ())
    crowd = [node(f"n{i}", operator=f"o{i % 15}", vendor=f"v{i % 15}") for i in range(60)]
    assert independent_choice(Policy(rules=(independent_rule(16, "operator", "vendor"),)), crowd) == ()


def test_who_is_rare_is_found_in_a_crowd_and_a_search_that_was_given_up_denies_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Policy(rules=(independent_rule(3, "operator", "vendor"),))
    rare = [("n900", "one", "arm"), ("n901", "two", "amd")]
    crowd = [("n0", "one", "amd"), *((f"n{at}", f"o{at}", "intel") for at in range(1, 301)), *rare]
    nodes = [node(name, operator=who, vendor=what, platform_ids=(f"amd:{name}",)) for name, who, what in crowd]
    assert {one.node for one in independent_choice(asked, nodes)} == {"n1", "n900", "n901"}
    assert not can_be_chosen(asked, nodes[1:301])
    monkeypatch.setattr(choice, "_SEARCH_STEPS", 2)
    assert independent_choice(asked, nodes) == ()
    assert can_be_chosen(asked, nodes), "nobody knows"


def test_clause_rules_are_added_to_the_tenants_and_one_said_twice_counts_once() -> None:
    tenant = Policy(rules=(in_country(), BESIDE))
    assert effective_policy(tenant, (BESIDE, in_country("FRA"))).rules == (in_country(), BESIDE, in_country("FRA"))
    assert effective_policy(tenant, ()) == tenant


@given(strategies.model(WorkloadFacts), strategies.model(Policy), st.integers(1, 99))
def test_the_class_of_equal_workloads_is_tenant_facts_and_policy(
    workload: WorkloadFacts, policy: Policy, slot: int
) -> None:
    key = workload.class_key(policy, slot)
    assert key == WorkloadFacts(**dict(workload)).class_key(Policy(rules=policy.rules), slot)
    assert key != workload.class_key(policy, slot + 1)
    assert key != workload.class_key(Policy(rules=(*policy.rules, BESIDE)), slot)
    other = workload.model_copy(update={"bounds": SMALL})
    assert (other.class_key(policy, slot) == key) is (workload.bounds == SMALL)


def test_independence_is_asked_again_of_all_enclaves_once_they_are_chosen() -> None:
    policy = Policy(rules=(independent_rule(2, "operator"),))

    def failed(*attempt: NodeFacts) -> list[tuple[str, str]]:
        found = feasible(policy, facts(), node("n1"), (), NOW, attempt=attempt)
        return [(finding.rule, finding.have) for finding in found if not finding.passed]

    assert failed(node("n1"), node("n2")) == []
    assert failed(node("n1")) == [("independent_attestations", "1 nodes")]
    assert failed(node("n1", operator="o"), node("n2", operator="o")) == [("independent_attestations", "2 nodes")]
    assert failed(node("n1"), node("n2", platform_ids=())) == [("independent_attestations", "2 nodes")]
    assert allowed(feasible(Policy(), facts(), node(), (), NOW, attempt=(node(),)))
