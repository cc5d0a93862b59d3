"""The benchmark `http`: reports and reads over HTTP, on a machine that client and server share, fsync on.

Invariants:
- `--role api` is one process, the other roles are another one beside it; the load generator is a third. Bodies are
  signed before. Every report is durable before its answer.
- A run counts only if every answer says that the report counts, and the ledger holds one event of each, no more.
- Where wrk is installed, it sends reports of the same kind afterwards: what it measures is printed beside ours.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from uuid import UUID

from domain.errors import VerificationError
from domain.executions.events import EnclaveStarted
from infrastructure.keys.wallet import Purpose
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.http.executions import BATCH, Ready, in_batches, make_ready
from scripts.bench.http.stage import Request, Stage, load, open_stage, published_size
from scripts.bench.http.wrk import by_wrk
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result

SINGLE = Metric("http.single", "reports/s", floor="1000", aim="2000")
P99 = Metric("http.single_p99_ms", "ms", floor="100", less_is_better=True)
BATCHES = Metric("http.batch", "events/s", floor="8000", aim="15000")
READ = Metric("http.read", "answers/s", floor="2500")

CONNECTIONS = 64
_BATCH_CONNECTIONS = 4
_PLACES = 2_000
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many reports, batches, and reports that wrk sends; seconds of reading."""

    warm: int
    singles: int
    batched: int
    wrk: int
    read_s: float

    @classmethod
    def of(cls, *, quick: bool) -> "Sizes":
        """Return the sizes of a brief run, or of a full one."""
        return cls(16, 200, 300, 100, 3.0) if quick else cls(200, 5_000, 7_000, 3_000, 20.0)


def measure(options: Options) -> Measured:
    """Measure all of it."""
    load_before, sizes, cpu = load_average(), Sizes.of(quick=options.quick), dict[str, float]()
    with open_stage(options.directory) as stage:
        options.say("executions that are about to start")
        ready = make_ready(stage, sizes.warm + sizes.singles + sizes.batched + sizes.wrk)
        names = iter(ready)
        warm, singles, batched, others = (
            list(islice(names, count)) for count in (sizes.warm, sizes.singles, sizes.batched, sizes.wrk)
        )
        tokens = {one.name: stage.token(one.wallet) for one in stage.nodes}
        _good(load(stage, _singles(warm, tokens), connections=CONNECTIONS))
        options.say("reports")
        single = _timed(stage, _singles(singles, tokens), CONNECTIONS, cpu, "single", len(singles))
        options.say("batches")
        batch = _timed(stage, _batches(batched, tokens), _BATCH_CONNECTIONS, cpu, "batched", len(batched))
        options.say("wrk")
        by_others = by_wrk(stage, _singles(others, tokens), CONNECTIONS)
        _verify(stage, [*warm, *singles, *batched, *(others if by_others is not None else ())])
        options.say("reads")
        read = _reads(stage, sizes, cpu)
    results = (
        Result(SINGLE, len(singles) / single["seconds"]), Result(P99, single["p99_ms"]),
        Result(BATCHES, len(batched) / batch["seconds"]), Result(READ, read["requests"] / read["seconds"]),
    )  # fmt: skip
    counted = {
        "single": f"{len(singles)} reports over {CONNECTIONS} connections, p50 {single['p50_ms']:.0f} ms",
        "batch": f"{len(batched)} reports, {BATCH} in a batch at most, {_BATCH_CONNECTIONS} connections",
        "read": f"{sizes.read_s:.0f} s over {CONNECTIONS} connections: entries and proofs in turn, at any index",
        **{f"{name} cpu": f"{value:.0f} us of the answering process for each" for name, value in cpu.items()},
    }
    return Measured(results, {"load_before": load_before}, counted, {"wrk": by_others or "not installed"})


def _singles(ready: Sequence[Ready], tokens: Mapping[str, str]) -> list[Request]:
    return [(*one.signed(), tokens[one.node.name]) for one in ready]


def _batches(ready: Sequence[Ready], tokens: Mapping[str, str]) -> list[Request]:
    return [(*request, tokens[node]) for node, request in in_batches(ready)]


def _timed(
    stage: Stage, requests: list[Request], connections: int, cpu: dict[str, float], name: str, events: int
) -> dict[str, Any]:
    """Send requests, each once; return what came of it."""
    before_s = stage.cpu_s()
    found = _good(load(stage, requests, connections=connections))
    cpu[name] = (stage.cpu_s() - before_s) / events * _US
    return found


def _reads(stage: Stage, sizes: Sizes, cpu: dict[str, float]) -> dict[str, Any]:
    """Read entries and proofs by index of one log, for a while."""
    customer = stage.customers[0]
    token = stage.token(customer.wallet, Purpose.GOVERNANCE, customer.tenant.called)
    size = published_size(stage, token)
    drawn = random.Random(size)  # noqa: S311 - which index is asked for is no secret
    places = [drawn.randrange(size) for _ in range(_PLACES)]
    paths = [path for at in places for path in (f"entries/{at}", f"proofs/{at}?size={size}", f"proofs/{at}")]
    before_s = stage.cpu_s()
    requests = [("GET", f"/v1/audit/{path}", "", token) for path in paths]
    found = _good(load(stage, requests, connections=CONNECTIONS, seconds=sizes.read_s))
    cpu["read"] = (stage.cpu_s() - before_s) / found["requests"] * _US
    return found


def _good(found: dict[str, Any]) -> dict[str, Any]:
    """Hold that every answer was good.

    Raises:
        VerificationError: when one was not.
    """
    if found["refused"]:
        raise VerificationError(f"not every answer was good: {found['statuses']} {found['refused'][0]}")
    return found


def _verify(stage: Stage, ready: Sequence[Ready]) -> None:
    """Hold the ledger against what was answered.

    Raises:
        VerificationError: when an execution that was reported did not start, started twice, or another one did.
    """
    started = Counter(
        recorded.event.execution_id
        for customer in stage.customers
        for recorded in stage.ledger.history(UUID(customer.tenant.log_id))
        if isinstance(recorded.event, EnclaveStarted)
    )
    if started != Counter(one.execution for one in ready):
        raise VerificationError(f"{len(ready)} executions were reported as started, the ledger holds {started.total()}")


HTTP = Benchmark("http", (SINGLE, P99, BATCHES, READ), measure)
"""The benchmark `http`."""
