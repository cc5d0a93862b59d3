"""The checker of placements finds what breaks a rule: each rule broken by hand in a good history."""

from dataclasses import replace
from typing import Any

import pytest

from domain.policies.kinds import Policy
from infrastructure.simulating import checking
from infrastructure.simulating.checking import violations
from infrastructure.simulating.run import Placement
from infrastructure.simulating.shapes import jobs_of
from tests.simulating.files import GIB, node, workload

NODES = (
    node(), node(id="n2"), node(id="n3", operator="two", country="FRA", vendor="intel", attributes=()),
    node(id="n4", operator="three", country="FRA"),
)  # fmt: skip
OWNER = ("ClimateDAO", "DEU")


def placed(where: str | tuple[str, ...], start_ms: int = 0, attempt: int = 1, **changes: Any) -> list[Placement]:
    """Return the placements of one workload, as long as its line says."""
    (job,) = jobs_of([workload(**changes)], (), {})
    names = (where,) if isinstance(where, str) else where
    return [
        Placement(job, f"{job.id}/{attempt}/{k}", attempt, name, start_ms, start_ms + job.runtime_ms)
        for k, name in enumerate(names)
    ]


def policy(**rule: Any) -> dict[tuple[str, str], Policy]:
    """Return one tenant's policy of one rule."""
    return {OWNER: Policy.model_validate({"rules": (rule,)})}


def found(*placements: list[Placement], policies: dict[tuple[str, str], Policy] | None = None) -> dict[str, int]:
    """Return what is broken."""
    return dict(violations([p for some in placements for p in some], [n.facts() for n in NODES], policies or {}))


def test_a_good_history_breaks_nothing() -> None:
    pair = placed(("n1", "n3", "n4"), id="three", independent=3, in_country=False)
    later = placed("n1", 1000, id="full", slots=4, memory_bytes=8 * GIB, requires=("gpu",), in_country=True)
    assert found(pair, placed("n2", id="a", tags=("x",)), placed("n1", id="b", forbid_tags=("x",)), later) == {}


@pytest.mark.parametrize(
    ("rule", "placements"),
    [
        ("slots", [placed("n1", id="a", slots=3), placed("n1", 999, id="b", slots=2)]),
        ("memory", [placed("n1", id="a", memory_bytes=5 * GIB), placed("n1", id="b", memory_bytes=5 * GIB)]),
        ("unknown_node", [placed("n9")]),
        ("attributes", [placed("n3", requires=("gpu",))]),
        ("in_country", [placed("n3", in_country=True)]),
        ("forbid_tags", [placed("n1", id="a", tags=("x",)), placed("n1", 1, id="b", forbid_tags=("x",), at_ms=1)]),
        ("forbid_tags", [placed("n1", id="a", forbid_tags=("x",)), placed("n1", 1, id="b", tags=("x",), at_ms=1)]),
        ("independence", [placed(("n1", "n2"), independent=2)]),
        ("independence", [placed(("n3", "n3"), independent=2)]),
        ("independence", [placed("n1", independent=2)]),
        ("independence", [placed(("n1", "n3"))]),
        ("time", [placed("n1", 4, at_ms=5)]),
        ("time", [[replace(placed("n1")[0], end_ms=999)]]),
        ("overlap", [placed("n1"), placed("n2", 999, attempt=2)]),
        ("after_fault", [placed("n1", fails=True), placed("n2", 1000, attempt=2, fails=True)]),
        ("execution_twice", [placed("n1"), [replace(placed("n1", 1000)[0], attempt=2, execution="w1/1/0")]]),
    ],
)
def test_a_broken_rule_is_found(rule: str, placements: list[list[Placement]]) -> None:
    assert found(*placements) == {rule: 1}


def test_both_directions_count() -> None:
    pair = [placed("n1", id=name, tags=("x",), forbid_tags=("x",)) for name in ("a", "b")]
    assert found(*pair) == {"forbid_tags": 2}


@pytest.mark.parametrize(
    ("rule", "other"),
    [
        ({"kind": "operators", "forbidden": ("one",)}, None),
        ({"kind": "operators", "allowed": ("two",)}, None),
        ({"kind": "nodes", "forbidden": ("n1",)}, None),
        ({"kind": "nodes", "allowed": ("n2",)}, None),
        ({"kind": "in_country", "countries": ("FRA", "KEN")}, None),
        ({"kind": "evidence", "classes": ("vendor",), "domain": "Disaster"}, None),
        ({"kind": "validity", "from_ms": 1, "until_ms": 5}, None),
        ({"kind": "no_colocation", "authorised": ("Friend",)}, {"dao": "Stranger"}),
        ({"kind": "no_colocation", "domains": ("Finance",)}, {"resource_class": "Finance::Audit@v1"}),
        ({"kind": "no_colocation", "tags": ("x",)}, {"tags": ("x",)}),
    ],
    ids=lambda value: value["kind"] if value and "kind" in value else "",
)
def test_a_broken_policy_is_found(rule: dict[str, Any], other: dict[str, Any] | None) -> None:
    there = [] if other is None else placed("n1", id="other", **{"dao": "Other", **other})
    assert found(placed("n1"), there, policies=policy(**rule)) == {rule["kind"]: 1}
    assert found(there, placed("n1"), policies=policy(**rule)) == {rule["kind"]: 1}
    assert found(placed("n1"), there) == {}


def test_overflow_to_a_pool_that_the_policy_does_not_name_is_found() -> None:
    nodes = [node(pool="spare").facts()]
    for rule, broken in (({}, 1), ({"pools": ("other",)}, 1), ({"pools": ("spare",)}, 0), ({"nodes": ("n1",)}, 0)):
        assert violations(placed("n1"), nodes, policy(kind="overflow", **rule))["overflow"] == broken


def test_more_independent_enclaves_than_the_file_asks_for_may_be_a_policys() -> None:
    three = policy(kind="independent_attestations", count=3, distinct=("platform", "vendor"))
    assert found(placed(("n1", "n3")), policies=three) == {"independence": 1}
    assert found(placed(("n1", "n3", "n4")), policies=three) == {"independence": 1}  # two of one vendor
    two = policy(kind="independent_attestations", count=2, distinct=("vendor",))
    assert found(placed(("n1", "n3")), policies=two) == {}


def test_the_checker_rests_on_the_files_alone() -> None:
    used = [value.__module__ for value in vars(checking).values() if hasattr(value, "__module__")]
    assert "domain.policies.facts" in used
    assert not [name for name in used if name.startswith(("domain.scheduling", "domain.policies.feasible"))]
