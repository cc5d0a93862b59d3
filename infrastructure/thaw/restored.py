"""The commands that stored events carried out: their records follow from the statements inside the entries.

A jti that was used before the loss is so recognised after it, and a repeat gets the answer that it got then. What the
records of names that are taken for ever answer (`claims`) nobody reads; their keys and digests are the same.

Invariants:
- The command of a statement is (issuer, jti, its payload), exactly as it was given.
"""

from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from uuid import UUID

from domain.attestation.events import NodeEvidenceAppraised, PlatformEvidenceAppraised
from domain.canonical import canonical
from domain.clauses.events import ClauseDeprecated, ClauseRegistered
from domain.disputes.events import (
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeOverturned,
    DisputeUpheld,
    DisputeWithdrawn,
)
from domain.executions.events import (
    EnclaveStarted,
    EvidenceAppraised,
    ExecutionAbandoned,
    ExecutionCompleted,
    ExecutionFaulted,
    InputsReleased,
    ReleaseRefused,
    ReportRefused,
    ReportsReceived,
    RetryAuthorized,
    RetryRefused,
    RuntimeReset,
    SoftwareEvidenceAppraised,
)
from domain.executions.reports import batched
from domain.message import Event, Recorded, Value
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeReturned, TelemetryReported
from domain.payloads import StoredPayload
from domain.platform.events import LevelsAdopted
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.tenants.events import (
    HolderEnrolled,
    ScopeRegistered,
    ScopeRegisteredBelow,
    TenantEndorsed,
    TenantRegistered,
)
from domain.workloads.events import WorkloadCancelled, WorkloadSubmitted
from infrastructure.commands.disputes import dispute_claim
from infrastructure.commands.loading import name_claim, scope_claim
from infrastructure.logbook import Logbook
from infrastructure.statements import jws
from infrastructure.transactions import Command


def commands_of(book: Logbook, recorded: Recorded) -> list[Command]:
    """Return the commands, and the names taken for ever, that were recorded with an event."""
    token, answer = _statement(recorded.event, recorded.version)
    named = getattr(recorded.event, "received", None) is not None
    commands = [] if token is None else [(_of_batch if named else _command)(recorded.log_id, token, answer)]
    return commands + _claims(book, recorded.log_id, recorded.event)


def payloads_of(value: Any) -> Iterator[str]:
    """Yield the digests (hex) of the stored payloads that an event names. What is merely data in it names none."""
    if isinstance(value, StoredPayload):
        yield value.digest
    elif isinstance(value, Value):
        for name in type(value).model_fields:
            yield from payloads_of(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from payloads_of(item)


def _statement(event: Event, version: int) -> tuple[str | None, dict[str, Any]]:
    """Return the statement that an event rests on, and what was answered; None for what nobody signed."""
    member = _TOKENS.get(type(event), "statements")
    said = getattr(event, member, None)
    token = said[0] if isinstance(said, tuple) and said else said or None
    if token is None or isinstance(event, ScopeRegistered):  # the root is accepted, but not by a command of its own
        return None, {}
    answer = _ANSWERS.get(type(event))
    return token, {"position": version} if answer is None else answer(event, version)


_TOKENS: dict[type[Event], str] = {
    SoftwareEvidenceAppraised: "evidence", PlatformEvidenceAppraised: "evidence", EnclaveStarted: "report",
    ExecutionCompleted: "report", ExecutionFaulted: "report",
    ExecutionAbandoned: "report", RuntimeReset: "report", ReportRefused: "report", TelemetryReported: "report",
    ReportsReceived: "statement", InputsReleased: "statement", ReleaseRefused: "statement", OfferStood: "statement",
    WorkloadSubmitted: "submission", WorkloadCancelled: "statement",
    NodeEnrolled: "acceptance", TenantRegistered: "acceptances", ScopeRegisteredBelow: "acceptances",
}  # fmt: skip
"""Where an event keeps its statement, if not in `statements`."""

_ANSWERS: dict[type[Event], Callable[[Any, int], dict[str, Any]]] = {
    **dict.fromkeys(
        (
            SoftwareEvidenceAppraised,
            PlatformEvidenceAppraised,
            EnclaveStarted,
            ExecutionAbandoned,
            ExecutionCompleted,
            ExecutionFaulted,
            RuntimeReset,
            TelemetryReported,
        ),
        lambda *_: {"accepted": True, "reason": ""},
    ),
    ReportsReceived: lambda *_: {},
    InputsReleased: lambda *_: {"released": True, "reason": ""},
    ReleaseRefused: lambda event, _: {"released": False, "reason": event.reason},
    ReportRefused: lambda event, _: {"accepted": False, "reason": event.reason},
    WorkloadSubmitted: lambda event, _: {"workload": event.workload_id},
    WorkloadCancelled: lambda event, _: {"workload": event.workload_id},
    NodeEnrolled: lambda event, _: {"node": event.facts.node},
    **dict.fromkeys((NodeDrained, NodeReturned), lambda event, _: {"node": event.node}),
    TenantRegistered: lambda event, _: {"tenant": event.tenant_id},
    ScopeRegisteredBelow: lambda event, _: {"scope": event.scope_id},
    TenantEndorsed: lambda event, version: {} if version == 1 else {"credential": event.credential_digest},
    **dict.fromkeys((OfferStood, OfferWithdrawn), lambda event, _: {"pool": event.pool, "operator": event.operator}),
    LevelsAdopted: lambda event, _: {"levels": list(event.domains)},
    ClauseRegistered: lambda event, _: {"clause_id": event.metadata.clause_id, "module_digest": event.module_digest},
    ClauseDeprecated: lambda event, _: {"clause_id": event.clause_id},
    RetryAuthorized: lambda event, _: {"workload": event.workload_id, "attempt": event.next_attempt},
    RetryRefused: lambda event, _: {"workload": event.workload_id},
    **dict.fromkeys(
        (
            DisputeOpened,
            DisputeAnswered,
            DisputeEvidenceAttached,
            DisputeUpheld,
            DisputeOverturned,
            DisputeWithdrawn,
        ),
        lambda event, _: {"dispute": event.dispute_id},
    ),
}
"""What the command of an event was answered. An act of governance: its position in the log's own stream."""


_CLAIMING = (
    TenantRegistered
    | ScopeRegisteredBelow
    | HolderEnrolled
    | NodeEnrolled
    | WorkloadSubmitted
    | OfferStood
    | EvidenceAppraised
    | NodeEvidenceAppraised
    | DisputeOpened
)


def _claims(book: Logbook, log_id: UUID, event: Event) -> list[Command]:  # noqa: C901, PLR0911 - one for each kind
    if not isinstance(event, _CLAIMING):
        return []
    platform = book.platform().log_id
    match event:
        case TenantRegistered():
            return [name_claim(book, event.dao, event.jurisdiction, {"tenant": event.tenant_id})]
        case ScopeRegisteredBelow():
            endorsed = _command(UUID(event.scope_id), event.endorsements[0], {})
            return [endorsed, scope_claim(book, event.name, {"scope": event.scope_id})]
        case HolderEnrolled():
            return [_command(log_id, event.acceptance, {})]
        case OfferStood():
            return [_command(platform, event.appointed[0], {})]
        case NodeEnrolled():
            node = event.facts.node.encode()
            return [Command(platform, "platform-id", one, node, {}) for one in event.facts.platform_ids]
        case WorkloadSubmitted():
            return [Command(platform, "workload-id", event.workload_id, b"", {})]
        case DisputeOpened():
            return [dispute_claim(platform, event.dispute_id)]
        case EvidenceAppraised():
            keys = (sha256(bytes.fromhex(key)).hexdigest() for key in (event.cac_key, event.hpke_key))
            enclave = [Command(platform, "enclave-key", key, event.execution_id.encode(), {}) for key in keys]
            return enclave + _evidence(platform, event, event.execution_id)
        case NodeEvidenceAppraised():
            return _evidence(platform, event, event.node)


def _evidence(platform: UUID, event: EvidenceAppraised | NodeEvidenceAppraised, by: str) -> list[Command]:
    """Return the claim that accepted platform evidence took."""
    if not event.accepted or not isinstance(event, PlatformEvidenceAppraised | NodeEvidenceAppraised):
        return []
    key = event.kept.evidence_key
    return [] if key is None else [Command(platform, "evidence", key, by.encode(), {})]


def _command(log_id: UUID, token: str, answer: dict[str, Any]) -> Command:
    content = jws.peek(token)[1]
    return Command(log_id, content["iss"], content["jti"], canonical(content), answer)


def _of_batch(log_id: UUID, report: str, answer: dict[str, Any]) -> Command:
    signed = batched(report, "")
    return Command(log_id, signed.iss, signed.jti, canonical(dict(signed.payload)), answer)
