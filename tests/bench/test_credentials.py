"""The benchmark of credentials: at a toy size, and that a revoked one that passes is no result."""

from pathlib import Path
from unittest import mock

import pytest

from domain.errors import VerificationError
from infrastructure.credentials.status_list import StatusList
from scripts.bench.credentials.benchmark import VERIFIED, measure_in


def test_the_benchmark_measures_its_metric_on_a_toy(tmp_path: Path) -> None:
    measured = measure_in(tmp_path, 20, rounds=1)
    assert [result.metric for result in measured.results] == [VERIFIED]
    assert measured.results[0].value > 0
    assert VERIFIED.floor == "3000"


def test_a_verifier_that_lets_a_revoked_one_pass_is_no_result(tmp_path: Path) -> None:
    with mock.patch.object(StatusList, "status", return_value=0), pytest.raises(VerificationError):
        measure_in(tmp_path, 2, rounds=1)
