"""The benchmark `schedule`: decisions on a large cell, and what they make of a foreign scheduler's loads.

Invariants:
- The cell is scripts.bench.schedule.cell, the same for every metric.
- Every placement of a run is held against the rules by a checker of its own; one that breaks a rule is no result.
- What a run compares, it takes turns with (co-location).
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from domain.errors import UnavailableError
from scripts.bench.append.stage import open_stage
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import alternate, rounds_of
from scripts.bench.schedule.cell import Size
from scripts.bench.schedule.deciding import measure_placing, measure_releases
from scripts.bench.schedule.durable import (
    AT_ONCE,
    fill,
    measure_durable,
    measure_recovery,
    measure_redecide,
    measure_why,
)
from scripts.bench.schedule.folding import measure_fold
from scripts.bench.schedule.kueue import Found, measure_kueue, worst

DECISIONS = Metric("schedule.decisions", "decisions/s", floor="5000", aim="10000")
DURABLE_P99 = Metric("schedule.durable_p99_ms", "ms", floor="20", aim="10", less_is_better=True)
RELEASE_P99 = Metric("schedule.release_p99_ms", "ms", floor="2", less_is_better=True)
DENIALS = Metric("schedule.denials_per_release", "events", floor="1", less_is_better=True)
MAKESPAN = Metric("kueue.makespan_ratio", "times the ideal", floor="1.05", less_is_better=True)
CPU = Metric("kueue.cpu_s", "s", floor="10", less_is_better=True)
LATE = Metric("kueue.classes_late", "classes", floor="0", less_is_better=True)
COLOCATION = Metric("schedule.colocation_ratio", "times the rate without", floor="0.6", aim="0.8")
FOLD = Metric("schedule.fold", "views/s", floor="60000")
REDECIDE = Metric("schedule.redecide", "decisions/s", floor="5000")
WHY_P99 = Metric("schedule.why_p99_ms", "ms", floor="5", less_is_better=True)
RECOVERY = Metric("schedule.recovery_s", "s", floor="10", less_is_better=True)

KUEUE = (MAKESPAN, CPU, LATE)

_VECTORS = Path(__file__).resolve().parents[4] / "shared" / "vectors"


def measure(options: Options) -> Measured:
    """Measure everything."""
    size = Size.of(quick=options.quick)
    load_before = load_average()
    durable, described, durable_sizes = _durable(size, options)
    options.say("releases")
    releases = measure_releases(size, 1_000 if options.quick else 5_000)
    options.say("foreign loads")
    kueue = _kueue(_generators(), options)
    options.say("co-location")
    rate, without = alternate(
        rounds_of(quick=options.quick),
        lambda: measure_placing(size, colocation=True),
        lambda: measure_placing(size, colocation=False),
    )
    options.say("folding")
    fold, views = measure_fold(size)
    decisions, durable_p99, *rest = durable
    results = (
        decisions,
        durable_p99,
        Result(RELEASE_P99, releases.p99_ms),
        Result(DENIALS, releases.denials),
        *kueue.results,
        Result(COLOCATION, rate / without),
        Result(FOLD, fold),
        *rest,
    )
    sizes = {
        "cell": str(size),
        **durable_sizes,
        "releases": f"{releases.count}, {releases.pending} pending at their end",
        **kueue.sizes,
        "co-location": f"{rate:.0f} placements/s with the rules, {without:.0f} without",
        "fold": f"{views} views, read from their bytes",
    }
    return Measured(results, {**described, "load_before": load_before}, sizes)


def _durable(size: Size, options: Options) -> tuple[tuple[Result, ...], Mapping[str, Any], dict[str, str]]:
    """Measure what needs a database, in one of its own."""
    with open_stage(options.directory) as (stage, described):
        ledger = stage.ledger
        filling = fill(ledger, size, options.say)
        found = measure_durable(ledger, filling, size, 640 if options.quick else 6_400, options.say)
        options.say("deciding again")
        rate, again = measure_redecide(ledger)
        why_p99, asked = measure_why(ledger, filling, options.say)
        options.say("recovery")
        recovery_s = measure_recovery(ledger, filling)
    results = (
        Result(DECISIONS, found.per_second),
        Result(DURABLE_P99, found.p99_ms),
        Result(REDECIDE, rate),
        Result(WHY_P99, why_p99),
        Result(RECOVERY, recovery_s),
    )
    sizes = {
        "decisions": f"{found.decisions} made durable; p99 of {found.batches} batches, after {AT_ONCE} executions end",
        "redecide": f"{again} decisions",
        "why": f"{asked} workloads asked about, without the proof",
    }
    return results, described, sizes


def kueue_alone(path: Path) -> Benchmark:
    """Return the benchmark of one generator's file."""
    return Benchmark("schedule", KUEUE, lambda options: _kueue((path,), options))


def _kueue(paths: Sequence[Path], options: Options) -> Measured:
    """Run the loads; of several the worst counts."""
    found: dict[str, Found] = {}
    for path in paths:
        options.say(path.name)
        found[path.name] = measure_kueue(path)
    ratio, cpu_s, late = worst(found.values())
    sizes = {name: str(one) for name, one in found.items()}
    names = ", ".join(f"{name} ({path})" for path, one in found.items() for name in one.late)
    return Measured(
        (Result(MAKESPAN, ratio), Result(CPU, cpu_s), Result(LATE, late)), {}, {**sizes, "late": names or "none"}
    )


def _generators() -> list[Path]:
    """Return the generators' files.

    Raises:
        UnavailableError: when there are none, as in a clone on its own.
    """
    folder = Path(os.environ.get("LEDGER_VECTORS", _VECTORS)) / "traces" / "kueue"
    found = sorted(folder.glob("*-generator.yaml"))
    if not found:
        raise UnavailableError(f"no generators in {folder}; set LEDGER_VECTORS to the folder above `traces`")
    return found


SCHEDULE = Benchmark(
    "schedule",
    (DECISIONS, DURABLE_P99, RELEASE_P99, DENIALS, *KUEUE, COLOCATION, FOLD, REDECIDE, WHY_P99, RECOVERY),
    measure,
)
