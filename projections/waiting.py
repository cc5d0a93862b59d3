"""Who waits in which class of equal workloads of one log, at which place, and what the class was last told.

A decision about a class stands in the stream of its head only; what it means for the others follows from these rows.

Rows: `class/<digest>` for equal facts and clause's rules, `gone/<digest>/<level>/<n>` of those who left it out of turn,
`line/<digest>` for equal facts, `policy`, and by their ids `workload/...` and `run/...`.

Invariants:
- Pure, as every projection: it reads rows and the event, nothing else.
- The scheduler's class is facts and effective policy. Clauses whose rules say no more than the tenant's policy give one
  class, and may give several under the next policy: so each is kept by itself, and read together with those that are
  one class with it under the policy in force.
- A place is exact: how many of the class arrived before and have not left, plus one. Who leaves in turn moves `first`
  on; who leaves out of turn is counted in a tree of rows. So every row is bounded, and what an event reads and writes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Final

from domain.canonical import canonical
from domain.executions import events as executions
from domain.hashing import sha256_hex
from domain.message import Event, Recorded
from domain.policies.kinds import Rule
from domain.tenants.events import PolicyAdopted
from domain.workloads import events as workloads

NAME = "waiting_v2"

Row = dict[str, Any]
Rows = Mapping[str, Row]
Read = Callable[[str], Row | None]
"""Gives a row by its key."""

MAX_SPELLINGS: Final = 32
"""So many sets of clause's rules with equal facts are held against each other; every further one stands alone."""

_BITS: Final = 7
_LEVELS: Final = 5
"""Of those who left out of turn a row counts 2^7 numbers, or groups of 2^7, 2^14...: room for 2^35 in a class."""

_NEW: Final[Row] = {"arrived": 0, "first": 0, "gone": 0, "told": None}


def project(rows: Rows, recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (see above)."""
    return _project(recorded.event, recorded, rows)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a workload waits: its place within its class, from 1, and what the class was told last. Instants in ms."""

    place: int
    told: Row | None
    since_ms: int
    not_after_ms: int


def standing(read: Read, workload_id: str) -> Standing | None:
    """Return how a workload waits, None where it does not."""
    mine = read(f"workload/{workload_id}")
    if mine is None or not mine["waits"]:
        return None
    before = {**mine["before"], mine["class"]: mine["number"]}
    classes = {name: row for name in _one_class(read, mine["class"]) if (row := read(name)) is not None}
    place = 1 + sum(_waiting_before(read, name, row, before.get(name, 0)) for name, row in classes.items())
    said = [row["told"] for row in classes.values() if row["told"] is not None]
    told = max(said, key=lambda one: int(one["leaf_index"]), default=None)
    return Standing(place, told, mine["since_ms"], mine["not_after_ms"])


def _waiting_before(read: Read, name: str, row: Row, number: int) -> int:
    """Return how many of those who came to a class before a number have not left."""
    first = int(row["first"])
    if number <= first or not row["gone"]:
        return max(0, number - first)
    return number - first - _gone_before(read, name, number) + _gone_before(read, name, first)


def _gone_before(read: Read, name: str, number: int) -> int:
    """Return how many before a number have left out of turn."""
    total = 0
    for level in range(_LEVELS):
        at, counts = _counts(read, name, level, number)
        total += sum(count for one, count in counts.items() if int(one) < at)
    return total


def _counts(read: Read, name: str, level: int, number: int) -> tuple[int, dict[str, int]]:
    """Return the row of a level in which a number is counted, and where in it."""
    group = number >> _BITS * level
    counts: dict[str, int] = (read(_gone_key(name, level, group)) or {"counts": {}})["counts"]
    return group & (1 << _BITS) - 1, counts


def _gone_key(name: str, level: int, group: int) -> str:
    return f"gone/{name.partition('/')[2]}/{level}/{group >> _BITS}"


def _left_out_of_turn(rows: Rows, name: str, number: int) -> dict[str, Row]:
    changed: dict[str, Row] = {}
    for level in range(_LEVELS):
        at, counts = _counts(rows.get, name, level, number)
        key = _gone_key(name, level, number >> _BITS * level)
        changed[key] = {"counts": {**counts, str(at): counts.get(str(at), 0) + 1}}
    return changed


def _next_of(read: Read, name: str, number: int, arrived: int) -> int:
    """Return the first number from one on that has not left, group by group; `arrived` where there is none."""
    while number < arrived:
        for level in reversed(range(_LEVELS)):
            at, counts = _counts(read, name, level, number)
            size = 1 << _BITS * level
            if number % size == 0 and counts.get(str(at)) == size:
                number += size
                break
        else:
            return number
    return number


def _one_class(read: Read, name: str) -> list[str]:
    """Return the rows of all that are one class with `name` under the policy in force, itself among them."""
    own = read(name)
    line = None if own is None else read(own["line"])
    if own is None or line is None or name not in line["classes"]:
        return [name]
    in_force = (read("policy") or {}).get("rules", ())

    def more(row: Row) -> list[str]:
        return [rule for rule in row["rules"] if rule not in in_force]

    rows = {other: read(other) for other in line["classes"]}
    return [other for other, row in rows.items() if row is not None and more(row) == more(own)]


def _named(rule: Rule) -> str:
    return sha256_hex(canonical(rule.model_dump(mode="json")))[:32]


@singledispatch
def _project(event: Event, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001 - nobody comes or goes
    return {}


@_project.register
def _(event: workloads.WorkloadQueued, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    left = _leave(rows, event.workload_id)
    facts, rules = event.facts.model_dump(mode="json"), [_named(rule) for rule in event.clause_rules]
    name = f"class/{sha256_hex(canonical({'facts': facts, 'rules': rules}))[:32]}"
    line = f"line/{sha256_hex(canonical(facts))[:32]}"
    beside = rows[line]["classes"] if line in rows else []
    before = {other: (left.get(other) or rows[other])["arrived"] for other in beside if other != name}
    own_class = left.get(name) or rows.get(name, {**_NEW, "line": line, "rules": rules})
    arrived = own_class["arrived"]
    mine = {
        "class": name, "number": arrived, "since_ms": recorded.at_ms, "waits": True, "not_after_ms": event.not_after_ms,
        "before": before,
    }  # fmt: skip
    changed = {name: {**own_class, "arrived": arrived + 1}, f"workload/{event.workload_id}": mine}
    if name not in beside and len(beside) < MAX_SPELLINGS:
        changed[line] = {"classes": [*beside, name]}
    return left | changed


@_project.register
def _(event: PolicyAdopted, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    return {"policy": {"rules": sorted({_named(rule) for rule in event.policy.rules})}}


@_project.register
def _(event: workloads.WorkloadDeferred, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    told = {
        "reason": event.reason, "rule": event.rule, "have": event.have, "need": event.need, "wake": event.wake,
        "retry_ms": event.retry_ms, "nodes": event.nodes, "filtered": {one.rule: one.nodes for one in event.filtered},
        "policy_version": event.policy_version, "policy_digest": event.policy_digest,
    }  # fmt: skip
    return _told(rows, recorded, event.workload_id, told)


@_project.register
def _(event: workloads.WorkloadDeferredV1, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    told = {
        "reason": event.reason, "rule": event.reason, "have": "", "need": "", "wake": event.wake,
        "retry_ms": None, "nodes": event.nodes, "filtered": {one.rule: one.nodes for one in event.filtered},
        "policy_version": event.policy_version, "policy_digest": event.policy_digest,
    }  # fmt: skip
    return _told(rows, recorded, event.workload_id, told)


@_project.register
def _(event: workloads.WorkloadPlaced, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    runs = {f"run/{one.execution_id}": {"workload": event.workload_id} for one in event.places}
    return _leave(rows, event.workload_id) | runs


@_project.register(workloads.WorkloadDenied)
@_project.register(workloads.WorkloadExpired)
@_project.register(workloads.WorkloadCancelled)
def _(
    event: workloads.WorkloadDenied | workloads.WorkloadExpired | workloads.WorkloadCancelled,
    recorded: Recorded,  # noqa: ARG001
    rows: Rows,
) -> dict[str, Row]:
    return _leave(rows, event.workload_id)


@_project.register
def _(event: executions.ExecutionFaulted, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    run = rows.get(f"run/{event.execution_id}")
    return _leave(rows, run["workload"]) if run else {}


def _told(rows: Rows, recorded: Recorded, workload: str, told: Row) -> dict[str, Row]:
    mine = rows.get(f"workload/{workload}")
    if mine is None:
        return {}
    at = {"leaf_index": recorded.leaf_index, "at_ms": recorded.at_ms, "head": workload}
    return {mine["class"]: {**rows[mine["class"]], "told": {**told, **at}}}


def _leave(rows: Rows, workload: str) -> dict[str, Row]:
    mine = rows.get(f"workload/{workload}")
    if mine is None or not mine["waits"]:
        return {}
    own_class = rows[mine["class"]]
    name, first, gone = mine["class"], own_class["first"], own_class["gone"]
    changed: dict[str, Row] = {f"workload/{workload}": {**mine, "waits": False}}
    if mine["number"] > first:
        changed |= _left_out_of_turn(rows, name, mine["number"])
        gone += 1
    else:
        following = first + 1
        first = _next_of(rows.get, name, following, own_class["arrived"]) if gone else following
        gone -= first - following
    own_class = changed[name] = {**own_class, "first": first, "gone": gone}
    return changed if first < own_class["arrived"] else changed | _forgotten(rows, name, own_class)


def _forgotten(rows: Rows, name: str, own_class: Row) -> dict[str, Row]:
    """Forget what a class was told, if nobody of it waits any more."""
    together = {one: own_class if one == name else rows[one] for one in _one_class(rows.get, name)}
    if any(row["first"] < row["arrived"] for row in together.values()):
        return {}
    return {one: {**row, "told": None} for one, row in together.items() if one == name or row["told"] is not None}
