"""The benchmark `evidence` measures what it says, and refuses a result that is none."""

from pathlib import Path
from typing import Any

import pytest

from domain.attestation.appraiser import AttestationResult, appraise
from domain.attestation.trust_vector import Tier
from domain.errors import VerificationError
from infrastructure.attestation.synthetic.platform import SyntheticPlatform
from scripts.bench.evidence import benchmark


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPlatform:
    root: Path = tmp_path_factory.mktemp("bench") / "synthetic"
    return SyntheticPlatform(root, 1_750_000_000, bits=2048)


def test_each_format_is_measured(platform: SyntheticPlatform) -> None:
    for kind in benchmark._KINDS:
        assert benchmark.measure_on(platform, kind, rounds=1, pieces=3) > 0


def test_a_piece_that_does_not_affirm_is_no_result(
    platform: SyntheticPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worse(*given: Any) -> AttestationResult:
        return appraise(*given).model_copy(update={"status": Tier.WARNING})

    monkeypatch.setattr(benchmark, "appraise", worse)
    with pytest.raises(VerificationError):
        benchmark.measure_on(platform, "snp", rounds=1, pieces=1)
