"""What the disclosed entries of a log have said so far, folded by the domain's own functions.

Invariants:
- Streams are disclosed whole or not at all. What rests on a stream that was not disclosed is counted, not refused; what
  rests on one that was disclosed, or comes while nothing was kept back, must be there.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from domain.attestation.events import NodeChallenged, NodeEvidenceAppraised
from domain.disputes.state import Dispute
from domain.errors import VerificationError
from domain.executions.state import Execution
from domain.identifiers import node_stream, stream_of
from domain.logs.events import KeyRotated
from domain.message import Recorded
from domain.nodes.events import TelemetryReported
from domain.payloads import StoredPayload
from domain.policies.effective import effective_policy
from domain.policies.kinds import Policy, Rule
from domain.pools.events import OfferStood
from domain.statements import Signed
from domain.subscriptions.decisions import Subscriptions
from domain.tenants.state import Tenant
from domain.workloads.decisions import Request
from domain.workloads.events import (
    ClauseVerified,
    CredentialChecked,
    OverflowOffered,
    Place,
    WorkloadPlaced,
    WorkloadQueued,
    WorkloadSubmitted,
)
from infrastructure.audit.compact import CompactMap
from infrastructure.audit.key_index import Disclosure
from infrastructure.audit.once import Once
from infrastructure.audit.opening import Order
from infrastructure.audit.signatures import Signatures
from infrastructure.audit.statements import Statements

_REMEMBERED_POLICIES = 256


def batched_report(received: int, node: str, digest: str) -> bytes:
    """Return the key of a report that the batch in an entry names."""
    return b"batched\0" + received.to_bytes(8) + bytes.fromhex(digest) + node.encode()


@dataclass
class Workload:
    """A workload: what was asked for, what was checked, the newest queueing, and where its attempts were placed.

    `diverged` are the attempts whose enclaves gave different results.
    `over` says that nothing more will run for it. `again` is how the next attempt must be queued, once an authorisation
    or a node's failure allows one, and `again_after` for which reason its last attempt was abandoned. `offer` is the
    one to secondary nodes that is open; `borrowed` the last attempt that borrowed.
    """

    submitted: WorkloadSubmitted
    statement: Signed
    request: Request
    credential: CredentialChecked | None = None
    clause: ClauseVerified | None = None
    queued: WorkloadQueued | None = None
    waits: bool = False
    held: bool = False
    over: bool = False
    again: WorkloadQueued | None = None
    again_after: str = ""
    offer: OverflowOffered | None = None
    borrowed: int = 0
    places: dict[str, tuple[WorkloadPlaced, Place]] = field(default_factory=dict)
    diverged: set[int] = field(default_factory=set)


@dataclass
class Attempt:
    """One execution, with the leaf hashes (hex) of its events by topic, and its fault as it was recorded.

    `bound` says that its report_data was recomputed, with its workload's submission, when the evidence was appraised.
    """

    execution: Execution
    entries: dict[str, str] = field(default_factory=dict)
    fault: Recorded | None = None
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What an issued CAC attests: outcome and output commitments."""

    outcome: object
    commitments: tuple[object, ...]


@dataclass
class Known:
    """The fold of one log.

    `workloads` and `attempts` hold what has not come to its end (infrastructure.audit.ended); `order` tells what is
    disclosed, `disclosure` with which keys; `once` and `ended` remember of everything else what later entries are held
    against. `apart` are the nodes whose telemetry has a stream of its own, `recognised` the pseudonyms of whom somebody
    else's tokens showed.
    """

    origin: str
    order: Order
    statements: Statements
    once: Once
    signatures: Signatures
    ended: CompactMap
    own_stream: UUID | None = None
    platform: bool = False
    registered: Tenant | None = None
    policies: dict[int, Policy] = field(default_factory=lambda: {0: Policy()})
    rotations: list[KeyRotated] = field(default_factory=list)
    workloads: dict[UUID, Workload] = field(default_factory=dict)
    attempts: dict[UUID, Attempt] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    nodes: dict[str, int] = field(default_factory=dict)
    data_generation: int = 0
    disclosure: Callable[[], Disclosure] | None = None
    node_kids: dict[str, str] = field(default_factory=dict)
    telemetry: dict[str, TelemetryReported] = field(default_factory=dict)
    apart: set[str] = field(default_factory=set)
    recognised: set[str] = field(default_factory=set)
    result_key: tuple[str, bytes] | None = None
    result_kids: set[str] = field(default_factory=set)
    challenges: dict[tuple[str, str], NodeChallenged] = field(default_factory=dict)
    offers: dict[tuple[str, str], OfferStood] = field(default_factory=dict)
    disputes: dict[UUID, Dispute] = field(default_factory=dict)
    disputed: bool = False
    subscriptions: Subscriptions = field(default_factory=Subscriptions.none)
    delivered: dict[str, int] = field(default_factory=dict)
    proofs: dict[str, list[NodeEvidenceAppraised]] = field(default_factory=dict)
    collateral: dict[str, int] = field(default_factory=dict)
    payload: Callable[[UUID, StoredPayload], bytes | None] | None = None
    sealed: int = 0
    _policy_digests: dict[tuple[int, tuple[Rule, ...]], str | None] = field(default_factory=dict)
    checked: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, origin: str, order: Order, once: Once, ended: CompactMap) -> "Known":
        """Begin with nothing known."""
        signatures = Signatures()
        return cls(origin, order, Statements(origin, once, signatures), once, signatures, ended)

    def counters(self) -> tuple[Counter[str], ...]:
        """Return all that is counted."""
        return self.checked, self.elsewhere, self.statements.verified, self.statements.read

    @property
    def host(self) -> str:
        """Return the ledger's host, as the origin has it."""
        return self.origin.rpartition("/t/")[0]

    def tenant(self, what: str) -> Tenant | None:
        """Return whose log this is, or None where its own stream was not disclosed.

        Args:
            what: what rests on it, in the plural.

        Raises:
            VerificationError: when the log has no registration.
        """
        if self.registered is not None and self.own_stream is not None and self._complete(self.own_stream):
            return self.registered
        self._lacking(self.own_stream, f"{what}: the log's own stream was not disclosed", "its registration")
        return None

    def workload(self, workload_id: str, what: str) -> Workload | None:
        """Return a workload, or None where its stream was not disclosed. Arguments and errors as for `tenant`."""
        stream = stream_of(workload_id)
        found = self.workloads.get(stream)
        if found is not None and self._complete(stream):
            return found
        self._lacking(stream, f"{what}: the workload's stream was not disclosed", "its workload")
        return None

    def attempt(self, execution_id: str, what: str) -> Attempt | None:
        """Return an execution, or None where its stream was not disclosed. Arguments and errors as for `tenant`."""
        stream = stream_of(execution_id)
        found = self.attempts.get(stream)
        if found is not None and self._complete(stream):
            return found
        self._lacking(stream, f"{what}: the execution's stream was not disclosed", "its execution")
        return None

    def result(self, cac_id: str, what: str) -> Result | None:
        """Return what a CAC attests, or None where its stream was not disclosed. Arguments, errors as for `tenant`."""
        found = self.results.get(cac_id)
        if found is None:
            self._lacking(stream_of(cac_id), f"{what}: a CAC's stream was not disclosed", "its CAC")
        return found

    def batch_key(self, received: int, node: str, digest: str) -> str | None:
        """Return the key that signed the batch in which a node's report came, or None where it was not disclosed.

        Args:
            received: leaf index of the batch's entry, as the report's event has it.
            node: whose report it is.
            digest: of the report.

        Raises:
            VerificationError: when that entry names no such report.
        """
        if self.once.holder(batched_report(received, node, digest)) == received:
            return self.node_kids[node]
        self._lacking(None, "reports in batches: the batch's entry was not disclosed", "the batch that names a report")
        return None

    def node_kid(self, node: str, what: str) -> str | None:
        """Return the thumbprint of a node's key, or None where its stream was not disclosed. As for `tenant`."""
        if node in self.node_kids and self._complete(node_stream(node)):
            return self.node_kids[node]
        self._lacking(node_stream(node), f"{what}: the node's stream was not disclosed", "its node's enrolment")
        return None

    def policy_digest(self, queued: WorkloadQueued, version: int) -> str | None:
        """Return the digest of `effective`."""
        key = version, queued.clause_rules
        if key not in self._policy_digests:
            if len(self._policy_digests) == _REMEMBERED_POLICIES:
                self._policy_digests.clear()
            policy = self.effective(queued, version)
            self._policy_digests[key] = None if policy is None else policy.digest()
        return self._policy_digests[key]

    def effective(self, queued: WorkloadQueued, version: int) -> Policy | None:
        """Return the effective policy for a workload under a version of the tenant's, or None when there is none."""
        policy = self.policies.get(version)
        return None if policy is None else effective_policy(policy, queued.clause_rules)

    def _complete(self, stream: UUID) -> bool:
        """Tell whether nothing of a stream can be missing of which something was opened."""
        return not self.order.hidden_generations or self.order.discloses(stream)

    def _readable(self, stream: UUID | None) -> bool:
        return stream is not None and self.order.discloses(stream)

    def _lacking(self, stream: UUID | None, told: str, named: str) -> None:
        if stream is not None and self.ended.get(stream.bytes) is not None:
            raise VerificationError(f"{named} has come to its end before it")
        if self.sealed == 0 or self._readable(stream):
            raise VerificationError(f"{named} is not in the log before it")
        self.elsewhere[told] += 1
