"""Where each enclave of one log lived, what was measured, and that it is gone: the isolation state.

Invariants:
- `zeroed` is true only after a RuntimeReset that the node reported; without one an enclave is never shown as gone.
- Rows speak of the log's own executions only.
"""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

from domain.executions import events as executions
from domain.message import Event, Recorded

NAME = "isolation_v1"

Row = dict[str, Any]


_NEVER = "never held inputs"


def project(rows: Mapping[str, Row], recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`enclave/<execution id>`)."""
    changes = _project(recorded.event)
    if not changes:
        return {}
    key = f"enclave/{changes.pop('execution')}"
    if rows.get(key, {}).get("state") == _NEVER and isinstance(recorded.event, executions.ExecutionFaulted):
        return {}  # its workload is held by it; there was no enclave that could hold anything
    return {key: {**rows.get(key, {}), **changes, "leaf_index": recorded.leaf_index}}


@singledispatch
def _project(event: Event) -> dict[str, Any]:  # noqa: ARG001 - nothing to note
    return {}


@_project.register
def _(event: executions.ExecutionReserved) -> dict[str, Any]:
    return {
        "execution": event.execution_id,
        "node": event.node,
        "clause_id": event.clause_id,
        "limits": event.limits.model_dump(mode="json"),
        "state": "reserved",
        "zeroed": False,
    }


@_project.register
def _(event: executions.EvidenceAppraised) -> dict[str, Any]:
    return {
        "execution": event.execution_id,
        "platform": event.platform_id,
        "evidence_class": event.evidence_class,
        "measurement": event.measurement,
        "report_data": event.report_data,
        "state": "appraised" if event.accepted else "refused",
    }


@_project.register
def _(event: executions.InputsReleased) -> dict[str, Any]:
    return {"execution": event.execution_id, "state": "holds inputs", "released_by": event.released_by}


@_project.register(executions.ExecutionCompleted)
@_project.register(executions.ExecutionFaulted)
def _(event: executions.ExecutionCompleted | executions.ExecutionFaulted) -> dict[str, Any]:
    return {"execution": event.execution_id, "state": "ended"}


@_project.register
def _(event: executions.RuntimeReset) -> dict[str, Any]:
    # Without the node's report nobody knows: its window is over and its place is free, that is all.
    gone = event.report is not None
    return {"execution": event.execution_id, "state": "gone" if gone else "lost", "zeroed": gone}


@_project.register
def _(event: executions.ExecutionAbandoned) -> dict[str, Any]:
    return {"execution": event.execution_id, "state": _NEVER}
