"""Small files run in virtual time: who runs where and when, and what is summed up."""

import pytest

from domain.policies.kinds import MaximumBounds, Policy
from infrastructure.simulating.checking import violations
from infrastructure.simulating.governance import Governance
from infrastructure.simulating.measuring import ideal_makespan_ms, summary
from tests.simulating.files import GIB, node, simulate, told, workload

ONE = node(slots=1)


def test_what_ends_makes_room_at_the_same_instant() -> None:
    _, outcome = simulate([ONE], [workload(id="a"), workload(id="b", at_ms=1), workload(id="c", at_ms=2000)])
    assert told(outcome.placements) == [("a", "n1", 0, 1000), ("b", "n1", 1000, 2000), ("c", "n1", 2000, 3000)]


def test_lines_count_by_instant_then_as_they_stand() -> None:
    lines = [workload(id=name, at_ms=at_ms) for name, at_ms in (("late", 5), ("x", 0), ("b", 1), ("a", 1))]
    _, outcome = simulate([ONE], lines)
    assert [name for name, *_ in told(outcome.placements)] == ["x", "b", "a", "late"]


def test_a_higher_level_goes_first_and_the_file_wins_over_the_class() -> None:
    lines = [
        workload(id="running"),
        workload(id="class", at_ms=1, level=None, resource_class="Finance::Audit@v1"),
        workload(id="named", at_ms=2, level="disaster", resource_class="Planning::Plan@v1"),
        workload(id="numbered", at_ms=3, level=1, resource_class="Disaster::Flood@v1"),
        workload(id="unknown", at_ms=1, level="Urgent"),
    ]
    jobs, outcome = simulate([ONE], lines)
    assert [name for name, *_ in told(outcome.placements)] == ["running", "named", "numbered", "class", "unknown"]
    assert {job.id: job.shape.level for job in jobs} == {
        "running": "0", "class": "Finance", "named": "Disaster", "numbered": "1", "unknown": "Urgent",
    }  # fmt: skip
    places = {job.id: job.shape.facts.level for job in jobs}
    assert places == {"running": 0, "named": 0, "numbered": 1, "class": 2, "unknown": 3}


def test_memory_is_taken_and_given_back() -> None:
    lines = [workload(id=name, memory_bytes=5 * GIB) for name in ("a", "b")]
    _, outcome = simulate([node()], lines)
    assert told(outcome.placements) == [("a", "n1", 0, 1000), ("b", "n1", 1000, 2000)]


def test_sizes_may_be_far_from_what_a_submission_may_ask_for() -> None:
    small = [workload(id="a", memory_bytes=1), workload(id="b", memory_bytes=2, runtime_ms=100 * 86_400_000)]
    _, outcome = simulate([node(memory_bytes=2)], small)
    assert told(outcome.placements)[1] == ("b", "n1", 1000, 1000 + 100 * 86_400_000)
    _, outcome = simulate([node(memory_bytes=2**40)], [workload(memory_bytes=2**40)])
    assert len(outcome.placements) == 1


def test_slots_are_taken_and_given_back() -> None:
    lines = [workload(id="a", slots=3), workload(id="b", slots=2, at_ms=1), workload(id="c", at_ms=2, slots=1)]
    _, outcome = simulate([node(slots=4)], lines)
    assert sorted(told(outcome.placements)) == [("a", "n1", 0, 1000), ("b", "n1", 1000, 2000), ("c", "n1", 2, 1002)]


def test_forbidden_tags_keep_apart_in_both_directions() -> None:
    one, other = {"tags": ("pii",)}, {"forbid_tags": ("pii",)}
    for first, second in ((one, other), (other, one)):
        lines = [workload(id="a", **first), workload(id="b", at_ms=1, **second)]
        _, outcome = simulate([node()], lines)
        assert told(outcome.placements) == [("a", "n1", 0, 1000), ("b", "n1", 1000, 2000)]


def test_in_country_means_the_jurisdiction_or_its_members() -> None:
    nodes = [node(id="de"), node(id="fr", country="FRA"), node(id="ke", country="KEN")]
    lines = [
        workload(id=jurisdiction, jurisdiction=jurisdiction, in_country=True)
        for jurisdiction in ("KEN", "EU", "FRA", "USA", "WHO")
    ]
    _, outcome = simulate(nodes, lines)
    places = {name: where for name, where, *_ in told(outcome.placements)}
    assert places.keys() == {"KEN", "EU", "FRA"}
    assert (places["KEN"], places["FRA"]) == ("ke", "fr")
    assert places["EU"] in {"de", "fr"}
    assert outcome.denied == {"USA": "in_country", "WHO": "in_country"}


def test_what_no_node_satisfies_is_denied_by_its_rule() -> None:
    lines = [
        workload(id="tpm", requires=("tpm",)),
        workload(id="big", memory_bytes=9 * GIB),
        workload(id="wide", slots=5),
        workload(id="two", independent=2),
        workload(id="good", requires=("gpu",)),
    ]
    jobs, outcome = simulate([node(), node(id="n2")], lines)
    assert outcome.denied == {
        "tpm": "attributes",
        "big": "node_size",
        "wide": "node_size",
        "two": "independent_attestations",
    }
    found = summary([node(), node(id="n2")], jobs, outcome, {})
    assert (found["placed"], found["unplaced"]) == (1, 0)
    assert found["denied"] == {"attributes": 1, "independent_attestations": 1, "node_size": 2}


def test_independent_enclaves_start_together_on_other_machines_of_other_operators() -> None:
    nodes = [node(), node(id="n2"), node(id="n3", operator="two", slots=1, attributes=())]
    lines = [workload(id="first", requires=("gpu",)), workload(id="pair", independent=2, at_ms=1)]
    _, outcome = simulate(nodes, [*lines, workload(id="next", independent=2, at_ms=2)])
    pairs = [one for one in outcome.placements if one.job.id != "first"]
    assert len({one.execution for one in outcome.placements}) == 5
    for name, start_ms in (("pair", 1), ("next", 1001)):
        enclaves = [one for one in pairs if one.job.id == name]
        assert [(one.attempt, one.start_ms, one.end_ms) for one in enclaves] == [(1, start_ms, start_ms + 1000)] * 2
        assert "n3" in {one.node for one in enclaves}


def test_a_workload_that_fails_is_held_and_not_tried_again() -> None:
    jobs, outcome = simulate([ONE], [workload(id="bad", fails=True), workload(id="good")])
    assert told(outcome.placements) == [("bad", "n1", 0, 1000), ("good", "n1", 1000, 2000)]
    assert summary([ONE], jobs, outcome, {})["held"] == 1


def test_independent_enclaves_that_fail_are_held_as_one() -> None:
    nodes = [node(), node(id="n2", operator="two")]
    jobs, outcome = simulate(nodes, [workload(fails=True, independent=2), workload(id="w2", at_ms=5000, slots=4)])
    assert [name for name, *_ in told(outcome.placements)] == ["w1", "w1", "w2"]
    assert summary(nodes, jobs, outcome, {})["held"] == 1


def test_secondary_nodes_are_used_when_the_primary_ones_are_full() -> None:
    nodes = [node(id="spare", pool="spare"), node(slots=1)]
    _, outcome = simulate(nodes, [workload(id=name) for name in ("a", "b")])
    assert [where for _, where, *_ in told(outcome.placements)] == ["n1", "spare"]
    _, outcome = simulate(nodes, [workload(id=name) for name in ("a", "b")], Governance(overflow=False))
    assert [where for _, where, *_ in told(outcome.placements)] == ["n1", "n1"]


def test_bounds_of_a_policy_are_held_against_the_runtime_itself() -> None:
    bounds = {"memory_bytes": 8 * GIB // 2, "fuel": 10**9, "wall_ms": 1000}
    policy = Policy(rules=(MaximumBounds.model_validate({"kind": "maximum_bounds", "bounds": bounds}),))
    governance = Governance(policies={("ClimateDAO", "DEU"): policy})
    lines = [workload(id="long", runtime_ms=1001), workload(id="fits")]
    _, outcome = simulate([node()], lines, governance)
    assert outcome.denied == {"long": "maximum_bounds"}
    assert told(outcome.placements) == [("fits", "n1", 0, 1000)]


def test_the_ideal_is_all_work_on_all_slots_or_the_last_arrival_run_at_once() -> None:
    jobs, _ = simulate([node()], [workload(id=str(number), slots=2, runtime_ms=500) for number in range(6)])
    assert ideal_makespan_ms(jobs, 4) == 1500
    assert ideal_makespan_ms(jobs, 7) == pytest.approx(6000 / 7)
    jobs, _ = simulate([node()], [workload(independent=2, slots=2), workload(id="w2", at_ms=3000)])
    assert ideal_makespan_ms(jobs, 4) == 4000
    assert ideal_makespan_ms(jobs, 1) == 5000
    assert ideal_makespan_ms((), 4) == 0


def test_waits_are_summed_up_by_level_and_by_dao() -> None:
    lines = [workload(id="a"), workload(id="b", dao="Other", level=1), workload(id="c", at_ms=500, level=1)]
    jobs, outcome = simulate([ONE], lines)
    found = summary([ONE], jobs, outcome, violations(outcome.placements, [ONE.facts()], {}))
    waits = found["waits"]
    assert (waits["all"]["count"], waits["all"]["max_ms"], waits["all"]["p50_ms"]) == (3, 1500, 1000)
    assert {name: one["count"] for name, one in waits["by_level"].items()} == {"0": 1, "1": 2}
    assert {name: one["max_ms"] for name, one in waits["by_dao"].items()} == {"ClimateDAO": 1500, "Other": 1000}
    assert waits["by_level"]["0"]["mean_ms"] == 0
    assert (found["makespan_ms"], found["ideal_makespan_ms"], found["violations"]) == (3000, 3000, 0)


def test_nothing_to_do_is_a_result_too() -> None:
    jobs, outcome = simulate([node()], [])
    found = summary([node()], jobs, outcome, {})
    assert (found["placed"], found["makespan_ms"], found["ideal_makespan_ms"]) == (0, 0, 0)
    assert found["waits"] == {"all": {"count": 0}, "by_level": {}, "by_dao": {}}
