"""The benchmark `lifecycle` counts what has its CAC, over a real service and node, and has the required floors."""

import pytest

from domain.errors import VerificationError
from scripts.bench.lifecycle import benchmark
from scripts.bench.lifecycle.benchmark import LIFECYCLE, Heard, _listening, _one, _rate, _submit
from scripts.bench.lifecycle.stage import open_stage


def test_lifecycles_are_measured_over_a_service_and_its_node() -> None:
    with open_stage(None) as stage, _listening(stage) as heard:
        heard.wait_for({_submit(stage, stage.customers[0])})
        assert _one(stage, heard, 1) > 0
        assert _rate(stage, heard, 8) > 0


def test_a_workload_without_a_cac_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_WAIT_S", 0.01)
    with pytest.raises(VerificationError, match="1 workloads have no CAC"):
        Heard().wait_for({"wl-0x00"})


def test_the_floors_are_those_of_the_requirements() -> None:
    floors = {metric.id: (metric.floor, metric.aim, metric.less_is_better) for metric in LIFECYCLE.metrics}
    assert floors == {"lifecycle.rate": ("150", "500", False), "lifecycle.p50_ms": ("80", None, True)}
