"""What is queued: workloads in few shapes, as the decisions read them.

Invariants:
- Workloads whose lines differ in id, instant and `fails` alone, and in runtimes below one power of two, have one shape
  and so one class: a submitter declares a bound, not how long it will take. Where the tenant's policy limits bounds,
  the bound is the runtime itself.
- Levels are numbered densely in their order, so that only the order counts. A name that isn't in force comes after all
  that are; numbers stand for themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domain.bounds import SimulatedBounds
from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import priority_domain
from domain.policies.facts import WorkloadFacts
from domain.policies.kinds import InCountry, IndependentAttestations, MaximumBounds, Policy, Rule
from infrastructure.simulating.governance import Tenant
from infrastructure.simulating.inputs import WorkloadLine

FUEL = 1_000_000
"""Every simulated workload's fuel: the files don't tell of it."""

MAX_LEVELS = 4097
"""Levels that facts have numbers for, from 0 on."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What equal workloads share.

    Attributes:
        tenant: whose they are.
        level: the level's name, as the results show it.
        facts: as the decisions read them.
        rules: what a clause would ask for: in country, independent enclaves.
        enclaves: how many at once.
        members: of the view of a workload that is queued, but for its id.
    """

    tenant: Tenant
    level: str
    facts: WorkloadFacts
    rules: tuple[Rule, ...]
    enclaves: int
    members: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Job:
    """A workload of the file, and the id that it has in the simulated cell."""

    id: str
    workload_id: str
    at_ms: int
    runtime_ms: int
    fails: bool
    shape: Shape

    @property
    def slot_ms(self) -> int:
        """Return what it takes of the nodes' time: slots, for every enclave, for as long as it runs."""
        return self.shape.facts.slots * self.shape.enclaves * self.runtime_ms


def jobs_of(lines: Iterable[WorkloadLine], levels: Sequence[str], policies: Mapping[Tenant, Policy]) -> tuple[Job, ...]:
    """Return the workloads in the order in which they arrive: by instant, then as they stand in the file.

    Raises:
        MalformedError: for more levels than there can be.
    """
    ordered = sorted(lines, key=lambda line: line.at_ms)  # stable
    found = {_named(line): _level(_named(line), levels) for line in ordered}
    ranks = {rank: place for place, rank in enumerate(sorted({rank for rank, _ in found.values()}))}
    if len(ranks) > MAX_LEVELS:
        raise MalformedError(f"the workloads are of {len(ranks)} levels; at most {MAX_LEVELS} can be told apart")
    exact = {tenant for tenant, policy in policies.items() if any(isinstance(r, MaximumBounds) for r in policy.rules)}
    shapes: dict[tuple[Any, ...], Shape] = {}
    jobs = []
    for line in ordered:
        wall_ms = line.runtime_ms if line.tenant in exact else 1 << (line.runtime_ms - 1).bit_length()
        key = (
            line.tenant, line.resource_class, line.level, line.slots, line.memory_bytes, wall_ms, line.tags,
            line.forbid_tags, line.requires, line.in_country, line.enclaves,
        )  # fmt: skip
        shape = shapes.get(key)
        if shape is None:
            rank, label = found[_named(line)]
            shape = shapes[key] = _shape(line, wall_ms, label, ranks[rank])
        jobs.append(Job(line.id, workload_of(line.id), line.at_ms, line.runtime_ms, line.fails, shape))
    return tuple(jobs)


def workload_of(simulated: str) -> str:
    """Return the workload id that a line's id has in the simulated cell."""
    return f"wl-0x{sha256_hex(b'simulated workload ' + simulated.encode())[:32]}"


def _named(line: WorkloadLine) -> int | str:
    return priority_domain(line.resource_class) if line.level is None else line.level


def _level(given: int | str, levels: Sequence[str]) -> tuple[int, str]:
    """Return a level's rank and its name: as it is in force, else as it is given."""
    if isinstance(given, int):
        return given, str(given)
    for rank, name in enumerate(levels):
        if given.lower() == name.lower():
            return rank, name
    return len(levels), given


def _shape(line: WorkloadLine, wall_ms: int, level: str, place: int) -> Shape:
    rules: tuple[Rule, ...] = ()
    if line.in_country:
        rules += (InCountry(kind="in_country"),)
    if line.enclaves > 1:
        rules += (IndependentAttestations(kind="independent_attestations", count=line.enclaves),)
    facts = WorkloadFacts(
        dao=line.dao,
        jurisdiction=line.jurisdiction,
        resource_class=line.resource_class,
        bounds=SimulatedBounds(memory_bytes=line.memory_bytes, fuel=FUEL, wall_ms=wall_ms),
        tags=line.tags,
        forbid_tags=line.forbid_tags,
        required_attributes=line.requires,
        slots=line.slots,
        level=place,
    )
    members = {
        "kind": "queued",
        "attempt": 1,
        "facts": facts.model_dump(mode="json"),
        "clause_rules": [rule.model_dump(mode="json") for rule in rules],
        "clause_id": f"Simulated::{priority_domain(line.resource_class)}::Workload@1.0.0",
        "module_digest": sha256_hex(b"simulated module"),
        "draft": False,
    }
    return Shape(line.tenant, level, facts, rules, line.enclaves, members)
