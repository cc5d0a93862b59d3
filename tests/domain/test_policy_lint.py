"""What is said of a policy before it is adopted: contradictions are real, warnings true, and nobody else is named."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.bounds import Bounds
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.feasible import allowed, feasible
from domain.policies.kinds import Policy, Rule
from domain.policies.lint import Asked, World, contradictions, runs_against, warnings, would_hold
from domain.scheduling.choice import independent_choice
from tests.domain.samples import BOUNDS, CLASS, NOW, facts, node


def policy(*rules: dict[str, Any]) -> Policy:
    """Return a policy."""
    return Policy.model_validate({"rules": rules}, strict=False)


def world(*nodes: NodeFacts, **changes: Any) -> World:
    """Return a cell with these nodes (two by default) and a tenant that may run one class."""
    usual: dict[str, Any] = {
        "nodes": nodes or (node("a"), node("b", country="FRA")), "recipients": frozenset({"Monitor"}),
        "persons": {"admin": 2}, "examples": {CLASS: facts()}, "waiting": (), "running": (), "now_ms": NOW,
    }  # fmt: skip
    return World(**{**usual, **changes})


CONTRADICTIONS: list[tuple[list[dict[str, Any]], str]] = [
    ([{"kind": "operators", "allowed": ["A"], "forbidden": ["A"]}], "allowed and forbidden"),
    ([{"kind": "operators", "allowed": ["A"]}, {"kind": "operators", "allowed": ["B"]}], "no operator is allowed"),
    ([{"kind": "operators", "allowed": ["A"]}, {"kind": "operators", "forbidden": ["A"]}], "no operator is allowed"),
    ([{"kind": "nodes", "allowed": ["a"]}, {"kind": "nodes", "allowed": ["b"]}], "no node is allowed"),
    ([{"kind": "in_country", "countries": ["KEN"]}, {"kind": "in_country"}], "no country"),
    (
        [{"kind": "evidence", "classes": ["vendor"]}, {"kind": "evidence", "classes": ["software"], "domain": "X"}],
        "no class of evidence is allowed by every evidence rule about X",
    ),
    (
        [{"kind": "validity", "from_ms": 1, "until_ms": 5}, {"kind": "validity", "from_ms": 5, "until_ms": 9}],
        "no instant in common",
    ),
    (
        [{"kind": "re_authorisation", "roles": ["a"]}, {"kind": "re_authorisation", "roles": ["b"]}],
        "no role may re-authorise",
    ),
    (
        [{"kind": "independent_attestations", "count": 3}, {"kind": "nodes", "allowed": ["a", "b"]}],
        "3 independent enclaves are asked for, and 2 nodes are allowed",
    ),
    (
        [{"kind": "independent_attestations", "count": 3}, {"kind": "operators", "allowed": ["A", "B"]}],
        "3 operators are asked for, and 2 are allowed",
    ),
]


@pytest.mark.parametrize(("rules", "says"), CONTRADICTIONS, ids=[says for _, says in CONTRADICTIONS])
def test_what_contradicts_itself_is_said(rules: list[dict[str, Any]], says: str) -> None:
    found = contradictions(policy(*rules), "DEU")
    assert any(says in text for text in found), found
    for rule in rules:
        if not set(rule.get("allowed", ())) & set(rule.get("forbidden", ())):
            assert contradictions(policy(rule), "DEU") == (), "each by itself is sound"


WARNINGS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "operators", "forbidden": ["Nobody"]}, "operator Nobody runs no node here"),
    ({"kind": "nodes", "allowed": ["a", "c"]}, "node c is not enrolled"),
    ({"kind": "in_country", "countries": ["DEU", "KEN"]}, "country KEN has no node"),
    ({"kind": "overflow", "pools": ["spare"]}, "pool spare has no node"),
    ({"kind": "overflow", "pools": ["primary"]}, "nothing overflows to it"),
    ({"kind": "overflow", "nodes": ["c"]}, "node c is not enrolled"),
    ({"kind": "notification", "recipients": ["Monitor", "Friend"]}, "recipient Friend is neither appointed"),
    ({"kind": "re_authorisation", "threshold": 3}, "a retry takes 3 persons in role admin; 2 are enrolled"),
    ({"kind": "dispute_resolution"}, "a dispute takes 1 persons in role resolver; 0 are enrolled"),
    ({"kind": "re_authorisation", "roles": ["judge"]}, "0 are enrolled"),
    ({"kind": "validity", "from_ms": NOW + 1, "until_ms": NOW + 2}, "nothing runs before"),
    ({"kind": "validity", "from_ms": 0, "until_ms": NOW}, "nothing runs any more"),
    (
        {"kind": "in_country", "countries": ["KEN"]},
        "it would stop everything: no enrolled node satisfies it (in_country)",
    ),
    ({"kind": "evidence", "classes": ["vendor"]}, "it would stop everything: no enrolled node satisfies it (evidence)"),
    (
        {"kind": "maximum_bounds", "bounds": {"memory_bytes": 65536, "fuel": 1, "wall_ms": 1}},
        "it would stop everything",
    ),
    ({"kind": "independent_attestations", "count": 3}, "(independent_attestations)"),
]


@pytest.mark.parametrize(("rule", "says"), WARNINGS, ids=[says for _, says in WARNINGS])
def test_what_the_cell_can_not_give_now_is_said(rule: dict[str, Any], says: str) -> None:
    found = warnings(policy(rule), world())
    assert any(says in text for text in found), found


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "in_country"}, {"kind": "operators", "allowed": ["op-a"]}, {"kind": "nodes", "forbidden": ["b"]},
        {"kind": "independent_attestations", "count": 2}, {"kind": "notification", "recipients": ["Monitor"]},
        {"kind": "re_authorisation", "threshold": 2}, {"kind": "validity", "from_ms": 0, "until_ms": NOW + 1},
        {"kind": "evidence", "classes": ["vendor"], "domain": "Finance"}, {"kind": "no_colocation", "authorised": []},
        {"kind": "maximum_bounds", "bounds": BOUNDS.model_dump()}, {"kind": "overflow"},
        {"kind": "node_load", "most_percent": 50},
    ],
    ids=lambda rule: str(rule["kind"]),
)  # fmt: skip
def test_a_sound_policy_is_not_warned_of(rule: dict[str, Any]) -> None:
    assert contradictions(policy(rule), "DEU") == ()
    assert warnings(policy(rule), world()) == ()


def test_a_class_that_would_stop_is_named_and_only_that_one() -> None:
    examples = {CLASS: facts(), "Finance::Payout@v1": facts(resource_class="Finance::Payout@v1")}
    (text,) = warnings(policy({"kind": "evidence", "domain": "Finance"}), world(examples=examples))
    assert text.startswith("it would stop Finance::Payout@v1: evidence: have software")


def test_nodes_of_other_pools_do_not_make_a_policy_that_primary_nodes_break_possible() -> None:
    there = (node("a"), node("s", pool="spare", country="KEN"))
    (text,) = warnings(policy({"kind": "in_country", "countries": ["KEN"]}), world(*there))
    assert "stop everything" in text
    assert warnings(policy({"kind": "in_country"}), world(node("s", pool="spare"))) == (), "no primary node: it waits"


def test_what_waits_and_would_be_denied_and_what_runs_against_it_are_told_by_id_and_rule() -> None:
    small = Bounds(memory_bytes=65_536, fuel=10, wall_ms=10)
    waiting = (Asked("wl-1", facts()), Asked("wl-2", facts(bounds=small)))
    running = (
        Asked("exec-1", facts(), (), node("a")),
        Asked("exec-2", facts(bounds=small), (), node("b", country="FRA")),
    )
    asked = policy({"kind": "in_country"}, {"kind": "maximum_bounds", "bounds": small.model_dump()})
    found = world(waiting=waiting, running=running)
    assert [(one.name, one.rule) for one in would_hold(asked, found)] == [("wl-1", "maximum_bounds")]
    assert [(one.name, one.rule) for one in runs_against(asked, found)] == [
        ("exec-1", "maximum_bounds"), ("exec-2", "in_country"),
    ]  # fmt: skip
    clause = policy({"kind": "nodes", "allowed": ["zz"]}).rules
    held = would_hold(Policy(), world(waiting=(Asked("wl-3", facts(), clause),)))
    assert [(one.name, one.rule) for one in held] == [("wl-3", "nodes")], "the clause's own rules count as well"


names = st.sampled_from(["a", "b", "c"])
countries = st.lists(st.sampled_from(["DEU", "FRA"]), max_size=2)
classes = st.lists(st.sampled_from(["vendor", "software"]), min_size=1, max_size=2)
some_rules: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries({
        "kind": st.sampled_from(["operators", "nodes"]), "allowed": st.lists(names, max_size=2),
        "forbidden": st.lists(names, max_size=2),
    }),
    st.fixed_dictionaries({"kind": st.just("in_country"), "countries": countries}),
    st.fixed_dictionaries({
        "kind": st.just("evidence"), "classes": classes,
        "domain": st.sampled_from([None, "Disaster", "Finance"]),
    }),
    st.fixed_dictionaries({"kind": st.just("independent_attestations"), "count": st.integers(2, 4)}),
    st.builds(
        lambda start, length: {"kind": "validity", "from_ms": NOW + start, "until_ms": NOW + start + length},
        st.integers(-2, 2), st.integers(1, 3),
    ),
)  # fmt: skip
policies = st.lists(some_rules, max_size=5).map(lambda rules: policy(*rules))

EVERY_NODE = [
    node(name, operator=operator, country=country, evidence_class=evidence)
    for name in "abc" for operator in "abc" for country in ("DEU", "FRA") for evidence in ("vendor", "software")
]  # fmt: skip


def places(asked: Policy, workload: WorkloadFacts, nodes: Sequence[NodeFacts], at_ms: int) -> tuple[NodeFacts, ...]:
    """Return where the scheduler's own search would place a workload on empty nodes."""
    fit = [one for one in nodes if allowed(feasible(asked, workload, one, (), at_ms))]
    return independent_choice(asked, fit)


@given(policies, st.sampled_from(["Disaster::Flood@v1", "Finance::Payout@v1"]), st.integers(-3, 6))
def test_under_a_contradiction_nothing_could_ever_run_on_any_node_at_any_time(
    asked: Policy, resource_class: str, after_ms: int
) -> None:
    other = "Finance" if resource_class.startswith("Disaster") else "Disaster"
    said = [text for text in contradictions(asked, "DEU") if "by one rule" not in text]
    if [text for text in said if not text.endswith(f"about {other}")]:
        assert places(asked, facts(resource_class=resource_class), EVERY_NODE, NOW + after_ms) == ()


@given(policies, st.lists(st.sampled_from(EVERY_NODE), min_size=1, max_size=4))
def test_what_would_be_denied_is_never_placed_on_empty_nodes(asked: Policy, nodes: list[NodeFacts]) -> None:
    there = world(*nodes, waiting=(Asked("wl-1", facts()),))
    if would_hold(asked, there):
        assert places(asked, facts(), nodes, NOW) == ()


@given(policies, st.sampled_from(EVERY_NODE))
def test_what_runs_against_a_policy_is_what_the_policy_forbids_there(asked: Policy, on: NodeFacts) -> None:
    found = runs_against(asked, world(running=(Asked("exec-1", facts(), (), on),)))
    assert bool(found) is not allowed(feasible(asked, facts(), on, (), NOW))


def test_rules_that_lint_reads_are_all_the_rules_there_are() -> None:
    """A new kind must be thought of here too."""
    kinds = {kind.model_fields["kind"].annotation.__args__[0] for kind in Rule.__origin__.__args__}  # type: ignore[attr-defined]
    assert kinds == {
        "in_country", "operators", "nodes", "no_colocation", "independent_attestations", "domain_beside_trigger",
        "evidence", "maximum_bounds", "validity", "re_authorisation", "notification", "overflow",
        "node_load", "dispute_resolution",
    }  # fmt: skip
