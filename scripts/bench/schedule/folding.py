"""How fast views are folded: what a restart and every replay begin with.

Invariants:
- Views come as they are kept, as bytes; reading them counts.
- They are those of a cell at work: workloads that arrive, while all nodes are taken, and reports of what runs and ends.
"""

import time

import orjson

from domain.errors import VerificationError
from domain.scheduling.views import View, view_bytes
from scripts.bench.rounds import clean_heap
from scripts.bench.schedule.cell import Size
from scripts.bench.schedule.deciding import Cell, full_cell


def measure_fold(size: Size) -> tuple[float, int]:
    """Return views folded per second, and how many there were.

    Raises:
        VerificationError: when what was folded isn't there, or isn't gone.
    """
    cell = full_cell(size)
    waiting, running = len(cell.state.waiting), len(cell.state.live)
    kept = [view_bytes(view) for view in _views(cell, size)]
    with clean_heap():
        began = time.perf_counter()
        for data in kept:
            cell.state.fold(orjson.loads(data))
        took_s = time.perf_counter() - began
    if len(cell.state.waiting) != waiting + size.pending or running == 0 or cell.state.live:
        raise VerificationError("the fold lost or kept what it should not")
    return len(kept) / took_s, len(kept)


def _views(cell: Cell, size: Size) -> list[View]:
    arriving = cell.arrivals(size, size.pending, first=10 * size.pending)
    ending = [view for at in reversed(range(len(cell.running))) for view in cell.end(at)]
    return [*arriving, *ending]
