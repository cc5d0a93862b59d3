"""What is asked: windows that slide over the real series, drawn from a seed, each judged once.

Invariants:
- A window is a stretch of published rows without a gap; no two questions of one judgement share one while any is left.
- The draw depends on the seed alone.
"""

import random
from dataclasses import dataclass, field
from functools import cache

from infrastructure.demo import observations
from infrastructure.demo.cast import Judgement
from infrastructure.demo.observations import Series


@dataclass(frozen=True, slots=True)
class Question:
    """One judgement over one window. `until` is the label of its newest row."""

    judgement: Judgement
    inputs: tuple[bytes, ...]
    until: str


@dataclass
class Questions:
    """Draws questions.

    Args:
        chance: the seeded source.
    """

    chance: random.Random
    _left: dict[Judgement, list[int]] = field(default_factory=dict)

    def draw(self, judgement: Judgement) -> Question:
        """Return the next question of a judgement."""
        series = _series(judgement.series)
        left = self._left.get(judgement)
        if not left:
            left = list(range(judgement.rows, len(series.rows) + 1))
            self.chance.shuffle(left)
            self._left[judgement] = left
        end = left.pop()
        window = series.rows[end - judgement.rows : end]
        inputs = (observations.text(window), observations.parameters(*judgement.parameters))
        return Question(judgement, inputs, window[-1][0])


@cache
def _series(name: str) -> Series:
    return observations.load(name)
