"""The two files of a simulation: nodes and workloads.

Invariants:
- What the domain would refuse of a node or a submission is refused here, with file and line. Only sizes are free: a
  simulated workload may be smaller or larger than a submission may.
- Ids are unique in their file. A workload's id is any printable text, as nothing but the output repeats it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from domain.errors import MalformedError
from domain.hashing import sha256_hex
from domain.identifiers import DaoName, ResourceClass
from domain.jurisdictions import Country, Jurisdiction
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Word
from domain.time import DAY_MS, MAX_INSTANT_MS
from infrastructure.simulating.lines import read_lines, refusal

MAX_RUNTIME_MS = 3660 * DAY_MS
MAX_AT_MS = MAX_INSTANT_MS // 2
"""Half of all time: what comes last still ends before the last instant that can be written."""
MAX_BYTES = 2**48
MAX_SLOTS = 4096
MAX_LEVEL = 1_000_000
MAX_ID = 128


def _words(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text")  # pydantic turns it into its own error
    return text


_Words = Annotated[tuple[Word, ...], BeforeValidator(_words), Field(max_length=64)]


class NodeLine(BaseModel):
    """One line of the nodes' file."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: Word
    country: Country
    operator: Word
    vendor: Word
    pool: Word = "primary"
    memory_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)]
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)]
    attributes: _Words = ()

    def facts(self) -> NodeFacts:
        """Return the node as the cell would enrol it: one machine, with software evidence and an id of its own."""
        return NodeFacts(
            node=self.id,
            operator=self.operator,
            country=self.country,
            vendor=self.vendor,
            pool=self.pool,
            memory_bytes=self.memory_bytes,
            slots=self.slots,
            attributes=self.attributes,
            platform_ids=(f"software:{sha256_hex(b'simulated node ' + self.id.encode())}",),
        )


class WorkloadLine(BaseModel):
    """One line of the workloads' file.

    Attributes:
        level: name of a level in force, or its number (0 is served first); None: the resource class decides.
        fails: it faults at its end, is held, and nobody authorises it again.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=MAX_ID), AfterValidator(_printable)]
    at_ms: Annotated[int, Field(ge=0, le=MAX_AT_MS)]
    dao: DaoName
    jurisdiction: Jurisdiction
    resource_class: ResourceClass
    level: Annotated[int, Field(ge=0, le=MAX_LEVEL)] | Word | None = None
    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)]
    memory_bytes: Annotated[int, Field(ge=1, le=MAX_BYTES)]
    runtime_ms: Annotated[int, Field(ge=1, le=MAX_RUNTIME_MS)]
    tags: _Words = ()
    forbid_tags: _Words = ()
    requires: _Words = ()
    in_country: bool = False
    independent: Annotated[int, Field(ge=0, le=16)] = 1
    fails: bool = False

    @property
    def tenant(self) -> tuple[str, str]:
        """Return whose it is: DAO and jurisdiction."""
        return self.dao, self.jurisdiction

    @property
    def enclaves(self) -> int:
        """Return how many it needs at once."""
        return max(self.independent, 1)


_Line = TypeVar("_Line", NodeLine, WorkloadLine)


def read_nodes(path: Path) -> tuple[NodeLine, ...]:
    """Read the nodes' file.

    Raises:
        MalformedError: for a bad line, an id that is there twice, or a file without a node.
    """
    nodes = tuple(_once(path, NodeLine))
    if not nodes:
        raise MalformedError(f"{path} names no node")
    return nodes


def read_workloads(path: Path) -> tuple[WorkloadLine, ...]:
    """Read the workloads' file.

    Raises:
        MalformedError: for a bad line, or an id that is there twice.
    """
    return tuple(_once(path, WorkloadLine))


def _once(path: Path, kind: type[_Line]) -> Iterator[_Line]:
    seen: dict[str, int] = {}
    for number, line in read_lines(path, kind):
        if line.id in seen:
            raise refusal(path, number, f"id {line.id!a} is on line {seen[line.id]} already")
        seen[line.id] = number
        yield line
