"""Which stream an event belongs to, by the ids that it carries itself."""

from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import UUID

from domain.access.events import AccessSummarised, PrincipalRecognised
from domain.attestation.events import CollateralSeen, NodeChallenged, NodeEvidenceAppraised, ResultKeyEnrolled
from domain.cacs.events import CacIssued, CacOverturned, CacRejected
from domain.clauses.events import ClauseDeprecated, ClauseRegistered
from domain.disputes.events import (
    DisputeAnswered,
    DisputeEvidenceAttached,
    DisputeOpened,
    DisputeOverturned,
    DisputeUpheld,
    DisputeWithdrawn,
)
from domain.errors import VerificationError
from domain.executions.events import ReportsReceived
from domain.identifiers import (
    DECIDER_STREAM,
    RESULT_KEY_STREAM,
    access_stream,
    batch_stream,
    clause_stream,
    collateral_stream,
    erasure_stream,
    node_evidence_stream,
    node_stream,
    offer_stream,
    stream_of,
    subscription_stream,
    telemetry_stream,
)
from domain.message import Event
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeReturned
from domain.platform.events import DecisionsMade, KeyDestroyed
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.quotas.events import QuotaLent
from domain.subscriptions.events import ResultDelivered, SubscriptionLapsed
from domain.workloads.events import ClauseVerified, CredentialChecked
from infrastructure.audit import borrowing, nodes
from infrastructure.audit.known import Known


@cache
def fields_of(kind: type[Event]) -> frozenset[str]:
    """Return the names of an event type's members."""
    return frozenset(kind.model_fields)


def home_of(known: Known, event: Event) -> UUID | None:
    """Return the stream that an event belongs to by its own ids; None for what carries none."""
    if isinstance(event, CredentialChecked | ClauseVerified):
        return None
    home = _HOMES.get(type(event))
    if home is not None:
        return home(event)
    name = _names_its_stream(type(event))
    if name is not None:
        return stream_of(getattr(event, name))
    if known.own_stream is None:
        raise VerificationError(f"{event.TOPIC} stands in another stream than the log's own")
    return known.own_stream


@cache
def _names_its_stream(kind: type[Event]) -> str | None:
    return next((name for name in ("execution_id", "workload_id") if name in fields_of(kind)), None)


_HOMES: dict[type[Event], Callable[[Any], UUID]] = {
    CacIssued: lambda event: stream_of(event.cac_id),
    CacRejected: lambda event: stream_of(event.cac_id),
    CacOverturned: lambda event: stream_of(event.cac_id),
    **dict.fromkeys(
        (
            DisputeOpened,
            DisputeAnswered,
            DisputeEvidenceAttached,
            DisputeUpheld,
            DisputeOverturned,
            DisputeWithdrawn,
        ),
        lambda event: UUID(event.dispute_id),
    ),
    NodeEnrolled: lambda event: node_stream(event.facts.node),
    **dict.fromkeys((NodeDrained, NodeReturned), lambda event: node_stream(event.node)),
    **dict.fromkeys(nodes.SIGNS_OF_LIFE, lambda event: telemetry_stream(event.node)),
    **dict.fromkeys((NodeChallenged, NodeEvidenceAppraised), lambda event: node_evidence_stream(event.node)),
    ResultKeyEnrolled: lambda _: RESULT_KEY_STREAM,
    CollateralSeen: lambda event: collateral_stream(event.source),
    **dict.fromkeys((AccessSummarised, PrincipalRecognised), lambda event: access_stream(event.kid)),
    **dict.fromkeys((ResultDelivered, SubscriptionLapsed), lambda event: subscription_stream(event.subscription_id)),
    ReportsReceived: lambda event: batch_stream(event.node, event.batch),
    **dict.fromkeys((OfferStood, OfferWithdrawn), lambda event: offer_stream(event.pool, event.operator)),
    KeyDestroyed: lambda event: erasure_stream(event.slot),
    DecisionsMade: lambda _: DECIDER_STREAM,
    QuotaLent: lambda event: borrowing.borrow_stream(event.borrow_id),
    ClauseRegistered: lambda event: clause_stream(event.metadata.clause_id),
    ClauseDeprecated: lambda event: clause_stream(event.clause_id),
}
