"""What a benchmark is: a name, its metrics, and a run that measures them all and then verifies its own output.

Invariants:
- A run returns every metric of its benchmark, each once, or raises.
- `quick` changes how long is measured, never what, against whom or with which floor.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.bench.metrics import Metric, Result

ALL = "all"
"""Names every benchmark of the list, one after the other."""

Say = Callable[[str], None]
"""Takes words for whoever waits."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to run: briefly or in full, where the data may lie (None: the system's temporary directory), whom to tell."""

    quick: bool
    directory: Path | None
    say: Say


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run found.

    Args:
        results: one for each metric.
        machine: facts that only the run knows, such as the database's version and fsync.
        sizes: how much was measured, in words by name.
        peers: whom we were compared with, and the settings they ran with, by name.
    """

    results: tuple[Result, ...]
    machine: Mapping[str, Any] = field(default_factory=dict)
    sizes: Mapping[str, Any] = field(default_factory=dict)
    peers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One entry of the closed list."""

    name: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Options], Measured]

    def run(self, options: Options) -> Measured:
        """Measure, verify, and check that no metric is missing.

        Raises:
            VerificationError: when the output of the run is not what was put in.
            ValueError: when the run left out a metric.
        """
        measured = self.measure(options)
        if [result.metric for result in measured.results] != list(self.metrics):
            raise ValueError(f"{self.name} did not measure exactly its metrics")
        return measured


def together(benchmarks: Sequence[Benchmark]) -> Benchmark:
    """Return one benchmark that runs them all in order. What only one run says of itself has its name before it."""

    def measure(options: Options) -> Measured:
        runs = {one.name: one.run(options) for one in benchmarks}
        results = tuple(result for run in runs.values() for result in run.results)
        same = {key: value for run in runs.values() for key, value in run.machine.items()}
        own = {key for key in same for run in runs.values() if run.machine.get(key, same[key]) != same[key]}
        machine = {key: value for key, value in same.items() if key not in own}
        machine |= {f"{name} {key}": run.machine[key] for name, run in runs.items() for key in own & run.machine.keys()}
        sizes = {f"{name} {key}": value for name, run in runs.items() for key, value in run.sizes.items()}
        peers = {f"{name} {key}": value for name, run in runs.items() for key, value in run.peers.items()}
        return Measured(results, machine, sizes, peers)

    return Benchmark(ALL, tuple(metric for one in benchmarks for metric in one.metrics), measure)
