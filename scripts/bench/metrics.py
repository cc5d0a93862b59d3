"""Metrics, their floors, and whether a measurement holds them.

Invariants:
- A floor written `4 x` is a bound on the ratio to the peer, any other one on the value itself; the id doesn't matter.
- A ratio says how many times better we are than the peer, whichever direction is better: above 1 is in our favour.
- What is printed is what is judged: numbers are rounded first, then held against the floor.
- A floor that can't be judged (no peer, a peer at zero) doesn't hold.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

_BOUND = re.compile(r"([0-9]+(?:\.[0-9]+)?)( x)?")
_DECIMALS = 3


@dataclass(frozen=True, slots=True)
class Bound:
    """A floor or an aim as a number, and whether it bounds the ratio or the value."""

    limit: float
    on_ratio: bool

    @classmethod
    def parse(cls, text: str) -> "Bound":
        """Read `4 x` or `15`.

        Raises:
            ValueError: for any other form.
        """
        found = _BOUND.fullmatch(text)
        if found is None:
            raise ValueError(f"a floor is a number, or a number and ' x', not {text!r}")
        return cls(float(found[1]), found[2] is not None)


@dataclass(frozen=True, slots=True)
class Metric:
    """What is measured, in which unit, and what it must reach.

    Args:
        id: `<benchmark>.<name>`.
        unit: of value and peer.
        floor: what must hold, as the requirements write it.
        aim: what we want, in the same form; None where no aim is set.
        less_is_better: as for latencies; then a floor is an upper bound.
    """

    id: str
    unit: str
    floor: str
    aim: str | None = None
    less_is_better: bool = False

    def __post_init__(self) -> None:
        for text in (self.floor, self.aim):
            if text is not None:
                Bound.parse(text)


@dataclass(frozen=True, slots=True)
class Result:
    """A metric as measured: our median, and the peer's where there is one.

    Raises:
        ValueError: for a number that is not finite.
    """

    metric: Metric
    value: float
    peer: float | None = None

    def __post_init__(self) -> None:
        for name in ("value", "peer"):
            number = getattr(self, name)
            if number is None:
                continue
            if not math.isfinite(number):
                raise ValueError(f"{self.metric.id}: {name} is {number}")
            object.__setattr__(self, name, round(number, _DECIMALS))

    @property
    def ratio(self) -> float | None:
        """How many times better than the peer; None without one, or where one of the two is zero."""
        if not self.peer or not self.value:
            return None
        better, worse = (self.peer, self.value) if self.metric.less_is_better else (self.value, self.peer)
        return round(better / worse, _DECIMALS)

    @property
    def holds(self) -> bool:
        """Tell whether the floor holds."""
        bound = Bound.parse(self.metric.floor)
        if bound.on_ratio:
            return self.ratio is not None and self.ratio >= bound.limit
        return self.value <= bound.limit if self.metric.less_is_better else self.value >= bound.limit

    def row(self) -> dict[str, Any]:
        """Return the members that `--json` prints."""
        return {
            "metric": self.metric.id,
            "value": self.value,
            "unit": self.metric.unit,
            "peer": self.peer,
            "ratio": self.ratio,
            "floor": self.metric.floor,
            "aim": self.metric.aim,
            "holds": self.holds,
        }
