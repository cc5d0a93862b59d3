"""The benchmark `append`: single events, batches of 500, and the latency at half of the top rate.

Invariants:
- Both sides store the same kind of events on the same server, in turns, in one run.
- The latency is measured at half of the top rate that this very run has found.
- What was stored is verified after the last turn; if anything is wrong there is no result at all.
"""

from collections.abc import Mapping
from typing import Any

from scripts.bench.append import stock
from scripts.bench.append.ours import OurSide
from scripts.bench.append.stage import Stage, open_stage
from scripts.bench.append.stock import StockSide
from scripts.bench.append.turns import Sizes, Turns
from scripts.bench.append.verify import verify_ours, verify_stock
from scripts.bench.append.workload import CALLERS, EVENT_BYTES, STREAM_EVENTS, TENANTS
from scripts.bench.benchmark import Benchmark, Measured, Options, Say
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result

SINGLE = Metric("append.single", "events/s", floor="4 x", aim="8 x")
BATCH = Metric("append.batch500", "events/s", floor="1.0 x", aim="2 x")
P99 = Metric("append.p99_ms", "ms", floor="15", less_is_better=True)

_EVENTS = f"{EVENT_BYTES} bytes of content, {TENANTS} tenants, streams of {STREAM_EVENTS}, no command ids"


def measure(options: Options) -> Measured:
    """Run on a server of its own."""
    load_before = load_average()
    options.say("starting a PostgreSQL")
    with open_stage(options.directory) as (stage, database):
        described = {**database, "load_before": load_before}
        return measure_on(stage, Sizes.of(quick=options.quick), described, options.say)


def measure_on(stage: Stage, sizes: Sizes, described: Mapping[str, Any], say: Say) -> Measured:
    """Run on a given stage, verify what was stored, and return the medians.

    Raises:
        VerificationError: when the stored events are not what was given.
    """
    us, peer = OurSide(stage.ledger), StockSide(stage.stock_conninfo)
    try:
        turns = Turns(us, peer, sizes)
        say("single events")
        single = turns.single()
        say("batches")
        batch = turns.batches()
        say("latency")
        p99_ms = turns.p99_ms(single.ours / 2)
        say("verifying what was stored")
        verify_ours(us)
        verify_stock(peer)
    finally:
        peer.close()
    results = (Result(SINGLE, single.ours, single.peer), Result(BATCH, batch.ours, batch.peer), Result(P99, p99_ms))
    counted = {
        "events": _EVENTS,
        "rounds": sizes.rounds,
        "append.single": f"{single}, {CALLERS} asyncio tasks against {stock.THREADS} threads",
        "append.batch500": f"{batch}, one caller each, each batch over all tenants",
        "append.p99_ms": f"{turns.latency_events} events a round at {single.ours / 2:.0f}/s, arrivals at random",
        "verified": f"{us.stored.total()} of ours, {peer.stored} of the peer's",
    }
    return Measured(results, described, counted, {"stock": stock.describe()})


APPEND = Benchmark("append", (SINGLE, BATCH, P99), measure)
