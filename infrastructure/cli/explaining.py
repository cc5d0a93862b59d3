"""The command `why`, and the lines in which it speaks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from domain.time import rfc3339
from infrastructure.cli.output import result
from infrastructure.cli.session import ledger_at
from infrastructure.client.files import write_new
from infrastructure.commands.loading import find_log, log_of
from infrastructure.explaining import explain
from infrastructure.publish.places import tiles_of

Row = dict[str, Any]


def why(data_dir: Path, prefixed_id: str, *, at_ms: int | None, proof: Path | None, as_json: bool) -> None:
    """Say what became of a workload, execution or CAC, gate by gate, and when it is looked at again."""
    with ledger_at(data_dir) as ledger:
        found = explain(ledger, prefixed_id, at_ms=at_ms)
        if proof is not None:
            log = find_log(ledger, str(log_of(ledger, prefixed_id)))
            write_new(proof, tiles_of(ledger, log).proof(found["decision"]["leaf_index"]).to_bytes())
            found["decision"]["proof"] = str(proof)
    result(found, as_json=as_json, lines=explained(found, found["runs"]))


def explained(row: Row, runs: Sequence[Row]) -> list[str]:
    """Return the lines for a person."""
    lines = [f"{row['workload']}  {row['status']}" + (f": {row['reason']}" if row["reason"] else "")]
    for gate in row["gates"]:
        verdict = "passed" if gate["passed"] else "FAILED"
        policy = f", policy {gate['policy_version']}" if "policy_version" in gate else ""
        lines.append(f"  {gate['gate']:<13}{verdict}  {gate['reason']}  (entry {gate['leaf_index']}{policy})")
        lines += _excluded(gate)
    for run in runs:
        outcome = run["outcome"] or run["fault"] or run["status"]
        lines.append(f"  attempt {run['attempt']} on {run['node']}: {outcome}  {run['execution']}")
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
