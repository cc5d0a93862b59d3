"""What a simulation is summed up to.

Invariants:
- Percentiles are those of nearest rank: each is a wait that somebody had.
- A wait is from a workload's instant to the first instant at which all its enclaves had their places. Who never got
  them has none, and is counted as denied or as unplaced.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infrastructure.simulating.inputs import NodeLine
from infrastructure.simulating.run import Outcome
from infrastructure.simulating.shapes import Job

PERCENTILES = (50, 90, 95, 99)


def ideal_makespan_ms(jobs: Iterable[Job], slots: int) -> int | float:
    """Return what no scheduler can beat: all slot-ms on all slots, or the last arrival run at once."""
    work = last_ms = 0
    for job in jobs:
        work += job.slot_ms
        last_ms = max(last_ms, job.at_ms + job.runtime_ms)
    whole, rest = divmod(work, slots)
    return max(work / slots if rest else whole, last_ms)


def summary(
    nodes: Sequence[NodeLine], jobs: Sequence[Job], outcome: Outcome, broken: Mapping[str, int]
) -> dict[str, Any]:
    """Return the result's members but for the seconds of the processor."""
    waits = first_waits(outcome)
    placed = [job for job in jobs if job.id in waits]
    rules = Counter(outcome.denied.values())
    return {
        "workloads": len(jobs),
        "placed": len(placed),
        "denied": dict(sorted(rules.items())),
        "unplaced": sum(job.id not in waits and job.id not in outcome.denied for job in jobs),
        "held": sum(job.fails for job in placed),
        "makespan_ms": max((placement.end_ms for placement in outcome.placements), default=0),
        "ideal_makespan_ms": ideal_makespan_ms(jobs, sum(node.slots for node in nodes)),
        "waits": {
            "all": _distribution(waits.values()),
            "by_level": _grouped((job.shape.level, waits[job.id]) for job in placed),
            "by_dao": _grouped((job.shape.tenant[0], waits[job.id]) for job in placed),
        },
        "deferrals": dict(sorted(outcome.deferrals.items())),
        "borrowed_slot_ms": outcome.borrowed_slot_ms,
        "violations": sum(broken.values()),
        "broken": dict(sorted(broken.items())),
        "decisions": outcome.decisions,
    }


def first_waits(outcome: Outcome) -> dict[str, int]:
    """Return how long each workload waited that got its places, by its id."""
    waits: dict[str, int] = {}
    for placement in outcome.placements:  # in the order in which they were placed
        waits.setdefault(placement.job.id, placement.start_ms - placement.job.at_ms)
    return waits


def _grouped(waits: Iterable[tuple[str, int]]) -> dict[str, Any]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for name, wait_ms in waits:
        groups[name].append(wait_ms)
    return {name: _distribution(groups[name]) for name in sorted(groups)}


def _distribution(waits: Iterable[int]) -> dict[str, int | float]:
    ordered = sorted(waits)
    if not ordered:
        return {"count": 0}
    ranked = {f"p{percent}_ms": ordered[-(-len(ordered) * percent // 100) - 1] for percent in PERCENTILES}
    return {
        "count": len(ordered),
        "mean_ms": round(sum(ordered) / len(ordered), 1),
        **ranked,
        "max_ms": ordered[-1],
    }
