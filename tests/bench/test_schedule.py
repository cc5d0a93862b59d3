"""The benchmark of the scheduler: its loads, its cell, and toy runs of its measurements."""

import json
from pathlib import Path
from typing import get_args

import pytest

from domain.errors import MalformedError
from domain.policies.kinds import Rule
from infrastructure.simulating.checking import violations
from scripts.bench.command import main
from scripts.bench.schedule.benchmark import SCHEDULE
from scripts.bench.schedule.cell import RULES, Size, governance_of, nodes_of, tenant_of, workloads_of
from scripts.bench.schedule.deciding import full_cell, measure_placing, measure_releases
from scripts.bench.schedule.folding import measure_fold
from scripts.bench.schedule.kueue import load_of, measure_kueue, read_generator

TOY = Size(daos=13, jurisdictions=4, nodes=24, pending=150)

GENERATOR = """
cohorts:
  - className: cohort
    count: 2
    queuesSets:
    - className: cq
      count: 3
      nominalQuota: 4  # a comment
      borrowingLimit: "8"
      reclaimWithinCohort: Any
      withinClusterQueue: LowerPriority
      workloadsSets:
      - count: 5
        creationIntervalMs: 100
        workloads:
        - className: small
          runtimeMs: 200
          priority: 50
          request: 1
        - className: large
          runtimeMs: 1_000
          priority: 200
          request: "4"
"""


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    path = tmp_path / "tiny-generator.yaml"
    path.write_text(GENERATOR)
    return path


def test_a_generator_is_read_as_it_says(generator: Path) -> None:
    load = load_of(read_generator(generator))
    assert len(load.lines) == 2 * 3 * 5 * 2
    assert [(node.id, node.slots) for node in load.nodes] == [("cohort-0-0.0", 12), ("cohort-0-1.0", 12)]
    assert len({line.dao for line in load.lines}) == 6
    one = [line for line in load.lines if line.dao == load.lines[0].dao]
    assert [line.at_ms for line in one] == [100 * number for number in range(10)]
    assert {(load.classes[line.id], line.level, line.slots, line.runtime_ms) for line in load.lines} == {
        ("small", 1, 1, 200),
        ("large", 0, 4, 1000),
    }
    quota = load.governance.limits[one[0].dao, "INTL"].slots
    assert quota is not None
    assert (quota.nominal, quota.borrow, quota.lend) == (4, 8, 4)
    assert [scope.name for scope in load.governance.scopes] == ["cohort-0-0", "cohort-0-1"]


def test_a_load_is_run_and_its_classes_are_held_against_the_ranges_beside_it(generator: Path) -> None:
    assert measure_kueue(generator).late == ()
    ranges = generator.with_name("tiny-rangespec.yaml")
    ranges.write_text("cmd:\n  maxWallMs: 1\nwlClassesMaxAvgTimeToAdmissionMs:\n  small: 1_000_000\n  large: 0\n")
    found = measure_kueue(generator)
    assert found.workloads == 60
    assert 1 <= found.ratio < 2
    assert found.waits_ms["large"] > 0
    assert found.late == ("large",)
    ranges.write_text("wlClassesMaxAvgTimeToAdmissionMs: 3\n")
    with pytest.raises(MalformedError, match="no table"):
        measure_kueue(generator)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("request: 1", "request: 1\n          devices: 3", "unknown field"), ("priority: 50", "", "missing"),
        ("count: 2", "count: two", "count"), ("request: 1", "request: 1.5", "request"),
        ("cohorts:", "cohorts: [", "YAML"),
        ("count: 5", "count: 1_000_000", "more than"),
    ],
)  # fmt: skip
def test_another_file_is_refused(generator: Path, old: str, new: str, why: str) -> None:
    generator.write_text(GENERATOR.replace(old, new, 1))
    with pytest.raises(MalformedError, match=why):
        load_of(read_generator(generator))


def test_a_generator_can_be_run_alone(generator: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedule", "--kueue", str(generator), "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [row["metric"] for row in value["results"]] == ["kueue.makespan_ratio", "kueue.cpu_s", "kueue.classes_late"]
    assert value["machine"]["sizes"]["tiny-generator.yaml"].startswith("60 workloads")
    assert main(["schedule", "--kueue", str(generator.with_name("no")), "--json"]) == 1
    with pytest.raises(SystemExit) as refused:
        main(["append", "--kueue", str(generator)])
    assert refused.value.code == 64


def test_every_kind_of_policy_is_in_force() -> None:
    every = {kind.model_fields["kind"].annotation for kind in get_args(get_args(Rule)[0])}
    unreported = {"node_load"}  # the cell's nodes report nothing, so nobody who asks for little load would be placed
    unplaced = {"dispute_resolution"}  # a scope's, and no rule of placement
    assert {rule["kind"] for rule in RULES} == {get_args(kind)[0] for kind in every} - unreported - unplaced
    for size in (Size.of(quick=False), Size.of(quick=True), TOY):
        governance = governance_of(size)
        in_force = {rule.kind for policy in governance.policies.values() for rule in policy.rules}
        assert in_force == {rule["kind"] for rule in RULES}
        assert governance.limits.keys() == governance.tokens.keys() == governance.policies.keys()


def test_the_full_cell_has_the_sizes_of_the_requirements() -> None:
    full = Size.of(quick=False)
    assert (full.pending, full.daos, full.jurisdictions, full.nodes) == (100_000, 1_000, 40, 5_000)
    assert len({tenant_of(full, number) for number in range(full.daos)}) == 1_000
    assert len({tenant_of(full, number)[1] for number in range(full.daos)}) == 40
    assert sum(1 for _ in nodes_of(full)) == 5_000
    assert len({line.dao for line in workloads_of(full, 1_000)}) == 1_000


def test_a_full_cell_breaks_no_rule_and_so_many_wait() -> None:
    cell = full_cell(TOY)
    assert cell.pending >= TOY.pending
    assert cell.running
    assert not violations(cell.placements, [one.facts() for one in cell.nodes], cell.governance.policies)


def test_toy_runs_measure() -> None:
    releases = measure_releases(TOY, 40)
    assert releases.count == 40
    assert releases.p99_ms > 0
    assert releases.denials >= 0
    assert measure_placing(TOY, colocation=True) > 0
    assert measure_placing(TOY, colocation=False) > 0
    rate, views = measure_fold(TOY)
    assert rate > 0
    assert views > TOY.pending


def test_the_floors_are_those_of_the_requirements() -> None:
    floors = {metric.id: (metric.floor, metric.aim, metric.less_is_better) for metric in SCHEDULE.metrics}
    assert floors == {
        "schedule.decisions": ("5000", "10000", False),
        "schedule.durable_p99_ms": ("20", "10", True),
        "schedule.why_p99_ms": ("5", None, True),
        "schedule.release_p99_ms": ("2", None, True),
        "schedule.denials_per_release": ("1", None, True),
        "kueue.makespan_ratio": ("1.05", None, True),
        "kueue.cpu_s": ("10", None, True),
        "kueue.classes_late": ("0", None, True),
        "schedule.colocation_ratio": ("0.6", "0.8", False),
        "schedule.fold": ("60000", None, False),
        "schedule.redecide": ("5000", None, False),
        "schedule.recovery_s": ("10", None, True),
    }
