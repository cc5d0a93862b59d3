"""Quotas, tokens and shares once more, naively: sums over what lives, and a bucket that fills up by fractions."""

from dataclasses import dataclass, field
from fractions import Fraction

from domain.policies.facts import WorkloadFacts
from domain.quotas import events as quotas
from tests.domain import samples

Amounts = tuple[int, int]
SHARE = 10**9


def amounts(facts: WorkloadFacts, enclaves: int) -> Amounts:
    """Return slots and memory of so many enclaves."""
    return facts.slots * enclaves, facts.bounds.memory_bytes * enclaves


@dataclass
class SlowQuotas:
    """The quota tree and the token buckets."""

    parents: dict[int, int] = field(default_factory=dict)
    grants: dict[int, quotas.QuotaGranted] = field(default_factory=dict)
    buckets: dict[int, tuple[quotas.BandwidthGranted, Fraction, int]] = field(default_factory=dict)
    open: dict[tuple[int, str, int], tuple[int, Amounts]] = field(default_factory=dict)
    expected: list[tuple[int, int, Amounts]] = field(default_factory=list)
    lent: dict[str, Amounts] = field(default_factory=dict)

    def path(self, slot: int) -> list[int]:
        """Return a slot and everything above it."""
        return [slot, *(self.path(self.parents[slot]) if slot in self.parents else [])]

    def used(self, usage: dict[int, Amounts], at: int) -> Amounts:
        """Return what is used at and below a place of the tree."""
        below = [amount for slot, amount in usage.items() if at in self.path(slot)]
        return sum(slots for slots, _ in below), sum(memory for _, memory in below)

    def limit(self, at: int, resource: int) -> quotas.Quota | None:
        """Return a place's quota of a resource."""
        grant = self.grants.get(at)
        return None if grant is None else (grant.slots, grant.memory_bytes)[resource]

    def lender(self, usage: dict[int, Amounts], slot: int, asked: Amounts) -> tuple[int, Amounts] | None:
        """Return who lends how much (0 and nothing where nobody has to), or None: it does not fit."""
        path, needs, top = self.path(slot), [0, 0], -1
        for at, place in enumerate(path):
            for resource in (0, 1):
                quota = self.limit(place, resource)
                if quota is None:
                    continue
                before = self.used(usage, place)[resource]
                after = before + asked[resource]
                if after > quota.nominal + quota.borrow:
                    return None
                more = max(0, after - quota.nominal) - max(0, before - quota.nominal)
                if after > quota.nominal:
                    top, needs[resource] = at, max(needs[resource], more)
        if top < 0:
            return 0, (0, 0)
        for place in path[top + 1 :]:
            if all(
                not needs[resource] or self._lends(usage, place, resource) >= needs[resource] for resource in (0, 1)
            ):
                return place, (needs[0], needs[1])
        return None

    def _lends(self, usage: dict[int, Amounts], place: int, resource: int) -> int:
        quota = self.limit(place, resource)
        if quota is None:
            return 0
        lent = sum(amount[resource] for lender, amount in self.open.values() if lender == place)
        return min(quota.lend - lent, quota.nominal - self.used(usage, place)[resource])

    def place(
        self, slot: int, workload: str, attempt: int, asked: Amounts, lender: tuple[int, Amounts], now_ms: int
    ) -> None:
        """Take a placement in; what it borrows has to be said on both sides."""
        if lender[0]:
            self.open[slot, workload, attempt] = lender
            self.expected.append((slot, *lender))
        if slot in self.buckets:
            grant, _, _ = self.buckets[slot]
            self.buckets[slot] = (grant, self.level(slot, now_ms) - asked[0], now_ms)

    def promised(self, slot: int, event: quotas.QuotaBorrowed | quotas.QuotaLent) -> None:
        """Check one side of a borrowing."""
        amount = (event.slots, event.memory_bytes)
        if isinstance(event, quotas.QuotaBorrowed):
            assert self.expected[0] == (slot, int(event.lender.rpartition("/")[2]), amount)
            self.lent[event.borrow_id] = amount
        else:
            assert self.expected.pop(0)[1:] == (slot, amount)
            assert self.lent.pop(event.borrow_id) == amount

    def check_books(self, usage: dict[int, Amounts]) -> None:
        """Check that nothing is said on one side only, and that nobody is beyond a limit that holds since."""
        assert not self.expected
        assert not self.lent
        assert {slot for slot, _, _ in self.open} <= set(usage)

    def granted(self, slot: int, event: quotas.BandwidthGranted, now_ms: int) -> None:
        """Put a grant in force; what was spent beyond the new rate is not forgotten."""
        owed_ms = Fraction(0)
        if slot in self.buckets:
            before, _, _ = self.buckets[slot]
            owed_ms = (before.burst - self.level(slot, now_ms, whatever=True)) * before.period_ms / before.tokens
        level = event.burst - owed_ms * event.tokens / event.period_ms
        self.buckets[slot] = (event, level, now_ms)

    def level(self, slot: int, now_ms: int, *, whatever: bool = False) -> Fraction:
        """Return how full a bucket is; `whatever`: though its grant may be over."""
        grant, level, at_ms = self.buckets[slot]
        full = level + Fraction((now_ms - at_ms) * grant.tokens, grant.period_ms)
        return min(Fraction(grant.burst), full) if whatever or grant.from_ms <= now_ms < grant.until_ms else Fraction(0)

    def tokens_for(self, slot: int, cost: int, now_ms: int) -> bool:
        """Tell whether there are so many tokens."""
        if slot not in self.buckets:
            return True
        grant = self.buckets[slot][0]
        return grant.from_ms <= now_ms < grant.until_ms and self.level(slot, now_ms) >= cost

    def check_retry(self, slot: int, cost: int, now_ms: int, retry_ms: int | None) -> None:
        """Check that it passes at that instant, and not a millisecond before."""
        grant = self.buckets[slot][0]
        if retry_ms is None:
            assert cost > grant.burst or not self.tokens_for(slot, cost, max(now_ms, grant.until_ms - 1))
        else:
            assert self.tokens_for(slot, cost, retry_ms)
            assert retry_ms > now_ms
            assert not self.tokens_for(slot, cost, retry_ms - 1)

    def shares(self, usage: dict[int, Amounts], slot: int, total: Amounts) -> tuple[int, ...]:
        """Return the weighted dominant shares from the top of the tree down."""
        found = []
        for place in reversed(self.path(slot)):
            used = self.used(usage, place)
            share = max((SHARE * used[r] // total[r] for r in (0, 1) if total[r]), default=0)
            grant = self.grants.get(place)
            found.append(share // (1 if grant is None else grant.weight))
        return tuple(found)


def granted(
    slots: quotas.Quota | None, weight: int = 1, memory_bytes: quotas.Quota | None = None
) -> quotas.QuotaGranted:
    """Return a grant of quotas."""
    return quotas.QuotaGranted(
        version=1,
        slots=slots,
        memory_bytes=memory_bytes,
        weight=weight,
        granted_by=f"{samples.HOST}/t/1",
        statements=(),
    )


def tokens(count: int, period_ms: int, burst: int, from_ms: int = 0, until_ms: int = 2**45) -> quotas.BandwidthGranted:
    """Return a grant of tokens."""
    return quotas.BandwidthGranted(
        version=1, tokens=count, period_ms=period_ms, burst=burst, from_ms=from_ms, until_ms=until_ms,
        granted_by=f"{samples.HOST}/t/1", statements=(),
    )  # fmt: skip
