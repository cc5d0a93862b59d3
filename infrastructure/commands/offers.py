"""What the ledger puts before a tenant's releaser: the entries that one execution rests on, evidence, sealed inputs.

Invariants:
- Nothing of it asks to be believed: the releaser judges it (infrastructure.releasing.judging).
- It is the tenant's own: its own stream, the workload's, and those of the workload's executions, with the batches in
  which their reports came. Of the platform it has the enrolment of the node, which every enrolled principal may read.
- Inputs leave as they came, sealed to the tenant's release key.
"""

import base64
from typing import Any

from domain.attestation.events import PlatformEvidenceAppraised
from domain.identifiers import stream_of
from domain.message import Recorded
from infrastructure.commands.context import Context
from infrastructure.commands.releases import kept_evidence
from infrastructure.ledger import Ledger


def offer(ledger: Ledger, context: Context) -> dict[str, Any]:
    """Return what a releaser needs to judge one execution, as JSON members."""
    appraised = context.execution.appraised
    evidence = kept_evidence(ledger, context, appraised) if isinstance(appraised, PlatformEvidenceAppraised) else []
    submitted = context.workload.submitted
    stream = stream_of(submitted.workload_id)
    inputs = [ledger.attached(context.log_id, stream, item.payload.digest) for item in submitted.inputs]
    return {
        "execution": context.execution.id,
        "origin": context.tenant.origin,
        "entries": [_entry(one) for one in _entries(ledger, context)],
        "node": context.node.enrolled.payload(),
        "evidence": [base64.b64encode(one).decode() for one in evidence],
        "inputs": [base64.b64encode(one).decode() for one in inputs],
    }


def _entries(ledger: Ledger, context: Context) -> list[Recorded]:
    """Return the entries, in leaf order: two questions, however many they are."""
    executions = [place.execution_id for placed in context.workload.placed for place in placed.places]
    streams = [context.log_id, *map(stream_of, (context.workload.submitted.workload_id, *executions))]
    found = [one for stream in ledger.streams([(context.log_id, one) for one in streams]) for one in stream]
    batches = {getattr(one.event, "received", None) for one in found} - {None}
    found += ledger.at_all(context.log_id, [one for one in batches if one is not None])
    return sorted(found, key=lambda one: one.leaf_index)


def _entry(recorded: Recorded) -> dict[str, Any]:
    return {
        "leaf": recorded.leaf_index,
        "leaf_hash": recorded.leaf_hash.hex(),
        "stream": str(recorded.stream_id),
        "version": recorded.version,
        "at_ms": recorded.at_ms,
        "topic": recorded.event.TOPIC,
        "event": recorded.event.payload(),
    }
