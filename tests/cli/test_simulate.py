"""`simulate` as a person or a script meets it."""

import json
from pathlib import Path

import pytest

from infrastructure.cli import main
from tests.simulating.files import NODE, WORKLOAD, write

MEMBERS = [
    "workloads", "placed", "denied", "unplaced", "held", "makespan_ms", "ideal_makespan_ms", "waits", "deferrals",
    "borrowed_slot_ms", "violations", "broken", "decisions", "cpu_seconds",
]  # fmt: skip


@pytest.fixture
def nodes(tmp_path: Path) -> Path:
    return write(tmp_path / "nodes.jsonl", [NODE, {**NODE, "id": "n2", "operator": "two"}])


@pytest.fixture
def workloads(tmp_path: Path) -> Path:
    lines = [WORKLOAD, {**WORKLOAD, "id": "pair", "independent": 2}, {**WORKLOAD, "id": "far", "requires": ["x"]}]
    return write(tmp_path / "workloads.jsonl", lines)


def ended(*arguments: str | Path) -> int:
    """Run `simulate`; return the exit code."""
    with pytest.raises(SystemExit) as left:
        main(["simulate", *map(str, arguments)])
    assert isinstance(left.value.code, int)
    return left.value.code


def test_json_is_one_object_with_these_members(
    nodes: Path, workloads: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("--nodes", nodes, "--workloads", workloads, "--json") == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    found = json.loads(said)
    assert list(found) == MEMBERS
    assert (found["workloads"], found["placed"], found["denied"], found["unplaced"]) == (3, 2, {"attributes": 1}, 0)
    assert (found["makespan_ms"], found["ideal_makespan_ms"]) == (1000, 1000)
    assert (found["violations"], found["broken"], found["borrowed_slot_ms"]) == (0, {}, 0)
    assert found["decisions"] == 6  # two placed, three reserved, one denied
    assert found["cpu_seconds"] > 0


def test_placements_are_one_line_for_each_enclave(nodes: Path, workloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "placements.jsonl"
    out.write_text("of an earlier run\n")
    assert ended("--nodes", nodes, "--workloads", workloads, "--placements", out) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [list(line) for line in lines] == [["workload", "execution", "attempt", "node", "start_ms", "end_ms"]] * 3
    assert [line["workload"] for line in lines] == ["w1", "pair", "pair"]
    assert {(line["attempt"], line["start_ms"], line["end_ms"]) for line in lines} == {(1, 0, 1000)}
    assert {line["node"] for line in lines[1:]} == {"n1", "n2"}
    assert len({line["execution"] for line in lines}) == 3
    assert all(line["execution"].startswith("exec-0x") for line in lines)


def test_a_plot_is_a_png(nodes: Path, workloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "plot.png"
    assert ended("--nodes", nodes, "--workloads", workloads, "--plot", out) == 0
    data = out.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert len(data) > 10_000
    assert ended("--nodes", nodes, "--workloads", write(tmp_path / "none", []), "--plot", out) == 0


def test_a_person_gets_a_table(nodes: Path, workloads: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended("--nodes", nodes, "--workloads", workloads) == 0
    said = capsys.readouterr()
    assert "denied      1 (attributes 1)" in said.out
    assert "dao ClimateDAO" in said.out
    assert said.err == ""


def test_a_bad_line_is_refused_with_its_number(nodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = write(tmp_path / "bad.jsonl", [WORKLOAD, {**WORKLOAD, "id": "w2", "priority": 1}])
    out = tmp_path / "placements.jsonl"
    assert ended("--nodes", nodes, "--workloads", bad, "--json", "--placements", out) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"error": f"{bad}:2: unknown field 'priority'"}
    assert said.err == f"enclave-ledger: {bad}:2: unknown field 'priority'\n"
    assert not out.exists()


def test_what_can_not_be_written_is_refused_before_anything_runs(
    nodes: Path, workloads: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended("--nodes", nodes, "--workloads", workloads, "--plot", tmp_path / "no" / "plot.png") == 1
    assert "no such directory" in capsys.readouterr().err
    before = nodes.read_bytes()
    assert ended("--nodes", nodes, "--workloads", workloads, "--placements", nodes) == 1
    assert nodes.read_bytes() == before
    assert ended("--nodes", nodes, "--workloads", workloads, "--placements", tmp_path) == 69


def test_the_files_must_be_named(nodes: Path) -> None:
    assert ended("--nodes", nodes) == 64
