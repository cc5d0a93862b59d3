"""Classes of equal workloads: same tenant, same facts, same effective policy. What `feasible` reads is worked out once.

Invariants:
- Within a class first come, first served: what holds for its head holds for all.
- A class is told once why it waits, and again when the reason changes; when it is empty all that was told is forgotten.
"""

from collections import deque
from typing import Any

from domain.policies.facts import WorkloadFacts
from domain.policies.feasible import findings_of_workload, independent_count
from domain.policies.kinds import Policy, Validity
from domain.scheduling.colocation import manners
from domain.scheduling.quotas import Account
from domain.scheduling.tables import Key, Waiting
from domain.time import MAX_INSTANT_MS


class WorkClass:
    """A class, its queue, and what it hangs on.

    Attributes:
        number: tells classes apart; it orders nothing.
        told: the reason that was told last, "" when none was.
        stamp: of when it was told, which its place among those that are watched names.
        bypassed: how many placements in a row went to classes after it while it was watched.
        order: the order that it is in: of those to be looked at, or of the line that it waits in.
        line: the line that it waits in.
    """

    __slots__ = (
        "account",
        "bypassed",
        "count",
        "distinct",
        "eligible",
        "epoch",
        "ever",
        "facts",
        "filtered",
        "forbidden",
        "from_ms",
        "head",
        "level",
        "line",
        "listed",
        "manners",
        "members",
        "memory",
        "memory_all",
        "number",
        "order",
        "policy",
        "policy_digest",
        "queue",
        "slots",
        "slots_all",
        "stamp",
        "told",
        "until_ms",
        "version",
        "waits_for",
        "within",
    )  # fmt: skip

    head: Waiting

    def __init__(
        self, number: int, account: Account, facts: WorkloadFacts, version: int, policy: Policy, level: int
    ) -> None:
        self.number = number
        self.account = account
        self.facts = facts
        self.version = version
        self.policy = policy
        self.policy_digest = policy.digest()
        self.level = level
        self.slots = facts.slots
        self.memory = facts.bounds.memory_bytes
        self.count, self.distinct = independent_count(policy)
        self.slots_all, self.memory_all = self.slots * self.count, self.memory * self.count
        self.manners = manners(policy, facts)
        validity = [rule for rule in policy.rules if isinstance(rule, Validity)]
        self.from_ms = max([rule.from_ms for rule in validity], default=0)
        self.until_ms = min([rule.until_ms for rule in validity], default=MAX_INSTANT_MS + 1)
        timeless = Policy.model_construct(rules=tuple(rule for rule in policy.rules if not isinstance(rule, Validity)))
        self.forbidden = not all(finding.passed for finding in findings_of_workload(timeless, facts, 0))
        self.queue: deque[Waiting] = deque()
        self.members: dict[Key, Waiting] = {}
        self.told = ""
        self.bypassed = 0
        self.listed = False
        self.stamp = 0
        self.order: Any = None
        self.line: Any = None
        self.waits_for = ""
        self.epoch = -1
        self.eligible = 0
        self.within = 0
        self.ever = True
        self.filtered: tuple[Any, ...] = ()

    def put(self, waiting: Waiting) -> None:
        """Let one more wait behind the others."""
        if not self.members:
            self.queue.clear()
            self.head = waiting
        self.members[waiting.key] = waiting
        self.queue.append(waiting)

    def take(self, key: Key) -> None:
        """Let one go, from wherever it stands."""
        del self.members[key]
        if self.head.key == key and self.members:
            queue = self.queue
            while self.members.get(queue[0].key) is not queue[0]:
                queue.popleft()
            self.head = queue[0]
