"""The picture of a simulation: queue length, utilisation and waits over virtual time.

Invariants:
- A curve has at most POINTS points, whatever was simulated: of each piece of time the mean (utilisation) or the
  greatest value (queue length, waits) is drawn.
- matplotlib draws into memory; no display is needed.
"""

from collections.abc import Sequence
from io import BytesIO
from itertools import accumulate
from typing import Any

from infrastructure.simulating.measuring import first_waits
from infrastructure.simulating.run import Outcome
from infrastructure.simulating.shapes import Job

POINTS = 600
_SECOND_MS = 1000


def plot(jobs: Sequence[Job], outcome: Outcome, slots: int) -> bytes:
    """Return the picture as PNG.

    Args:
        jobs: in the order in which they arrived.
        outcome: what came of them.
        slots: of all nodes.
    """
    from matplotlib.figure import Figure  # noqa: PLC0415 - it takes a second to import, and only this needs it

    figure = Figure(figsize=(10, 8), layout="constrained")
    queue, used, waits = figure.subplots(3, 1, sharex=True)
    until_ms = max((p.end_ms for p in outcome.placements), default=0)
    until_ms = max(until_ms, max((job.at_ms for job in jobs), default=0)) + 1
    begin_ms = min((job.at_ms for job in jobs), default=0)
    pieces = _Pieces(begin_ms, until_ms)
    instants = [at_ms / _SECOND_MS for at_ms in pieces.starts()]

    queue.step(instants, pieces.highest(_queue_steps(jobs, outcome)), where="post")
    queue.set_ylabel("workloads waiting")
    shares = [100 * part / max(slots, 1) for part in pieces.mean(_slot_steps(outcome))]
    used.fill_between(instants, shares, step="post", alpha=0.5)
    used.set_ylim(0, 105)
    used.set_ylabel("slots in use (%)")
    _draw_waits(waits, pieces, instants, outcome)
    waits.set_ylabel("longest wait (s)")
    waits.set_xlabel("virtual time (s)")
    for axes in (queue, used, waits):
        axes.grid(visible=True, alpha=0.3)
    png = BytesIO()
    figure.savefig(png, format="png", dpi=110)
    return png.getvalue()


def _draw_waits(axes: Any, pieces: "_Pieces", instants: Sequence[float], outcome: Outcome) -> None:
    """Draw, for each level, how long who was placed in a piece of time had waited."""
    waited = first_waits(outcome)
    levels: dict[tuple[int, str], dict[int, int]] = {}
    for placement in outcome.placements:
        shape, piece = placement.job.shape, pieces.of(placement.start_ms)
        curve = levels.setdefault((shape.facts.level or 0, shape.level), {})
        curve[piece] = max(curve.get(piece, 0), waited[placement.job.id])
    for (_, name), curve in sorted(levels.items()):
        points = sorted(curve.items())
        axes.plot(
            [instants[piece] for piece, _ in points], [wait_ms / _SECOND_MS for _, wait_ms in points],
            marker=".", markersize=3, linewidth=1, label=name,
        )  # fmt: skip
    if levels:
        axes.legend(title="level", fontsize="small", loc="upper right", ncols=4)


class _Pieces:
    """Virtual time in equal pieces."""

    def __init__(self, begin_ms: int, until_ms: int) -> None:
        self._begin_ms = begin_ms
        self._length_ms = max(-(-(until_ms - begin_ms) // POINTS), 1)
        self._count = -(-(until_ms - begin_ms) // self._length_ms)

    def starts(self) -> list[int]:
        """Return the first instant of each."""
        return [self._begin_ms + piece * self._length_ms for piece in range(self._count)]

    def of(self, at_ms: int) -> int:
        """Return which piece an instant lies in."""
        return (at_ms - self._begin_ms) // self._length_ms

    def highest(self, steps: Sequence[tuple[int, int]]) -> list[int]:
        """Return the greatest value in each piece of a curve that is given by its changes."""
        found = [0] * self._count
        value = last = 0
        for at_ms, change in sorted(steps):
            piece = self.of(at_ms)
            for passed in range(last, piece):
                found[passed + 1] = max(found[passed + 1], value)
            value, last = value + change, piece
            found[piece] = max(found[piece], value)
        return found

    def mean(self, steps: Sequence[tuple[int, int]]) -> list[float]:
        """Return the mean value in each piece of a curve that is given by its changes."""
        whole = [0] * (self._count + 1)  # by how much the value changes for good at a piece's begin
        part = [0] * (self._count + 1)  # the same, times ms, within the piece
        for at_ms, change in steps:
            piece = self.of(at_ms)
            rest_ms = self._begin_ms + (piece + 1) * self._length_ms - at_ms
            part[piece] += change * rest_ms
            whole[piece + 1] += change
        values = accumulate(whole)
        return [value + rest / self._length_ms for value, rest in zip(values, part[: self._count], strict=False)]


def _queue_steps(jobs: Sequence[Job], outcome: Outcome) -> list[tuple[int, int]]:
    waited = first_waits(outcome)
    steps = []
    for job in jobs:
        wait_ms = waited.get(job.id)
        if wait_ms is not None and wait_ms > 0:
            steps += [(job.at_ms, 1), (job.at_ms + wait_ms, -1)]
        elif wait_ms is None and job.id not in outcome.denied:
            steps.append((job.at_ms, 1))
    return steps


def _slot_steps(outcome: Outcome) -> list[tuple[int, int]]:
    steps = []
    for placement in outcome.placements:
        slots = placement.job.shape.facts.slots
        steps += [(placement.start_ms, slots), (placement.end_ms, -slots)]
    return steps
