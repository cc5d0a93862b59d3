"""Holds placements against the files again, apart from the code that made them.

Invariants:
- Nothing of the scheduler, nor of its evaluation of policies, is used: only the files' own facts.
- At one instant what ends makes room for what starts.
- Each way in which a placement breaks a rule counts once: an attempt of several enclaves as one, a pair that must not
  share a node once for each direction in which it is forbidden.

Checked: slots and memory of each node; tags against forbidden tags, and policies on co-location, in both directions; in
country; required attributes; independence; one attempt at a time, none before the workload arrives, none of the same
execution twice, none longer or shorter than the file says, none after a fault; nodes, operators, evidence and validity
as the tenant's policy asks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, groupby, pairwise

from domain.jurisdictions import EU_MEMBERS
from domain.policies.facts import NodeFacts
from domain.policies.kinds import (
    DomainBesideTrigger,
    Evidence,
    InCountry,
    NoColocation,
    Nodes,
    Operators,
    Overflow,
    Policy,
    Validity,
)
from domain.policies.kinds import IndependentAttestations as Independent
from infrastructure.simulating.governance import Tenant
from infrastructure.simulating.run import Placement
from infrastructure.simulating.shapes import Shape


def violations(
    placements: Sequence[Placement], nodes: Iterable[NodeFacts], policies: Mapping[Tenant, Policy]
) -> Counter[str]:
    """Return how often each rule is broken."""
    return _Checker({node.node: node for node in nodes}, policies).check(placements)


class _Checker:
    def __init__(self, nodes: Mapping[str, NodeFacts], policies: Mapping[Tenant, Policy]) -> None:
        self._nodes = nodes
        self._policies = policies
        self.found: Counter[str] = Counter()
        self._shapes: dict[int, tuple[Shape, bool]] = {}
        self._pairs: dict[tuple[int, int], tuple[str, ...]] = {}

    def check(self, placements: Sequence[Placement]) -> Counter[str]:
        by_node: defaultdict[str, list[Placement]] = defaultdict(list)
        by_job: defaultdict[str, list[Placement]] = defaultdict(list)
        for placement in placements:
            by_node[placement.node].append(placement)
            by_job[placement.job.id].append(placement)
        self.found["execution_twice"] += len(placements) - len({placement.execution for placement in placements})
        for name, there in by_node.items():
            node = self._nodes.get(name)
            if node is None:
                self.found["unknown_node"] += len(there)
                continue
            for placement in there:
                self._alone(placement, node)
            self._together(there, node)
        for attempts in by_job.values():
            self._attempts(attempts)
        return +self.found

    def _rules(self, shape: Shape) -> Sequence[object]:
        policy = self._policies.get(shape.tenant)
        return policy.rules if policy is not None else ()

    def _alone(self, placement: Placement, node: NodeFacts) -> None:
        """Check what is between one placement and its node."""
        job, facts = placement.job, placement.job.shape.facts
        if placement.start_ms < job.at_ms or placement.end_ms - placement.start_ms != job.runtime_ms:
            self.found["time"] += 1
        for attribute in facts.required_attributes:
            if attribute not in node.attributes:
                self.found["attributes"] += 1
        self._as_policies_ask(placement, node)

    def _as_policies_ask(self, placement: Placement, node: NodeFacts) -> None:
        shape = placement.job.shape
        for rule in (*self._rules(shape), *shape.rules):
            match rule:
                case InCountry():
                    jurisdiction = shape.tenant[1]
                    home = EU_MEMBERS if jurisdiction == "EU" else {jurisdiction}
                    broken = node.country not in (rule.countries or home)
                case Operators():
                    broken = node.operator in rule.forbidden or bool(rule.allowed and node.operator not in rule.allowed)
                case Nodes():
                    broken = node.node in rule.forbidden or bool(rule.allowed and node.node not in rule.allowed)
                case Evidence():
                    broken = rule.domain in {None, _domain(shape)} and node.evidence_class not in rule.classes
                case Validity():
                    broken = not rule.from_ms <= placement.start_ms < rule.until_ms
                case Overflow():
                    named = node.pool in rule.pools or node.node in rule.nodes
                    broken = node.pool != "primary" and not named
                case _:
                    continue
            self.found[rule.kind] += broken

    def _together(self, there: list[Placement], node: NodeFacts) -> None:
        """Sweep over one node's time: what ends at an instant leaves before what starts then comes."""
        edges = [(p.end_ms, 0, at) for at, p in enumerate(there)] + [(p.start_ms, 1, at) for at, p in enumerate(there)]
        slots, memory = node.slots, node.memory_bytes
        present: Counter[int] = Counter()  # how many of each shape: a node may have thousands of slots, of few shapes
        demanding: Counter[int] = Counter()  # those of them that forbid anything beside them
        for _, starts, at in sorted(edges):
            shape = there[at].job.shape
            facts = shape.facts
            demands = self._demands(shape)
            if not starts:
                slots, memory = slots + facts.slots, memory + facts.bounds.memory_bytes
                present[id(shape)] -= 1
                demanding[id(shape)] -= demands
                continue
            slots, memory = slots - facts.slots, memory - facts.bounds.memory_bytes
            self.found["slots"] += slots < 0
            self.found["memory"] += memory < 0
            for other, number in (present if demands else demanding).items():
                if number:
                    for rule in self._between(shape, self._shapes[other][0]):
                        self.found[rule] += number
            present[id(shape)] += 1
            demanding[id(shape)] += demands

    def _demands(self, shape: Shape) -> bool:
        """Tell whether a shape forbids anything beside it."""
        known = self._shapes.get(id(shape))
        if known is None:
            kinds = (NoColocation, DomainBesideTrigger)
            demands = bool(shape.facts.forbid_tags) or any(isinstance(rule, kinds) for rule in self._rules(shape))
            known = self._shapes[id(shape)] = (shape, demands)
        return known[1]

    def _between(self, one: Shape, other: Shape) -> tuple[str, ...]:
        """Return the rules that two break which share a node, in both directions."""
        key = id(one), id(other)
        if key not in self._pairs:
            self._pairs[key] = (*self._forbids(one, other), *self._forbids(other, one))
        return self._pairs[key]

    def _forbids(self, owner: Shape, other: Shape) -> Iterator[str]:
        facts, others = owner.facts, other.facts
        if any(tag in others.tags for tag in facts.forbid_tags):
            yield "forbid_tags"
        for rule in self._rules(owner):
            match rule:
                case NoColocation():
                    stranger = rule.authorised is not None and others.dao not in {facts.dao, *rule.authorised}
                    broken = stranger or _domain(other) in rule.domains or any(t in others.tags for t in rule.tags)
                case DomainBesideTrigger():
                    one, two = (_domain(owner), others.trigger), (_domain(other), facts.trigger)
                    broken = (rule.domain, rule.trigger) in {one, two}
                case _:
                    continue
            if broken:
                yield rule.kind

    def _attempts(self, placed: list[Placement]) -> None:
        """Check what is between the attempts of one workload, and between the enclaves of each."""
        spans = []
        for _, group in groupby(sorted(placed, key=lambda p: p.attempt), key=lambda p: p.attempt):
            enclaves = list(group)
            spans.append((enclaves[0].start_ms, enclaves[0].end_ms))
            if len({(p.start_ms, p.end_ms) for p in enclaves}) > 1:
                self.found["time"] += 1
            self._independent(enclaves)
        self.found["overlap"] += sum(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans)))
        self.found["after_fault"] += placed[0].job.fails and len(spans) > 1

    def _independent(self, enclaves: list[Placement]) -> None:
        shape = enclaves[0].job.shape
        rules = [r for r in (*shape.rules, *self._rules(shape)) if isinstance(r, Independent)]
        count = max((rule.count for rule in rules), default=1)
        distinct = {name for rule in rules for name in rule.distinct}
        nodes = [self._nodes[p.node] for p in enclaves if p.node in self._nodes]
        broken = len(enclaves) != count
        for one, other in combinations(nodes, 2):
            broken |= one.node == other.node or any(name in other.platform_ids for name in one.platform_ids)
            broken |= "operator" in distinct and one.operator == other.operator
            broken |= "vendor" in distinct and one.vendor == other.vendor
        self.found["independence"] += broken


def _domain(shape: Shape) -> str:
    return shape.facts.resource_class.split("::")[0]
