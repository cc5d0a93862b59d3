"""Views: exactly what the scheduler reads of an event (wire formats 8), versioned, with the tenant as its slot.

Invariants:
- The scheduler folds views and nothing else, so it restarts and re-decides after a tenant's key is gone.
- `view_of` is pure and total: an event that the scheduler does not read only moves its stream's version on.
- A view holds no content: no statement, digest of input or output, outcome or key.
"""

from functools import singledispatch
from typing import Any

from domain.cacs import events as cacs
from domain.canonical import canonical
from domain.executions import events as executions
from domain.hashing import sha256_hex
from domain.message import Event, Recorded
from domain.nodes import events as nodes
from domain.platform import events as platform
from domain.pools import events as pools
from domain.quotas import events as quotas
from domain.tenants import events as tenants
from domain.workloads import events as workloads

VIEW_VERSION = 1

_ADDED = {"deferred": ("rule", "retry_ms"), "ended": ("decider",)}
"""Members that version 2 of a kind has and version 1 had not. All other kinds are at version 1."""

SHORT_KINDS = frozenset({"memory", "deadline"})
"""Kinds of fault that may show a node's shortage: of these the buckets that the node reported are read."""

View = dict[str, Any]
"""kind, slot, stream, version, leaf (own leaf index), at_ms, and what the kind adds."""


def view_of(recorded: Recorded, slot: int) -> View:
    """Return the view of a stored event in the log of `slot`."""
    members = members_of(recorded.event)
    return {
        "v": newest_version(members["kind"]),
        "slot": slot,
        "stream": str(recorded.stream_id),
        "version": recorded.version,
        "leaf": recorded.leaf_index,
        "at_ms": recorded.at_ms,
        **members,
    }


def newest_version(kind: str) -> int:
    """Return the version of the views of a kind that are made now; older ones are folded, too."""
    return VIEW_VERSION + (kind in _ADDED)


def as_version_1(view: View) -> View:
    """Return the same view as version 1 had it: rounds that trace it so bind it still."""
    added = _ADDED.get(view["kind"], ())
    return {name: value for name, value in view.items() if name not in added} | {"v": VIEW_VERSION}


def view_bytes(view: View) -> bytes:
    """Return the bytes that are kept, hashed and re-decided from."""
    return canonical(view)


@singledispatch
def members_of(event: Event) -> dict[str, Any]:  # noqa: ARG001 - the default reads nothing of it
    """Return what the kind adds, and the kind."""
    return {"kind": "moved"}


@members_of.register
def _(event: platform.Genesis) -> dict[str, Any]:
    return {"kind": "genesis", "host": event.host}


@members_of.register
def _(event: platform.LevelsAdopted) -> dict[str, Any]:
    return {"kind": "levels", "domains": list(event.domains)}


@members_of.register
def _(event: platform.Ticked) -> dict[str, Any]:
    return {"kind": "tick", "due_ms": event.due_ms}


@members_of.register
def _(event: platform.KeyDestroyed) -> dict[str, Any]:
    return {"kind": "erased", "erased": event.slot}


@members_of.register
def _(event: nodes.NodeEnrolled) -> dict[str, Any]:
    return {"kind": "node", "facts": event.facts.model_dump(mode="json")}


@members_of.register
def _(event: nodes.NodeDrained) -> dict[str, Any]:
    return {"kind": "drained", "node": event.node}


@members_of.register
def _(event: platform.DecisionsMade) -> dict[str, Any]:
    rests_on = {"together": event.together, "position": event.position}
    return {"kind": "decided", "epoch": event.epoch, **rests_on, "decisions": event.decisions}


@members_of.register
def _(event: tenants.TenantRegistered) -> dict[str, Any]:
    return {"kind": "tenant", "dao": event.dao, "jurisdiction": event.jurisdiction, "parent": event.parent}


@members_of.register
def _(event: tenants.ScopeRegistered) -> dict[str, Any]:
    return {"kind": "scope", "name": event.name, "scope_id": event.scope_id, "parent": None}


@members_of.register
def _(event: tenants.ScopeRegisteredBelow) -> dict[str, Any]:
    return {"kind": "scope", "name": event.name, "scope_id": event.scope_id, "parent": event.parent}


@members_of.register
def _(event: quotas.QuotaGranted) -> dict[str, Any]:
    granted = event.model_dump(mode="json", include={"slots", "memory_bytes", "weight"})
    return {"kind": "quota", "number": event.version, **granted}


@members_of.register
def _(event: quotas.BandwidthGranted) -> dict[str, Any]:
    granted = event.model_dump(mode="json", include={"tokens", "period_ms", "burst", "from_ms", "until_ms"})
    return {"kind": "bandwidth", "number": event.version, **granted}


@members_of.register
def _(event: quotas.QuotaBorrowed) -> dict[str, Any]:
    return {"kind": "borrowed", "workload_id": event.workload_id, "attempt": event.attempt}


@members_of.register
def _(event: quotas.QuotaLent) -> dict[str, Any]:
    return {"kind": "lent", "borrow_id": event.borrow_id}


@members_of.register
def _(event: workloads.OverflowOffered) -> dict[str, Any]:
    return {
        "kind": "offered", "workload_id": event.workload_id, "attempt": event.attempt, "offer_id": event.offer_id,
        "nodes": list(event.nodes), "expires_ms": event.expires_ms,
    }  # fmt: skip


@members_of.register(workloads.OverflowAccepted)
@members_of.register(workloads.OverflowAcceptedV1)
def _(event: workloads.OverflowAccepted | workloads.OverflowAcceptedV1) -> dict[str, Any]:
    return {"kind": "accepted", "workload_id": event.workload_id, "offer_id": event.offer_id}


@members_of.register
def _(event: workloads.OverflowClosed) -> dict[str, Any]:
    return {
        "kind": "offer_closed", "workload_id": event.workload_id, "offer_id": event.offer_id, "reason": event.reason
    }  # fmt: skip


@members_of.register
def _(event: pools.OfferStood) -> dict[str, Any]:
    terms = event.model_dump(mode="json", include={"pool", "operator", "number", "slots", "memory_bytes", "until_ms"})
    return {"kind": "offer_stood", **terms, "statement": sha256_hex(event.statement.encode())}


@members_of.register
def _(event: pools.OfferWithdrawn) -> dict[str, Any]:
    return {"kind": "offer_withdrawn", "pool": event.pool, "operator": event.operator, "number": event.number}


@members_of.register
def _(event: nodes.TelemetryReported) -> dict[str, Any]:
    load = event.model_dump(mode="json", include={"node", "load_percent_bucket", "free_slots", "free_memory_bucket"})
    return {"kind": "telemetry", **load}


@members_of.register
def _(event: nodes.NodeSuspected) -> dict[str, Any]:
    return {"kind": "suspected", "node": event.node, "reason": event.reason}


@members_of.register
def _(event: nodes.NodeLost) -> dict[str, Any]:
    return {"kind": "lost", "node": event.node}


@members_of.register
def _(event: nodes.NodeReturned) -> dict[str, Any]:
    return {"kind": "returned", "node": event.node}


@members_of.register
def _(event: tenants.MonitorAppointed) -> dict[str, Any]:
    return {"kind": "monitor", "name": event.name}


@members_of.register
def _(event: tenants.PolicyAdopted) -> dict[str, Any]:
    return {"kind": "policy", "number": event.version, "policy": event.policy.model_dump(mode="json")}


@members_of.register
def _(event: tenants.ErasureOrdered) -> dict[str, Any]:  # noqa: ARG001 - that it is so is all
    return {"kind": "closed"}


@members_of.register
def _(event: tenants.ErasureWithdrawn) -> dict[str, Any]:  # noqa: ARG001 - that it is so is all
    return {"kind": "opened"}


@members_of.register
def _(event: workloads.WorkloadQueued) -> dict[str, Any]:
    members = event.model_dump(mode="json")
    return {"kind": "queued", **members}


@members_of.register
def _(event: workloads.WorkloadDenied) -> dict[str, Any]:
    return _ended(event.workload_id, decider=event.gate == "queue" or event.rule == workloads.NODE_FAILURES)


@members_of.register
def _(event: workloads.WorkloadExpired) -> dict[str, Any]:
    return _ended(event.workload_id, decider=True)


@members_of.register
def _(event: workloads.WorkloadCancelled) -> dict[str, Any]:
    return _ended(event.workload_id, decider=False)


def _ended(workload_id: str, *, decider: bool) -> dict[str, Any]:
    """Return the members of an end, with whether only a decider brings it about: outside of a batch nobody did."""
    return {"kind": "ended", "workload_id": workload_id, "decider": decider}


@members_of.register
def _(event: workloads.WorkloadDeferredV1) -> dict[str, Any]:
    told = {"reason": event.reason, "rule": event.reason, "retry_ms": None}
    return {"kind": "deferred", "workload_id": event.workload_id, **told}


@members_of.register
def _(event: workloads.WorkloadDeferred) -> dict[str, Any]:
    told = {"reason": event.reason, "rule": event.rule, "retry_ms": event.retry_ms}
    return {"kind": "deferred", "workload_id": event.workload_id, **told}


@members_of.register
def _(event: workloads.WorkloadPlaced) -> dict[str, Any]:
    places = [{"execution_id": p.execution_id, "node": p.node, "cac_id": p.cac_id} for p in event.places]
    return {"kind": "placed", "workload_id": event.workload_id, "attempt": event.attempt, "places": places}


@members_of.register(cacs.QuorumReached)
@members_of.register(cacs.QuorumFailed)
def _(event: cacs.QuorumReached | cacs.QuorumFailed) -> dict[str, Any]:
    return {"kind": "settled", "workload_id": event.workload_id, "attempt": event.attempt}


@members_of.register
def _(event: executions.ExecutionReserved) -> dict[str, Any]:
    return {"kind": "reserved", "execution_id": event.execution_id, "until_ms": event.until_ms}


@members_of.register
def _(event: executions.ReleaseAwaited) -> dict[str, Any]:
    return {"kind": "awaiting", "execution_id": event.execution_id}


@members_of.register
def _(event: executions.InputsReleased) -> dict[str, Any]:
    return {"kind": "released", "execution_id": event.execution_id}


@members_of.register
def _(event: executions.ExecutionCompleted) -> dict[str, Any]:
    return {"kind": "finished", "execution_id": event.execution_id}


@members_of.register
def _(event: executions.ExecutionFaulted) -> dict[str, Any]:
    used = {"fault": event.kind, "fuel_bucket": event.fuel_bucket, "memory_bucket": event.memory_bucket}
    shows = event.report is not None and event.kind in SHORT_KINDS
    return {"kind": "faulted", "execution_id": event.execution_id, **(used if shows else {})}


@members_of.register
def _(event: executions.RuntimeReset) -> dict[str, Any]:
    return {"kind": "freed", "execution_id": event.execution_id}


@members_of.register
def _(event: executions.ExecutionAbandoned) -> dict[str, Any]:
    return {"kind": "abandoned", "execution_id": event.execution_id, "reason": event.reason}
