"""Small files of nodes and workloads for the tests of simulations."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from infrastructure.simulating.governance import Governance
from infrastructure.simulating.inputs import NodeLine, WorkloadLine, read_nodes, read_workloads
from infrastructure.simulating.run import Outcome, Placement, run
from infrastructure.simulating.shapes import Job, jobs_of

GIB = 2**30

NODE: Mapping[str, Any] = {
    "id": "n1", "country": "DEU", "operator": "one", "vendor": "amd", "pool": "primary", "memory_bytes": 8 * GIB,
    "slots": 4, "attributes": ["gpu"],
}  # fmt: skip
WORKLOAD: Mapping[str, Any] = {
    "id": "w1", "at_ms": 0, "dao": "ClimateDAO", "jurisdiction": "DEU", "resource_class": "Disaster::Flood@v1",
    "level": 0, "slots": 1, "memory_bytes": GIB, "runtime_ms": 1000, "tags": [], "forbid_tags": [], "requires": [],
    "in_country": False, "independent": 1, "fails": False,
}  # fmt: skip


def node(**changes: Any) -> NodeLine:
    """Return a node's line."""
    return NodeLine.model_validate({**NODE, **changes})


def workload(**changes: Any) -> WorkloadLine:
    """Return a workload's line."""
    return WorkloadLine.model_validate({**WORKLOAD, **changes})


def write(path: Path, lines: Iterable[Mapping[str, Any] | str]) -> Path:
    """Write objects, or text as it is, one a line."""
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def simulate(
    nodes: Iterable[NodeLine], lines: Iterable[WorkloadLine], governance: Governance | None = None
) -> tuple[tuple[Job, ...], Outcome]:
    """Run lines; return the workloads in the order of their arrival, and what came of them."""
    governance = governance or Governance()
    jobs = jobs_of(lines, governance.levels, governance.policies)
    return jobs, run(tuple(nodes), jobs, governance)


def told(placements: Iterable[Placement]) -> list[tuple[str, str, int, int]]:
    """Return what a placement is about: workload, node, start and end."""
    return [(one.job.id, one.node, one.start_ms, one.end_ms) for one in placements]


__all__ = ["NODE", "WORKLOAD", "node", "read_nodes", "read_workloads", "simulate", "told", "workload", "write"]
