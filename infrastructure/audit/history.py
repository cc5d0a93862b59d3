"""One log's history, checked in leaf order: what is signed inside the entries, and that each follows from the others.

Invariants:
- Every event stands in the stream that its own ids name; statements count once; acts are decided again by the domain.
- A foreign document never raises anything but a VerificationError that names its entry.
- What other logs hold (node keys, operators, clauses' maxima, endorsers) is counted as not checked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any
from uuid import UUID

from domain.access.events import AccessSummarised, PrincipalRecognised
from domain.attestation.events import CollateralSeen, NodeChallenged, NodeEvidenceAppraised, ResultKeyEnrolled
from domain.cacs.events import CacIssued, CacOverturned, CacRejected, QuorumFailed, QuorumReached
from domain.clauses.decisions import deprecation_claims, registration_claims
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
    stream_of,
)
from domain.logs.events import KeyRotated
from domain.message import Event, Recorded
from domain.nodes.events import NodeDrained, NodeEnrolled, NodeLost, NodeReturned, NodeSuspected, TelemetryReported
from domain.payloads import StoredPayload
from domain.platform.events import DecisionsMade, KeyDestroyed
from domain.pools.events import OfferStood, OfferWithdrawn
from domain.quotas.events import QuotaLent
from domain.statements import GOVERNANCE, require_claims
from domain.subscriptions.events import ResultDelivered, SubscriptionLapsed
from infrastructure.audit import (
    accesses,
    borrowing,
    deliveries,
    disputes,
    ended,
    executions,
    governance,
    nodes,
    offers,
    results,
    workloads,
)
from infrastructure.audit.compact import SALT_BYTES, CompactMap
from infrastructure.audit.ended import ENDED_BYTES
from infrastructure.audit.homes import fields_of, home_of
from infrastructure.audit.journal import Journal, Position
from infrastructure.audit.key_index import Disclosure
from infrastructure.audit.known import Known, Workload
from infrastructure.audit.once import INDEX_BYTES, Once
from infrastructure.audit.opening import CONTENT_ERRORS, Item, Order, named
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.thumbprint import thumbprint


class HistoryAudit:
    """Folds a log's own events in leaf order and checks each against those before it.

    Args:
        origin: the log's origin.
        generations: of the disclosed keys of a stream.
        journal: writes down what the audit must not forget, and has what an interrupted one wrote.
        disclosure: gives what the keys are that came along; None where they are not a bundle's.
        payload: gives the plaintext of a stored payload of a stream; None where it did not come along.
    """

    def __init__(
        self,
        origin: str,
        generations: Callable[[UUID], frozenset[int]],
        journal: Journal | None = None,
        disclosure: Callable[[], Disclosure] | None = None,
        payload: Callable[[UUID, StoredPayload], bytes | None] | None = None,
    ) -> None:
        salt = journal.salt if journal else SystemEntropy().bytes(SALT_BYTES)
        ended = CompactMap(ENDED_BYTES, salt, journal.record_ended if journal else None)
        places = CompactMap(INDEX_BYTES, salt, journal.record_place if journal else None)
        if journal:
            journal.load(places, ended)
        self._known = Known.of(origin, Order(generations, ended), Once(places), ended)
        self._known.disclosure = disclosure
        self._known.payload = payload
        self.opened = 0
        self.unjudged = 0
        self.size = 0

    @property
    def sealed(self) -> int:
        """Return how many entries were not disclosed."""
        return self._known.sealed

    def rotations(self) -> tuple[KeyRotated, ...] | None:
        """Return what the log records of changes of its keys; None where its own stream was not disclosed whole."""
        own = self._known.own_stream
        return tuple(self._known.rotations) if own is not None and self._known.order.discloses(own) else None

    def follow(self, item: Item, verified: frozenset[bytes] = frozenset()) -> None:
        """Check the next entry.

        Args:
            item: what it holds.
            verified: names of the signatures that are known to hold (infrastructure.audit.signatures).

        Raises:
            VerificationError: naming the entry, when it does not hold.
        """
        index, known = self.size, self._known
        try:
            recorded = known.order.take(index, item)
        except CONTENT_ERRORS as error:
            raise named(index, error) from None
        self.size += 1
        if recorded is None:
            known.sealed += isinstance(item, int)
            self.unjudged += not isinstance(item, int)
            return
        self.opened += 1
        known.signatures.verified = verified
        try:
            _check(known, recorded)
        except CONTENT_ERRORS as error:
            raise named(index, error, "a document or statement inside is not of its form") from None

    def skip_to(self, index: int) -> None:
        """Go on at a later leaf index: what lies between is of streams that this audit is not about.

        Raises:
            VerificationError: when it is not later.
        """
        if index < self.size:
            raise VerificationError(f"entry {index}: entries are not in leaf order")
        self.size = index

    @property
    def known(self) -> Known:
        """Return what was folded."""
        return self._known

    def finish(self) -> None:
        """Check what only the end tells: every generation of the data key is one that the log tells of.

        Raises:
            VerificationError: naming the entry, when it does not hold.
        """
        if self._known.own_stream is not None:
            self._known.order.require_announced(self._known.own_stream)

    @property
    def erasure_ordered(self) -> bool:
        """Whether the log ends with an erasure that is ordered."""
        tenant = self._known.registered
        return tenant is not None and tenant.erasure_not_before_ms is not None

    def keys(self) -> dict[str, bytes]:
        """Return the public keys that sign in this log, as far as it has told, by thumbprint."""
        tenant = self._known.registered
        if tenant is None:
            return {}
        attestation = bytes.fromhex(tenant.attestation_key)
        keys = {one.kid: bytes.fromhex(one.public_key) for one in tenant.principals.values()}
        return keys | ({thumbprint(attestation): attestation} if attestation else {})

    def position(self) -> Position:
        """Return where the audit stands, for `resume`."""
        known = self._known
        return Position(
            size=self.size,
            opened=self.opened,
            unjudged=self.unjudged,
            sealed=known.sealed,
            counts=[dict(counter) for counter in known.counters()],
            nodes=list(known.nodes),
            node_kids=dict(known.node_kids),
            hidden_since=dict(known.order.hidden_since),
            versions={str(stream): version for stream, version in known.order.versions.items()},
            leaves=sorted(leaf for leaves in known.order.leaves.values() for leaf in leaves),
        )

    def resume(self, position: Position, items: Iterable[tuple[int, Item]]) -> None:
        """Go on where an interrupted audit was: what had not ended then is checked again, from the entries themselves.

        Args:
            position: as `position` gave it. The journal must hold what was written down until then.
            items: the entries at `position.leaves`.

        Raises:
            LedgerError: when they do not hold.
        """
        known = self._known
        known.order.versions = {UUID(stream): version for stream, version in position.versions.items()}
        known.nodes = {name: number for number, name in enumerate(position.nodes)}
        known.node_kids = dict(position.node_kids)
        for index, item in items:
            known.order.hide({one: since for one, since in position.hidden_since.items() if since < index})
            known.sealed = len(known.order.hidden_since)
            recorded = known.order.again(index, item)
            if recorded is not None:
                _check(known, recorded)
        known.order.hide(position.hidden_since)
        known.sealed, self.opened, self.size = position.sealed, position.opened, position.size
        self.unjudged = position.unjudged
        for counter, counts in zip(known.counters(), position.counts, strict=True):
            counter.clear()
            counter.update(counts)

    def checked(self) -> tuple[str, ...]:
        """Return what was checked, with how often."""
        return _counted(self._known.checked + self._known.statements.verified)

    def not_checked(self) -> tuple[str, ...]:
        """Return what this log, or what is disclosed of it, could not tell, with how often."""
        return _counted(self._known.elsewhere + self._known.statements.read)


def _counted(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(f"{count} {what}" for what, count in sorted(counts.items()))


def _check(known: Known, recorded: Recorded) -> None:
    event = recorded.event
    if recorded.leaf_index == 0:
        governance.begin(known, recorded)
        return
    stream = home_of(known, event)
    if isinstance(event, nodes.SIGNS_OF_LIFE) and nodes.as_before(known, event, recorded):
        stream = recorded.stream_id
    if stream is not None and stream is not recorded.stream_id and stream != recorded.stream_id:
        raise VerificationError(f"{event.TOPIC} stands in another stream than its ids name")
    if ended.follow(known, recorded):
        return
    _judge(known, recorded)
    _require_policy(known, event)
    ended.settle(known, event)


def _judge(known: Known, recorded: Recorded) -> None:
    event = recorded.event
    kind = type(event)
    judge = _JUDGES.get(kind)
    if judge is not None:
        judge(known, event, recorded)
    elif recorded.stream_id == known.own_stream:
        governance.govern(known, recorded)
    elif "execution_id" in fields_of(kind):
        executions.follow(known, recorded)
    else:
        workloads.follow(known, recorded)


def _by_itself(
    known: Known,
    event: KeyDestroyed
    | DecisionsMade
    | ReportsReceived
    | OfferStood
    | OfferWithdrawn
    | AccessSummarised
    | PrincipalRecognised,
    recorded: Recorded,
) -> None:
    """Check what has a stream of its own."""
    if isinstance(event, ReportsReceived):
        executions.receive(known, event, recorded)
        return
    if isinstance(event, OfferStood | OfferWithdrawn):
        offers.follow(known, event, recorded)
        return
    if isinstance(event, AccessSummarised):
        accesses.follow(known, event, recorded)
        return
    if isinstance(event, PrincipalRecognised):
        accesses.recognise(known, event, recorded)
        return
    if isinstance(event, KeyDestroyed) and (not known.platform or recorded.version):
        raise VerificationError("the end of a tenant's keys is told in the platform log, once")
    if not known.platform:
        raise VerificationError("batches of decisions begin in the platform log")
    if isinstance(event, DecisionsMade):
        known.elsewhere["batches of decisions (audit conform decides them again)"] += 1


def _settled(known: Known, event: QuorumReached | QuorumFailed, recorded: Recorded) -> None:
    workload = known.workloads.get(recorded.stream_id)
    if workload is None:
        raise VerificationError("a workload's stream begins with its submission")
    if isinstance(event, QuorumReached):
        results.agree(known, workload, event)
    else:
        results.disagree(known, workload, event)


def _of_a_clause(known: Known, event: ClauseRegistered | ClauseDeprecated, recorded: Recorded) -> None:
    """Check events of clauses: what their signatories say; their keys are enrolled in other logs."""
    for one in known.statements.unverified(event.statements, GOVERNANCE, recorded, whose=governance.OTHER_KEYS):
        if isinstance(event, ClauseRegistered):
            require_claims(one, registration_claims(event.metadata, event.module_digest))
        else:
            require_claims(one, deprecation_claims(event.clause_id, event.reason))


@cache
def _names_a_policy(kind: type[Event]) -> bool:
    return fields_of(kind) >= {"policy_digest", "policy_version"}


def _require_policy(known: Known, event: Event) -> None:
    """Require that the policy which a decision names is one that was adopted, with the clause's own rules."""
    if not _names_a_policy(type(event)):
        return
    workload = _workload_of(known, event)
    if workload is None or workload.queued is None:
        return
    tenant = known.tenant("policies that decisions name")
    if tenant is None:
        return
    digest, version = getattr(event, "policy_digest", None), getattr(event, "policy_version", 0)
    if digest is None or known.policy_digest(workload.queued, version) != digest:
        raise VerificationError(f"{event.TOPIC} names a policy that was not in force")


def _workload_of(known: Known, event: Event) -> Workload | None:
    if "workload_id" in fields_of(type(event)):
        name = getattr(event, "workload_id", "")
    else:
        attempt = known.attempts.get(stream_of(getattr(event, "execution_id", "")))
        name = None if attempt is None else attempt.execution.reserved.workload_id
    return None if name is None else known.workloads.get(stream_of(name))


_JUDGES: dict[type[Event], Callable[[Known, Any, Recorded], None]] = {
    **dict.fromkeys((CacIssued, CacRejected, CacOverturned), lambda known, _, recorded: results.judge(known, recorded)),
    **dict.fromkeys((QuorumReached, QuorumFailed), _settled),
    **dict.fromkeys(
        (NodeEnrolled, NodeDrained, NodeReturned, TelemetryReported, NodeSuspected, NodeLost), nodes.follow
    ),
    **dict.fromkeys((NodeChallenged, NodeEvidenceAppraised, ResultKeyEnrolled, CollateralSeen), nodes.attest),
    **dict.fromkeys((ClauseRegistered, ClauseDeprecated), _of_a_clause),
    **dict.fromkeys(
        (
            KeyDestroyed,
            DecisionsMade,
            ReportsReceived,
            OfferStood,
            OfferWithdrawn,
            AccessSummarised,
            PrincipalRecognised,
        ),
        _by_itself,
    ),
    **dict.fromkeys(
        (DisputeOpened, DisputeAnswered, DisputeEvidenceAttached, DisputeUpheld, DisputeOverturned, DisputeWithdrawn),
        disputes.follow,
    ),
    **dict.fromkeys((ResultDelivered, SubscriptionLapsed), deliveries.follow),
    QuotaLent: lambda known, _, recorded: borrowing.lent(known, recorded),
}
"""Who checks an event; what has nobody here is of the log's own stream, of an execution or of a workload."""
