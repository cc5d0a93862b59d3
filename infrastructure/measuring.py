"""Numbers that a process counts of itself, in the text format of Prometheus (version 0.0.4).

Invariants:
- Labels are of closed sets: nothing that a client or tenant chose is ever a label.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

MEDIA_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]


class Histogram:
    """How often a number was at most so much. Safe to use from several threads.

    Args:
        bounds: upper bounds, rising.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, value: float) -> None:
        """Count a number."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def lines(self, name: str, about: str) -> list[str]:
        """Return it as text."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        lines, seen = _head(name, about, "histogram"), 0
        for bound, count in zip((*self._bounds, None), counts, strict=True):
            seen += count
            lines.append(f'{name}_bucket{{le="{"+Inf" if bound is None else f"{bound:g}"}"}} {seen}')
        return [*lines, f"{name}_sum {total:g}", f"{name}_count {seen}"]


class Counts:
    """How often something happened, by labels. Safe to use from several threads."""

    def __init__(self) -> None:
        self._counts: Counter[Labels] = Counter()
        self._lock = threading.Lock()

    def add(self, **labels: str) -> None:
        """Count once more."""
        with self._lock:
            self._counts[tuple(labels.items())] += 1

    def lines(self, name: str, about: str) -> list[str]:
        """Return it as text."""
        with self._lock:
            counts = sorted(self._counts.items())
        return [*_head(name, about, "counter"), *(f"{name}{_labels(labels)} {count}" for labels, count in counts)]


def gauge(name: str, about: str, values: Mapping[Labels, float]) -> list[str]:
    """Return what is so much now, by labels."""
    return [
        *_head(name, about, "gauge"),
        *(f"{name}{_labels(labels)} {value:g}" for labels, value in sorted(values.items())),
    ]


def _head(name: str, about: str, kind: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _labels(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
