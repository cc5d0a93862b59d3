"""The benchmark `growth`: what an append costs at 10 million events, against 100 thousand.

Invariants:
- Two databases on one server are measured in one run, in many short turns, so that what disturbs the machine disturbs
  both: what differs between them is their size alone.
- Singles of 64 tasks and batches of 500 are measured as the benchmark `append` measures them; the worse ratio counts.
- What the fill left to do (vacuum, checkpoint) is done before the clock starts: it belongs to ten million appends, not
  to the few that are measured.
- What was appended is verified on top of the heads that the fill left.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import open_ledger
from infrastructure.pauses import shorten_pauses
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import URL_VARIABLE, embedded_conninfo
from infrastructure.postgres.embedded import EmbeddedServer
from scripts.bench.append.ours import OurSide
from scripts.bench.append.verify import verify_ours
from scripts.bench.append.workload import BATCH_EVENTS, CALLERS, EVENT_BYTES, TENANTS, batches, single_items
from scripts.bench.benchmark import Benchmark, Measured, Options, Say
from scripts.bench.growth.filling import AT_ONCE, fill
from scripts.bench.machine import describe_database, load_average
from scripts.bench.metrics import Metric, Result
from scripts.bench.rounds import alternate

RATIO = Metric("growth.ratio", "times the cost", floor="1.1", aim="1.02", less_is_better=True)

Turn = Callable[[], float]
"""Appends events; returns events per second."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many events the two databases hold, how many turns each has, and how many events a turn has."""

    small: int
    large: int
    turns: int
    single_events: int
    batch_events: int

    @classmethod
    def of(cls, *, quick: bool) -> "Sizes":
        """Return the sizes of a brief run, or of a full one."""
        if quick:
            return cls(2 * AT_ONCE, 40 * AT_ONCE, 9, 10 * CALLERS, 2 * BATCH_EVENTS)
        return cls(100_000, 10_000_000, 81, 30 * CALLERS, 6 * BATCH_EVENTS)


def measure(options: Options) -> Measured:
    """Run on a server of its own."""
    load_before = load_average()
    with _two_sides(options.directory) as (small, large, administration, described):
        measured = measure_on(small, large, Sizes.of(quick=options.quick), administration, options.say)
        return Measured(measured.results, {**described, "load_before": load_before}, measured.sizes)


def measure_on(
    small: OurSide, large: OurSide, sizes: Sizes, administration: psycopg.Connection[Any], say: Say
) -> Measured:
    """Fill two empty sides, measure them in turns, and verify what was appended.

    Args:
        small: the side that stays small.
        large: the side that grows.
        sizes: how far, and how much to measure.
        administration: a session of the server's superuser, to settle what the fills have stirred up.
        say: hears how it goes.

    Raises:
        VerificationError: when what was appended is not what was given.
    """
    began = time.perf_counter()
    for side, events in ((small, sizes.small), (large, sizes.large)):
        fill(side, events, say)
        _settle(side)
    administration.execute("CHECKPOINT")
    fill_s = time.perf_counter() - began
    heads = {log_id: side.ledger.head(log_id) for side in (small, large) for log_id in side.log_ids}
    say("singles")
    singles = _ratio(sizes.turns, _singles(small, sizes.single_events), _singles(large, sizes.single_events))
    say("batches")
    of_batches = _ratio(sizes.turns, _batches(small, sizes.batch_events), _batches(large, sizes.batch_events))
    say("verifying what was appended")
    for side in (small, large):
        verify_ours(side, heads)
    counted = {
        "events": f"{EVENT_BYTES} bytes of content, {TENANTS} tenants; at first {sizes.small} against {sizes.large}",
        "turns": f"{sizes.turns} at each size: {sizes.single_events} singles, {sizes.batch_events} in batches of 500",
        "singles": f"{singles:.3f}",
        "batches": f"{of_batches:.3f}",
        "filled_in": f"{fill_s:.0f} s",
        "verified": f"{small.stored.total()} and {large.stored.total()} that were appended",
    }
    return Measured((Result(RATIO, max(singles, of_batches)),), sizes=counted)


def _ratio(turns: int, small: Turn, large: Turn) -> float:
    """Return how many times the cost at the small size an append costs at the large one, in medians."""
    for warm in (small, large):
        warm()
    small_rate, large_rate = alternate(turns, small, large)
    return small_rate / large_rate


def _singles(side: OurSide, events: int) -> Turn:
    def turn() -> float:
        ids, now_ms = side.ledger.ids, side.ledger.clock.now_ms()
        return side.single([single_items(ids, now_ms, lane=lane, count=events // CALLERS) for lane in range(CALLERS)])

    return turn


def _batches(side: OurSide, events: int) -> Turn:
    def turn() -> float:
        return side.batches(batches(side.ledger.ids, side.ledger.clock.now_ms(), count=events // BATCH_EVENTS))

    return turn


def _settle(side: OurSide) -> None:
    """Do what autovacuum would begin while we measure."""
    with psycopg.connect(side.ledger.conninfo, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")


@contextmanager
def _two_sides(
    directory: Path | None,
) -> Iterator[tuple[OurSide, OurSide, psycopg.Connection[Any], Mapping[str, Any]]]:
    """Open two ledgers over two databases of one server; all is gone afterwards."""
    with ExitStack() as stack:
        data_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=directory)))
        server = stack.enter_context(EmbeddedServer(data_dir))
        administration = stack.enter_context(
            psycopg.connect(embedded_conninfo(server, dbname="postgres", user=SUPERUSER), autocommit=True)
        )
        sides = []
        for name in ("small", "large"):
            administration.execute(f"CREATE DATABASE {name}".encode())
            url = embedded_conninfo(server, dbname=name, user=SUPERUSER)
            clock, ids, entropy = SystemClock(), SystemIds(), SystemEntropy()
            ledger = open_ledger(data_dir / name, {URL_VARIABLE: url}, clock=clock, ids=ids, entropy=entropy)
            sides.append(OurSide(stack.enter_context(ledger)))
        shorten_pauses()
        yield sides[0], sides[1], administration, describe_database(administration, data_dir)


GROWTH = Benchmark("growth", (RATIO,), measure)
