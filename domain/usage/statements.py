"""A statement of usage: what one log metered in a period, a line for each execution, each naming its entry.

Invariants:
- A period is [from, to): what is metered lies in exactly one part of any split of it, so parts sum to the whole.
- Instants never fall along a log here: a line's is the highest that the log had metered anything at by then. So a
  period is a stretch of the log.
- Sums are those of the lines, to the unit, of any size: in JSON those of 2^53 and more are strings of digits.
- It is complete as of the size that it names, and no later: what the log took in since is in none of its lines.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, model_validator

from domain.cacs.events import UsageMetered
from domain.canonical import MAX_INTEGER
from domain.errors import MalformedError
from domain.identifiers import Digest
from domain.message import Value
from domain.time import MAX_INSTANT_MS

FORMAT: Final = "ledger-usage/v1"
MOST_LINES: Final = 100_000
"""Lines in one statement: a longer period is told in parts."""

_DIGITS: Final = re.compile(r"[1-9][0-9]{15,63}")


def _read_large(value: Any) -> Any:
    """Read an amount that is too large for a number in JSON: digits, and only then."""
    if not isinstance(value, str):
        return value
    if not _DIGITS.fullmatch(value) or int(value) <= MAX_INTEGER:
        raise ValueError("an amount below 2^53 is a number, any other its digits")
    return int(value)


def _print_large(value: int) -> int | str:
    return value if value <= MAX_INTEGER else str(value)


Amount = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
Sum = Annotated[
    int,
    Field(ge=0),
    BeforeValidator(_read_large),
    PlainSerializer(_print_large, return_type=int | str, when_used="json"),
]
Instant = Annotated[int, Field(ge=0, le=MAX_INSTANT_MS)]
Name = Annotated[str, Field(max_length=256)]

_AMOUNTS: Final = ("slot_ms", "memory_mib_ms", "fuel", "tokens", "bytes_in", "bytes_out")


class Sums(Value):
    """What so many executions used together: slots x ms, MiB x ms, fuel, tokens, bytes of inputs and outputs."""

    executions: Sum = 0
    slot_ms: Sum = 0
    memory_mib_ms: Sum = 0
    fuel: Sum = 0
    tokens: Sum = 0
    bytes_in: Sum = 0
    bytes_out: Sum = 0

    def plus(self, other: "Sums") -> "Sums":
        """Return both together."""
        return Sums(**{name: getattr(self, name) + getattr(other, name) for name in Sums.model_fields})


class Line(Value):
    """What one execution used, and the entry that says so.

    `node` and `operator` are empty where the release that metered it did not tell; it told no tokens and bytes then.
    """

    leaf_index: Amount
    leaf_hash: Digest
    at_ms: Instant
    execution: Annotated[str, Field(pattern=r"^exec-0x[0-9a-f]{32}$")]
    node: Name
    operator: Name
    slot_ms: Amount
    memory_mib_ms: Amount
    fuel: Amount
    tokens: Amount
    bytes_in: Amount
    bytes_out: Amount

    @property
    def sums(self) -> Sums:
        """Return its amounts, as those of one execution."""
        return Sums(executions=1, **{name: getattr(self, name) for name in _AMOUNTS})


class NodeSums(Sums):
    """Sums of one node, with its operator."""

    node: Name
    operator: Name


class OperatorSums(Sums):
    """Sums of one operator's nodes."""

    operator: Name


class UsageStatement(Value):
    """What a log metered in [from_ms, to_ms), as of a size of its tree.

    Attributes:
        format: names this form.
        origin: the log's.
        tenant: DAO/JUR.
        from_ms: first instant of the period.
        to_ms: the instant after its last.
        size: of the tree that it was read from.
        root: of that tree, in hex.
        lines: in leaf order.
        totals: of all lines.
        nodes: by node and operator, in order.
        operators: by operator, in order.
    """

    format: Literal["ledger-usage/v1"] = FORMAT
    origin: Annotated[str, Field(min_length=1, max_length=255)]
    tenant: Name
    from_ms: Instant
    to_ms: Instant
    size: Amount
    root: Digest
    lines: Annotated[tuple[Line, ...], Field(strict=False, max_length=MOST_LINES)]
    totals: Sums
    nodes: Annotated[tuple[NodeSums, ...], Field(strict=False)]
    operators: Annotated[tuple[OperatorSums, ...], Field(strict=False)]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.from_ms >= self.to_ms:
            raise ValueError("a period ends after it begins")
        order = [line.leaf_index for line in self.lines]
        if order != sorted(set(order)) or (order and order[-1] >= self.size):
            raise ValueError("lines stand in leaf order, each once, within the tree that they are of")
        if any(not self.from_ms <= line.at_ms < self.to_ms for line in self.lines):
            raise ValueError("a line lies outside of the period")
        if self.totals != total(self.lines):
            raise ValueError("the totals are not the sums of the lines")
        if (self.nodes, self.operators) != (by_node(self.lines), by_operator(self.lines)):
            raise ValueError("sums by node or operator are not those of the lines")
        return self


def line_of(event: UsageMetered, *, leaf_index: int, leaf_hash: bytes, at_ms: int) -> Line:
    """Return the line of what was metered, at the instant that counts for periods."""
    told = {name: getattr(event, name) or 0 for name in _AMOUNTS}
    return Line(
        leaf_index=leaf_index, leaf_hash=leaf_hash.hex(), at_ms=at_ms, execution=event.execution_id,
        node=event.node or "", operator=event.operator or "", **told,
    )  # fmt: skip


def total(lines: Iterable[Line]) -> Sums:
    """Return the sums of lines."""
    summed = dict.fromkeys(Sums.model_fields, 0)
    for line in lines:
        _add(summed, line)
    return Sums(**summed)


def by_node(lines: Iterable[Line]) -> tuple[NodeSums, ...]:
    """Return the sums of lines by node and operator, in the order of these names."""
    found: dict[tuple[str, str], dict[str, int]] = {}
    for line in lines:
        _add(found.setdefault((line.node, line.operator), dict.fromkeys(Sums.model_fields, 0)), line)
    return tuple(NodeSums(node=node, operator=operator, **sums) for (node, operator), sums in sorted(found.items()))


def by_operator(lines: Iterable[Line]) -> tuple[OperatorSums, ...]:
    """Return the sums of lines by operator, in the order of their names."""
    found: dict[str, dict[str, int]] = {}
    for line in lines:
        _add(found.setdefault(line.operator, dict.fromkeys(Sums.model_fields, 0)), line)
    return tuple(OperatorSums(operator=operator, **sums) for operator, sums in sorted(found.items()))


def statement(
    lines: Iterable[Line], *, origin: str, tenant: str, period: tuple[int, int], size: int, root: bytes
) -> UsageStatement:
    """Return the statement of lines.

    Args:
        lines: all that was metered in the period.
        origin: the log's.
        tenant: DAO/JUR.
        period: from, to in ms since 1970.
        size: of the tree.
        root: of the tree.

    Raises:
        MalformedError: when the period ends before it begins, or lines lie outside of it.
    """
    kept = tuple(lines)
    members: dict[str, Any] = {"origin": origin, "tenant": tenant, "from_ms": period[0], "to_ms": period[1]}
    sums: dict[str, Any] = {"totals": total(kept), "nodes": by_node(kept), "operators": by_operator(kept)}
    try:
        return UsageStatement(**members, size=size, root=root.hex(), lines=kept, **sums)
    except ValidationError as error:
        raise MalformedError(_why(error)) from None


def read_statement(data: bytes) -> UsageStatement:
    """Read a statement, strictly: closed shape, and it adds up.

    Raises:
        MalformedError: when it is not of its form, or its sums are not those of its lines.
    """
    try:
        return UsageStatement.model_validate_json(data)
    except ValidationError as error:
        raise MalformedError(_why(error)) from None


def _add(sums: dict[str, int], line: Line) -> None:
    sums["executions"] += 1
    for name in _AMOUNTS:
        sums[name] += getattr(line, name)


def _why(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"the statement of usage is malformed{f' at {where}' if where else ''}: {first['msg']}"
