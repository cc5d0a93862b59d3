"""Who waits in which class of one tenant's workloads, in order of arrival: places are counted in logarithmic time.

Invariants:
- A class is what the scheduler's is: equal facts and effective policy. Under another policy all are sorted anew, once.
- What is kept of those who left goes when they are more than those who wait.
"""

from typing import Final

from domain.errors import VerificationError
from domain.policies.effective import effective_policy
from domain.policies.kinds import Policy
from domain.workloads.events import WorkloadQueued

_SLACK: Final = 64


class Line:
    """One class: who waits, by numbers that rise with arrival.

    `_sums[i]` is how many wait of the `i & -i` numbers up to `i`, which count from 1 (a Fenwick tree).
    """

    __slots__ = ("_names", "_sums", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[str, int] = {}
        self._names: list[str] = []
        self._sums: list[int] = [0]

    def join(self, name: str) -> None:
        """Let one more wait behind the others."""
        if len(self._names) > 2 * len(self.waiting) + _SLACK:
            self._begin_anew()
        self._names.append(name)
        number = self.waiting[name] = len(self._names)
        total, below = 1, number - 1
        while below > number - (number & -number):
            total += self._sums[below]
            below -= below & -below
        self._sums.append(total)

    def leave(self, name: str) -> None:
        """Let one go, from wherever it stands."""
        number = self.waiting.pop(name)
        while number < len(self._sums):
            self._sums[number] -= 1
            number += number & -number

    def before(self, name: str) -> int:
        """Return how many wait before one who waits."""
        number, total = self.waiting[name] - 1, 0
        while number:
            total += self._sums[number]
            number -= number & -number
        return total

    def first(self) -> str:
        """Return who waits longest, of a class in which somebody waits."""
        number, step = 0, 1 << (len(self._names).bit_length() - 1)
        while step:
            if number + step < len(self._sums) and not self._sums[number + step]:
                number += step
            step >>= 1
        return self._names[number]

    def _begin_anew(self) -> None:
        names, self.waiting, self._names, self._sums = list(self.waiting), {}, [], [0]
        for name in names:
            self.join(name)


class Lines:
    """All classes of one tenant, under the policy that the newest decision rests on."""

    def __init__(self) -> None:
        self._queued: dict[str, WorkloadQueued] = {}
        self._lines: dict[str, Line] = {}
        self._of: dict[str, str] = {}
        self._adopted, self._policy = -1, Policy()

    def join(self, queued: WorkloadQueued) -> None:
        """Let a workload wait, behind all others if it waited before."""
        self.leave(queued.workload_id)
        self._queued[queued.workload_id] = queued
        self._put(queued)

    def leave(self, workload: str) -> None:
        """Let a workload wait no more, if it does."""
        if self._queued.pop(workload, None) is None:
            return
        key = self._of.pop(workload)
        self._lines[key].leave(workload)
        if not self._lines[key].waiting:
            del self._lines[key]

    def before(self, workload: str, adopted: int, policy: Policy) -> tuple[int, str | None]:
        """Return how many of a workload's class wait before it under a policy of the tenant's, and who does first.

        Args:
            workload: its id.
            adopted: the entry in which the policy was adopted; -1 for none.
            policy: that policy.

        Raises:
            VerificationError: when it does not wait.
        """
        if workload not in self._queued:
            raise VerificationError("it decides on a workload that does not wait")
        if adopted != self._adopted:
            self._adopted, self._policy, self._lines, self._of = adopted, policy, {}, {}
            for queued in self._queued.values():
                self._put(queued)
        line = self._lines[self._of[workload]]
        count = line.before(workload)
        return count, line.first() if count else None

    def _put(self, queued: WorkloadQueued) -> None:
        policy = effective_policy(self._policy, queued.clause_rules)
        key = self._of[queued.workload_id] = queued.facts.class_key(policy, 0)
        self._lines.setdefault(key, Line()).join(queued.workload_id)
