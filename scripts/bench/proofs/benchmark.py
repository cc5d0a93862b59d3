"""The benchmark `proofs`: making an inclusion proof from a log of 10 million leaves, and verifying it.

Invariants:
- Each proof starts with no tile cached: a new reader, and the pages of every tile that it reads are dropped before the
  clock starts (POSIX_FADV_DONTNEED after sync). What the kernel knows of directories stays: it can't be dropped for one
  process alone.
- Every proof that was made is verified against the root; one that fails is no result.
"""

import random
import tempfile
import time
from pathlib import Path

from domain.transparency.proofs import verify_inclusion
from infrastructure.tlog.tree import TileTree
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.machine import file_system, load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.proofs.log import build, drop, leaf
from scripts.bench.rounds import clean_heap, percentile, repeat, rounds_of

MAKE = Metric("proofs.make_p99_ms", "ms", floor="5", less_is_better=True)
VERIFY = Metric("proofs.verify_p99_ms", "ms", floor="0.2", less_is_better=True)

FULL_LEAVES, QUICK_LEAVES = 10_000_000, 1_000_000
PROOFS_A_ROUND = 1000
_SEED = 20_261_123


def measure(options: Options) -> Measured:
    """Build the log in a directory of its own, and measure on it."""
    leaves = QUICK_LEAVES if options.quick else FULL_LEAVES
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=options.directory) as made:
        options.say(f"writing the tiles of {leaves} leaves")
        began = time.perf_counter()
        root = build(Path(made), leaves)
        build_s = time.perf_counter() - began
        options.say("proofs")
        measured = measure_on(Path(made), leaves, root, rounds=rounds_of(quick=options.quick))
        machine = {"file_system": file_system(Path(made)), "load_before": load_before}
    sizes = {**measured.sizes, "built_in": f"{build_s:.0f} s"}
    return Measured(measured.results, machine, sizes)


def measure_on(directory: Path, leaves: int, root: bytes, *, rounds: int, proofs: int = PROOFS_A_ROUND) -> Measured:
    """Make and verify proofs of random leaves; return the medians over the rounds.

    Raises:
        VerificationError: when a proof does not lead to the root.
    """
    chance = random.Random(_SEED)  # noqa: S311 - which leaves are measured is no secret
    verify_ms: list[float] = []

    def one_round() -> float:
        made, verified = [], []
        with clean_heap():
            for index in (chance.randrange(leaves) for _ in range(proofs)):
                for tile in TileTree(directory, leaves).proof_tiles(index):
                    drop(directory, tile)
                began = time.perf_counter()
                path = TileTree(directory, leaves).inclusion(index)
                made.append(time.perf_counter() - began)
                known = leaf(index)
                began = time.perf_counter()
                verify_inclusion(known, index, leaves, path, root)
                verified.append(time.perf_counter() - began)
        verify_ms.append(percentile(verified, 99) * 1000)
        return percentile(made, 99) * 1000

    make_ms = repeat(rounds, one_round)
    counted = {
        "leaves": leaves,
        "proofs": f"{rounds} rounds of {proofs}, leaves at random",
        "cache": "pages of every tile of a proof dropped before it (fadvise); a new reader for each",
        "tiles_a_proof": len(list(TileTree(directory, leaves).proof_tiles(leaves // 3))),
    }
    results = (Result(MAKE, make_ms), Result(VERIFY, sorted(verify_ms)[len(verify_ms) // 2]))
    return Measured(results, sizes=counted)


PROOFS = Benchmark("proofs", (MAKE, VERIFY), measure)
