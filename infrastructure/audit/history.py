"""One log's history, checked in leaf order: what is signed inside the entries, and that each follows from the others.

Invariants:
- Every event stands in the stream that its own ids name; statements count once; acts are decided again by the domain.
- A foreign document never raises anything but a VerificationError that names its entry.
- What other logs hold (node keys, operators, clauses' maxima, endorsers) is counted as not checked.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from domain.cacs.events import CacIssued, CacRejected, QuorumFailed, QuorumReached
from domain.canonical import canonical
from domain.clauses.decisions import deprecation_claims, registration_claims
from domain.clauses.events import ClauseDeprecated, ClauseRegistered
from domain.errors import LedgerError, VerificationError
from domain.hashing import sha256_hex
from domain.identifiers import clause_stream, erasure_stream, node_stream, stream_of
from domain.message import Event, Recorded
from domain.nodes.events import NodeDrained, NodeEnrolled
from domain.platform.events import KeyDestroyed
from domain.statements import GOVERNANCE, REPORT, require_claims
from domain.workloads.events import ClauseVerified, CredentialChecked
from infrastructure.audit import executions, governance, results, workloads
from infrastructure.audit.known import Known, Workload
from infrastructure.audit.opening import Opener
from infrastructure.audit.statements import Statements


class HistoryAudit:
    """Folds a log's own events in leaf order and checks each against those before it.

    Args:
        origin: the log's origin.
        opener: opens its entries, and knows which streams are disclosed.
    """

    def __init__(self, origin: str, opener: Opener) -> None:
        self._known = Known(origin, opener.discloses, Statements(origin))
        self.opened = 0

    @property
    def sealed(self) -> int:
        """Return how many entries were not disclosed."""
        return self._known.sealed

    def follow(self, history: Iterable[Recorded | None]) -> None:
        """Check every disclosed event.

        Raises:
            VerificationError: naming the entry that does not hold.
        """
        for recorded in history:
            if recorded is None:
                self._known.sealed += 1
                continue
            self.opened += 1
            try:
                _check(self._known, recorded)
            except LedgerError as error:
                raise VerificationError(f"entry {recorded.leaf_index}: {error}") from None
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
                text = f"entry {recorded.leaf_index}: a document or statement inside is not of its form"
                raise VerificationError(text) from None

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
    stream = _home(known, event)
    if stream is not None and stream != recorded.stream_id:
        raise VerificationError(f"{event.TOPIC} stands in another stream than its ids name")
    match event:
        case CacIssued() | CacRejected():
            results.judge(known, recorded)
        case QuorumReached() | QuorumFailed():
            _settled(known, event, recorded)
        case NodeEnrolled() | NodeDrained() | ClauseRegistered() | ClauseDeprecated():
            _of_the_cell(known, event, recorded)
        case KeyDestroyed():
            if not known.platform or recorded.version:
                raise VerificationError("the end of a tenant's keys is told in the platform log, once")
        case _ if recorded.stream_id == known.own_stream:
            governance.govern(known, recorded)
        case _ if hasattr(event, "execution_id"):
            executions.follow(known, recorded)
        case _:
            workloads.follow(known, recorded)
    _require_policy(known, event)


def _home(known: Known, event: Event) -> UUID | None:
    """Return the stream that an event belongs to by its own ids; None for what carries none."""
    if isinstance(event, CredentialChecked | ClauseVerified):
        return None
    for kind, home in _HOMES.items():
        if isinstance(event, kind):
            return home(event)
    for name in ("execution_id", "workload_id"):
        if hasattr(event, name):
            return stream_of(getattr(event, name))
    if known.own_stream is None:
        raise VerificationError(f"{event.TOPIC} stands in another stream than the log's own")
    return known.own_stream


_HOMES: dict[type[Event], Callable[[Any], UUID]] = {
    CacIssued: lambda event: stream_of(event.cac_id),
    CacRejected: lambda event: stream_of(event.cac_id),
    NodeEnrolled: lambda event: node_stream(event.facts.node),
    NodeDrained: lambda event: node_stream(event.node),
    KeyDestroyed: lambda event: erasure_stream(event.slot),
    ClauseRegistered: lambda event: clause_stream(event.metadata.clause_id),
    ClauseDeprecated: lambda event: clause_stream(event.clause_id),
}


def _settled(known: Known, event: QuorumReached | QuorumFailed, recorded: Recorded) -> None:
    workload = known.workloads.get(recorded.stream_id)
    if workload is None:
        raise VerificationError("a workload's stream begins with its submission")
    if isinstance(event, QuorumReached):
        results.agree(known, workload, event)


def _of_the_cell(
    known: Known, event: NodeEnrolled | NodeDrained | ClauseRegistered | ClauseDeprecated, recorded: Recorded
) -> None:
    """Check events of clauses and nodes: what their signatories say; their keys are enrolled in other logs."""
    statements = known.statements
    if isinstance(event, NodeEnrolled):
        keys = {event.kid: bytes.fromhex(event.public_key)}
        signed = statements.by_signer(event.acceptance, REPORT, keys, recorded)
        said, told = signed.payload["facts"], event.facts.model_dump(mode="json")
        if canonical(said) != canonical(told) or sha256_hex(canonical(event.credential)) != event.credential_digest:
            raise VerificationError("the node's facts or credential are not what was accepted")
        return
    for one in statements.unverified(event.statements, GOVERNANCE, recorded, whose=governance.OTHER_KEYS):
        if isinstance(event, ClauseRegistered):
            require_claims(one, registration_claims(event.metadata, event.module_digest))
        elif isinstance(event, ClauseDeprecated):
            require_claims(one, deprecation_claims(event.clause_id, event.reason))


def _require_policy(known: Known, event: Event) -> None:
    """Require that the policy which a decision names is one that was adopted, with the clause's own rules."""
    digest, version = getattr(event, "policy_digest", None), getattr(event, "policy_version", None)
    workload = _workload_of(known, event)
    if digest is None or version is None or workload is None or workload.queued is None:
        return
    tenant = known.tenant("policies that decisions name")
    if tenant is None:
        return
    policy = known.effective(workload.queued, version)
    if policy is None or policy.digest() != digest:
        raise VerificationError(f"{event.TOPIC} names a policy that was not in force")


def _workload_of(known: Known, event: Event) -> Workload | None:
    name = getattr(event, "workload_id", None)
    if name is None:
        execution = getattr(event, "execution_id", None)
        attempt = None if execution is None else known.attempts.get(stream_of(execution))
        name = None if attempt is None else attempt.execution.reserved.workload_id
    return None if name is None else known.workloads.get(stream_of(name))
