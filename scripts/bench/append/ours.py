"""Our side: `Ledger.append`, from the pydantic event object to durable, sealed, hashed and acknowledged.

Invariants:
- Only what a caller of the program can do: one call of `append` for each event or batch.
- Every event's signed acknowledgement is asked for while the clock runs, as it belongs to the answer.
- Every event that was acknowledged is counted, and a sample is kept with its place, for the verification afterwards.

The 64 callers are asyncio tasks, on uvloop's event loop, that await `append_async`; what they bring while one group
commits goes into the next.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from uuid import UUID

import uvloop

from domain.message import Pending, Recorded
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Answer, Ledger
from infrastructure.statements.acknowledgement import Acknowledgement
from scripts.bench.append.workload import TENANTS, Item
from scripts.bench.rounds import clean_heap

HOST = "ledger.example"
_SAMPLE_EVERY = 100
_GAPS_SEED = 1


@dataclass(frozen=True, slots=True)
class Sample:
    """An event as it was given, and its place as it was acknowledged."""

    item: Item
    recorded: Recorded
    acknowledgement: Acknowledgement


class OurSide:
    """A ledger with 50 tenants' logs.

    Args:
        ledger: open and empty.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        ledger.create_log(LogKind.PLATFORM, HOST)
        self.log_ids = [ledger.create_log(LogKind.TENANT, HOST)[0].log_id for _ in range(TENANTS)]
        self.stored: Counter[UUID] = Counter()
        self.samples: list[Sample] = []

    def single(self, lanes: Sequence[Sequence[Item]]) -> float:
        """Store each lane's events one after the other, all lanes at once; return events per second."""
        with clean_heap():
            seconds = uvloop.run(self._lanes(lanes))
        for lane in lanes:
            self._count(lane)
        return sum(map(len, lanes)) / seconds

    def batches(self, batches: Sequence[Sequence[Item]]) -> float:
        """Store batches one after the other; return events per second."""
        with clean_heap():
            begin = time.perf_counter()
            for batch in batches:
                self._append(batch)
            seconds = time.perf_counter() - begin
        for batch in batches:
            self._count(batch)
        return sum(map(len, batches)) / seconds

    def latencies(self, items: Sequence[Item], rate: float) -> list[float]:
        """Store events at random instants with this mean rate per second, whether earlier ones are done or not.

        Only the next event of a stream waits for the one before it, as its caller would.

        Returns:
            Seconds from the instant at which each was due until it was durable, waiting included.
        """
        with clean_heap():
            found = uvloop.run(self._open_loop(items, rate))
        self._count(items)
        return found

    async def _lanes(self, lanes: Sequence[Sequence[Item]]) -> float:
        async def caller(lane: Sequence[Item]) -> None:
            for item in lane:
                await self._append_one(item)

        begin = time.perf_counter()
        await asyncio.gather(*(caller(lane) for lane in lanes))
        return time.perf_counter() - begin

    async def _open_loop(self, items: Sequence[Item], rate: float) -> list[float]:
        found: list[float] = []

        async def arrival(item: Item, due: float, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await before
            await self._append_one(item)
            found.append(time.perf_counter() - due)

        begin = time.perf_counter()
        tasks: dict[UUID, asyncio.Task[None]] = {}
        for item, offset in zip(items, arrivals(len(items), rate), strict=True):
            wait = begin + offset - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            before = tasks.get(item.stream_id)
            tasks[item.stream_id] = asyncio.create_task(arrival(item, begin + offset, before))
        await asyncio.gather(*tasks.values())
        return found

    def _append(self, items: Sequence[Item]) -> None:
        """Store events as one command; return when they are durable."""
        self._sample(items, self.ledger.append([self._pending(item) for item in items]))

    async def _append_one(self, item: Item) -> None:
        """Store one event; return when it is durable."""
        self._sample((item,), await self.ledger.append_async([self._pending(item)]))

    def _pending(self, item: Item) -> Pending:
        return Pending(self.log_ids[item.tenant], item.stream_id, item.version, item.event)

    def _sample(self, items: Sequence[Item], answer: Answer) -> None:
        acknowledgements = answer.acknowledgements  # signed when asked for: that belongs to the answer
        number = items[0].stream_id.int
        if len(items) > 1 or number % _SAMPLE_EVERY == 0:  # ids end in random bits
            chosen = number % len(items)
            self.samples.append(Sample(items[chosen], answer.recorded[chosen], acknowledgements[chosen]))

    def _count(self, items: Iterable[Item]) -> None:
        """Count what was acknowledged: a refused append has raised before this."""
        self.stored.update(self.log_ids[item.tenant] for item in items)


def arrivals(count: int, rate: float) -> Iterator[float]:
    """Yield the instants, in seconds from the begin, at which independent callers come (a Poisson process)."""
    gaps = random.Random(_GAPS_SEED)  # noqa: S311 - a load, not a secret; the same one in every run
    return accumulate(gaps.expovariate(rate) for _ in range(count))
