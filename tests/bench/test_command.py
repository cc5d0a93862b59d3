"""The harness's command line, over benchmarks that are made up."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from domain.errors import LedgerError, UnavailableError, VerificationError
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.command import BENCHMARKS, main
from scripts.bench.metrics import Metric, Result

RATE = Metric("sample.rate", "events/s", "4 x", "8 x")
DELAY = Metric("sample.p99_ms", "ms", "15", less_is_better=True)
OTHER = Metric("other.ratio", "times", "2", less_is_better=True)
GOOD = Measured(
    (Result(RATE, 1000, 100), Result(DELAY, 3)),
    machine={"postgresql": "18.6", "fsync": "on"},
    sizes={"rounds": 3},
    peers={"stock": "default settings"},
)
SLOW = Measured((Result(RATE, 399, 100), Result(DELAY, 16)))


def benchmarks(measure: Callable[[Options], Measured]) -> dict[str, Benchmark]:
    return {"sample": Benchmark("sample", (RATE, DELAY), measure)}


def giving(measured: Measured) -> dict[str, Benchmark]:
    return benchmarks(lambda _: measured)


def failing(error: LedgerError) -> dict[str, Benchmark]:
    def measure(_: Options) -> Measured:
        raise error

    return benchmarks(measure)


def test_json_is_one_line_with_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--json"], giving(GOOD)) == 0
    said = capsys.readouterr()
    assert said.out.count("\n") == 1
    assert said.err == ""
    value = json.loads(said.out)
    assert list(value) == ["name", "machine", "results"]
    assert value["name"] == "sample"
    assert value["results"] == [
        {"metric": "sample.rate", "value": 1000, "unit": "events/s", "peer": 100, "ratio": 10, "floor": "4 x",
         "aim": "8 x", "holds": True},
        {"metric": "sample.p99_ms", "value": 3, "unit": "ms", "peer": None, "ratio": None, "floor": "15", "aim": None,
         "holds": True},
    ]  # fmt: skip


def test_the_machine_says_what_the_numbers_rest_on(capsys: pytest.CaptureFixture[str]) -> None:
    main(["sample", "--json", "--quick"], giving(GOOD))
    machine = json.loads(capsys.readouterr().out)["machine"]
    assert {"cpu", "cores", "memory_bytes", "python", "postgresql", "fsync"} <= machine.keys()
    assert machine["cores"] >= 1
    assert machine["memory_bytes"] > 2**20
    assert (machine["quick"], machine["sizes"], machine["peers"]) == (
        True,
        {"rounds": 3},
        {"stock": "default settings"},
    )


def test_the_table_shows_every_metric_and_the_peers_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample"], giving(SLOW)) == 0
    said = capsys.readouterr().out
    assert all(text in said for text in ("sample.rate", "sample.p99_ms", "NO", "3.99 x", "<= 15"))
    main(["sample"], giving(GOOD))
    assert "default settings" in capsys.readouterr().out


def test_check_exits_1_and_names_the_floors_that_do_not_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--check", "--json"], giving(SLOW)) == 1
    said = capsys.readouterr()
    assert "sample.rate, sample.p99_ms" in said.err
    assert [row["holds"] for row in json.loads(said.out)["results"]] == [False, False]


def test_check_exits_0_where_every_floor_holds() -> None:
    assert main(["sample", "--check"], giving(GOOD)) == 0


def test_without_check_a_missed_floor_is_said_and_is_no_failure() -> None:
    assert main(["sample", "--json"], giving(SLOW)) == 0


@pytest.mark.parametrize(
    "arguments", [[], ["sample", "--fast"], ["sample", "more"], ["sample", "--qui"], ["sample", "--dir", "nowhere/x"]]
)
def test_a_usage_error_exits_64(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments, giving(GOOD))
    assert refused.value.code == 64


def test_an_unknown_name_exits_64_and_says_which_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["\x1b[31mnope"])
    assert refused.value.code == 64
    said = capsys.readouterr().err
    assert (
        "there are: append, proofs, audit, growth, schedule, evidence, credentials, enclaves, lifecycle, http, all"
        in said
    )
    assert "\x1b" not in said


def two(first: Measured, second: Measured) -> dict[str, Benchmark]:
    return {
        "sample": Benchmark("sample", (RATE, DELAY), lambda _: first),
        "other": Benchmark("other", (OTHER,), lambda _: second),
    }


def test_all_runs_every_benchmark_and_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    ours = Measured((Result(OTHER, 1.5),), {"fsync": "on", "postgresql": "19.0"}, {"rounds": 5})
    assert main(["all", "--json", "--quick", "--check"], two(GOOD, ours)) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["name"] == "all"
    assert [row["metric"] for row in value["results"]] == ["sample.rate", "sample.p99_ms", "other.ratio"]
    machine = value["machine"]
    assert machine["fsync"] == "on"  # what all runs agree on stands once, what they don't beside each other
    assert (machine["sample postgresql"], machine["other postgresql"]) == ("18.6", "19.0")
    assert "postgresql" not in machine
    assert machine["sizes"] == {"sample rounds": 3, "other rounds": 5}
    assert machine["peers"] == {"sample stock": "default settings"}


def test_all_is_one_table_and_checks_every_floor(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["all", "--check"], two(GOOD, Measured((Result(OTHER, 2.5),)))) == 1
    said = capsys.readouterr()
    assert said.out.count("holds") == 1
    assert all(metric.id in said.out for metric in (RATE, DELAY, OTHER))
    assert said.err == "bench: floors that don't hold: other.ratio\n"


def test_options_reach_the_benchmark(tmp_path: Path) -> None:
    seen: list[Options] = []

    def measure(options: Options) -> Measured:
        seen.append(options)
        return GOOD

    main(["sample", "--quick", "--dir", str(tmp_path)], benchmarks(measure))
    main(["sample"], benchmarks(measure))
    assert [(one.quick, one.directory) for one in seen] == [(True, tmp_path), (False, None)]


def test_output_of_a_run_that_is_wrong_is_no_result(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--json"], failing(VerificationError("log 7 holds 3 entries, not 4"))) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "not 4" in said.err


def test_a_database_that_cannot_be_started_exits_69() -> None:
    assert main(["sample"], failing(UnavailableError("no server"))) == 69


def test_a_run_that_leaves_out_a_metric_is_refused() -> None:
    with pytest.raises(ValueError, match="exactly its metrics"):
        main(["sample"], giving(Measured((Result(RATE, 1, 1),))))


def test_the_list_is_closed_and_named_by_what_stands_before_the_dot() -> None:
    assert list(BENCHMARKS) == [
        "append",
        "proofs",
        "audit",
        "growth",
        "schedule",
        "evidence",
        "credentials",
        "enclaves",
        "lifecycle",
        "http",
    ]
    for name, benchmark in BENCHMARKS.items():
        assert benchmark.name == name
        prefixes = ("schedule.", "kueue.") if name == "schedule" else (f"{name}.",)
        assert all(metric.id.startswith(prefixes) for metric in benchmark.metrics)


def test_the_floors_of_append_are_those_of_the_requirements() -> None:
    found = [(metric.id, metric.floor, metric.aim, metric.less_is_better) for metric in BENCHMARKS["append"].metrics]
    assert found == [
        ("append.single", "4 x", "8 x", False),
        ("append.batch500", "1.0 x", "2 x", False),
        ("append.p99_ms", "15", None, True),
    ]
