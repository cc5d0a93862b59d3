"""The turns of one run: what each side stores in a round, and how much.

Invariants:
- How many events a turn has is set by the rate of a warm-up, so that a run's length doesn't depend on the machine.
- Both sides get fresh events in every turn, made before the clock starts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infrastructure.ids import SystemIds
from scripts.bench.append import stock
from scripts.bench.append.ours import OurSide
from scripts.bench.append.stock import StockSide
from scripts.bench.append.workload import BATCH_EVENTS, CALLERS, Item, batches, interleaved_items, single_items
from scripts.bench.rounds import alternate, percentile, repeat, rounds_of

Store = Callable[[Sequence[Sequence[Item]]], float]
"""Stores events; returns events per second."""

Turn = Callable[[int], float]
"""Stores so many events; returns events per second."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many rounds, about how long each side's turn shall last (s), and how many events warm it up."""

    rounds: int
    single_s: float
    batch_s: float
    latency_s: float
    warm_events: int = 640
    warm_batch_events: int = 4 * BATCH_EVENTS

    @classmethod
    def of(cls, *, quick: bool) -> "Sizes":
        """Return the sizes of a brief run, or of a full one."""
        rounds = rounds_of(quick=quick)
        return cls(rounds, 1.2, 0.7, 1.8) if quick else cls(rounds, 6.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True)
class Medians:
    """Both sides' medians in events per second, and how many events each had in a round."""

    ours: float
    peer: float
    our_events: int
    peer_events: int

    def __str__(self) -> str:
        return f"{self.our_events} and {self.peer_events} events a round"


class Turns:
    """Measures both sides of one stage.

    Args:
        us: our side.
        peer: the stock side.
        sizes: how much to measure.
    """

    def __init__(self, us: OurSide, peer: StockSide, sizes: Sizes) -> None:
        self._us = us
        self._peer = peer
        self._sizes = sizes
        self._ids = SystemIds()
        self.latency_events = 0

    def single(self) -> Medians:
        """Measure single events."""
        ours, peers = self._lanes(self._us.single, CALLERS), self._lanes(self._peer.single, stock.THREADS)
        return self._in_turns(ours, peers, self._sizes.warm_events, self._sizes.single_s, whole=CALLERS)

    def batches(self) -> Medians:
        """Measure batches of 500."""
        ours, peers = self._batches(self._us.batches), self._batches(self._peer.batches)
        return self._in_turns(ours, peers, self._sizes.warm_batch_events, self._sizes.batch_s, whole=BATCH_EVENTS)

    def p99_ms(self, rate: float) -> float:
        """Measure how long 99 of 100 events take at most, arriving at this mean rate per second."""
        self.latency_events = count = max(100, round(rate * self._sizes.latency_s))

        def one_round() -> float:
            items = interleaved_items(self._ids, self._now_ms(), count=count)
            return percentile(self._us.latencies(items, rate), 99) * 1000

        return repeat(self._sizes.rounds, one_round)

    def _in_turns(self, ours: Turn, peers: Turn, warm: int, seconds: float, *, whole: int) -> Medians:
        """Warm both up, choose multiples of `whole` events for each, and let them take turns."""
        counts = []
        for turn in (ours, peers):
            turn(warm)  # opens connections, derives keys
            counts.append(max(warm, round(turn(warm) * seconds / whole) * whole))
        our_events, peer_events = counts
        medians = alternate(self._sizes.rounds, lambda: ours(our_events), lambda: peers(peer_events))
        return Medians(*medians, our_events, peer_events)

    def _lanes(self, store: Store, lanes: int) -> Turn:
        def turn(count: int) -> float:
            each, now_ms = count // lanes, self._now_ms()
            return store([single_items(self._ids, now_ms, lane=lane, count=each) for lane in range(lanes)])

        return turn

    def _batches(self, store: Store) -> Turn:
        def turn(count: int) -> float:
            return store(batches(self._ids, self._now_ms(), count=count // BATCH_EVENTS))

        return turn

    def _now_ms(self) -> int:
        return self._us.ledger.clock.now_ms()
