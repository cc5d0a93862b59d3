"""The files of a simulation: what is read, and what is refused with its place."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.errors import MalformedError
from infrastructure.simulating.inputs import read_nodes, read_workloads
from infrastructure.simulating.lines import MAX_LINE_BYTES
from infrastructure.simulating.shapes import MAX_LEVELS, jobs_of
from tests.simulating.files import NODE, WORKLOAD, workload, write

NEEDED = {
    "node": {"id", "country", "operator", "vendor", "memory_bytes", "slots"},
    "workload": {
        "id", "at_ms", "dao", "jurisdiction", "resource_class", "slots", "memory_bytes", "runtime_ms",
    },
}  # fmt: skip


def test_lines_are_read_as_they_stand(tmp_path: Path) -> None:
    nodes = read_nodes(write(tmp_path / "n", [NODE, {**NODE, "id": "n2", "country": "fra"}]))
    assert [(node.id, node.country, node.attributes) for node in nodes] == [
        ("n1", "DEU", ("gpu",)),
        ("n2", "FRA", ("gpu",)),
    ]
    (line,) = read_workloads(write(tmp_path / "w", [{**WORKLOAD, "jurisdiction": "eu", "level": "Disaster"}]))
    assert line.model_dump(mode="json") == {**WORKLOAD, "jurisdiction": "EU", "level": "Disaster"}


def test_what_may_be_left_out_has_its_default(tmp_path: Path) -> None:
    (node,) = read_nodes(write(tmp_path / "n", [{name: NODE[name] for name in NEEDED["node"]}]))
    assert (node.pool, node.attributes) == ("primary", ())
    (line,) = read_workloads(write(tmp_path / "w", [{name: WORKLOAD[name] for name in NEEDED["workload"]}]))
    assert (line.level, line.tags, line.forbid_tags, line.requires) == (None, (), (), ())
    assert (line.in_country, line.independent, line.fails) == (False, 1, False)


def test_a_workloads_id_is_any_printable_text(tmp_path: Path) -> None:
    ids = ["1", "a b", "wäg/7", "x" * 128]
    lines = read_workloads(write(tmp_path / "w", [{**WORKLOAD, "id": name} for name in ids]))
    assert [line.id for line in lines] == ids


def test_blank_lines_are_passed_over_and_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "w", ["", WORKLOAD, "  \t", {**WORKLOAD, "id": "w2", "runtime_ms": 0}])
    with pytest.raises(MalformedError, match=r"/w:4: field 'runtime_ms'"):
        read_workloads(path)


def test_a_last_line_without_its_end_is_read(tmp_path: Path) -> None:
    (tmp_path / "w").write_text(json.dumps(WORKLOAD))
    assert len(read_workloads(tmp_path / "w")) == 1


@pytest.mark.parametrize("name", sorted(NEEDED["workload"]))
def test_a_workload_without_a_field_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "w", [WORKLOAD, {key: value for key, value in WORKLOAD.items() if key != name}])
    with pytest.raises(MalformedError, match=rf"/w:2: field '{name}' is missing"):
        read_workloads(path)


@pytest.mark.parametrize("name", sorted(NEEDED["node"]))
def test_a_node_without_a_field_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "n", [NODE, {key: value for key, value in NODE.items() if key != name}])
    with pytest.raises(MalformedError, match=rf"/n:2: field '{name}' is missing"):
        read_nodes(path)


BAD_WORKLOADS: list[dict[str, Any]] = [
    {"priority": 3}, {"id": ""}, {"id": "a\nb"}, {"id": "x" * 129}, {"id": 7}, {"at_ms": -1}, {"at_ms": 0.5},
    {"at_ms": "0"}, {"at_ms": True}, {"at_ms": None}, {"dao": "a dao"}, {"dao": ""}, {"jurisdiction": "XXX"},
    {"jurisdiction": "Germany"}, {"resource_class": "Flood"}, {"resource_class": None}, {"level": -1}, {"level": 1.0},
    {"level": True}, {"level": "two words"}, {"level": "0"}, {"level": []}, {"slots": 0}, {"slots": -1},
    {"slots": 4097}, {"slots": "1"}, {"slots": 1.0}, {"memory_bytes": 0}, {"memory_bytes": 2**48 + 1},
    {"memory_bytes": 1e9}, {"runtime_ms": 0}, {"runtime_ms": -5}, {"runtime_ms": 1.5}, {"tags": "x"}, {"tags": [1]},
    {"tags": ["no good"]}, {"tags": None}, {"forbid_tags": {}}, {"requires": "gpu"}, {"requires": ["a"] * 65},
    {"in_country": 1}, {"in_country": "true"}, {"in_country": None}, {"independent": -1}, {"independent": 17},
    {"independent": True}, {"fails": 0}, {"fails": "no"},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_WORKLOADS, ids=json.dumps)
def test_a_bad_value_is_refused_with_its_file_line_and_field(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path / "w", [WORKLOAD, {**WORKLOAD, "id": "w2", **change}])
    with pytest.raises(MalformedError) as refused:
        read_workloads(path)
    assert str(refused.value).startswith(f"{path}:2: ")
    assert len(str(refused.value)) < len(str(path)) + 300


BAD_NODES: list[dict[str, Any]] = [
    {"zone": "a"}, {"id": "n 1"}, {"id": 1}, {"country": "EU"}, {"country": "XXX"}, {"operator": ""}, {"vendor": 3},
    {"pool": None}, {"memory_bytes": 0}, {"slots": 0}, {"slots": 4097}, {"slots": True}, {"attributes": "gpu"},
    {"attributes": [None]},
]  # fmt: skip


@pytest.mark.parametrize("change", BAD_NODES, ids=json.dumps)
def test_a_bad_node_is_refused_with_its_file_and_line(tmp_path: Path, change: dict[str, Any]) -> None:
    path = write(tmp_path / "n", [NODE, {**NODE, "id": "n2", **change}])
    with pytest.raises(MalformedError) as refused:
        read_nodes(path)
    assert str(refused.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "not JSON"), ("[]", "one JSON object"), ("null", "one JSON object"), ("7", "one JSON object"),
        ('{"id": "a", "id": "a"}', "'id' stands there twice"), ('{"at_ms": NaN}', "NaN is no number"),
        ("{} {}", "not JSON"), ("[" * 20_000, "not JSON"), ('{"at_ms": ' + "9" * 5000 + "}", "not JSON"),
        ("x" * (MAX_LINE_BYTES + 1), "longer than"), ("\ufeff{}", "not JSON"),
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_line_of_json_is_refused(tmp_path: Path, line: str, why: str) -> None:
    with pytest.raises(MalformedError, match=why) as refused:
        read_workloads(write(tmp_path / "w", [WORKLOAD, line]))
    assert str(refused.value).startswith(f"{tmp_path / 'w'}:2: ")


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(b'{"id": "\xff"}\n')
    with pytest.raises(MalformedError, match=r"/w:1: not UTF-8"):
        read_workloads(tmp_path / "w")


def test_an_id_that_is_there_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match=r"/w:3: id 'w1' is on line 1 already"):
        read_workloads(write(tmp_path / "w", [WORKLOAD, {**WORKLOAD, "id": "w2"}, WORKLOAD]))
    with pytest.raises(MalformedError, match=r"/n:2: id 'n1' is on line 1 already"):
        read_nodes(write(tmp_path / "n", [NODE, NODE]))


def test_a_file_that_is_not_there_or_empty_of_nodes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="cannot read"):
        read_workloads(tmp_path / "w")
    with pytest.raises(MalformedError, match="cannot read"):
        read_nodes(tmp_path)
    with pytest.raises(MalformedError, match="names no node"):
        read_nodes(write(tmp_path / "n", [""]))
    assert read_workloads(write(tmp_path / "none", [])) == ()


def test_more_levels_than_can_be_told_apart_are_refused() -> None:
    lines = [workload(id=f"w{number}", level=number) for number in range(MAX_LEVELS + 1)]
    assert len(jobs_of(lines[1:], (), {})) == MAX_LEVELS
    with pytest.raises(MalformedError, match="of 4098 levels"):
        jobs_of(lines, (), {})
