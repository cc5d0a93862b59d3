"""Places in line are counted as by looking at everybody, and without looking at everybody."""

import time

from hypothesis import given
from hypothesis import strategies as st

from domain.identifiers import uuid7, workload_id
from domain.policies.effective import effective_policy
from domain.policies.kinds import InCountry, Nodes, Policy, Rule
from domain.workloads.events import WorkloadQueued
from infrastructure.conform.lines import Line, Lines
from tests.domain import samples

NAMES = [workload_id(uuid7(samples.NOW, number)) for number in range(6)]
RULES: tuple[Rule, ...] = (InCountry(kind="in_country"), Nodes(kind="nodes", allowed=("n1",)))
POLICIES = [Policy(), Policy(rules=RULES[:1]), Policy(rules=RULES)]
steps = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 2), st.integers(0, 2)), max_size=80)


@given(steps)
def test_who_waits_before_somebody_is_who_came_before_and_is_of_its_class_under_the_policy(
    made: list[tuple[bool, int, int, int]],
) -> None:
    lines, waiting = Lines(), dict[str, WorkloadQueued]()
    for joins, number, rules, policy in made:
        name = NAMES[number]
        waiting.pop(name, None)
        if joins:
            waiting[name] = samples.queued(workload_id=name, clause_rules=RULES[:rules])
            lines.join(waiting[name])
        else:
            lines.leave(name)
        keys = {
            one: queued.facts.class_key(effective_policy(POLICIES[policy], queued.clause_rules), 0)
            for one, queued in waiting.items()
        }
        for place, one in enumerate(waiting):
            before = [other for other in list(waiting)[:place] if keys[other] == keys[one]]
            assert lines.before(one, policy, POLICIES[policy]) == (len(before), before[0] if before else None)


def test_of_those_who_left_nothing_is_kept_for_long_and_a_long_line_costs_little() -> None:
    line = Line()
    began_s = time.process_time()
    for number in range(20_000):
        line.join(str(number))
    for number in range(20_000):
        assert line.before(str(number)) == 0
        line.join(f"next {number}")
        assert line.first() == str(number)
        line.leave(str(number))
    assert time.process_time() - began_s < 5
    assert line.before("next 19999") == 19_999
    assert len(line._names) <= 2 * len(line.waiting) + 65
