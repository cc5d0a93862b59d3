"""The entries that tell of an execution: in which streams they lie, and where in the log.

Invariants:
- Of a tenant's log these are the execution's stream, its CAC's, its workload's, and the batches in which its node's
  reports came; of the platform's, what everybody enrolled may read of the clause and the node. Nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain.executions.events import EvidenceAppraised
from domain.executions.state import Execution
from domain.identifiers import clause_stream, node_evidence_stream, node_stream, stream_of
from domain.message import Recorded
from infrastructure.audit.choosing import PUBLIC_TOPICS
from infrastructure.commands.loading import load_execution
from infrastructure.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Shown:
    """An entry: its place and leaf hash, its stream and version, what it is, when it was recorded (ms)."""

    origin: str
    leaf_index: int
    leaf_hash: str
    stream: UUID
    version: int
    topic: str
    at_ms: int

    def to_json(self) -> dict[str, Any]:
        """Return it as the commands tell it."""
        return {
            "origin": self.origin, "leaf_index": self.leaf_index, "leaf_hash": self.leaf_hash,
            "stream": str(self.stream), "version": self.version, "topic": self.topic, "at_ms": self.at_ms,
        }  # fmt: skip


def streams_of_execution(ledger: Ledger, log_id: UUID, execution_id: str) -> list[UUID]:
    """Return the streams of a tenant's log that tell of an execution."""
    execution, stream = load_execution(ledger, log_id, execution_id)
    received = {getattr(one.event, "received", None) for one in stream} - {None}
    batches = [one.stream_id for one in ledger.at_all(log_id, sorted(index for index in received if index is not None))]
    known = _of(execution)
    written = [
        one for one, events in zip(known, ledger.streams([(log_id, one) for one in known]), strict=True) if events
    ]
    return sorted({*written, *batches})


def streams_of_platform(ledger: Ledger, executions: Iterable[Execution]) -> list[UUID]:
    """Return the streams of the platform log that tell of the clauses and nodes of executions.

    One into which an earlier release wrote a node's telemetry is left out: it tells of everybody's load.
    """
    wanted: set[UUID] = set()
    for one in executions:
        node = one.reserved.node
        wanted |= {clause_stream(one.reserved.clause_id), node_stream(node), node_evidence_stream(node)}
    platform = ledger.platform().log_id
    known = sorted(wanted)
    found = zip(known, ledger.streams([(platform, one) for one in known]), strict=True)
    return [one for one, events in found if events and {item.event.TOPIC for item in events} <= PUBLIC_TOPICS]


def entries_of(ledger: Ledger, log_id: UUID, streams: Iterable[UUID]) -> list[Shown]:
    """Return the entries of some streams of a log, in leaf order."""
    origin = ledger.log(log_id).origin
    found = [one for events in ledger.streams([(log_id, stream) for stream in streams]) for one in events]
    return sorted((shown(origin, one) for one in found), key=lambda one: one.leaf_index)


def evidence_of(ledger: Ledger, log_id: UUID, execution_id: str) -> dict[str, Any] | None:
    """Return what was appraised of an execution's enclave; None where nothing was."""
    for one in ledger.stream(log_id, stream_of(execution_id)):
        if isinstance(one.event, EvidenceAppraised):
            event = one.event
            return {
                "status": event.status, "class": event.evidence_class, "digest": event.evidence_digest,
                "platform_id": event.platform_id, "leaf_index": one.leaf_index,
            }  # fmt: skip
    return None


def _of(execution: Execution) -> list[UUID]:
    reserved = execution.reserved
    return [stream_of(name) for name in (reserved.execution_id, reserved.workload_id, reserved.cac_id)]


def shown(origin: str, one: Recorded) -> Shown:
    """Return a recorded event as an entry that tells of something."""
    return Shown(origin, one.leaf_index, one.leaf_hash.hex(), one.stream_id, one.version, one.event.TOPIC, one.at_ms)
