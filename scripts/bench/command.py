"""The command line of the harness.

Invariants:
- Exit codes: 0 measured, 1 a floor doesn't hold under `--check` or the run's own output is wrong, 64 usage error,
  69 the database can't be started.
- With `--json` stdout has one line, the object; words go to stderr, and progress only where stderr is a terminal.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from domain.errors import LedgerError, UnavailableError
from scripts.bench.append.benchmark import APPEND
from scripts.bench.audit.benchmark import AUDIT
from scripts.bench.benchmark import ALL, Benchmark, Measured, Options, together
from scripts.bench.credentials.benchmark import CREDENTIALS
from scripts.bench.enclaves.benchmark import ENCLAVES
from scripts.bench.evidence.benchmark import EVIDENCE
from scripts.bench.growth.benchmark import GROWTH
from scripts.bench.http.benchmark import HTTP
from scripts.bench.lifecycle.benchmark import LIFECYCLE
from scripts.bench.proofs.benchmark import PROOFS
from scripts.bench.report import as_json, print_table
from scripts.bench.schedule.benchmark import SCHEDULE, kueue_alone

BENCHMARKS: Mapping[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (APPEND, PROOFS, AUDIT, GROWTH, SCHEDULE, EVIDENCE, CREDENTIALS, ENCLAVES, LIFECYCLE, HTTP)
}
"""The closed list, by what stands before the dot of their metrics' ids (`kueue` is part of `schedule`)."""

GOOD, WRONG, USAGE, UNAVAILABLE = 0, 1, 64, 69


def main(arguments: Sequence[str], benchmarks: Mapping[str, Benchmark] = BENCHMARKS) -> int:
    """Run one benchmark, or all of them; return the exit code.

    Raises:
        SystemExit: after `--help` (0) and for a usage error (64).
    """
    parser = _parser(benchmarks)
    given = parser.parse_args(arguments)
    benchmark = together(list(benchmarks.values())) if given.name == ALL else benchmarks.get(given.name)
    if benchmark is None:
        parser.error(f"there is no benchmark {given.name[:80]!a}; there are: {', '.join(benchmarks)}, {ALL}")
    if given.directory is not None and not given.directory.is_dir():
        parser.error("--dir names no directory")
    if given.kueue is not None:
        if benchmark is not SCHEDULE:
            parser.error("--kueue belongs to the benchmark schedule")
        benchmark = kueue_alone(given.kueue)
    try:
        measured = benchmark.run(Options(quick=given.quick, directory=given.directory, say=_say))
    except UnavailableError as error:
        return _failed(str(error), UNAVAILABLE)
    except LedgerError as error:
        return _failed(str(error), WRONG)
    if given.json:
        print(as_json(benchmark.name, measured, quick=given.quick), flush=True)
    else:
        print_table(benchmark.name, measured, quick=given.quick)
    return _checked(measured) if given.check else GOOD


class _Parser(argparse.ArgumentParser):
    """Exits with 64 for a usage error."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\n")


def _parser(benchmarks: Mapping[str, Benchmark]) -> argparse.ArgumentParser:
    names = ", ".join([*benchmarks, ALL])
    parser = _Parser(prog="python -m scripts.bench", description="Measures one benchmark, or all.", allow_abbrev=False)
    parser.add_argument("name", metavar="NAME", help=f"which one: {names}")
    parser.add_argument(
        "--quick", action="store_true", help="each benchmark within a minute, at sizes that are printed"
    )
    parser.add_argument("--json", action="store_true", help="print one object on one line")
    parser.add_argument("--check", action="store_true", help="exit 1 where a floor doesn't hold")
    parser.add_argument(
        "--dir", dest="directory", type=Path, metavar="DIR",
        help="make the database below this directory, on the disk to measure (default: the temporary directory)",
    )  # fmt: skip
    parser.add_argument(
        "--kueue", type=Path, metavar="FILE", help="schedule: run this generator's file alone (*-generator.yaml)"
    )
    return parser


def _checked(measured: Measured) -> int:
    missed = [result.metric.id for result in measured.results if not result.holds]
    return _failed(f"floors that don't hold: {', '.join(missed)}", WRONG) if missed else GOOD


def _failed(text: str, code: int) -> int:
    print(f"bench: {text}", file=sys.stderr)
    return code


def _say(text: str) -> None:
    if sys.stderr.isatty():
        print(f"... {text}", file=sys.stderr, flush=True)
