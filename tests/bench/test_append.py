"""The benchmark of appends: its load, its two sides at toy sizes, and what its verification catches."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from uuid import UUID

import pytest

from domain.canonical import canonical
from domain.errors import VerificationError
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SeededIds, SystemIds
from infrastructure.keys.keyring import Keyring
from infrastructure.ledger import Ledger
from infrastructure.postgres.connect import Database
from scripts.bench.append.benchmark import APPEND, measure_on
from scripts.bench.append.ours import OurSide, arrivals
from scripts.bench.append.stage import Stage
from scripts.bench.append.stock import PlainMapper, StockSide, plain
from scripts.bench.append.turns import Sizes
from scripts.bench.append.verify import verify_ours, verify_stock
from scripts.bench.append.workload import BATCH_EVENTS, TENANTS, batches, interleaved_items, single_items
from scripts.bench.metrics import Bound
from tests.conftest import ROOT
from tests.database import TestServer

NOW_MS = 1_767_225_600_000
TOY = Sizes(rounds=1, single_s=0.01, batch_s=0.01, latency_s=0.1, warm_events=64, warm_batch_events=BATCH_EVENTS)


@pytest.fixture
def stage(postgres: TestServer, conninfo: str, tmp_path: Path) -> Iterator[Stage]:
    entropy = SystemEntropy()
    keyring = Keyring.open(tmp_path / "keys", entropy)
    ledger = Ledger(Database(conninfo), keyring, clock=SystemClock(), ids=SystemIds(), entropy=entropy)
    with postgres.database(migrated=False) as name, ledger:
        yield Stage(ledger, postgres.conninfo(name))


def test_every_event_has_300_bytes_and_its_own_place() -> None:
    items = [item for batch in batches(SeededIds(1), NOW_MS, count=2) for item in batch]
    items += single_items(SeededIds(2), NOW_MS, lane=3, count=25)
    assert {len(canonical(item.event.payload())) for item in items} == {300}
    assert {len(item.event.model_dump_json()) for item in items} == {300}
    assert len({(item.stream_id, item.version) for item in items}) == len(items) == 1025


def test_a_batch_has_500_events_over_all_tenants() -> None:
    (batch,) = batches(SeededIds(1), NOW_MS, count=1)
    assert len(batch) == 500
    assert {item.tenant for item in batch} == set(range(TENANTS))


def test_a_callers_streams_go_round_the_tenants_in_order_of_versions() -> None:
    items = single_items(SeededIds(1), NOW_MS, lane=49, count=21)
    assert [item.tenant for item in items] == [49] * 10 + [0] * 10 + [1]
    assert [item.version for item in items] == [*range(10), *range(10), 0]


def test_interleaved_streams_take_turns_each_in_the_order_of_its_versions() -> None:
    items = interleaved_items(SeededIds(1), NOW_MS, count=55)
    assert [item.version for item in items] == [version for version in range(9) for _ in range(6)] + [9]
    assert len({item.stream_id for item in items}) == 6
    assert [item.stream_id for item in items[:6]] * 9 == [item.stream_id for item in items[:54]]


def test_arrivals_come_at_random_with_the_rate_asked_for_and_the_same_in_every_run() -> None:
    instants = list(arrivals(20_000, 1000.0))
    assert instants == list(arrivals(20_000, 1000.0))
    assert instants == sorted(instants)
    assert instants[-1] == pytest.approx(20.0, rel=0.05)


def test_the_peer_stores_exactly_the_300_bytes_and_reads_them_back() -> None:
    (item,) = islice(single_items(SeededIds(1), NOW_MS, lane=0, count=1), 1)
    mapper = PlainMapper.__new__(PlainMapper)
    stored = mapper.to_stored_event(plain(item))
    assert len(stored.state) == 300
    assert mapper.to_domain_event(stored) == plain(item)


def test_a_toy_run_measures_every_metric_and_verifies_what_it_stored(stage: Stage) -> None:
    said: list[str] = []
    measured = measure_on(stage, TOY, {"fsync": "on"}, said.append)
    assert [result.metric for result in measured.results] == list(APPEND.metrics)
    assert all(result.value > 0 for result in measured.results)
    assert "verifying what was stored" in said
    ours = sum(stage.ledger.head(log.log_id).size for log in stage.ledger.logs())
    assert measured.sizes["verified"].startswith(f"{ours} of ours")


def test_an_entry_that_was_lost_or_added_is_noticed(stage: Stage) -> None:
    side = OurSide(stage.ledger)
    side.batches(batches(SystemIds(), NOW_MS, count=1))
    verify_ours(side)
    side.stored[side.log_ids[7]] += 1
    with pytest.raises(VerificationError, match="holds 10 entries, not 11"):
        verify_ours(side)


def test_an_entry_that_is_not_what_was_given_is_noticed(stage: Stage) -> None:
    side = OurSide(stage.ledger)
    side.batches(batches(SystemIds(), NOW_MS, count=1))
    sample = side.samples[0]
    side.samples = [replace(sample, item=replace(sample.item, version=sample.item.version + 1))]
    with pytest.raises(VerificationError, match="does not hold what was given"):
        verify_ours(side)


def test_entries_that_do_not_hash_to_the_head_are_noticed(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    side = OurSide(stage.ledger)
    side.batches(batches(SystemIds(), NOW_MS, count=1))
    real = stage.ledger.recorder.every_entry

    def flipped(log_id: UUID, size: int, *, first: int) -> Iterator[object]:
        for stored in real(log_id, size, first=first):
            yield replace(stored, entry=stored.entry[:-1] + bytes([stored.entry[-1] ^ 1]))

    monkeypatch.setattr(stage.ledger.recorder, "every_entry", flipped)
    with pytest.raises(VerificationError, match="not what was hashed"):
        verify_ours(side)


def test_a_run_without_a_sample_is_not_verified(stage: Stage) -> None:
    side = OurSide(stage.ledger)
    side.batches(batches(SystemIds(), NOW_MS, count=1))
    side.samples.clear()
    with pytest.raises(VerificationError, match="no sample"):
        verify_ours(side)


def test_a_peer_that_lost_an_event_is_noticed(stage: Stage) -> None:
    side = StockSide(stage.stock_conninfo)
    try:
        side.batches(batches(SystemIds(), NOW_MS, count=1))
        verify_stock(side)
        side.stored += 1
        with pytest.raises(VerificationError, match="holds 500 events, not 501"):
            verify_stock(side)
    finally:
        side.close()


@pytest.mark.slow
def test_quick_json_append_prints_one_line_of_every_metric(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.bench", "append", "--quick", "--json", "--dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
    value = json.loads(done.stdout)
    assert (value["name"], value["machine"]["fsync"]) == ("append", "on")
    assert "eventsourcing" in value["machine"]["peers"]["stock"]
    assert value["machine"]["load_before"] >= 0
    assert [row["metric"] for row in value["results"]] == ["append.single", "append.batch500", "append.p99_ms"]
    for row in value["results"]:
        bound = Bound.parse(row["floor"])
        held = row["ratio"] >= bound.limit if bound.on_ratio else row["value"] <= bound.limit
        assert row["holds"] is held
    assert list(tmp_path.iterdir()) == []
