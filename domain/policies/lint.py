"""What a policy would do if it were adopted: where it contradicts itself, what it could never have, what it would stop.

Invariants:
- A contradiction holds whatever nodes there are: nothing that it speaks of could ever run, or one rule says of a name
  that it is allowed and forbidden.
- A warning rests on the cell as it is now. It tells of nodes, which everybody may know, and of the tenant's own
  workloads; nothing of another tenant's.
- What would be held or is run against is asked of `feasible` and of nothing else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from domain.jurisdictions import Jurisdiction, countries_within
from domain.message import Value
from domain.policies.effective import effective_policy
from domain.policies.facts import NodeFacts, WorkloadFacts
from domain.policies.feasible import Finding, findings_of_node, findings_of_workload, independent_count
from domain.policies.kinds import (
    PRIMARY,
    DisputeResolution,
    Evidence,
    InCountry,
    Nodes,
    Notification,
    Operators,
    Overflow,
    Policy,
    ReAuthorisation,
    Rule,
    Validity,
)
from domain.time import rfc3339

RuleT = TypeVar("RuleT", bound=Value)


@dataclass(frozen=True, slots=True)
class Asked:
    """A workload of the tenant: its id (of an execution: that one's), what is asked for, and the clause's own rules.

    `node`: where it runs; None for one that waits.
    """

    name: str
    facts: WorkloadFacts
    clause_rules: tuple[Rule, ...] = ()
    node: NodeFacts | None = None


@dataclass(frozen=True, slots=True)
class World:
    """The cell as a tenant's policy finds it.

    Attributes:
        nodes: that take work.
        recipients: whom the tenant's faults can be told to.
        persons: how many persons have a role, by role.
        examples: what the tenant's credential lets it ask for at least, by resource class.
        waiting: the tenant's own workloads that wait.
        running: its executions.
        now_ms: decision time.
    """

    nodes: tuple[NodeFacts, ...]
    recipients: frozenset[str]
    persons: Mapping[str, int]
    examples: Mapping[str, WorkloadFacts]
    waiting: tuple[Asked, ...]
    running: tuple[Asked, ...]
    now_ms: int


@dataclass(frozen=True, slots=True)
class Against:
    """A workload that would be denied, or an execution that runs against the policy, and by which rule."""

    name: str
    rule: str
    have: str
    need: str


# What contradicts itself


def contradictions(policy: Policy, jurisdiction: Jurisdiction) -> tuple[str, ...]:
    """Return what in a policy can't hold together, in words."""
    return (
        *_of_lists(policy, Operators, "operator"),
        *_of_lists(policy, Nodes, "node"),
        *_of_countries(policy, jurisdiction),
        *_of_evidence(policy),
        *_of_times(policy),
        *_of_roles(policy),
        *_of_numbers(policy),
    )


def _of_lists(policy: Policy, kind: type[Operators] | type[Nodes], noun: str) -> Iterator[str]:
    for rule in _rules(policy, kind):
        both = sorted(set(rule.allowed) & set(rule.forbidden))
        if both:
            yield f"{noun} {both[0]} is allowed and forbidden by one rule"
    left = _allowed(policy, kind)
    if left is not None and not left:
        yield f"no {noun} is allowed by every rule about {noun}s"


def _allowed(policy: Policy, kind: type[Operators] | type[Nodes]) -> frozenset[str] | None:
    """Return the names that all rules of a kind allow; None: any but those forbidden."""
    left: frozenset[str] | None = None
    forbidden: set[str] = set()
    for rule in _rules(policy, kind):
        forbidden |= set(rule.forbidden)
        if rule.allowed:
            left = frozenset(rule.allowed) if left is None else left & set(rule.allowed)
    return None if left is None else left - forbidden


def _of_countries(policy: Policy, jurisdiction: Jurisdiction) -> Iterator[str]:
    wanted = [frozenset(rule.countries) or countries_within(jurisdiction) for rule in _rules(policy, InCountry)]
    if wanted and not frozenset.intersection(*wanted):
        yield "no country is one that every in_country rule asks for"


def _of_evidence(policy: Policy) -> Iterator[str]:
    rules = _rules(policy, Evidence)
    for domain in dict.fromkeys(rule.domain for rule in rules):
        concerned = [rule for rule in rules if rule.domain in {None, domain}]
        classes = frozenset.intersection(*(frozenset[str](rule.classes) for rule in concerned)) - {"synthetic"}
        roots = frozenset.intersection(*(frozenset[str](rule.roots) for rule in concerned))
        if not classes and not roots:  # synthetic platforms count by their root alone
            yield "no class of evidence is allowed by every evidence rule" + (f" about {domain}" if domain else "")


def _of_times(policy: Policy) -> Iterator[str]:
    rules = _rules(policy, Validity)
    if rules and max(rule.from_ms for rule in rules) >= min(rule.until_ms for rule in rules):
        yield "the validity rules have no instant in common"


def _of_roles(policy: Policy) -> Iterator[str]:
    if not policy.re_authorisation().roles:
        yield "no role may re-authorise by every re_authorisation rule"


def _of_numbers(policy: Policy) -> Iterator[str]:
    count, distinct = independent_count(policy)
    if count == 1:
        return
    nodes, operators = _allowed(policy, Nodes), _allowed(policy, Operators)
    if nodes and len(nodes) < count:
        yield f"{count} independent enclaves are asked for, and {len(nodes)} nodes are allowed"
    if operators and "operator" in distinct and len(operators) < count:
        yield f"{count} operators are asked for, and {len(operators)} are allowed"


# What the cell can't give now


def warnings(policy: Policy, world: World) -> tuple[str, ...]:
    """Return what people should know before they adopt a policy, in words."""
    return (
        *_unknown(policy, world),
        *_unable(policy, world),
        *_outside(policy, world.now_ms),
        *_stopped(policy, world),
    )


def _unknown(policy: Policy, world: World) -> Iterator[str]:
    known = {
        "operator": {node.operator for node in world.nodes},
        "node": {node.node for node in world.nodes},
        "pool": {node.pool for node in world.nodes},
        "country": {node.country for node in world.nodes},
        "recipient": world.recipients,
    }
    says = {
        "operator": "runs no node here", "node": "is not enrolled", "pool": "has no node", "country": "has no node",
        "recipient": "is neither appointed as a monitor nor a scope above",
    }  # fmt: skip
    for noun, name in dict.fromkeys(pair for rule in policy.rules for pair in _named(rule)):
        if name not in known[noun]:
            yield f"{noun} {name} {says[noun]}"


def _named(rule: Rule) -> Iterator[tuple[str, str]]:
    match rule:
        case Operators():
            yield from (("operator", name) for name in (*rule.allowed, *rule.forbidden))
        case Nodes():
            yield from (("node", name) for name in (*rule.allowed, *rule.forbidden))
        case InCountry():
            yield from (("country", name) for name in rule.countries)
        case Overflow():
            yield from (("pool", name) for name in rule.pools)
            yield from (("node", name) for name in rule.nodes)
        case Notification() | DisputeResolution():
            yield from (("recipient", name) for name in rule.recipients)
        case _:
            return


def _unable(policy: Policy, world: World) -> Iterator[str]:
    rule = policy.re_authorisation()
    able = sum(world.persons.get(role, 0) for role in rule.roles)
    if _rules(policy, ReAuthorisation) and able < rule.threshold:
        yield f"a retry takes {rule.threshold} persons in role {' or '.join(rule.roles)}; {able} are enrolled"
    for known in _rules(policy, DisputeResolution):
        able = sum(world.persons.get(role, 0) for role in known.roles)
        if able < known.threshold:
            yield f"a dispute takes {known.threshold} persons in role {' or '.join(known.roles)}; {able} are enrolled"
    if any(PRIMARY in rule.pools for rule in _rules(policy, Overflow)):
        yield f"pool {PRIMARY} is where work is placed first: nothing overflows to it"


def _outside(policy: Policy, now_ms: int) -> Iterator[str]:
    for rule in _rules(policy, Validity):
        if now_ms < rule.from_ms:
            yield f"nothing runs before {rfc3339(rule.from_ms)}"
        elif now_ms >= rule.until_ms:
            yield f"nothing runs any more: {rfc3339(rule.until_ms)} is over"


def _stopped(policy: Policy, world: World) -> Iterator[str]:
    stopped = {
        name: failed
        for name, facts in world.examples.items()
        if (failed := _failed(policy, Asked(name, facts), world.nodes, world.now_ms)) is not None
    }
    if stopped and len(stopped) == len(world.examples):
        rules = ", ".join(sorted({failed.rule for failed in stopped.values()}))
        yield f"it would stop everything: no enrolled node satisfies it ({rules})"
        return
    for name, failed in sorted(stopped.items()):
        yield f"it would stop {name}: {failed.rule}: have {failed.have}, need {failed.need}"


# What waits and what runs


def would_hold(policy: Policy, world: World) -> tuple[Against, ...]:
    """Return the waiting workloads that would be denied, with the rule."""
    found = ((one.name, _failed(policy, one, world.nodes, world.now_ms)) for one in world.waiting)
    return tuple(_against(name, failed) for name, failed in found if failed is not None)


def runs_against(policy: Policy, world: World) -> tuple[Against, ...]:
    """Return the executions that break the policy as they run now, by their own facts and their nodes'.

    They go on: provisioning and the CAC gate decide over them. Who else lives on their nodes is told to nobody.
    """
    found: list[Against] = []
    for one in world.running:
        if one.node is not None:
            effective = effective_policy(policy, one.clause_rules)
            findings = (
                *findings_of_workload(effective, one.facts, world.now_ms),
                *findings_of_node(effective, one.facts, one.node),
            )
            found += [_against(one.name, finding) for finding in findings if not finding.passed][:1]
    return tuple(found)


def _failed(policy: Policy, one: Asked, nodes: Sequence[NodeFacts], now_ms: int) -> Finding | None:
    """Return what would deny a workload: a rule about itself, the rule that excludes most nodes, or too few of them."""
    effective = effective_policy(policy, one.clause_rules)
    failed = next((f for f in findings_of_workload(effective, one.facts, now_ms) if not f.passed), None)
    primary = [node for node in nodes if node.pool == PRIMARY]
    if failed is not None or not primary:
        return failed
    eligible, excluded = [], []
    for node in primary:
        broken = [finding for finding in findings_of_node(effective, one.facts, node) if not finding.passed]
        excluded += list({finding.rule: finding for finding in reversed(broken)}.values())
        if not broken:
            eligible.append(node)
    if not eligible:
        counts = Counter(finding.rule for finding in excluded)
        dominant = min(counts, key=lambda rule: (-counts[rule], rule))
        return next(finding for finding in excluded if finding.rule == dominant)
    return _too_few(effective, eligible)


def _too_few(policy: Policy, eligible: Sequence[NodeFacts]) -> Finding | None:
    """Return a finding where there are surely too few independent nodes; the scheduler's own search is exact."""
    count, distinct = independent_count(policy)
    kinds = {"node": {node.node for node in eligible}}
    if "operator" in distinct:
        kinds["operator"] = {node.operator for node in eligible}
    if "vendor" in distinct:
        kinds["vendor"] = {node.vendor for node in eligible}
    noun, have = min(((noun, len(names)) for noun, names in kinds.items()), key=lambda pair: pair[1])
    if have >= count:
        return None
    need = f"{count} nodes distinct in {', '.join(distinct)}"
    return Finding("independent_attestations", "node", False, f"{have} {noun}s", need)  # noqa: FBT003


def _against(name: str, finding: Finding) -> Against:
    return Against(name, finding.rule, finding.have, finding.need)


def _rules(policy: Policy, kind: type[RuleT]) -> list[RuleT]:
    return [rule for rule in policy.rules if isinstance(rule, kind)]
