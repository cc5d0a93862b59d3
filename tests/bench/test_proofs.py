"""The benchmark of proofs: its log at a toy size, which tiles a proof reads, and that a false root is no result."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.tiles import Tile, required_paths
from infrastructure.tlog.tree import TileTree
from scripts.bench.proofs.benchmark import PROOFS, measure_on
from scripts.bench.proofs.log import build, leaf

LEAVES = 70_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    directory = tmp_path_factory.mktemp("log")
    return directory, build(directory, LEAVES)


def test_the_log_has_every_tile_and_the_root_of_its_leaves(log: tuple[Path, bytes]) -> None:
    directory, root = log
    assert root == Frontier.empty().extend(map(leaf, range(LEAVES))).root()
    written = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert written == {path for path in required_paths(LEAVES) if not path.startswith("tile/entries")}


@given(st.integers(0, LEAVES - 1))
def test_a_proof_reads_no_other_tiles_than_those_that_are_dropped(index: int) -> None:
    """Else some would be measured from the cache."""
    assert read_by_a_proof(index) <= set(TileTree(Path(), LEAVES).proof_tiles(index))


def read_by_a_proof(index: int) -> set[Tile]:
    read: set[Tile] = set()

    class Recording(TileTree):
        def _read(self, tile: Tile) -> list[bytes]:
            read.add(tile)
            return [bytes(32)] * tile.width

    Recording(Path("nowhere"), LEAVES).inclusion(index)
    return read


def test_the_benchmark_measures_both_metrics_on_a_toy(log: tuple[Path, bytes]) -> None:
    directory, root = log
    measured = measure_on(directory, LEAVES, root, rounds=1, proofs=5)
    assert [result.metric for result in measured.results] == list(PROOFS.metrics)
    assert all(result.value > 0 for result in measured.results)


def test_proofs_that_lead_elsewhere_are_no_result(log: tuple[Path, bytes]) -> None:
    with pytest.raises(VerificationError):
        measure_on(log[0], LEAVES, bytes(32), rounds=1, proofs=1)


def test_the_floors_are_those_of_the_requirements() -> None:
    found = [(metric.id, metric.floor, metric.less_is_better) for metric in PROOFS.metrics]
    assert found == [("proofs.make_p99_ms", "5", True), ("proofs.verify_p99_ms", "0.2", True)]
