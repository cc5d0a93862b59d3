"""Rounds: both sides in one run, taking turns, and the median of each.

Invariants:
- Who begins changes from round to round, so that a drift of the machine favours nobody.
- The garbage of the preparation is collected before the clock starts, for both sides alike.
"""

import gc
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

Measure = Callable[[], float]


def rounds_of(*, quick: bool) -> int:
    """Return how many rounds a median is taken over."""
    return 3 if quick else 5


def alternate(rounds: int, ours: Measure, peer: Measure) -> tuple[float, float]:
    """Measure both sides in turn; return our median and the peer's."""
    found: dict[Measure, list[float]] = {ours: [], peer: []}
    for number in range(rounds):
        for side in (ours, peer) if number % 2 == 0 else (peer, ours):
            found[side].append(side())
    return statistics.median(found[ours]), statistics.median(found[peer])


def repeat(rounds: int, measure: Measure) -> float:
    """Measure what has no peer; return the median."""
    return statistics.median(measure() for _ in range(rounds))


@contextmanager
def clean_heap() -> Iterator[None]:
    """Keep what was prepared out of the collector's way while the clock runs; collection itself stays on."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the nearest-rank percentile: the smallest value that so many percent don't exceed.

    Raises:
        ValueError: when there are no values, or the percentage is not 1 to 100.
    """
    if not values or not 1 <= percent <= 100:  # noqa: PLR2004 - percent
        raise ValueError("a percentile of 1 to 100 needs values")
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]
