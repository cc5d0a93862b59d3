"""The benchmark `audit`: events verified per second and core, of a log of the demo's mix.

Invariants:
- One process, one worker: a rate is per core. Time is that of the processor, so that whatever else runs on the machine
  counts less; wall clock is printed beside it.
- `tree`: entries parsed and hashed, every tile and the root derived again, signatures of the log's keys. `signed`: all
  of that, and every entry opened, every signature inside verified, every act decided again: what `audit verify` does
  with a bundle that came with its keys.
- A log that does not verify is no result. The bundle discloses every stream: nothing is left out for want of a key.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from domain.errors import VerificationError
from infrastructure.audit.verify import check_entry, verify_bundle
from infrastructure.tlog.verdict import Verification
from infrastructure.tlog.verify import verify_directory
from scripts.bench.audit.long_log import LongLog
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.machine import file_system, load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import clean_heap, repeat, rounds_of

TREE = Metric("audit.tree", "events/s", floor="60000", aim="100000")
SIGNED = Metric("audit.signed", "events/s", floor="8000", aim="11000")

FULL_EVENTS, QUICK_EVENTS = 100_000, 20_000
_SIGNATURES = ("statements of type", "CACs: every member", "node reports")
"""What begins the counts of an audit that are counts of verified signatures."""


def measure(options: Options) -> Measured:
    """Write a log into a directory of its own, and verify it several times."""
    events = QUICK_EVENTS if options.quick else FULL_EVENTS
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=options.directory) as made:
        bundle = Path(made) / "bundle"
        options.say(f"writing a log of {events} events")
        LongLog().write(bundle, events)
        measured = measure_on(bundle, rounds=rounds_of(quick=options.quick), say=options.say)
        machine = {"file_system": file_system(bundle), "load_before": load_before}
    return Measured(measured.results, machine, measured.sizes)


def measure_on(bundle: Path, *, rounds: int, say: Callable[[str], None] = lambda _: None) -> Measured:
    """Verify a bundle with its keys, both ways in turn; return the medians over the rounds.

    Raises:
        VerificationError: when it does not verify.
    """
    walls: dict[str, list[float]] = {"tree": [], "signed": []}
    seen: list[Verification] = []

    def rate(name: str, verify: Callable[[], Verification]) -> float:
        say(name)
        with clean_heap():
            wall, began = time.perf_counter(), time.process_time()
            verdict = verify()
            took = time.process_time() - began
        walls[name].append(time.perf_counter() - wall)
        if not verdict.ok or verdict.size is None:
            raise VerificationError(f"the log does not verify: {verdict.first_error}")
        seen[:] = [verdict]
        return verdict.size / took

    tree = repeat(rounds, lambda: rate("tree", lambda: verify_directory(bundle, check_entry=check_entry)))
    signed = repeat(rounds, lambda: rate("signed", lambda: verify_bundle(bundle)))
    (verdict,) = seen
    sizes = {
        "events": verdict.size,
        "signatures": f"{_signatures(verdict)} inside the entries",
        "rounds": f"{rounds} of each, in one process; time of the processor",
        "wall_s": {name: round(statistics.median(taken), 2) for name, taken in walls.items()},
    }
    return Measured((Result(TREE, tree), Result(SIGNED, signed)), sizes=sizes)


def _signatures(verdict: Verification) -> int:
    """Return how many signatures inside the entries were verified."""
    told = [words.split(" ", 1) for words in (*verdict.checked, *verdict.not_checked)]
    return sum(int(count) for count, what in told if count.isdecimal() and what.startswith(_SIGNATURES))


AUDIT = Benchmark("audit", (TREE, SIGNED), measure)
