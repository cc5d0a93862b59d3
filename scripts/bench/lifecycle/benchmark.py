"""The benchmark `lifecycle`: submissions that become CACs, over a served ledger and one node over loopback HTTP.

Invariants:
- Service, node and keeps are processes of their own, started as people start them; this process hands workloads in,
  signed and sealed, and hears of CACs from the feed. All share the machine.
- A lifecycle counts when its CAC is issued and durable. Every workload must have exactly one, or there is no result.
- `rate` is from the first submission of many to the last CAC; `p50_ms` is of one at a time, with nothing else to do.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from domain.cacs.events import CacIssued
from domain.errors import VerificationError
from infrastructure.client import acts
from infrastructure.client.submission import read_submission_file
from infrastructure.feed.subscription import Subscription
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import StoredEntry
from scripts.bench.benchmark import Benchmark, Measured, Options
from scripts.bench.lifecycle.stage import DAOS, EXAMPLES, SLOTS, Customer, Stage, open_stage
from scripts.bench.machine import load_average
from scripts.bench.metrics import Metric, Result

RATE = Metric("lifecycle.rate", "/s", floor="150", aim="500")
P50 = Metric("lifecycle.p50_ms", "ms", floor="80", less_is_better=True)

_WAIT_S = 120.0
_PAUSE_S = 0.05
_FIRST = 8
"""Of each tenant before anything is measured: enough at once that its keeps' processes run. They start once."""
_MS = 1000


class Heard:
    """The CACs that were heard of. Safe to use from several threads."""

    def __init__(self) -> None:
        self._workloads: set[str] = set()
        self._count = 0
        self._moved = threading.Condition()

    def listen(self, ledger: Ledger, entries: "Subscription[StoredEntry]") -> None:
        """Note every CAC of a subscription, until it ends. Nothing else is opened: that would be work beside it."""
        for event in _issued(ledger, entries):
            with self._moved:
                self._workloads.add(event.workload_id)
                self._count += 1
                self._moved.notify_all()

    def wait_for(self, workloads: set[str]) -> None:
        """Wait until each of some workloads has its CAC.

        Raises:
            VerificationError: when one has none in time, or one has two.
        """
        with self._moved:
            if not self._moved.wait_for(lambda: workloads <= self._workloads, _WAIT_S):
                raise VerificationError(
                    f"{len(workloads - self._workloads)} workloads have no CAC after {_WAIT_S:.0f} s"
                )
            if self._count != len(self._workloads):
                raise VerificationError("a workload has two CACs")


def _issued(ledger: Ledger, entries: "Subscription[StoredEntry]") -> Iterator[CacIssued]:
    for recorded in ledger.opened(one for one in entries if one.topic == CacIssued.TOPIC):
        if isinstance(recorded.event, CacIssued):
            yield recorded.event


def measure(options: Options) -> Measured:
    """Measure both."""
    load_before = load_average()
    many, alone = (200, 15) if options.quick else (2_000, 101)
    with open_stage(options.directory) as stage, _listening(stage) as heard:
        options.say("first lifecycles")
        heard.wait_for({_submit(stage, one) for one in stage.customers * _FIRST})
        options.say("one lifecycle at a time")
        took_s = [_one(stage, heard, number) for number in range(alone)]
        options.say("many lifecycles")
        rate = _rate(stage, heard, many)
    results = (Result(RATE, rate), Result(P50, statistics.median(took_s) * _MS))
    sizes = {"many": f"{many} workloads of {len(DAOS)} tenants, {SLOTS} slots", "alone": f"{alone}, one after another"}
    return Measured(results, {"load_before": load_before}, sizes)


def _one(stage: Stage, heard: Heard, number: int) -> float:
    time.sleep(_PAUSE_S)  # what follows a CAC, such as read models, is not this one's
    began_s = time.perf_counter()
    heard.wait_for({_submit(stage, stage.customers[number % len(stage.customers)])})
    return time.perf_counter() - began_s


def _rate(stage: Stage, heard: Heard, many: int) -> float:
    """Return lifecycles per second, each tenant's handed in by a thread of its own."""
    each = many // len(stage.customers)
    submitted: list[set[str]] = [set() for _ in stage.customers]

    def hand_in(at: int) -> None:
        for _ in range(each):
            submitted[at].add(_submit(stage, stage.customers[at]))

    threads = [threading.Thread(target=hand_in, args=(at,)) for at in range(len(submitted))]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    workloads = set[str]().union(*submitted)
    if len(workloads) != each * len(submitted):
        raise VerificationError("not every submission was taken")
    heard.wait_for(workloads)
    return len(workloads) / (time.perf_counter() - began_s)


def _submit(stage: Stage, customer: Customer) -> str:
    content, inputs = read_submission_file(EXAMPLES / "flood.submission.json")
    return acts.submit(stage.ledger, customer.tenant, customer.wallet, content, inputs).workload


@contextmanager
def _listening(stage: Stage) -> Iterator[Heard]:
    heard, feeds = Heard(), Subscriptions(stage.ledger)
    entries = [feeds.subscribe(feeds.sources.entries(UUID(one.tenant.log_id))) for one in stage.customers]
    threads = [threading.Thread(target=heard.listen, args=(stage.ledger, one), daemon=True) for one in entries]
    for thread in threads:
        thread.start()
    try:
        yield heard
    finally:
        feeds.close()


LIFECYCLE = Benchmark("lifecycle", (RATE, P50), measure)
"""The benchmark `lifecycle`."""
