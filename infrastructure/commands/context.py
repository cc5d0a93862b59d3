"""One execution with everything around it, as the ledger has it now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar
from uuid import UUID

from domain.attestation.appraise import Expected
from domain.errors import LedgerError, RefusedError, UnavailableError
from domain.executions.events import ExecutionChallenged
from domain.executions.state import Execution
from domain.executions.state import evolve as evolve_execution
from domain.identifiers import stream_of
from domain.message import Event, Pending, Recorded
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts
from domain.policies.kinds import Policy
from domain.tenants.state import Tenant
from domain.workloads.events import WorkloadPlaced, WorkloadQueued
from infrastructure.commands.guarding import guard_of
from infrastructure.commands.loading import (
    Node,
    Workload,
    fold_execution,
    fold_workload,
    load_genesis,
    load_node,
    load_reserved,
    log_of,
    logs_above,
    required_tenant,
)
from infrastructure.ledger import Ledger
from infrastructure.mapper import NOT_STORED
from infrastructure.postgres.records import Guard
from infrastructure.runtime.measurement import runtime_measurement

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Context:
    """One execution, the events that it was folded from, and what it belongs to; scopes above nearest first."""

    log_id: UUID
    tenant: Tenant
    above: tuple[Tenant, ...]
    workload: Workload
    execution: Execution
    stream: tuple[Recorded, ...]
    siblings: tuple[Execution, ...]
    node: Node
    host: str

    @property
    def queued(self) -> WorkloadQueued:
        """Return the workload as it was last queued.

        Raises:
            RefusedError: when it never was.
        """
        if self.workload.queued is None:
            raise RefusedError("the workload was never queued")
        return self.workload.queued

    @property
    def placed(self) -> WorkloadPlaced:
        """Return the placement of this execution's attempt.

        Raises:
            RefusedError: when there is none.
        """
        for placed in self.workload.placed:
            if placed.attempt == self.execution.reserved.attempt:
                return placed
        raise RefusedError("the attempt was never placed")

    @property
    def evidence_ms(self) -> int | None:
        """Return when the nonce was issued that the execution's evidence answers; None before."""
        issued = (item.at_ms for item in self.stream if isinstance(item.event, ExecutionChallenged))
        return next(issued, None)

    def attempt_nodes(self, ledger: Ledger) -> tuple[NodeFacts, ...]:
        """Return the nodes of all enclaves of the attempt."""
        return tuple(load_node(ledger, place.node).enrolled.facts for place in self.placed.places)

    def after(self, pending: Sequence[Pending], at_ms: int) -> "Context":
        """Return it as it will be once these events, the next ones of the execution, are stored at an instant."""
        execution = self.execution
        for one in pending:
            execution = evolve_execution(one.event, execution) or execution
        added = [Recorded(one.log_id, NOT_STORED, one.stream_id, one.version, at_ms, one.event, b"") for one in pending]
        return replace(self, execution=execution, stream=(*self.stream, *added))

    def guards(self) -> list[Guard]:
        """Return what a gate rests on, as read: tenant, scopes above, workload, the attempt's others."""
        above = map(guard_of, self.above)
        siblings = [Guard(self.log_id, stream_of(one.id), one.version) for one in self.siblings]
        workload = Guard(self.log_id, stream_of(self.workload.submitted.workload_id), self.workload.version)
        return [guard_of(self.tenant), *above, workload, *siblings]

    def policy(self) -> Policy:
        """Return the effective policy that is in force for the workload now."""
        return effective_policy(self.tenant.policy, self.queued.clause_rules)

    def expected(self) -> Expected:
        """Return what evidence has to answer to.

        Raises:
            RefusedError: before the nonce was issued.
        """
        if self.execution.challenge is None:
            raise RefusedError("the execution has no nonce yet: fetch its assignment first")
        return Expected(
            host=self.host,
            origin=self.tenant.origin,
            reserved=self.execution.reserved,
            challenge=self.execution.challenge,
            node=self.node.enrolled.facts,
            node_kid=self.node.enrolled.kid,
            submission_digest=self.workload.submitted.submission_digest,
            measurement=runtime_measurement(),
        )


def known_first(act: Callable[[bool], T]) -> T:
    """Do something over what this process knows; where that is refused, over what the database holds.

    Args:
        act: is told whether it may rest on what is known (`load_context`).

    Raises:
        LedgerError: what it raises over what the database holds, or where that does not answer.
    """
    try:
        return act(True)  # noqa: FBT003 - the one thing that it is told
    except UnavailableError:
        raise
    except LedgerError:
        return act(False)  # noqa: FBT003


def load_context(ledger: Ledger, execution_id: str, *, known: bool = False) -> Context:
    """Return an execution with its tenant, the scopes above, workload and node, as they stood at one instant.

    The attempt's other executions are read a moment later; `guards` names the very versions that were read. With
    `known` it is what this process knows, where it knows anything: it may be old, so what is decided on it is stored
    with all its guards, and whatever is refused on it is decided again.

    Raises:
        UnknownError: when there is no such execution.
    """
    log_id = log_of(ledger, execution_id)
    workload_id = ledger.once("workload", execution_id, lambda: _read_workload_of(ledger, log_id, execution_id))
    above = logs_above(ledger, log_id)
    of_logs = [(one, one) for one in (log_id, *above)]
    own = [(log_id, stream_of(one)) for one in (execution_id, workload_id)]
    stream, workload_stream, *streams = ledger.streams([*own, *of_logs], known=known)
    execution = fold_execution(stream)
    workload = fold_workload(workload_stream)
    others = _others(execution, workload)
    tenant, *scopes = [ledger.folded(one, required_tenant) for one in streams]
    return Context(
        log_id=log_id,
        tenant=tenant,
        above=tuple(scopes),
        workload=workload,
        execution=execution,
        stream=stream,
        siblings=tuple(map(fold_execution, ledger.streams([(log_id, stream_of(one)) for one in others], known=known))),
        node=load_node(ledger, execution.reserved.node),
        host=load_genesis(ledger).host,
    )


def _others(execution: Execution, workload: Workload) -> list[str]:
    """Return the ids of the other executions of an execution's attempt."""
    placed = (one for one in workload.placed if one.attempt == execution.reserved.attempt)
    return [place.execution_id for one in placed for place in one.places if place.execution_id != execution.id]


def _read_workload_of(ledger: Ledger, log_id: UUID, execution_id: str) -> str:
    return load_reserved(ledger, log_id, execution_id).workload_id


def on_execution(context: Context, events: Sequence[Event]) -> list[Pending]:
    """Return events as the next ones of the execution's stream."""
    stream, version = stream_of(context.execution.id), context.execution.version + 1
    return [Pending(context.log_id, stream, version + at, event) for at, event in enumerate(events)]
