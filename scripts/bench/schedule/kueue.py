"""Kueue's own load generators, run through the cell's decisions in virtual time.

How its words are ours: a cohort is a scope of the quota tree, with its queues' nominal quotas together, all of which it
lends; a cluster queue is a DAO below it, with its nominal quota and borrowing limit; a workload's priority is its
level, the highest first; `request` is slots. Nothing is pre-empted here, whatever the file says of it. The generator
knows no nodes: each cohort has as many slots of its own, on one node if it can be, as its queues have quota, so that
quota alone decides. A set's first workload comes at the begin, each other one an interval after the one before.

Invariants:
- A member of the file that isn't known here is refused: nothing of a load is passed over.
- What no class of `wlClassesMaxAvgTimeToAdmissionMs` exceeds is a class's mean wait from arrival to placement.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from domain.errors import MalformedError, VerificationError
from domain.quotas.events import Quota
from infrastructure.client.files import read_bounded
from infrastructure.simulating.checking import violations
from infrastructure.simulating.governance import Governance, ScopeLimits, TenantLimits
from infrastructure.simulating.inputs import MAX_SLOTS, NodeLine, WorkloadLine
from infrastructure.simulating.lines import reason
from infrastructure.simulating.measuring import first_waits, ideal_makespan_ms
from infrastructure.simulating.run import run
from infrastructure.simulating.shapes import jobs_of

MAX_FILE_BYTES = 1024 * 1024
MAX_WORKLOADS = 1_000_000
JURISDICTION = "INTL"
_GENERATOR, _RANGES = "-generator.yaml", "-rangespec.yaml"

Count = Annotated[int, Field(ge=1, le=MAX_WORKLOADS)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", alias_generator=to_camel)


def _quantity(value: object) -> object:
    return int(value) if isinstance(value, str) and value.isascii() and value.isdecimal() else value


Quantity = Annotated[int, BeforeValidator(_quantity), Field(ge=0, le=1_000_000)]
"""Whole ones only, as a number or as Kubernetes writes them, in quotes."""


class Template(_Strict):
    """One workload of a set."""

    class_name: str
    runtime_ms: Count
    priority: int
    request: Annotated[int, BeforeValidator(_quantity), Field(ge=1, le=MAX_SLOTS)]


class WorkloadSet(_Strict):
    """So many times its workloads, one time each interval."""

    count: Count
    creation_interval_ms: Annotated[int, Field(ge=0, le=86_400_000)]
    workloads: Annotated[list[Template], Field(min_length=1, max_length=100)]


class QueueSet(_Strict):
    """So many equal queues."""

    class_name: str
    count: Count
    nominal_quota: Quantity
    borrowing_limit: Quantity
    reclaim_within_cohort: str = "Never"
    within_cluster_queue: str = "Never"
    workloads_sets: Annotated[list[WorkloadSet], Field(max_length=100)]


class CohortSet(_Strict):
    """So many equal cohorts."""

    class_name: str
    count: Count
    queues_sets: Annotated[list[QueueSet], Field(min_length=1, max_length=100)]


class Generator(_Strict):
    """The whole file."""

    cohorts: Annotated[list[CohortSet], Field(min_length=1, max_length=100)]


@dataclass(frozen=True, slots=True)
class Load:
    """A generator's load as a simulation takes it; `classes` has each workload's class by its id."""

    nodes: tuple[NodeLine, ...]
    lines: tuple[WorkloadLine, ...]
    governance: Governance
    classes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Found:
    """What one file's load came to: makespan to ideal, seconds of the processor, mean waits in ms, those too long."""

    workloads: int
    ratio: float
    cpu_s: float
    waits_ms: Mapping[str, float]
    late: tuple[str, ...]

    def __str__(self) -> str:
        waits = ", ".join(f"{name} {wait_ms:.0f}" for name, wait_ms in sorted(self.waits_ms.items()))
        return f"{self.workloads} workloads, ratio {self.ratio:.4f}, {self.cpu_s:.1f} s; mean waits in ms: {waits}"


def measure_kueue(path: Path) -> Found:
    """Run a generator's load; hold its classes against the ranges beside the file, where there are any.

    Raises:
        MalformedError: when a file isn't as Kueue has it.
        VerificationError: when a workload is left out, or a placement breaks a rule.
    """
    most_ms = _ranges(path)
    began = time.process_time()
    load = load_of(read_generator(path))
    jobs = jobs_of(load.lines, (), {})
    outcome = run(load.nodes, jobs, load.governance)
    cpu_s = time.process_time() - began
    waits = first_waits(outcome)
    broken = violations(outcome.placements, [node.facts() for node in load.nodes], {})
    if broken or len(waits) != len(jobs):
        raise VerificationError(f"{path.name}: {len(waits)} of {len(jobs)} placed, broken: {dict(broken)}")
    means = _means(waits, load.classes)
    late = tuple(name for name, most in sorted(most_ms.items()) if means.get(name, 0) > most)
    makespan_ms = max(placement.end_ms for placement in outcome.placements)
    ideal_ms = ideal_makespan_ms(jobs, sum(node.slots for node in load.nodes))
    return Found(len(jobs), makespan_ms / ideal_ms, cpu_s, means, late)


def read_generator(path: Path) -> Generator:
    """Read a generator's file.

    Raises:
        MalformedError: when it isn't as Kueue has it.
    """
    try:
        return Generator.model_validate(_yaml(path))
    except ValidationError as error:
        raise MalformedError(f"{path}: {reason(error)}") from None


def load_of(generator: Generator) -> Load:
    """Return a generator's load.

    Raises:
        MalformedError: when it is larger than MAX_WORKLOADS.
    """
    priorities = {template.priority for template, *_ in _templates(generator)}
    levels = {priority: level for level, priority in enumerate(sorted(priorities, reverse=True))}
    total = sum(count for _, count in _templates(generator))
    if total > MAX_WORKLOADS:
        raise MalformedError(f"{total} workloads are more than {MAX_WORKLOADS}")
    nodes: list[NodeLine] = []
    scopes: list[ScopeLimits] = []
    limits: dict[tuple[str, str], TenantLimits] = {}
    lines: list[WorkloadLine] = []
    classes: dict[str, str] = {}
    for cohort, queues in _cohorts(generator):
        slots = sum(queue.nominal_quota for _, queue in queues)
        nodes += [_node(cohort, f"{cohort}.{at}", min(MAX_SLOTS, slots - at)) for at in range(0, slots, MAX_SLOTS)]
        scopes.append(ScopeLimits(name=cohort, slots=Quota(nominal=slots, lend=slots)))
        for name, queue in queues:
            quota = Quota(nominal=queue.nominal_quota, borrow=queue.borrowing_limit, lend=queue.nominal_quota)
            limits[name, JURISDICTION] = TenantLimits(tenant=f"{name}/{JURISDICTION}", parent=cohort, slots=quota)
            for at_ms, id_, template in _arrivals(name, queue.workloads_sets):
                classes[id_] = template.class_name
                lines.append(_workload(id_, at_ms, name, cohort, template, levels[template.priority]))
    governance = Governance(levels=("Any",), scopes=tuple(scopes), limits=limits)
    return Load(tuple(nodes), tuple(lines), governance, classes)


def _templates(generator: Generator) -> Iterator[tuple[Template, int]]:
    for cohort in generator.cohorts:
        for queue in cohort.queues_sets:
            for some in queue.workloads_sets:
                for template in some.workloads:
                    yield template, cohort.count * queue.count * some.count


def _cohorts(generator: Generator) -> Iterator[tuple[str, list[tuple[str, QueueSet]]]]:
    for which, cohort in enumerate(generator.cohorts):
        for number in range(cohort.count):
            name = f"{cohort.class_name}-{which}-{number}"
            queues = [
                (f"{name}-{queue.class_name}-{kind}-{at}", queue)
                for kind, queue in enumerate(cohort.queues_sets)
                for at in range(queue.count)
            ]
            yield name, queues


def _arrivals(queue: str, sets: Sequence[WorkloadSet]) -> Iterator[tuple[int, str, Template]]:
    for which, some in enumerate(sets):
        for number, template in enumerate(some.workloads * some.count):
            yield number * some.creation_interval_ms, f"{queue}/{which}/{number}", template


def _node(cohort: str, name: str, slots: int) -> NodeLine:
    return NodeLine(
        id=name, country="USA", operator="operator", vendor="vendor", memory_bytes=slots, slots=slots,
        attributes=(cohort,),
    )  # fmt: skip


def _workload(id_: str, at_ms: int, dao: str, cohort: str, template: Template, level: int) -> WorkloadLine:
    return WorkloadLine.model_construct(  # made here, not read: fifty thousand need no second look
        id=id_, at_ms=at_ms, dao=dao, jurisdiction=JURISDICTION, resource_class="Any::Workload@v1", level=level,
        slots=template.request, memory_bytes=1, runtime_ms=template.runtime_ms, tags=(), forbid_tags=(),
        requires=(cohort,), in_country=False, independent=1, fails=False,
    )  # fmt: skip


def _means(waits: Mapping[str, int], classes: Mapping[str, str]) -> dict[str, float]:
    by_class: defaultdict[str, list[int]] = defaultdict(list)
    for id_, wait_ms in waits.items():
        by_class[classes[id_]].append(wait_ms)
    return {name: sum(found) / len(found) for name, found in by_class.items()}


def _ranges(path: Path) -> dict[str, int]:
    """Return how long each class may wait on average, in ms."""
    beside = path.with_name(path.name.removesuffix(_GENERATOR) + _RANGES)
    if not path.name.endswith(_GENERATOR) or not beside.is_file():
        return {}
    found = _yaml(beside)
    most = found.get("wlClassesMaxAvgTimeToAdmissionMs", {}) if isinstance(found, dict) else None
    if not isinstance(most, dict) or not all(isinstance(value, int) for value in most.values()):
        raise MalformedError(f"{beside} has no table wlClassesMaxAvgTimeToAdmissionMs")
    return {str(name): value for name, value in most.items()}


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(read_bounded(path, MAX_FILE_BYTES))
    except yaml.YAMLError as error:
        raise MalformedError(f"{path} is not YAML: {' '.join(str(error).split())[:200]}") from None


def worst(found: Iterable[Found]) -> tuple[float, float, int]:
    """Return the largest ratio and the most seconds of any file, and the number of classes that were late in all."""
    every = tuple(found)
    return max(one.ratio for one in every), max(one.cpu_s for one in every), sum(len(one.late) for one in every)
