"""One execution with everything around it, as the ledger has it now."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.attestation.appraise import Expected
from domain.errors import RefusedError
from domain.executions.events import ExecutionChallenged
from domain.executions.state import Execution
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
    load_execution,
    load_genesis,
    load_node,
    load_tenant,
    load_workload,
    log_of,
    scopes_above,
)
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import Guard
from infrastructure.runtime.measurement import runtime_measurement


@dataclass(frozen=True, slots=True)
class Context:
    """One execution, the events that it was folded from, and what it belongs to."""

    log_id: UUID
    tenant: Tenant
    workload: Workload
    execution: Execution
    stream: tuple[Recorded, ...]
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

    def siblings(self, ledger: Ledger) -> tuple[Execution, ...]:
        """Return the attempt's other executions."""
        ids = [place.execution_id for place in self.placed.places if place.execution_id != self.execution.id]
        return tuple(load_execution(ledger, self.log_id, one)[0] for one in ids)

    def attempt_nodes(self, ledger: Ledger) -> tuple[NodeFacts, ...]:
        """Return the nodes of all enclaves of the attempt."""
        return tuple(load_node(ledger, place.node).enrolled.facts for place in self.placed.places)

    def guards(self, ledger: Ledger) -> list[Guard]:
        """Return what a gate rests on and does not write: tenant, scopes above, and the attempt's other executions."""
        above = map(guard_of, scopes_above(ledger, self.tenant))
        siblings = [Guard(self.log_id, stream_of(one.id), one.version) for one in self.siblings(ledger)]
        return [guard_of(self.tenant), *above, *siblings]

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


def load_context(ledger: Ledger, execution_id: str) -> Context:
    """Return an execution with its tenant, workload and node.

    Raises:
        UnknownError: when there is no such execution.
    """
    log_id = log_of(ledger, execution_id)
    execution, stream = load_execution(ledger, log_id, execution_id)
    return Context(
        log_id=log_id,
        tenant=load_tenant(ledger, log_id),
        workload=load_workload(ledger, log_id, execution.reserved.workload_id),
        execution=execution,
        stream=stream,
        node=load_node(ledger, execution.reserved.node),
        host=load_genesis(ledger).host,
    )


def on_execution(context: Context, events: Sequence[Event]) -> list[Pending]:
    """Return events as the next ones of the execution's stream."""
    stream, version = stream_of(context.execution.id), context.execution.version + 1
    return [Pending(context.log_id, stream, version + at, event) for at, event in enumerate(events)]
