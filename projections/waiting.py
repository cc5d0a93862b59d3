"""Who waits in which class of equal workloads of one log, at which place, and what the class was last told.

A decision about a class stands in the stream of its head only; what it means for the others follows from these rows.

Invariants:
- Pure, as every projection: it reads rows and the event, nothing else.
- A class is all that the scheduler reads of a workload, but for the tenant's policy, which is the same for all of them.
- A place is exact: how many of the class arrived before and have not left, plus one. Who leaves out of turn is kept by
  number until all before it have left, so a row stays small: a class is served in order.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from domain.canonical import canonical
from domain.executions import events as executions
from domain.hashing import sha256_hex
from domain.message import Event, Recorded
from domain.workloads import events as workloads

NAME = "waiting_v1"

Row = dict[str, Any]
Rows = Mapping[str, Row]

_NEW: Row = {"arrived": 0, "first": 0, "gone": [], "told": None}


def project(rows: Rows, recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`workload/<id>`, `class/<digest>`, `run/<execution id>`)."""
    return _project(recorded.event, recorded, rows)


def place(workload: Row, own_class: Row) -> int:
    """Return the place of a waiting workload within its class, from 1."""
    number = workload["number"]
    return int(number - own_class["first"] - sum(one < number for one in own_class["gone"]) + 1)


@singledispatch
def _project(event: Event, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001 - nobody comes or goes
    return {}


@_project.register
def _(event: workloads.WorkloadQueued, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    left = _leave(rows, event.workload_id)
    rules = [rule.model_dump(mode="json") for rule in event.clause_rules]
    shape = {"facts": event.facts.model_dump(mode="json"), "rules": rules}
    name = f"class/{sha256_hex(canonical(shape))[:32]}"
    own_class = left.get(name) or rows.get(name, _NEW)
    arrived = own_class["arrived"]
    mine = {
        "class": name, "number": arrived, "since_ms": recorded.at_ms, "waits": True, "not_after_ms": event.not_after_ms
    }  # fmt: skip
    return left | {name: {**own_class, "arrived": arrived + 1}, f"workload/{event.workload_id}": mine}


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
    first, gone = own_class["first"], sorted([*own_class["gone"], mine["number"]])
    while gone and gone[0] == first:
        first += 1
        del gone[0]
    told = own_class["told"] if first < own_class["arrived"] else None  # nobody waits: what was said is over
    return {
        f"workload/{workload}": {**mine, "waits": False},
        mine["class"]: {**own_class, "first": first, "gone": gone, "told": told},
    }
