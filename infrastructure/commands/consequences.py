"""What policies and grants would do to a tenant's own work, as the cell stands now. Nothing of it is written."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.bounds import Bounds
from domain.identifiers import parse_clause_id
from domain.policies.effective import effective_policy
from domain.policies.facts import WorkloadFacts
from domain.policies.feasible import independent_count
from domain.policies.kinds import Policy
from domain.policies.lint import Against, Asked, World, contradictions, runs_against, warnings, would_hold
from domain.quotas.lint import Need, quota_warnings, token_warnings
from domain.quotas.tree import RESOURCES
from domain.scheduling.state import Scheduling
from domain.statements import GOVERNANCE
from domain.tenants.grants import holder_of
from domain.tenants.state import Tenant
from infrastructure.commands.loading import everybody, load_clause, scopes_above
from infrastructure.credentials.executor import ExecutorSubject
from infrastructure.ledger import Ledger
from projections.quotas import quotas

_LEAST = Bounds(memory_bytes=65_536, fuel=1, wall_ms=1)


@dataclass(frozen=True, slots=True)
class Examination:
    """What a policy would do.

    Attributes:
        contradictions: for which it is refused.
        warnings: what people should know.
        held: own workloads that wait now, and would be denied.
        running: own executions that run against it.
    """

    contradictions: tuple[str, ...]
    warnings: tuple[str, ...]
    held: tuple[Against, ...]
    running: tuple[Against, ...]


def examine_policy(ledger: Ledger, state: Scheduling, tenant: Tenant, policy: Policy) -> Examination:
    """Return what a policy would do if a tenant adopted it now.

    Args:
        ledger: the ledger.
        state: the scheduler's, folded up to now.
        tenant: whose policy it would be.
        policy: the tenant's own rules.
    """
    world = _world(ledger, state, tenant)
    return Examination(
        contradictions(policy, tenant.jurisdiction),
        warnings(policy, world),
        would_hold(policy, world),
        runs_against(policy, world),
    )


def quota_consequences(ledger: Ledger, state: Scheduling, grantee: Tenant) -> tuple[str, ...]:
    """Return warnings about the quotas that a tenant or scope has now."""
    people = everybody(ledger)
    tree = {one.origin: holder_of(one) for one in people}
    row = next(row for row in quotas(state, people) if row["slot"] == grantee.slot)
    used = {resource: row[resource]["used"] for resource in RESOURCES}
    return quota_warnings(tree, grantee.origin, used, _work_of(state, grantee) if grantee.dao else ())


def token_consequences(
    ledger: Ledger, state: Scheduling, grantee: Tenant, clause_ids: Iterable[str]
) -> tuple[str, ...]:
    """Return warnings about the tokens that a tenant has now.

    Args:
        ledger: the ledger.
        state: the scheduler's, folded up to now.
        grantee: the tenant.
        clause_ids: the registered clauses.
    """
    if grantee.bandwidth is None:
        return ()
    needs = [*_work_of(state, grantee), *_least_needs(ledger, grantee, clause_ids)]
    return token_warnings(grantee.bandwidth, needs, ledger.clock.now_ms())


def _world(ledger: Ledger, state: Scheduling, tenant: Tenant) -> World:
    persons = {(one.role, one.person) for one in tenant.principals.values() if one.statement_type == GOVERNANCE}
    names = {scope.name for scope in scopes_above(ledger, tenant)}
    return World(
        nodes=tuple(facts for _, facts in sorted(state.nodes.items())),
        recipients=frozenset({*tenant.monitors, *names}),
        persons=Counter(role for role, _ in persons),
        examples={name: _example(tenant, name) for name in _granted(tenant)[0]},
        waiting=tuple(_waiting(state, tenant)),
        running=tuple(_running(state, tenant)),
        now_ms=max(state.now_ms, ledger.clock.now_ms()),
    )


def _granted(tenant: Tenant) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the resource classes and clause families that a tenant's credential grants; a scope has none."""
    if tenant.credential is None:
        return (), frozenset()
    subject = ExecutorSubject.read(tenant.credential["credentialSubject"])
    return subject.resource_classes, frozenset(subject.clause_families)


def _example(tenant: Tenant, resource_class: str) -> WorkloadFacts:
    return WorkloadFacts(dao=tenant.dao, jurisdiction=tenant.jurisdiction, resource_class=resource_class, bounds=_LEAST)


def _waiting(state: Scheduling, tenant: Tenant) -> Iterator[Asked]:
    for key, waiting in sorted(state.waiting.items()):
        if key[0] == tenant.slot:
            yield Asked(key[1], waiting.queued.facts, waiting.queued.clause_rules)


def _running(state: Scheduling, tenant: Tenant) -> Iterator[Asked]:
    for execution, live in sorted(state.live.items()):
        if live.slot == tenant.slot:
            yield Asked(execution, live.queued.facts, live.queued.clause_rules, state.nodes.get(live.node))


def _work_of(state: Scheduling, tenant: Tenant) -> Iterator[Need]:
    """Yield what one placement of each waiting workload takes."""
    for one in _waiting(state, tenant):
        enclaves = independent_count(effective_policy(tenant.policy, one.clause_rules))[0]
        yield Need(one.name, one.facts.slots * enclaves, one.facts.bounds.memory_bytes * enclaves)


def _least_needs(ledger: Ledger, tenant: Tenant, clause_ids: Iterable[str]) -> Iterator[Need]:
    """Yield what a workload of each clause that the tenant may run takes at least."""
    families = _granted(tenant)[1]
    for clause_id in clause_ids:
        clause = load_clause(ledger, clause_id) if parse_clause_id(clause_id).family in families else None
        if clause is not None and not clause.deprecated:
            enclaves = independent_count(effective_policy(tenant.policy, clause.metadata.policies))[0]
            yield Need(clause_id, enclaves, 0)
