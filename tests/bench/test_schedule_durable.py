"""The benchmark of the scheduler on a database: a toy run of what it fills, decides, decides again and recovers."""

from pathlib import Path

import pytest

from domain.errors import VerificationError
from infrastructure.decider import Decider
from scripts.bench.append.stage import open_stage
from scripts.bench.schedule.cell import Size
from scripts.bench.schedule.durable import fill, measure_durable, measure_recovery, measure_redecide, measure_why

TOY = Size(daos=13, jurisdictions=4, nodes=24, pending=60)


def quiet(_: str) -> None:
    """Say nothing."""


def test_a_toy_run_measures(tmp_path: Path) -> None:
    with open_stage(tmp_path) as (stage, described):
        assert described["fsync"] == "on"
        ledger = stage.ledger
        filling = fill(ledger, TOY, quiet)
        state = Decider(ledger).catch_up()
        assert (len(state.nodes), len(state.policies), state.host) == (24, 13, "ledger.example")
        assert len(state.waiting) > TOY.pending
        with pytest.raises(VerificationError, match="nothing was decided"):
            measure_redecide(ledger)
        found = measure_durable(ledger, filling, TOY, 32, quiet)
        assert found.decisions > 0
        assert found.batches >= 2
        assert found.p99_ms > 0
        decider = Decider(ledger)
        inputs = decider.catch_up().inputs
        rate, again = measure_redecide(ledger)
        assert rate > 0
        assert again >= found.decisions
        assert measure_recovery(ledger, filling) > 0
        why_p99, asked = measure_why(ledger, filling, quiet)
        assert why_p99 > 0
        assert asked >= TOY.pending
        assert decider.catch_up().inputs > inputs  # what the killed one was to deal with was dealt with
