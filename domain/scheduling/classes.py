"""Classes of equal workloads: same tenant, same facts, same effective policy. What `feasible` reads is worked out once.

Invariants:
- Within a class first come, first served: what holds for its head holds for all.
- A class is told once why it waits, and again when reason or rule is another one. The instant from which on tokens
  suffice is told again when it has passed, a tick after it was told at the earliest, and each further time after twice
  as long: nobody waits so long that the events of it pile up. When it is empty all that was told is forgotten.
"""

from collections import deque
from typing import Any

from domain.policies.facts import WorkloadFacts
from domain.policies.feasible import findings_of_workload, independent_count
from domain.policies.kinds import NodeLoad, Policy, Validity
from domain.scheduling.colocation import manners
from domain.scheduling.quotas import Account
from domain.scheduling.tables import Key, Waiting
from domain.time import MAX_INSTANT_MS, TICK_MS

_MOST_REPEATS = 6
"""So often the time doubles after which a class is told of tokens again: to about a minute."""


class WorkClass:
    """A class, its queue, and what it hangs on.

    Attributes:
        number: tells classes apart; it orders nothing.
        told: the reason that was told last, "" when none was.
        rule: the rule that was told with it.
        retry_ms: the instant that was told with it, from which on it would pass; None where none was.
        told_ms: when that was.
        repeats: how often it was told of tokens again since one of it was placed.
        stamp: of when it was told, which its place among those that are watched names.
        short_stamp: the same for those that were told that tokens are short, since when they may be told other reasons.
        short_since: how many placements its tenant had had then, or when it was served last.
        since: how many placements there had been in all when it was told that it has no room, or served last.
        calm: the greatest bucket of load that a node may report for it; None: any, or none.
        order: the order that it is in: of those to be looked at, or of the line that it waits in.
        line: the line that it waits in.
        proof: the line which it was told of, while it waits in another one.
    """

    __slots__ = (
        "account",
        "calm",
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
        "proof",
        "queue",
        "repeats",
        "retry_ms",
        "rule",
        "short_since",
        "short_stamp",
        "since",
        "slots",
        "slots_all",
        "stamp",
        "told",
        "told_ms",
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
        most = [rule.most_percent for rule in policy.rules if isinstance(rule, NodeLoad)]
        self.calm = (min(most) + 1).bit_length() - 1 if most else None
        validity = [rule for rule in policy.rules if isinstance(rule, Validity)]
        self.from_ms = max([rule.from_ms for rule in validity], default=0)
        self.until_ms = min([rule.until_ms for rule in validity], default=MAX_INSTANT_MS + 1)
        timeless = Policy.model_construct(rules=tuple(rule for rule in policy.rules if not isinstance(rule, Validity)))
        self.forbidden = not all(finding.passed for finding in findings_of_workload(timeless, facts, 0))
        self.queue: deque[Waiting] = deque()
        self.members: dict[Key, Waiting] = {}
        self.told = self.rule = ""
        self.retry_ms: int | None = None
        self.told_ms = self.repeats = 0
        self.since = self.short_since = self.short_stamp = 0
        self.listed = False
        self.stamp = 0
        self.order: Any = None
        self.line: Any = None
        self.proof: Any = None
        self.waits_for = ""
        self.epoch = -1
        self.eligible = 0
        self.within = 0
        self.ever = True
        self.filtered: tuple[Any, ...] = ()

    @property
    def all(self) -> tuple[int, int]:
        """Slots and memory in bytes of all its enclaves."""
        return self.slots_all, self.memory_all

    @property
    def again_ms(self) -> int | None:
        """From when on the instant that was told counts as passed, if it still waits for tokens; None: never."""
        return None if self.retry_ms is None else max(self.retry_ms, self.told_ms + (TICK_MS << self.repeats))

    def tell(self, reason: str, rule: str, retry_ms: int | None, now_ms: int) -> None:
        """Take note of what it was told."""
        again = reason == self.told and self.retry_ms is not None
        self.repeats = min(self.repeats + 1, _MOST_REPEATS) if again else 0
        self.told, self.rule, self.retry_ms, self.told_ms = reason, rule, retry_ms, now_ms

    def untell(self) -> None:
        """Forget what it was told."""
        self.told = self.rule = ""
        self.retry_ms, self.told_ms, self.repeats, self.short_stamp = None, 0, 0, 0

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
