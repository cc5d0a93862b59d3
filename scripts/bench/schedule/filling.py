"""Fills a ledger with the cell that is measured: every event is appended, sealed and hashed as commands append them.

Invariants:
- The decider reads of these events what it would read of real ones. Statements and keys in them are stand-ins: nobody
  checks them here, and the benchmarks of the audit measure what that costs.
- Slots and ids are the ledger's own, drawn at random; everything else is the cell's arithmetic.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from uuid import UUID

from domain.bounds import Bounds
from domain.canonical import canonical
from domain.executions.events import RuntimeReset
from domain.identifiers import node_stream, offer_stream, stream_of, workload_id
from domain.message import Event, Pending
from domain.nodes.events import NodeEnrolled
from domain.payloads import StoredPayload
from domain.platform.events import AdminKey, Genesis, LevelsAdopted
from domain.policies.facts import NodeFacts
from domain.policies.kinds import PRIMARY
from domain.pools.events import OfferStood
from domain.quotas.events import BandwidthGranted, QuotaGranted
from domain.tenants.events import PolicyAdopted, ScopeRegistered, ScopeRegisteredBelow, TenantRegistered
from domain.time import MAX_INSTANT_MS
from domain.workloads.events import SealedInput, TenantTag, WorkloadQueued, WorkloadSubmitted
from infrastructure.engine_digest import engine_digest
from infrastructure.keys.keyring import LogKind
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Log
from infrastructure.simulating.governance import Governance, Limits, Tenant
from infrastructure.simulating.shapes import jobs_of
from scripts.bench.benchmark import Say
from scripts.bench.schedule.cell import Size, governance_of, nodes_of, workloads_of

HOST = "ledger.example"
AT_ONCE = 500
"""Events in one transaction."""

_KID, _KEY, _DIGEST, _STATEMENT = "k" * 43, "0" * 64, "0" * 64, "stand.in.here"
_ADMINS = (AdminKey(kid=_KID, public_key=_KEY, person="Stand-in"),)


class Filling:
    """One cell's logs.

    Args:
        ledger: open and empty.
        size: how large the cell is.
    """

    def __init__(self, ledger: Ledger, size: Size) -> None:
        self._ledger = ledger
        self._size = size
        self._governance = governance_of(size)
        self._logs: dict[Tenant, Log] = {}
        self._queued = 0
        self.submitted: list[str] = []

    def found(self, say: Say) -> None:
        """Put everything in force and enrol the nodes."""
        ledger = self._ledger
        platform, _ = ledger.create_log(LogKind.PLATFORM, HOST)
        root, _ = ledger.create_log(LogKind.SCOPE, HOST)
        say("scopes and tenants")
        scopes = {scope.name: ledger.create_log(LogKind.SCOPE, HOST)[0] for scope in self._governance.scopes}
        self._logs = {tenant: ledger.create_log(LogKind.TENANT, HOST)[0] for tenant in self._governance.policies}
        genesis = Genesis(
            cell=0, host=HOST, origin=platform.origin, root_scope=str(root.log_id), root_origin=root.origin,
            engine=engine_digest(),
        )  # fmt: skip
        levels = LevelsAdopted(version=1, domains=self._governance.levels, statements=())
        events = [*_own(platform, genesis, levels), *_scopes(root, scopes, self._governance)]
        for tenant, log in self._logs.items():
            events += _tenant(tenant, log, scopes, self._governance)
        self._append(events)
        say("offers of pools, nodes")
        pools = sorted({(node.pool, node.operator) for node in nodes_of(self._size) if node.pool != PRIMARY})
        self._append(
            Pending(platform.log_id, offer_stream(pool, operator), 0, _offer(pool, operator))
            for pool, operator in pools
        )
        self._append(
            Pending(platform.log_id, node_stream(node.id), 0, _enrolled(node.facts())) for node in nodes_of(self._size)
        )

    def queue(self, count: int) -> None:
        """Queue so many workloads more."""
        lines = workloads_of(self._size, count, self._queued)
        self._queued += count
        now_ms = self._ledger.clock.now_ms()
        jobs = jobs_of(lines, self._governance.levels, self._governance.policies)
        self._append(event for job in jobs for event in self._of_workload(job.shape.tenant, job.shape.members, now_ms))

    def reset(self, executions: Iterable[tuple[UUID, str, int]]) -> None:
        """End executions (log, id and version in its stream): their places are free."""
        self._append(
            Pending(log_id, stream_of(execution), version, RuntimeReset(execution_id=execution, report=_STATEMENT))
            for log_id, execution, version in executions
        )

    def _of_workload(self, tenant: Tenant, members: Mapping[str, Any], now_ms: int) -> Iterator[Pending]:
        stream = self._ledger.ids.uuid(now_ms)
        told = {name: value for name, value in members.items() if name != "kind"}
        told["facts"] = {name: value for name, value in told["facts"].items() if name != "level"}
        told |= {"workload_id": workload_id(stream), "not_after_ms": MAX_INSTANT_MS}
        queued, log_id = WorkloadQueued.model_validate_json(canonical(told)), self._logs[tenant].log_id
        self.submitted.append(queued.workload_id)
        yield Pending(log_id, stream, 0, _submission(queued))
        yield Pending(log_id, stream, 1, queued)

    def _append(self, events: Iterable[Pending]) -> None:
        left = iter(events)
        while some := list(islice(left, AT_ONCE)):
            self._ledger.append(some)


def _submission(queued: WorkloadQueued) -> WorkloadSubmitted:
    facts = queued.facts
    kept = StoredPayload(digest=_DIGEST, size_bytes=0, plaintext_digest=_DIGEST)
    return WorkloadSubmitted(
        workload_id=queued.workload_id,
        tenant=TenantTag(dao=facts.dao, jurisdiction=facts.jurisdiction, clause_id=queued.clause_id),
        resource_class=facts.resource_class, bounds=Bounds(**facts.bounds.model_dump()), trigger=facts.trigger,
        tags=facts.tags, forbid_tags=facts.forbid_tags,
        inputs=(SealedInput(commitment=_DIGEST, size_bytes=0, ciphertext_digest=_DIGEST, payload=kept),),
        not_after_ms=queued.not_after_ms, submission=_STATEMENT, submission_digest=_DIGEST,
    )  # fmt: skip


def _offer(pool: str, operator: str) -> OfferStood:
    return OfferStood(
        number=0, pool=pool, operator=operator, kid=_KID, public_key=_KEY, slots=None,
        memory_bytes=None, until_ms=MAX_INSTANT_MS, statement=_STATEMENT, appointed=(),
    )  # fmt: skip


def _own(log: Log, *events: Event) -> Iterator[Pending]:
    return (Pending(log.log_id, log.log_id, version, event) for version, event in enumerate(events))


def _scopes(root: Log, scopes: Mapping[str, Log], governance: Governance) -> Iterator[Pending]:
    registered = ScopeRegistered(
        scope_id=str(root.log_id), name="root", origin=root.origin, slot=root.slot, did="did:key:stand-in",
        admins=_ADMINS, threshold=1, acceptances=(), issuers=(),
    )  # fmt: skip
    yield from _own(root, registered, *([] if governance.root is None else [_granted(governance.root, root)]))
    for scope in governance.scopes:
        log = scopes[scope.name]
        below = ScopeRegisteredBelow(
            scope_id=str(log.log_id), name=scope.name, kind="jurisdiction", origin=log.origin, slot=log.slot,
            did="did:key:stand-in", admins=_ADMINS, threshold=1, acceptances=(), issuers=(), parent=root.origin,
            endorsements=(),
        )  # fmt: skip
        yield from _own(log, below, _granted(scope, root))


def _tenant(tenant: Tenant, log: Log, scopes: Mapping[str, Log], governance: Governance) -> Iterator[Pending]:
    limits, tokens, policy = governance.limits[tenant], governance.tokens[tenant], governance.policies[tenant]
    registered = TenantRegistered(
        tenant_id=str(log.log_id), dao=tenant[0], jurisdiction=tenant[1], jurisdiction_as_given=tenant[1],
        origin=log.origin, slot=log.slot, did="did:key:stand-in", admins=_ADMINS, threshold=1, acceptances=(),
        attestation_key=_KEY, release_key="", output_key="", parent=scopes[limits.parent].origin,
    )  # fmt: skip
    bandwidth = BandwidthGranted(
        version=1, tokens=tokens.tokens, period_ms=tokens.period_ms, burst=tokens.burst, from_ms=tokens.from_ms,
        until_ms=tokens.until_ms, granted_by=scopes[limits.parent].origin, statements=(),
    )  # fmt: skip
    adopted = PolicyAdopted(version=1, policy=policy, digest=policy.digest(), statements=())
    yield from _own(log, registered, _granted(limits, scopes[limits.parent]), bandwidth, adopted)


def _granted(limits: Limits, by: Log) -> QuotaGranted:
    return QuotaGranted(
        version=1, slots=limits.slots, memory_bytes=limits.memory_bytes, weight=limits.weight, granted_by=by.origin,
        statements=(),
    )  # fmt: skip


def _enrolled(facts: NodeFacts) -> NodeEnrolled:
    return NodeEnrolled(
        facts=facts, kid=_KID, public_key=_KEY, credential={}, credential_digest=_DIGEST, acceptance=_STATEMENT
    )
