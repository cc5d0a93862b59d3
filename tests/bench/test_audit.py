"""The benchmark of audits: a toy log, every signature counted, and that a log which does not verify is no result."""

from pathlib import Path

import pytest

from domain.errors import VerificationError
from infrastructure.tlog.reader import read_entries
from scripts.bench.audit.benchmark import AUDIT, measure, measure_on
from scripts.bench.audit.long_log import LongLog, all_signed
from scripts.bench.benchmark import Options

EVENTS = 600


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    LongLog().write(tmp_path / "b", EVENTS)
    return tmp_path / "b"


def test_it_measures_both_metrics_on_a_toy_and_says_what_it_verified(bundle: Path) -> None:
    measured = measure_on(bundle, rounds=1)
    assert [result.metric for result in measured.results] == list(AUDIT.metrics)
    assert all(result.value > 0 for result in measured.results)
    assert measured.sizes["events"] == EVENTS == sum(1 for _ in read_entries(bundle))
    assert int(measured.sizes["signatures"].split()[0]) > EVENTS // 4
    assert set(measured.sizes["wall_s"]) == {"tree", "signed"}


def test_the_signatures_are_counted_each_once(tmp_path: Path) -> None:
    """Of a log that is all submissions there is one in each entry, but in those that begin it."""
    LongLog(all_signed).write(tmp_path / "b", 100)
    assert measure_on(tmp_path / "b", rounds=1).sizes["signatures"].startswith("99 ")


def test_a_log_that_does_not_verify_is_no_result(bundle: Path) -> None:
    entries = bundle / "tile/entries/001"
    data = bytearray(entries.read_bytes())
    data[300] ^= 1
    entries.write_bytes(data)
    with pytest.raises(VerificationError, match="tile/entries/001"):
        measure_on(bundle, rounds=1)


def test_a_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.bench.audit.benchmark.QUICK_EVENTS", 300)
    said: list[str] = []
    measured = measure(Options(quick=True, directory=tmp_path, say=said.append))
    assert measured.sizes["events"] == 300
    assert "file_system" in measured.machine
    assert said
    assert not list(tmp_path.iterdir())


def test_the_floors_are_those_of_the_requirements() -> None:
    found = [(metric.id, metric.floor, metric.aim, metric.less_is_better) for metric in AUDIT.metrics]
    assert found == [("audit.tree", "60000", "100000", False), ("audit.signed", "8000", "11000", False)]
