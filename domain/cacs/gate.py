"""The CAC gate: the third evaluation of the same rules, and every member of the document held against the ledger.

Invariants:
- Nothing of the document is believed: it must equal what the ledger would have drafted, member by member.
- report_data is recomputed; tenant blocks that disagree reject; a draft clause never yields a CAC.
- The proof itself is verified at the border, over the same bytes, before the gate is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from domain.attestation.platform import as_appraised
from domain.cacs.document import CacRecord, bound_report_data, draft_document
from domain.canonical import canonical
from domain.errors import MalformedError
from domain.executions.events import ExecutionCompleted
from domain.policies.facts import NodeFacts, Resident
from domain.policies.feasible import feasible, told
from domain.policies.kinds import Policy
from domain.workloads.events import WorkloadQueued

RUN_MEMBERS = frozenset({"outcome", "outputs", "proof"})
"""Members that the enclave adds."""


def rejection(
    document: Mapping[str, Any],
    record: CacRecord,
    completed: ExecutionCompleted,
    *,
    policy: Policy,
    residents: Sequence[Resident],
    attempt: Sequence[NodeFacts],
    at_ms: int,
    evidence_ms: int | None = None,
    tenant: tuple[str, str] | None = None,
) -> tuple[str, str] | None:
    """Return (rule, reason) of the first thing that rejects a CAC, or None.

    Args:
        document: as the enclave signed it; its proof is verified already.
        record: the ledger's own record of the execution.
        completed: what the node reported.
        policy: the effective policy now in force for this workload.
        residents: who lives on the node now.
        attempt: the nodes of all enclaves of the attempt.
        at_ms: decision time.
        evidence_ms: when the nonce was issued that the execution's evidence answers.
        tenant: DAO and jurisdiction of the log; None where the caller compared them.
    """
    queued, appraised, expected = record.queued, record.appraised, record.expected
    barred = _barred(queued, tenant)
    if barred is not None:
        return barred
    drafted = draft_document(record)
    for name in sorted({*drafted, *(set(document) - RUN_MEMBERS)}):
        if name not in document or name not in drafted or not _same(document[name], drafted[name]):
            rule = "tenant_info" if name in {"tenant_info", "scope"} else "document"
            return rule, f"member {name} is not what the ledger recorded"
    if drafted["report_data"] != bound_report_data(expected, appraised):
        return "binding", "report_data does not follow from the document"
    outputs = [{"commitment": completed.output_commitment, "size_bytes": completed.output_bytes}]
    if not (_same(document.get("outcome"), completed.outcome) and _same(document.get("outputs"), outputs)):
        return "document", "outcome or outputs are not what the node reported"
    node = as_appraised(expected.node, appraised)
    findings = feasible(policy, queued.facts, node, residents, at_ms, attempt=attempt, evidence_ms=evidence_ms)
    failed = next((finding for finding in findings if not finding.passed), None)
    if failed is not None:
        rule, have, need = told(failed)
        return rule, f"{rule}: have {have}, need {need}"
    return None


def _barred(queued: WorkloadQueued, tenant: tuple[str, str] | None) -> tuple[str, str] | None:
    """Return why a workload yields no CAC in a tenant's log, whatever its document says."""
    if queued.draft:
        return "draft", "a draft clause (0.x) never yields a CAC"
    if tenant is not None and tenant != (queued.facts.dao, queued.facts.jurisdiction):
        return "tenant_info", "the workload is of another tenant than the log"
    return None


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are the same JSON [to Python, true and 1.0 equal 1]."""
    try:
        return canonical(one) == canonical(other)
    except MalformedError:
        return False
