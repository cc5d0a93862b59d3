"""Aggregates as their streams tell them now."""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from domain.clauses.decisions import Clause
from domain.clauses.events import ClauseDeprecated, ClauseRegistered
from domain.errors import MalformedError, UnknownError
from domain.executions.events import ExecutionReserved
from domain.executions.state import Execution
from domain.executions.state import evolve as evolve_execution
from domain.identifiers import PLATFORM_SLOT, clause_stream, node_stream, parse_dao, stream_of
from domain.jurisdictions import parse_jurisdiction
from domain.message import Recorded
from domain.nodes.events import NodeEnrolled
from domain.platform.events import Genesis
from domain.tenants.state import Tenant
from domain.tenants.state import evolve as evolve_tenant
from domain.workloads.events import (
    WorkloadDeferred,
    WorkloadDeferredV1,
    WorkloadPlaced,
    WorkloadQueued,
    WorkloadSubmitted,
)
from infrastructure.ledger import Command, Ledger
from infrastructure.logbook import Logbook
from infrastructure.postgres.records import Log

_NAME = b"ledger tenant name v1\0"
_SCOPE_NAME = b"ledger scope name v1\0"


@dataclass(frozen=True, slots=True)
class Node:
    """An enrolled node: its facts and the key that signs its reports."""

    enrolled: NodeEnrolled

    @property
    def keys(self) -> dict[str, bytes]:
        """Return the node's report key by thumbprint."""
        return {self.enrolled.kid: bytes.fromhex(self.enrolled.public_key)}


@dataclass(frozen=True, slots=True)
class Workload:
    """A workload's submission, the newest queueing, its placements, whether it waits, its stream's version."""

    submitted: WorkloadSubmitted
    queued: WorkloadQueued | None
    placed: tuple[WorkloadPlaced, ...]
    waits: bool
    version: int


def load_genesis(ledger: Ledger) -> Genesis:
    """Return the genesis.

    Raises:
        RefusedError: before it.
    """
    platform = ledger.platform()
    event = ledger.once("beginning", platform.log_id, lambda: ledger.at(platform.log_id, 0)).event
    if not isinstance(event, Genesis):
        raise UnknownError("the platform log does not begin with a genesis")
    return event


def load_tenant(ledger: Ledger, log_id: UUID) -> Tenant:
    """Return a tenant or scope by its log.

    Raises:
        UnknownError: when there is none.
    """
    return ledger.folded(ledger.stream(log_id, log_id), required_tenant)


def required_tenant(stream: Iterable[Recorded]) -> Tenant:
    """Fold a tenant's or scope's own stream. Raises as `load_tenant` does."""
    tenant = fold_tenant(stream)
    if tenant is None:
        raise UnknownError("there is no such tenant")
    return tenant


def fold_tenant(stream: Iterable[Recorded]) -> Tenant | None:
    """Fold a tenant's own stream."""
    tenant: Tenant | None = None
    for recorded in stream:
        tenant = evolve_tenant(recorded.event, tenant)
    return tenant


def everybody(ledger: Ledger) -> list[Tenant]:
    """Return every tenant and scope of the cell that can be read, by slot."""
    logs = (log.log_id for log in ledger.logs() if log.slot != PLATFORM_SLOT)
    found = (fold_tenant(ledger.stream(log_id, log_id)) for log_id in logs if not ledger.erased(log_id))
    return [tenant for tenant in found if tenant is not None]


def tenants(ledger: Ledger) -> list[Tenant]:
    """Return every tenant of the cell that can be read, by slot; scopes and the platform left out."""
    return [tenant for tenant in everybody(ledger) if tenant.dao]


def load_root(ledger: Ledger) -> Tenant:
    """Return the root scope."""
    return load_tenant(ledger, UUID(load_genesis(ledger).root_scope))


def load_scope(ledger: Ledger, origin: str) -> Tenant:
    """Return a scope by its origin.

    Raises:
        UnknownError: when there is none.
    """
    scope = load_tenant(ledger, ledger.once("log of origin", origin, lambda: _read_log_of_origin(ledger, origin)))
    if scope.dao:
        raise UnknownError("there is no scope of that origin")
    return scope


def _read_log_of_origin(ledger: Ledger, origin: str) -> UUID:
    for log in ledger.logs():
        if log.origin == origin:
            return log.log_id
    raise UnknownError("there is no scope of that origin")


def scopes_above(ledger: Ledger, tenant: Tenant) -> tuple[Tenant, ...]:
    """Return the scopes above a tenant or scope, the nearest first and the root last. The root has none."""
    logs = logs_above(ledger, UUID(tenant.log_id))
    return tuple(ledger.folded(one, required_tenant) for one in ledger.streams([(one, one) for one in logs]))


def logs_above(ledger: Ledger, log_id: UUID) -> tuple[UUID, ...]:
    """Return the logs of the scopes above a tenant or scope, in the same order. Nobody is ever moved."""
    return ledger.once("logs above", log_id, lambda: _read_logs_above(ledger, log_id))


def _read_logs_above(ledger: Ledger, log_id: UUID) -> tuple[UUID, ...]:
    found: list[UUID] = []
    parent = load_tenant(ledger, log_id).parent
    while parent:
        scope = load_scope(ledger, parent)
        found.append(UUID(scope.log_id))
        parent = scope.parent
    return tuple(found)


def trusted_issuers(above: Iterable[Tenant]) -> tuple[str, ...]:
    """Return who may issue credentials to a tenant: the issuers of every scope above it."""
    return tuple(dict.fromkeys(issuer for scope in above for issuer in scope.issuers))


def find_log(ledger: Ledger, name: str) -> Log:
    """Return the log that a person means: a tenant's or scope's id, `DAO/JUR`, a scope's name, `platform` or `root`.

    Raises:
        UnknownError: when there is none.
        MalformedError: when it is none of these forms.
    """
    if name == "platform":
        return ledger.platform()
    if name == "root":
        return ledger.log(UUID(load_genesis(ledger).root_scope))
    dao, slash, jurisdiction = name.partition("/")
    if slash:
        parse_dao(dao)
        found = log_of_name(ledger, dao, parse_jurisdiction(jurisdiction))
        if found is None:
            raise UnknownError("there is no such tenant; `enclave-ledger tenant list` shows those that you may see")
        return found
    scope = ledger.answered(scope_claim(ledger, name, {}))
    if scope is not None:
        return ledger.log(UUID(scope["scope"]))
    try:
        return ledger.log(UUID(name))
    except ValueError:
        raise MalformedError(
            "name a tenant by its id or as DAO/JUR, e.g. ClimateDAO/DEU, and a scope by its name (`scope list`)"
        ) from None


def log_of_name(ledger: Ledger, dao: str, jurisdiction: str) -> Log | None:
    """Return the log of the tenant of a name, or None. Names are taken for ever: an erased tenant is found as well."""
    for claim in (name_claim(ledger, dao, jurisdiction, {}), _legible_claim(ledger, dao, jurisdiction)):
        known = ledger.answered(claim)
        if known is not None:
            return ledger.log(UUID(known["tenant"]))
    return None


def name_claim(ledger: Logbook, dao: str, jurisdiction: str, answer: Mapping[str, str]) -> Command:
    """Return the command that takes a tenant's name, once for the whole cell. The database does not hold the name."""
    secret = ledger.keyring.platform_secrets().cell
    hidden = hmac.digest(secret, _NAME + f"{dao}/{jurisdiction}".encode(), "sha256").hex()
    return Command(ledger.platform().log_id, "tenant-name", hidden, b"", answer)


def scope_claim(ledger: Logbook, name: str, answer: Mapping[str, str]) -> Command:
    """Return the command that takes a scope's name, once for the whole cell, hidden as a tenant's is."""
    secret = ledger.keyring.platform_secrets().cell
    hidden = hmac.digest(secret, _SCOPE_NAME + name.encode(), "sha256").hex()
    return Command(ledger.platform().log_id, "scope-name", hidden, b"", answer)


def _legible_claim(ledger: Ledger, dao: str, jurisdiction: str) -> Command:
    """Return the claim as the first release made it."""
    name = f"{dao}/{jurisdiction}"
    return Command(ledger.platform().log_id, "tenant-name", name, name.encode(), {})


def find_tenant(ledger: Ledger, name: str) -> Tenant:
    """Return the tenant that a person means. Raises as `find_log` does."""
    return load_tenant(ledger, find_log(ledger, name).log_id)


def load_clause(ledger: Ledger, clause_id: str, *, known: bool = False) -> Clause | None:
    """Return a registered clause, or None. With `known`: as this process knows it, where it knows anything of it."""
    (stream,) = ledger.streams([(ledger.platform().log_id, clause_stream(clause_id))], known=known)
    return ledger.folded(stream, _fold_clause)


def _fold_clause(stream: Sequence[Recorded]) -> Clause | None:
    clause: Clause | None = None
    for recorded in stream:
        event = recorded.event
        if isinstance(event, ClauseRegistered):
            clause = Clause(
                metadata=event.metadata,
                module_digest=event.module_digest,
                payload_digest=event.module.digest,
                entry=recorded.leaf_hash.hex(),
                owner_origin=event.owner_origin,
            )
        elif isinstance(event, ClauseDeprecated) and clause is not None:
            clause = replace(clause, deprecated=True)
    return clause


def load_node(ledger: Ledger, name: str) -> Node:
    """Return an enrolled node. A name is enrolled once, so what is found holds.

    Raises:
        UnknownError: when there is none.
    """
    return ledger.once("node", name, lambda: _read_node(ledger, name))


def _read_node(ledger: Ledger, name: str) -> Node:
    first = ledger.first(ledger.platform().log_id, node_stream(name))
    if first is None or not isinstance(first.event, NodeEnrolled):
        raise UnknownError(f"node {name[:64]!a} is not enrolled")
    return Node(first.event)


def load_workload(ledger: Ledger, log_id: UUID, workload_id: str) -> Workload:
    """Return a workload.

    Raises:
        UnknownError: when the log has none of that id.
    """
    return fold_workload(ledger.stream(log_id, stream_of(workload_id)))


def fold_workload(stream: Iterable[Recorded]) -> Workload:
    """Fold a workload's stream. Raises as `load_workload` does."""
    submitted: WorkloadSubmitted | None = None
    queued: WorkloadQueued | None = None
    placed: list[WorkloadPlaced] = []
    version, waits = -1, False
    for recorded in stream:
        version = recorded.version
        if isinstance(recorded.event, WorkloadSubmitted):
            submitted = recorded.event
        elif isinstance(recorded.event, WorkloadQueued):
            queued = recorded.event
        elif isinstance(recorded.event, WorkloadPlaced):
            placed.append(recorded.event)
        waits = isinstance(recorded.event, WorkloadQueued | WorkloadDeferredV1 | WorkloadDeferred)
    if submitted is None:
        raise UnknownError("there is no such workload")
    return Workload(submitted, queued, tuple(placed), waits, version)


def log_of(ledger: Ledger, prefixed_id: str) -> UUID:
    """Return the log of a workload, execution or CAC.

    Raises:
        UnknownError: when none has it.
    """
    return ledger.once("log", prefixed_id, lambda: _read_log_of(ledger, prefixed_id))


def _read_log_of(ledger: Ledger, prefixed_id: str) -> UUID:
    log_id = ledger.recorder.log_of_stream(stream_of(prefixed_id))
    if log_id is None:
        raise UnknownError("there is nothing of that id")
    return log_id


def load_execution(ledger: Ledger, log_id: UUID, execution_id: str) -> tuple[Execution, tuple[Recorded, ...]]:
    """Return an execution and the events that it was folded from.

    Raises:
        UnknownError: when there is none.
    """
    stream = ledger.stream(log_id, stream_of(execution_id))
    return fold_execution(stream), stream


def load_reserved(ledger: Ledger, log_id: UUID, execution_id: str) -> ExecutionReserved:
    """Return the reservation that an execution began with, which never changes. Raises as `load_execution` does."""
    (stream,) = ledger.streams([(log_id, stream_of(execution_id))], known=True)
    return fold_execution(stream[:1]).reserved


def fold_execution(stream: Sequence[Recorded]) -> Execution:
    """Fold an execution's stream. Raises as `load_execution` does."""
    execution: Execution | None = None
    if stream and isinstance(stream[0].event, ExecutionReserved):
        for recorded in stream:
            execution = evolve_execution(recorded.event, execution)
    if execution is None:
        raise UnknownError("there is no such execution")
    return execution
