"""Whatever the files say: placements never break a rule, and equal lines are dealt with alike."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.simulating.checking import violations
from infrastructure.simulating.inputs import NodeLine, WorkloadLine
from infrastructure.simulating.measuring import summary
from tests.simulating.files import GIB, NODE, WORKLOAD, node, simulate, told, workload, write

ROOT = Path(__file__).resolve().parents[2]
COUNTRIES = ("DEU", "FRA", "KEN")
TAGS = ("x", "y")


def some(names: tuple[str, ...]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(names), unique=True, max_size=len(names)).map(tuple)


@st.composite
def cells(draw: st.DrawFn) -> tuple[NodeLine, ...]:
    return tuple(
        node(
            id=f"n{number}",
            country=draw(st.sampled_from(COUNTRIES)),
            operator=draw(st.sampled_from(("one", "two", "three"))),
            pool=draw(st.sampled_from(("primary", "spare"))) if number else "primary",
            slots=draw(st.integers(1, 4)),
            memory_bytes=draw(st.integers(1, 4)) * GIB,
            attributes=draw(some(("gpu", "tpm"))),
        )
        for number in range(draw(st.integers(1, 5)))
    )


@st.composite
def loads(draw: st.DrawFn) -> tuple[WorkloadLine, ...]:
    return tuple(
        workload(
            id=f"w{number}",
            at_ms=draw(st.integers(0, 5)) * 300,
            dao=draw(st.sampled_from(("A", "B"))),
            jurisdiction=draw(st.sampled_from((*COUNTRIES, "EU"))),
            level=draw(st.sampled_from((0, 1, "Finance", None))),
            slots=draw(st.integers(1, 3)),
            memory_bytes=draw(st.integers(1, 3)) * GIB,
            runtime_ms=draw(st.sampled_from((1, 400, 1000))),
            tags=draw(some(TAGS)),
            forbid_tags=draw(some(TAGS)),
            requires=draw(some(("gpu",))),
            in_country=draw(st.booleans()),
            independent=draw(st.integers(1, 3)),
            fails=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 12)))
    )


@given(nodes=cells(), lines=loads())
def test_placements_break_no_rule_and_everything_is_accounted_for(
    nodes: tuple[NodeLine, ...], lines: tuple[WorkloadLine, ...]
) -> None:
    jobs, outcome = simulate(nodes, lines)
    assert violations(outcome.placements, [one.facts() for one in nodes], {}) == Counter()
    found = summary(nodes, jobs, outcome, {})
    # Nothing stays behind: what could be placed on an empty cell is placed sooner or later.
    assert (found["placed"] + sum(found["denied"].values()), found["unplaced"]) == (len(lines), 0)
    assert outcome.freed == len(outcome.placements)


@given(nodes=cells(), lines=loads(), data=st.data())
def test_the_order_of_lines_of_different_instants_is_of_no_account(
    nodes: tuple[NodeLine, ...], lines: tuple[WorkloadLine, ...], data: st.DataObject
) -> None:
    jobs, outcome = simulate(nodes, lines)
    groups: dict[int, list[WorkloadLine]] = {}
    for line in lines:
        groups.setdefault(line.at_ms, []).append(line)
    instants = data.draw(st.permutations(sorted(groups)))
    again, other = simulate(nodes, [line for at_ms in instants for line in groups[at_ms]])
    assert jobs == again
    assert outcome == other


@given(nodes=cells(), line=loads().filter(bool), count=st.integers(2, 8), data=st.data())
def test_equal_lines_of_one_instant_only_change_places(
    nodes: tuple[NodeLine, ...], line: tuple[WorkloadLine, ...], count: int, data: st.DataObject
) -> None:
    twins = [line[0].model_copy(update={"id": f"t{number}"}) for number in range(count)]
    _, outcome = simulate(nodes, [*line[1:], *twins])
    _, other = simulate(nodes, [*line[1:], *data.draw(st.permutations(twins))])
    assert [one[1:] for one in told(outcome.placements)] == [one[1:] for one in told(other.placements)]


def test_another_seed_of_hashes_gives_the_same_bytes(tmp_path: Path) -> None:
    nodes = write(tmp_path / "n", [{**NODE, "id": f"n{k}", "operator": f"o{k % 3}", "slots": 2} for k in range(6)])
    lines = [
        {
            **WORKLOAD, "id": f"w{k}", "at_ms": k * 50, "dao": f"D{k % 4}", "independent": 1 + k % 3, "level": k % 2,
            "tags": ["x", "y"][: k % 3], "forbid_tags": ["y"] if k % 5 == 0 else [], "slots": 1 + k % 2,
        }
        for k in range(40)
    ]  # fmt: skip
    workloads = write(tmp_path / "w", lines)
    found = []
    for seed in ("0", "1", "4711"):
        out = tmp_path / f"p{seed}"
        command: list[str | Path] = [
            sys.executable, "-m", "infrastructure.cli", "simulate", "--json", "--nodes", nodes, "--workloads",
            workloads, "--placements", out,
        ]  # fmt: skip
        ended = subprocess.run(
            command, cwd=ROOT, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        members = json.loads(ended.stdout)
        del members["cpu_seconds"]
        found.append((members, out.read_bytes()))
    assert found[0] == found[1] == found[2]
    assert found[0][1].count(b"\n") >= 40
