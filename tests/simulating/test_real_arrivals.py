"""Real arrivals: a slice of an hour of requests, with what the trace lacks derived from a hash of each line's id."""

from collections import Counter
from pathlib import Path

import pytest

from domain.errors import MalformedError
from infrastructure.simulating.checking import violations
from infrastructure.simulating.inputs import WorkloadLine, read_workloads
from infrastructure.simulating.measuring import summary
from scripts.traces.azure import COLUMNS, DERIVED, JURISDICTIONS, main, workloads
from tests.simulating.files import GIB, node, simulate

SLICE = 400

NODES = tuple(
    node(
        id=f"n{number}",
        country=JURISDICTIONS[number % len(JURISDICTIONS)],
        operator=f"operator-{number % 5}",
        pool="spare" if number % 8 == 0 else "primary",
        slots=2,
        memory_bytes=16 * GIB,
        attributes=("gpu",) if number % 3 else (),
    )
    for number in range(24)
)


@pytest.mark.parametrize("name", ["code", "conv"])
def test_a_slice_of_real_arrivals_is_placed_without_breaking_a_rule(vectors: Path, tmp_path: Path, name: str) -> None:
    trace = (vectors / "traces" / "azure" / f"AzureLLMInferenceTrace_{name}.csv").read_text().splitlines()
    cut = tmp_path / f"{name}.csv"
    cut.write_text("\n".join(trace[: SLICE + 1]) + "\n")
    out = tmp_path / "workloads.jsonl"
    assert main([str(cut), str(out)]) == 0
    lines = read_workloads(out)
    assert len(lines) == SLICE
    jobs, outcome = simulate(NODES, lines)
    assert violations(outcome.placements, [one.facts() for one in NODES], {}) == Counter()
    found = summary(NODES, jobs, outcome, {})
    assert found["placed"] + sum(found["denied"].values()) == SLICE
    assert found["placed"] > SLICE * 0.9
    assert found["held"] == sum(job.fails for job in jobs if job.id not in outcome.denied)
    assert found["makespan_ms"] >= found["ideal_makespan_ms"] > 0


def test_the_command_says_what_is_not_in_the_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "t.csv"
    rows = ["2023-11-16 18:17:03.9799600,4808,10", "2023-11-16 18:17:04.0319600,3180,8"]
    trace.write_text("\r\n".join([",".join(COLUMNS), *rows]) + "\r\n")
    assert main([str(trace), str(tmp_path / "w")]) == 0
    assert capsys.readouterr().err == (
        f"2 workloads; not in the trace, but from a hash of the id: {', '.join(DERIVED)}\n"
    )
    first, second = read_workloads(tmp_path / "w")
    assert (first.at_ms, second.at_ms) == (0, 52)
    assert (first.runtime_ms, first.memory_bytes) == (4808 + 250, 4818 * 2**20)
    assert list(workloads(trace)) == list(workloads(trace))
    assert set(DERIVED) < WorkloadLine.model_fields.keys()


@pytest.mark.parametrize(
    "text", ["", "a,b,c\n", "H\n2023-11-16 18:17:03.97,1\n", "H\nyesterday,1,2\n", "H\n2023-11-16 18:17:03.97,1,-2\n"]
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    trace = tmp_path / "t.csv"
    trace.write_text(text.replace("H\n", ",".join(COLUMNS) + "\n"))
    with pytest.raises(MalformedError):
        list(workloads(trace))
    assert main([str(trace), str(tmp_path / "w")]) == 1
    assert main([]) == 64
