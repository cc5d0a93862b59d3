"""What a tenant can check alone of the decisions about it, with its own bundle and its keys.

What follows from its own data: that each of its entries is traced once, with its own view, in the round that first
vouches for it; that decisions name the policy in force, as of the entries that they say were considered; that within a
class nobody was passed over; that tokens were not overspent nor places in line misstated; that usage is what was held.
The rest rests on commitment: the trace roots bind it, and the cell's auditor decides it again.

Invariants:
- Time is told to the second: a token is called overspent only if it is so at every instant of that second.
- What can't be told is counted and said, never passed.
"""

from bisect import bisect_right
from collections import Counter

from domain.cacs.events import UsageMetered
from domain.decided import Decided
from domain.errors import VerificationError
from domain.executions.events import ExecutionFaulted, ExecutionReserved
from domain.message import Event, Recorded
from domain.policies.effective import effective_policy
from domain.policies.kinds import Policy
from domain.quotas.events import BandwidthGranted, QuotaBorrowed
from domain.scheduling.views import members_of
from domain.tenants.events import PolicyAdopted
from domain.time import TICK_MS
from domain.workloads.events import (
    OverflowClosed,
    OverflowOffered,
    WorkloadCancelled,
    WorkloadDeferred,
    WorkloadDenied,
    WorkloadExpired,
    WorkloadPlaced,
    WorkloadQueued,
)
from infrastructure.conform.lines import Lines

_DECIDERS = (
    ExecutionReserved, OverflowClosed, OverflowOffered, QuotaBorrowed, WorkloadDeferred, WorkloadExpired, WorkloadPlaced
)  # fmt: skip
"""Events that only a decider makes, whatever they say."""

MEBIBYTE = 1 << 20

COMMITMENT = (
    "which of the nodes that would do was chosen, and that no place was free while it waited",
    "that others were served by level, share and arrival as the adopted order says",
    "what is borrowed of shared quotas, and limits that are full",
)
"""What no tenant can tell from its own data: the cell's auditor checks it against the same trace roots."""


def nobody_elses(event: Event) -> bool:
    """Tell whether only a decider makes such an event: traced as an input, nobody has decided it again."""
    return isinstance(event, _DECIDERS) or members_of(event).get("decider") is True


class OwnDecisions:
    """Follows one tenant's history and checks what follows from it.

    Attributes:
        checked: what was checked, with how often.
        engines: digests of the engines that decided, with how often.
    """

    def __init__(self) -> None:
        self.checked: Counter[str] = Counter()
        self.engines: Counter[str] = Counter()
        self._policies: list[tuple[int, int, Policy]] = [(-1, 0, Policy())]
        self._waiting = Lines()
        self._queued: dict[str, WorkloadQueued] = {}
        self._reserved: dict[str, ExecutionReserved] = {}
        self._grant: BandwidthGranted | None = None
        self._spent = 0
        self._seen = self._tick = -1

    def take(self, recorded: Recorded, *, decided: bool) -> None:
        """Take the next entry in.

        Args:
            recorded: the entry.
            decided: whether its round traces it as a decision.

        Raises:
            VerificationError: naming the entry, and what does not follow.
        """
        try:
            self._take(recorded, decided=decided)
        except VerificationError as error:
            raise VerificationError(f"entry {recorded.leaf_index}: {error}") from None

    def _take(self, recorded: Recorded, *, decided: bool) -> None:
        event = recorded.event
        if isinstance(event, Decided):
            self._require_named(recorded.leaf_index, event)
            if decided:
                self._require_seen(event)
                self._require_policy(event)
        if isinstance(event, WorkloadPlaced) and decided:
            self._require_first(event)
            self._spend(event)
        if isinstance(event, WorkloadDeferred) and decided:
            self._require_place(event)
        if isinstance(event, UsageMetered):
            self._require_usage(recorded, event)
        self._fold(recorded, event)

    def _require_named(self, leaf: int, event: Decided) -> None:
        if event.seen >= leaf:
            raise VerificationError(f"it says that entries up to {event.seen} were considered, which follow it")
        self.engines[event.engine] += 1

    def _require_seen(self, event: Decided) -> None:
        if event.seen < self._seen or event.tick < self._tick:
            raise VerificationError("it considers less, or decides earlier, than the decision before it")
        self._seen, self._tick = event.seen, event.tick

    def _require_policy(self, event: Decided) -> None:
        queued = self._queued.get(getattr(event, "workload_id", ""))
        if queued is None:
            raise VerificationError("it decides on a workload that was not queued")
        _, version, policy = self._policy(event.seen)
        if (event.policy_version, event.policy_digest) != (
            version, effective_policy(policy, queued.clause_rules).digest()
        ):  # fmt: skip
            raise VerificationError(f"it names policy version {event.policy_version}, in force was {version}")
        self.checked["decisions that name the policy in force"] += 1

    def _require_first(self, event: WorkloadPlaced) -> None:
        _, passed = self._before(event.workload_id, event.seen)
        if passed is not None:
            raise VerificationError(f"{event.workload_id} was placed before {passed}, which is of its class")
        self.checked["placements that pass nobody of their class"] += 1

    def _require_place(self, event: WorkloadDeferred) -> None:
        place = self._before(event.workload_id, event.seen)[0] + 1
        if event.place != place:
            raise VerificationError(f"it says place {event.place} within its class, which is {place}")
        self.checked["places in line"] += 1

    def _before(self, workload: str, seen: int) -> tuple[int, str | None]:
        """Return how many of a workload's class wait before it, of those that were considered, and who does first."""
        adopted, _, policy = self._policy(seen)
        return self._waiting.before(workload, adopted, policy)

    def _policy(self, seen: int) -> tuple[int, int, Policy]:
        """Return the policy that is in force when entries up to `seen` are considered, after its entry and version."""
        return self._policies[bisect_right(self._policies, seen, key=lambda one: one[0]) - 1]

    def _spend(self, event: WorkloadPlaced) -> None:
        grant = self._grant
        if grant is None:
            return
        cost = self._queued[event.workload_id].facts.slots * len(event.places)
        begin, end = event.tick * TICK_MS, event.tick * TICK_MS + TICK_MS - 1
        if end < grant.from_ms or begin >= grant.until_ms:
            raise VerificationError("it was placed outside of the time of its tokens")
        if max(self._spent, end * grant.tokens) + (cost - grant.burst) * grant.period_ms > end * grant.tokens:
            raise VerificationError(f"{cost} tokens were spent that were not there")
        self._spent = max(self._spent, begin * grant.tokens) + cost * grant.period_ms
        self.checked["placements within the tokens granted"] += 1

    def _require_usage(self, recorded: Recorded, event: UsageMetered) -> None:
        reserved = self._reserved.get(event.execution_id)
        if reserved is None:
            raise VerificationError("it meters an execution that was not reserved")
        memory_mib = -(-reserved.limits.memory_bytes // MEBIBYTE)
        queued = self._queued.get(reserved.workload_id)
        if queued is None:
            raise VerificationError("it meters an execution of a workload that was not queued")
        slots = queued.facts.slots
        held_ms = recorded.at_ms - reserved.from_ms
        if event.memory_mib_ms * slots != memory_mib * event.slot_ms or event.slot_ms > slots * held_ms:
            raise VerificationError("it meters more than was held")
        if event.node not in {None, reserved.node} or event.tokens not in {None, slots}:
            raise VerificationError("it names another node, or other tokens, than its place had")
        self.checked["usage that was held"] += 1

    def _fold(self, recorded: Recorded, event: Event) -> None:
        match event:
            case PolicyAdopted():
                self._policies.append((recorded.leaf_index, event.version, event.policy))
            case BandwidthGranted():
                before = self._grant
                self._spent = self._spent * event.tokens // before.tokens if before is not None else 0
                self._grant = event
            case WorkloadQueued():
                self._queued[event.workload_id] = event
                self._waiting.join(event)
            case ExecutionReserved():
                self._reserved[event.execution_id] = event
            case ExecutionFaulted():
                held = self._reserved.get(event.execution_id)
                queued = self._queued.get(held.workload_id) if held is not None else None
                if held is not None and queued is not None and queued.attempt == held.attempt:
                    self._waiting.leave(held.workload_id)
            case WorkloadPlaced() | WorkloadDenied() | WorkloadExpired() | WorkloadCancelled():
                self._waiting.leave(event.workload_id)
            case _:
                pass
