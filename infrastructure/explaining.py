"""Why a workload, execution or CAC is where it is, now or at an instant: read from read models, nothing re-evaluated.

Invariants:
- What is said follows from the tenant's own log; a class was told its reason once, and its members share it.
- The decision named is an entry of that log, so the log's proof of it is a proof of the explanation's ground.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from domain.errors import UnknownError
from domain.time import rfc3339
from infrastructure.audit.replay import replay_log
from infrastructure.commands.loading import log_of
from infrastructure.ledger import Ledger
from infrastructure.projector import Projector
from projections import audit_trail, waiting

Row = dict[str, Any]
Read = Callable[[str, str], Row | None]
"""Gives a row of a projection by its key."""

_KINDS = {"wl": "workload", "exec": "execution", "cac": "cac"}
_IN_LINE = frozenset({"queued", "waiting"})
_LIVE_SPAN = ("reserved", "appraised", "provisioned", "released", "running")


def explain(ledger: Ledger, prefixed_id: str, *, at_ms: int | None = None) -> Row:
    """Return what became of it: the workload's row, its executions under `runs`, why it waits under `waiting`.

    Args:
        ledger: the ledger.
        prefixed_id: a workload, execution or CAC.
        at_ms: as of which instant; None for now.

    Raises:
        UnknownError: when there is nothing of that id, or was not at that instant.
        ErasedError: when the tenant's data keys were destroyed.
    """
    log_id = log_of(ledger, prefixed_id)
    read = _now(ledger, log_id) if at_ms is None else read_then(ledger, log_id, at_ms)
    return explain_in(read, ledger.log(log_id).origin, prefixed_id, at_ms=at_ms)


def explain_in(read: Read, origin: str, prefixed_id: str, *, at_ms: int | None = None) -> Row:
    """Return the same from the rows of one log.

    Args:
        read: gives them.
        origin: the log's.
        prefixed_id: a workload, execution or CAC.
        at_ms: as of which instant they are; None for now.

    Raises:
        UnknownError: when the log has nothing of that id, or had not at that instant.
    """
    kind = _KINDS[prefixed_id.partition("-")[0]]
    found = _required(read, f"{kind}/{prefixed_id}", at_ms)
    workload = found if kind == "workload" else _required(read, f"workload/{found['workload']}", at_ms)
    runs = [_required(read, f"execution/{one}", at_ms) for one in workload["executions"]]
    told = _in_line(read, workload)
    decided = told["leaf_index"] if told.get("leaf_index") is not None else _last_verdict(workload)
    return {
        **workload,
        "runs": runs,
        "waiting": told or None,
        "running": [one["execution"] for one in runs if one["status"] in _LIVE_SPAN],
        "decision": {"log": origin, "leaf_index": decided},
    }


def _now(ledger: Ledger, log_id: UUID) -> Read:
    projector = Projector(ledger)
    projector.catch_up(log_id, (audit_trail.NAME, waiting.NAME))
    return lambda projection, key: projector.row(log_id, projection, key)


def read_then(ledger: Ledger, log_id: UUID, at_ms: int) -> Read:
    """Return what gives the rows of a log as they were at an instant. Its whole history is folded for that."""
    rows = replay_log(ledger, log_id, at_ms=at_ms).rows
    return lambda projection, key: rows[projection].get(key)


def _required(read: Read, key: str, at_ms: int | None) -> Row:
    row = read(audit_trail.NAME, key)
    if row is None:
        when = "yet; `enclave-ledger work` brings things forward" if at_ms is None else "at that instant"
        raise UnknownError(f"there is nothing of that id {when}")
    return row


def _in_line(read: Read, workload: Row) -> Row:
    """Return what a waiting workload waits for: as its class was told, with its own place."""
    if workload["status"] not in _IN_LINE:
        return {}
    found = waiting.standing(lambda key: read(waiting.NAME, key), workload["workload"])
    if found is None:
        return {}
    told = found.told or {"reason": "undecided", "rule": "", "wake": "the next decision"}
    return {**told, "place": found.place, "since_ms": found.since_ms, "expires_ms": found.not_after_ms}


def _last_verdict(workload: Row) -> int:
    """Return the entry of the last gate's verdict, or of what happened last where no gate has spoken."""
    return int(workload["gates"][-1]["leaf_index"] if workload["gates"] else workload["leaf_index"])


def explained(row: Row) -> list[str]:
    """Return the lines for a person: of what `explain` returns, or of a workload's row alone."""
    lines = [f"{row['workload']}  {row['status']}" + (f": {row['reason']}" if row["reason"] else "")]
    for gate in row["gates"]:
        verdict = "passed" if gate["passed"] else "FAILED"
        policy = f", policy {gate['policy_version']}" if "policy_version" in gate else ""
        lines.append(f"  {gate['gate']:<13}{verdict}  {gate['reason']}  (entry {gate['leaf_index']}{policy})")
        lines += _excluded(gate)
    for run in row.get("runs", []):
        outcome = run["outcome"] or run["fault"] or run["status"]
        if run["status"] == "abandoned":
            outcome = " ".join(filter(None, (f"abandoned: {run['reason']}", run.get("release_refused"))))
        lines.append(f"  attempt {run['attempt']} on {run['node']}: {outcome}  {run['execution']}")
    if "borrowed" in row:
        lent = row["borrowed"]
        lines.append(f"  borrowed     {lent['slots']} slot(s), {lent['memory_bytes']} bytes, lent by {lent['lender']}")
    if "overflow" in row:
        offer = row["overflow"]
        lines.append(f"  overflow     {offer['status']}: offered {', '.join(offer['nodes'])}, no primary node had room")
        for one in offer.get("standing", ()):
            name = f"{one['number']} of {one['operator']} for pool {one['pool']}"
            lines.append(f"               accepted by standing offer {name} (statement {one['statement'][:16]}...)")
    waiting = row.get("waiting")
    lines += _waits(waiting) if waiting else []
    lines.extend(f"  CAC {cac}" for cac in row["cacs"])
    following = waiting["wake"] if waiting else row["next"]
    lines.append(f"  looked at again: {following}")
    if "decision" in row:
        proof = f", proof in {row['decision']['proof']}" if "proof" in row["decision"] else ""
        lines.append(f"  decided in entry {row['decision']['leaf_index']} of {row['decision']['log']}{proof}")
    return lines


def _waits(waiting: Row) -> list[str]:
    lines = [f"  place {waiting['place']} within its class, since {rfc3339(waiting['since_ms'])}"]
    if waiting.get("have") or waiting.get("need"):
        lines.append(f"  {waiting['rule']}: have {waiting['have']}, need {waiting['need']}")
    lines += _excluded(waiting)
    if waiting.get("retry_ms") is not None:
        lines.append(f"  would pass at {rfc3339(waiting['retry_ms'])} ({waiting['retry_ms']} ms)")
    return [*lines, f"  given up at {rfc3339(waiting['expires_ms'])} if it has not run by then"]


def _excluded(told: Row) -> list[str]:
    if not told.get("filtered"):
        return []
    excluded = ", ".join(f"{rule} {count}" for rule, count in told["filtered"].items())
    return [f"               of {told['nodes']} nodes excluded by rule: {excluded}"]
