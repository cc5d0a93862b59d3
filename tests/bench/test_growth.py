"""The benchmark of growth: what its fill leaves behind, a toy run, and what its verification catches."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import VerificationError
from domain.transparency.frontier import Frontier
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.keys.entry import parse_entry
from infrastructure.keys.keyring import Keyring
from infrastructure.ledger import Ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import Database
from infrastructure.postgres.feed import Feed
from scripts.bench.append.ours import OurSide
from scripts.bench.append.verify import verify_ours
from scripts.bench.append.workload import BATCH_EVENTS, CALLERS, STREAM_EVENTS, TENANTS, batches
from scripts.bench.growth.benchmark import GROWTH, Sizes, measure_on
from scripts.bench.growth.filling import AT_ONCE, fill
from tests.database import TestServer
from tests.postgres.sample import assert_whole

TOY = Sizes(small=AT_ONCE, large=2 * AT_ONCE, turns=1, single_events=CALLERS, batch_events=BATCH_EVENTS)


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def sides(postgres: TestServer, tmp_path: Path) -> Iterator[list[OurSide]]:
    entropy = SystemEntropy()
    with postgres.database() as one, postgres.database() as other:
        made = []
        for name in (one, other):
            keyring = Keyring.open(tmp_path / name, entropy)
            database = Database(postgres.conninfo(name))
            made.append(OurSide(Ledger(database, keyring, clock=SystemClock(), ids=SystemIds(), entropy=entropy)))
        try:
            yield made
        finally:
            for side in made:
                side.ledger.close()


@pytest.fixture
def administration(postgres: TestServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as connection:
        yield connection


def test_a_fill_leaves_whole_logs_and_a_whole_feed(sides: list[OurSide]) -> None:
    side = sides[0]
    fill(side, 2 * AT_ONCE, quiet)
    recorder = side.ledger.recorder
    assert {side.ledger.head(log_id).size for log_id in side.log_ids} == {2 * AT_ONCE // TENANTS}
    assert_whole(recorder, side.log_ids)
    assert sum(row.count for row in Feed(side.ledger.datastore).read_feed(0, 1000)) == 2 * AT_ONCE
    log_id = side.log_ids[7]
    versions = [one.last_version for one in recorder.streams(log_id)]
    assert versions == [STREAM_EVENTS - 1] * (2 * AT_ONCE // TENANTS // STREAM_EVENTS)


def test_a_filling_entry_has_the_form_and_the_length_of_a_sealed_one(sides: list[OurSide]) -> None:
    side = sides[0]
    fill(side, AT_ONCE, quiet)
    side.batches(batches(SystemIds(), side.ledger.clock.now_ms(), count=1))
    *filling, appended = side.ledger.recorder.every_entry(side.log_ids[3], AT_ONCE // TENANTS + 1)
    assert {len(one.entry) for one in filling} == {len(appended.entry)}
    assert {parse_entry(one.entry).origin for one in filling} == {parse_entry(appended.entry).origin}
    assert len({one.entry for one in filling}) == len(filling)


def test_a_toy_run_measures_and_verifies(sides: list[OurSide], administration: psycopg.Connection[Any]) -> None:
    said: list[str] = []
    small, large = sides
    measured = measure_on(small, large, TOY, administration, said.append)
    assert [result.metric for result in measured.results] == list(GROWTH.metrics)
    assert measured.results[0].value > 0
    assert said[-1] == "verifying what was appended"
    appended = 2 * (CALLERS + BATCH_EVENTS)
    assert measured.sizes["verified"].startswith(f"{appended} and {appended} ")
    for side, filled in zip(sides, (TOY.small, TOY.large), strict=True):
        assert sum(side.ledger.head(log_id).size for log_id in side.log_ids) == filled + appended


def test_heads_that_are_not_those_of_the_fill_are_noticed(sides: list[OurSide]) -> None:
    side = sides[0]
    fill(side, AT_ONCE, quiet)
    heads = {log_id: side.ledger.head(log_id) for log_id in side.log_ids}
    side.batches(batches(SystemIds(), side.ledger.clock.now_ms(), count=1))
    verify_ours(side, heads)
    head = heads[side.log_ids[0]]
    heads[side.log_ids[0]] = Frontier(head.size, (bytes(32), *head.hashes[1:]))
    with pytest.raises(VerificationError, match="don't hash to its head"):
        verify_ours(side, heads)
    with pytest.raises(VerificationError, match="entries, not"):
        verify_ours(side)


def test_the_full_run_has_the_sizes_of_the_requirements() -> None:
    full = Sizes.of(quick=False)
    assert (full.small, full.large) == (100_000, 10_000_000)
    for sizes in (full, Sizes.of(quick=True)):
        assert sizes.small % AT_ONCE == sizes.large % AT_ONCE == 0


def test_the_floor_is_that_of_the_requirements() -> None:
    found = [(metric.id, metric.floor, metric.aim, metric.less_is_better) for metric in GROWTH.metrics]
    assert found == [("growth.ratio", "1.1", "1.02", True)]
