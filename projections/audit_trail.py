"""What became of every submission of one log: gates passed and failed, executions, results.

Invariants:
- Pure: the same history gives the same rows, whether folded from a bundle or from the database, at any size.
- `project` returns only the rows that an event changes; nothing else is read than rows and event.
- Rows say what the tenant's own entries say, each with the leaf index that it rests on.
"""

from collections.abc import Callable, Mapping
from functools import singledispatch
from typing import Any

from domain.cacs import events as cacs
from domain.disputes import events as disputes
from domain.executions import events as executions
from domain.message import Event, Recorded
from domain.quotas import events as quotas
from domain.workloads import events as workloads

NAME = "audit_trail_v1"

Row = dict[str, Any]
Rows = Mapping[str, Row]


def project(rows: Rows, recorded: Recorded) -> dict[str, Row]:
    """Return the rows that an event changes, by key (`workload/<id>`, `execution/<id>`, `cac/<id>`)."""
    return _project(recorded.event, recorded, rows)


@singledispatch
def _project(event: Event, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001 - nothing to note
    return {}


@_project.register
def _(event: workloads.WorkloadSubmitted, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    row: Row = {
        "workload": event.workload_id,
        "tenant": event.tenant.model_dump(mode="json"),
        "resource_class": event.resource_class,
        "status": "submitted",
        "submitted_at_ms": recorded.at_ms,
        "attempt": 0,
        "enclaves": 0,
        "gates": [],
        "executions": [],
        "cacs": [],
        "reason": "",
        "next": "credential check",
    }
    return {f"workload/{event.workload_id}": _at(row, recorded)}


@_project.register
def _(event: workloads.CredentialChecked, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _gate(rows, recorded, _workload_of(recorded), "credential", passed=event.passed, reason=event.reason)


@_project.register
def _(event: workloads.ClauseVerified, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _gate(rows, recorded, _workload_of(recorded), "clause", passed=event.passed, reason=event.reason)


@_project.register
def _(event: workloads.WorkloadQueued, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(
        rows, recorded, event.workload_id, status="queued", attempt=event.attempt, reason="", next="next decision"
    )


@_project.register
def _(event: workloads.WorkloadDeferredV1, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(
        rows, recorded, event.workload_id, status="waiting", reason=event.reason, next=event.wake, place=event.place
    )


@_project.register
def _(event: workloads.WorkloadDeferred, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(
        rows, recorded, event.workload_id, status="waiting", reason=event.reason, next=event.wake, place=event.place,
        rule=event.rule, have=event.have, need=event.need, retry_ms=event.retry_ms,
    )  # fmt: skip


@_project.register
def _(event: workloads.WorkloadDenied, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    filtered = {item.rule: item.nodes for item in event.filtered}
    own = {"rule": event.rule, "have": event.have, "need": event.need, "nodes": event.nodes, "filtered": filtered}
    changed = _workload(
        rows, recorded, event.workload_id, status="denied", reason=event.reason, next="never; submit again", **own
    )
    if event.gate in {"credential", "clause"}:
        return changed  # the check itself is the gate's entry
    extra = {"policy_version": event.policy_version, "policy_digest": event.policy_digest, **own}
    return _gate(changed, recorded, event.workload_id, event.gate, passed=False, reason=event.reason, **extra)


@_project.register
def _(event: workloads.WorkloadPlaced, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    known = rows[f"workload/{event.workload_id}"]["executions"]
    ids = [*known, *(place.execution_id for place in event.places)]
    changed = _workload(
        rows, recorded, event.workload_id, status="placed", executions=ids, enclaves=len(event.places), reason="",
        next="the node's evidence",
    )  # fmt: skip
    extra = {"policy_version": event.policy_version, "policy_digest": event.policy_digest}
    return _gate(changed, recorded, event.workload_id, "queue", passed=True, reason="every rule holds", **extra)


@_project.register
def _(event: quotas.QuotaBorrowed, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    borrowed = {"slots": event.slots, "memory_bytes": event.memory_bytes, "lender": event.lender}
    return _workload(rows, recorded, event.workload_id, borrowed=borrowed)


@_project.register
def _(event: workloads.OverflowOffered, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    offer = {"nodes": list(event.nodes), "status": "offered", "expires_ms": event.expires_ms}
    return _workload(rows, recorded, event.workload_id, overflow=offer)


@_project.register
def _(event: workloads.OverflowAccepted, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    standing = [one.model_dump(mode="json") for one in event.standing]
    offer = {**rows[f"workload/{event.workload_id}"]["overflow"], "status": "accepted", "standing": standing}
    return _workload(rows, recorded, event.workload_id, overflow=offer)


@_project.register
def _(event: workloads.OverflowAcceptedV1, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    offer = {**rows[f"workload/{event.workload_id}"]["overflow"], "status": "accepted"}
    return _workload(rows, recorded, event.workload_id, overflow=offer)


@_project.register
def _(event: workloads.OverflowClosed, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    offer = {**rows[f"workload/{event.workload_id}"]["overflow"], "status": event.reason}
    return _workload(rows, recorded, event.workload_id, overflow=offer)


@_project.register
def _(event: workloads.WorkloadExpired, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(
        rows, recorded, event.workload_id, status="expired", reason="not_after", next="never; submit again"
    )


@_project.register
def _(event: workloads.WorkloadCancelled, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(rows, recorded, event.workload_id, status="cancelled", reason="taken back", next="never")


@_project.register
def _(event: executions.ExecutionReserved, recorded: Recorded, rows: Rows) -> dict[str, Row]:  # noqa: ARG001
    row: Row = {
        "execution": event.execution_id,
        "workload": event.workload_id,
        "attempt": event.attempt,
        "k": event.k,
        "node": event.node,
        "clause_id": event.clause_id,
        "cac": event.cac_id,
        "output_address": event.output_address,
        "from_ms": event.from_ms,
        "until_ms": event.until_ms,
        "status": "reserved",
        "fault": None,
        "outcome": None,
        "refused_reports": 0,
    }
    return {f"execution/{event.execution_id}": _at(row, recorded)}


@_project.register
def _(event: executions.EvidenceAppraised, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(
        rows, recorded, event.execution_id, status="appraised", evidence_class=event.evidence_class,
        evidence=event.status, evidence_reason=event.reason,
    )  # fmt: skip


@_project.register
def _(event: executions.EnclaveProvisioned, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    workload = rows[f"execution/{event.execution_id}"]["workload"]
    reason = "every rule holds" if event.passed else f"{event.rule}: have {event.have}, need {event.need}"
    extra = {"policy_version": event.policy_version, "policy_digest": event.policy_digest}
    gate = _gate(rows, recorded, workload, "provisioning", passed=event.passed, reason=reason, **extra)
    return gate | _execution(rows, recorded, event.execution_id, status="provisioned" if event.passed else "refused")


@_project.register
def _(event: executions.ReleaseAwaited, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    awaited = {"awaits_release_until_ms": event.until_ms}
    return _execution(rows, recorded, event.execution_id, status="provisioned", **awaited)


@_project.register
def _(event: executions.ReleaseRefused, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(rows, recorded, event.execution_id, release_refused=event.reason)


@_project.register
def _(event: executions.InputsReleased, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(rows, recorded, event.execution_id, status="released", released_by=event.released_by)


@_project.register
def _(event: executions.EnclaveStarted, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    own = rows[f"execution/{event.execution_id}"]
    workload = rows[f"workload/{own['workload']}"]
    running: dict[str, Row] = {}
    if own["attempt"] == workload["attempt"] and workload["status"] in {"placed", "running"}:  # not once it is held
        running = _workload(rows, recorded, own["workload"], status="running", next="the clause's end")
    return running | _execution(rows, recorded, event.execution_id, status="running", started_at_ms=recorded.at_ms)


@_project.register
def _(event: executions.ExecutionCompleted, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(
        rows, recorded, event.execution_id, status="completed", outcome=event.outcome, ended_at_ms=recorded.at_ms
    )


@_project.register
def _(event: executions.ExecutionFaulted, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    own = rows[f"execution/{event.execution_id}"]
    held: dict[str, Row] = {}
    if own["attempt"] == rows[f"workload/{own['workload']}"]["attempt"]:  # else governance has let it go on already
        held = _workload(
            rows, recorded, own["workload"], status="held", reason=f"fault: {event.kind}",
            next="re-authorisation by governance",
        )  # fmt: skip
    return held | _execution(
        rows, recorded, event.execution_id, status="faulted", fault=event.kind, ended_at_ms=recorded.at_ms,
        fault_leaf_index=recorded.leaf_index,
    )  # fmt: skip


@_project.register
def _(event: executions.RuntimeReset, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    changed = _execution(rows, recorded, event.execution_id, reset=True)
    own = rows[f"execution/{event.execution_id}"]
    if event.report is not None or own["status"] != "completed":
        return changed
    reason = "the node never reported its reset: there is no CAC"
    return changed | _workload(rows, recorded, own["workload"], status="failed", reason=reason, next="submit again")


@_project.register
def _(event: executions.ExecutionAbandoned, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(rows, recorded, event.execution_id, status="abandoned", reason=event.reason)


@_project.register
def _(event: executions.ReportRefused, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    refused = rows[f"execution/{event.execution_id}"]["refused_reports"] + 1
    return _execution(rows, recorded, event.execution_id, refused_reports=refused)


@_project.register
def _(event: executions.NoticeRequested, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    known = rows[f"execution/{event.execution_id}"].get("notices", [])
    return _execution(rows, recorded, event.execution_id, notices=[*known, event.recipient])


@_project.register
def _(event: executions.NoticeDelivered, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    known = rows[f"execution/{event.execution_id}"].get("delivered", [])
    return _execution(rows, recorded, event.execution_id, delivered=[*known, event.recipient])


@_project.register
def _(event: executions.RetryAuthorized, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(rows, recorded, event.execution_id, retry="authorized", next_attempt=event.next_attempt)


@_project.register
def _(event: executions.RetryRefused, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _execution(rows, recorded, event.execution_id, retry="refused")


@_project.register
def _(event: cacs.CacIssued, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    row: Row = {
        "cac": event.cac_id,
        "execution": event.execution_id,
        "workload": event.workload_id,
        "clause_id": event.document["clause_id"],
        "outcome": event.document["outcome"],
        "node": event.document["node"],
        "output_address": event.document["output_address"],
        "issued_at_ms": recorded.at_ms,
        "document": event.document,
    }
    ids = [*rows[f"workload/{event.workload_id}"]["cacs"], event.cac_id]
    done = _workload(rows, recorded, event.workload_id, cacs=ids)
    if _decides_alone(rows, event.workload_id):
        done = _workload(done, recorded, event.workload_id, status="done", reason="", next="nothing")
    extra = {"policy_version": event.policy_version, "policy_digest": event.policy_digest}
    gate = _gate(done, recorded, event.workload_id, "cac", passed=True, reason="every rule holds", **extra)
    return gate | {f"cac/{event.cac_id}": _at(row, recorded)}


@_project.register
def _(event: cacs.CacRejected, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    ended: Rows = rows
    if _decides_alone(rows, event.workload_id):
        ended = _workload(rows, recorded, event.workload_id, status="rejected", reason=event.reason, next="nothing")
    extra = {"policy_version": event.policy_version, "policy_digest": event.policy_digest, "rule": event.rule}
    return _gate(ended, recorded, event.workload_id, "cac", passed=False, reason=event.reason, **extra)


@_project.register
def _(event: cacs.CacOverturned, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    by = {"dispute": event.dispute_id, "scope": event.scope, "decision": event.decision}
    return _changed(rows, recorded, f"cac/{event.cac_id}", {"overturned": by})


@_project.register
def _(event: disputes.DisputeReferenced, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    known = rows[f"execution/{event.execution_id}"].get("disputes", [])
    return _execution(rows, recorded, event.execution_id, disputes=[*known, event.dispute_id])


@_project.register
def _(event: cacs.QuorumReached, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    return _workload(
        rows, recorded, event.workload_id, status="done", reason="", next="nothing", quorum="reached",
        outcome=event.outcome,
    )  # fmt: skip


@_project.register
def _(event: cacs.QuorumFailed, recorded: Recorded, rows: Rows) -> dict[str, Row]:
    row = rows[f"workload/{event.workload_id}"]
    if row["attempt"] != event.attempt or row["status"] == "held":  # a later attempt, or governance, goes on with it
        return _workload(rows, recorded, event.workload_id, quorum="failed")
    return _workload(
        rows, recorded, event.workload_id, status="failed", reason=event.reason, next="nothing", quorum="failed"
    )


def _decides_alone(rows: Rows, workload: str) -> bool:
    """Tell whether one CAC decides: with several enclaves the quorum does."""
    return bool(rows[f"workload/{workload}"]["enclaves"] == 1)


def _workload_of(recorded: Recorded) -> str:
    return f"wl-0x{recorded.stream_id.hex}"


def _workload(rows: Rows, recorded: Recorded, workload: str, **changes: Any) -> dict[str, Row]:
    return _changed(rows, recorded, f"workload/{workload}", changes)


def _execution(rows: Rows, recorded: Recorded, execution: str, **changes: Any) -> dict[str, Row]:
    return _changed(rows, recorded, f"execution/{execution}", changes)


def _gate(
    rows: Rows, recorded: Recorded, workload: str, gate: str, *, passed: bool, reason: str, **extra: Any
) -> dict[str, Row]:
    row = rows[f"workload/{workload}"]
    verdict = {"gate": gate, "passed": passed, "reason": reason, "leaf_index": recorded.leaf_index, **extra}
    return _changed(rows, recorded, f"workload/{workload}", {"gates": [*row["gates"], verdict]})


def _changed(rows: Rows, recorded: Recorded, key: str, changes: dict[str, Any]) -> dict[str, Row]:
    return {key: _at({**rows[key], **changes}, recorded)}


def _at(row: Row, recorded: Recorded) -> Row:
    return {**row, "leaf_index": recorded.leaf_index, "at_ms": recorded.at_ms}


Projector = Callable[[Rows, Recorded], dict[str, Row]]
