"""The one evaluation of policies: queue, provisioning, CAC gate, explanation and audit all call `feasible`.

Invariants:
- Total and pure: the same facts give the same findings in the same order, at every gate.
- Every rule must hold. A rule that can't be evaluated (a machine without a platform id) does not hold.
- Co-location is symmetric: newcomer against residents and residents against newcomer.
- A finding says what it is about. Findings about residents are never told to a tenant (wire formats 9): they and
  capacity are one reason, `no_node_now`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from domain.jurisdictions import countries_within
from domain.policies.facts import NodeFacts, Resident, WorkloadFacts
from domain.policies.kinds import (
    PRIMARY,
    DomainBesideTrigger,
    Evidence,
    InCountry,
    IndependentAttestations,
    MaximumBounds,
    NoColocation,
    Nodes,
    Operators,
    Overflow,
    Policy,
    Rule,
    Validity,
)
from domain.time import rfc3339

About = Literal["workload", "node", "residents"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's verdict: what it was about, what there was (`have`) and what it asks for (`need`)."""

    rule: str
    about: About
    passed: bool
    have: str
    need: str


def feasible(
    policy: Policy,
    workload: WorkloadFacts,
    node: NodeFacts,
    residents: Sequence[Resident],
    at_ms: int,
    *,
    attempt: Sequence[NodeFacts] | None = None,
    evidence_ms: int | None = None,
) -> tuple[Finding, ...]:
    """Evaluate every rule for one workload on one node at one instant.

    Args:
        policy: the effective policy (tenant's and clause's rules together).
        workload: the newcomer.
        node: the candidate; at provisioning and CAC gate with the evidence class as appraised.
        residents: who lives there now, the newcomer left out.
        at_ms: decision time.
        attempt: the nodes of all enclaves of the attempt, once they are chosen (provisioning and CAC gate); before,
            the choice itself looks for enough independent ones.
        evidence_ms: when the nonce was issued that the execution's evidence answers (provisioning and CAC gate);
            before, there is none, and it will be made afresh.

    Returns:
        One finding per rule and subject. The placement is allowed iff all passed.
    """
    return (
        *findings_of_workload(policy, workload, at_ms),
        *findings_of_node(policy, workload, node),
        *_together(policy, workload, residents),
        *(() if attempt is None else _independence(policy, attempt)),
        *(() if evidence_ms is None else _freshness(policy, workload, at_ms - evidence_ms)),
    )


def allowed(findings: Sequence[Finding]) -> bool:
    """Tell whether every finding passed."""
    return all(finding.passed for finding in findings)


def told(finding: Finding) -> tuple[str, str, str]:
    """Return rule, have and need as a tenant may see them: who else is there is never told (wire formats 9)."""
    if finding.about == "residents":
        return "no_node_now", "no place", "a place"
    return finding.rule, finding.have, finding.need


def findings_of_workload(policy: Policy, workload: WorkloadFacts, at_ms: int) -> tuple[Finding, ...]:
    """Evaluate the rules that no choice of node can change."""
    return tuple(finding for rule in policy.rules for finding in _of_workload(rule, workload, at_ms))


def findings_of_node(policy: Policy, workload: WorkloadFacts, node: NodeFacts) -> tuple[Finding, ...]:
    """Evaluate the rules over a node's own facts."""
    return tuple(
        finding for demand in demands_of_node(policy) for finding in findings_of_demand(demand, workload, node)
    )


Demand = Rule | Literal["attributes", "node_size", "admission"]
"""What a node's own facts are held against: a rule, or one of the three that every workload brings along."""

NODE_READS: Final[dict[str, tuple[str, ...]]] = {
    "attributes": ("attributes",),
    "node_size": ("memory_bytes", "slots"),
    "admission": ("admits",),
    "in_country": ("country",),
    "operators": ("operator",),
    "nodes": ("node",),
    "no_colocation": ("admits",),
    "independent_attestations": (),
    "evidence": ("evidence_class", "evidence_root"),
    "overflow": ("pool", "node"),
}
"""The facts of a node that a demand of each kind reads, besides whether it has a platform id. Others read none."""

WORKLOAD_READS: Final[dict[str, tuple[str, ...]]] = {
    "attributes": ("required_attributes",),
    "node_size": ("bounds", "slots"),
    "admission": ("dao",),
    "in_country": ("jurisdiction",),
    "no_colocation": ("dao",),
    "evidence": ("resource_class",),
}
"""The facts of a workload that a demand on a node's facts reads. Others read none."""


def demands_of_node(policy: Policy) -> tuple[Demand, ...]:
    """Return everything that a node's own facts are held against."""
    return ("attributes", "node_size", "admission", *(rule for rule in policy.rules if rule.kind in NODE_READS))


def findings_of_demand(demand: Demand, workload: WorkloadFacts, node: NodeFacts) -> tuple[Finding, ...]:
    """Evaluate one of them. Nodes that are equal in NODE_READS, for workloads equal in WORKLOAD_READS, fare equally."""
    return (_need(demand, workload, node),) if isinstance(demand, str) else tuple(_of_node(demand, workload, node))


def independent_count(policy: Policy) -> tuple[int, tuple[str, ...]]:
    """Return how many enclaves the policy asks for (1 without such a rule) and in what they must differ."""
    count, distinct = 1, {"platform"}
    for rule in policy.rules:
        if isinstance(rule, IndependentAttestations):
            count = max(count, rule.count)
            distinct |= set(rule.distinct)
    return count, tuple(sorted(distinct))


def independent(nodes: Sequence[NodeFacts], distinct: Sequence[str]) -> bool:
    """Tell whether nodes differ pairwise in platform ids and in what `distinct` names (domain rule 6)."""
    for at, one in enumerate(nodes):
        for other in nodes[at + 1 :]:
            if one.node == other.node or set(one.platform_ids) & set(other.platform_ids):
                return False
            if "operator" in distinct and one.operator == other.operator:
                return False
            if "vendor" in distinct and one.vendor == other.vendor:
                return False
    return all(node.platform_ids for node in nodes)


def _independence(policy: Policy, attempt: Sequence[NodeFacts]) -> Iterator[Finding]:
    count, distinct = independent_count(policy)
    if count > 1:
        passed = len(attempt) >= count and independent(attempt, distinct)
        need = f"{count} nodes distinct in {', '.join(distinct)}"
        yield Finding("independent_attestations", "workload", passed, f"{len(attempt)} nodes", need)


def _freshness(policy: Policy, workload: WorkloadFacts, age_ms: int) -> Iterator[Finding]:
    for rule in policy.rules:
        if isinstance(rule, Evidence) and rule.max_age_ms is not None and rule.domain in {None, workload.domain}:
            need = f"evidence of the last {rule.max_age_ms} ms"
            yield Finding(rule.kind, "workload", age_ms <= rule.max_age_ms, f"evidence {age_ms} ms old", need)


def _of_workload(rule: Rule, workload: WorkloadFacts, at_ms: int) -> Iterator[Finding]:
    match rule:
        case MaximumBounds(bounds=bounds):
            passed = workload.bounds.within(bounds)
            yield Finding(rule.kind, "workload", passed, str(workload.bounds), f"at most {bounds}")
        case Validity():
            inside = rule.from_ms <= at_ms < rule.until_ms
            need = f"from {rfc3339(rule.from_ms)} until {rfc3339(rule.until_ms)}"
            yield Finding(rule.kind, "workload", inside, rfc3339(at_ms), need)
        case DomainBesideTrigger(domain=domain, trigger=trigger):
            clash = workload.domain == domain and workload.trigger == trigger
            have = f"{workload.domain} with trigger {workload.trigger or 'none'}"
            yield Finding(rule.kind, "workload", not clash, have, f"no {domain} beside trigger {trigger}")
        case _:
            return


def _need(need: Literal["attributes", "node_size", "admission"], workload: WorkloadFacts, node: NodeFacts) -> Finding:
    match need:
        case "attributes":
            missing = sorted(set(workload.required_attributes) - set(node.attributes))
            have = f"missing {', '.join(missing) or 'none'}"
            return Finding("attributes", "node", not missing, have, "clause's attributes")
        case "node_size":
            if workload.slots > node.slots:
                return Finding("node_size", "node", False, f"{node.slots} slots", f"{workload.slots} slots")  # noqa: FBT003
            fits = workload.bounds.memory_bytes <= node.memory_bytes
            wanted = f"{workload.bounds.memory_bytes} bytes"
            return Finding("node_size", "node", fits, f"{node.memory_bytes} bytes", wanted)
        case "admission":
            admitted = node.admits is None or workload.dao in node.admits
            return Finding("admission", "node", admitted, "open" if admitted else "closed to this DAO", "admission")


def _of_node(rule: Rule, workload: WorkloadFacts, node: NodeFacts) -> Iterator[Finding]:
    known = bool(node.platform_ids)
    match rule:
        case InCountry(countries=countries):
            wanted = frozenset(countries) or countries_within(workload.jurisdiction)
            yield Finding(
                rule.kind, "node", known and node.country in wanted, node.country, f"one of {', '.join(sorted(wanted))}"
            )
        case Operators():
            passed = known and _listed(node.operator, rule.allowed, rule.forbidden)
            yield Finding(rule.kind, "node", passed, node.operator, "an allowed operator")
        case Nodes():
            passed = known and _listed(node.node, rule.allowed, rule.forbidden)
            yield Finding(rule.kind, "node", passed, node.node, "an allowed node")
        case NoColocation(exclusive=True, authorised=tuple() as authorised):
            admits = None if node.admits is None else set(node.admits) - {workload.dao, *authorised}
            passed = known and admits is not None and not admits
            have = "admits anybody" if admits is None else f"admits {len(admits)} others"
            yield Finding(rule.kind, "node", passed, have, "a node that admits authorised participants only")
        case NoColocation() | IndependentAttestations():
            yield Finding(rule.kind, "node", known, "a platform id" if known else "no platform id", "a platform id")
        case Evidence(classes=classes, domain=domain, roots=roots):
            concerned = domain is None or workload.domain == domain
            passed = not concerned or rule.admits(node.evidence_class, node.evidence_root)
            need = f"one of {', '.join(classes)}{', or of a root named here' if roots else ''}"
            yield Finding(rule.kind, "node", passed, node.evidence_class, need)
        case Overflow(pools=pools, nodes=nodes) if node.pool != PRIMARY:
            passed = node.pool in pools or node.node in nodes
            yield Finding(rule.kind, "node", passed, f"pool {node.pool}", "a pool or node to overflow to")
        case _:
            return


def _together(policy: Policy, workload: WorkloadFacts, residents: Sequence[Resident]) -> Iterator[Finding]:
    for resident in residents:
        for rule in policy.rules:
            yield from _beside(rule, workload, resident.workload)
        for rule in resident.policy.rules:
            yield from _beside(rule, resident.workload, workload)
        tags = set(workload.forbid_tags) & set(resident.workload.tags)
        tags |= set(resident.workload.forbid_tags) & set(workload.tags)
        if tags:
            yield Finding("forbid_tags", "residents", passed=False, have="a forbidden tag", need="none")


def _beside(rule: Rule, owner: WorkloadFacts, other: WorkloadFacts) -> Iterator[Finding]:
    match rule:
        case NoColocation(authorised=authorised, domains=domains, tags=tags):
            stranger = authorised is not None and other.dao != owner.dao and other.dao not in authorised
            passed = not (stranger or other.domain in domains or set(tags) & set(other.tags))
            yield Finding(
                rule.kind, "residents", passed, "a resident", "authorised participants, domains and tags only"
            )
        case DomainBesideTrigger(domain=domain, trigger=trigger):
            clash = (owner.domain, other.trigger) == (domain, trigger) or (other.domain, owner.trigger) == (
                domain,
                trigger,
            )
            yield Finding(rule.kind, "residents", not clash, "a resident", f"no {domain} beside trigger {trigger}")
        case _:
            return


def _listed(name: str, allowed: Sequence[str], forbidden: Sequence[str]) -> bool:
    return name not in forbidden and (not allowed or name in allowed)
