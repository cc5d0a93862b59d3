"""The benchmark `enclaves` measures what it says, over real workers, and has the floors of the requirements."""

import pytest

from domain.errors import VerificationError
from infrastructure.runtime.engine import ClauseEngine
from scripts.bench.enclaves import benchmark
from scripts.bench.enclaves.benchmark import ENCLAVES, measure_alive, measure_full, measure_instances


@pytest.fixture(scope="module")
def engine() -> ClauseEngine:
    return ClauseEngine()


def test_instances_and_whole_executions_are_measured(engine: ClauseEngine) -> None:
    assert measure_instances(engine, 20) > 0
    assert measure_full(engine, 3) > 0


def test_an_execution_without_an_outcome_is_no_result(engine: ClauseEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "inputs", lambda: (b"", b""))
    with pytest.raises(VerificationError, match="ended in"):
        measure_full(engine, 1)


def test_enclaves_live_at_once_in_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "TENANTS", 2)
    alive, kib_each = measure_alive(70)
    assert alive == 140
    assert 1 < kib_each < 1_000


def test_the_floors_are_those_of_the_requirements() -> None:
    floors = {metric.id: (metric.floor, metric.aim, metric.less_is_better) for metric in ENCLAVES.metrics}
    assert floors == {
        "enclaves.instance": ("12000", None, False),
        "enclaves.full": ("1500", "3000", False),
        "enclaves.alive": ("5000", None, False),
        "enclaves.kib_each": ("60", None, True),
    }
