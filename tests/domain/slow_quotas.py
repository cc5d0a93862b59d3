"""Quotas, tokens and shares once more, naively: sums over what lives, and a bucket that fills up by fractions."""

from dataclasses import dataclass, field
from fractions import Fraction

from domain.policies.facts import WorkloadFacts
from domain.quotas import events as quotas
from tests.domain import samples

Amounts = tuple[int, int]
KeptQuota = tuple[int, Amounts] | None
"""For whom quota is kept, and how much."""
Bucket = tuple[quotas.BandwidthGranted, Fraction, int]
SHARE = 10**9


def amounts(facts: WorkloadFacts, enclaves: int) -> Amounts:
    """Return slots and memory of so many enclaves."""
    return facts.slots * enclaves, facts.bounds.memory_bytes * enclaves


@dataclass
class SlowQuotas:
    """The quota tree and the token buckets."""

    parents: dict[int, int] = field(default_factory=dict)
    grants: dict[int, quotas.QuotaGranted] = field(default_factory=dict)
    buckets: dict[int, Bucket] = field(default_factory=dict)
    advances: dict[tuple[int, str], tuple[int, Bucket]] = field(default_factory=dict)
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

    def lender(
        self, usage: dict[int, Amounts], slot: int, asked: Amounts, kept: KeptQuota = None
    ) -> tuple[int, Amounts] | None:
        """Return who lends how much (0 and nothing where nobody has to), or None: it does not fit."""
        found = self._lender(usage, slot, asked)
        if found is None or kept is None:
            return found
        mine = self.path_of_use(usage, *kept)
        for place in set(mine) & set(self.path(slot)):
            for resource in (0, 1):
                quota, used = self.limit(place, resource), self.used(usage, place)[resource]
                if quota is not None and used + kept[1][resource] + asked[resource] > quota.nominal:
                    return None
        return None if found[0] in mine else found

    def path_of_use(self, usage: dict[int, Amounts], slot: int, asked: Amounts) -> list[int]:
        """Return the way up to the first place that is full for so much."""
        found = []
        for place in self.path(slot):
            found.append(place)
            if not self._within(usage, place, asked):
                break
        return found

    def could_make_way(self, usage: dict[int, Amounts], slot: int, asked: Amounts) -> bool:
        """Tell whether it would fit if nobody else was there, and its own limit is not in its way now."""
        nobody = SlowQuotas(self.parents, self.grants)
        return self._within(usage, slot, asked) and nobody.lender({}, slot, asked) is not None

    def _within(self, usage: dict[int, Amounts], place: int, asked: Amounts) -> bool:
        limits = [(self.limit(place, at), self.used(usage, place)[at] + asked[at]) for at in (0, 1)]
        return all(quota is None or after <= quota.nominal + quota.borrow for quota, after in limits)

    def _lender(self, usage: dict[int, Amounts], slot: int, asked: Amounts) -> tuple[int, Amounts] | None:
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

    def hindering(self, usage: dict[int, Amounts], slot: int, asked: Amounts, kept: KeptQuota = None) -> set[str]:
        """Return the rules of the resources that hinder, each by itself; those that are borrowed, if only together."""
        if self.lender(usage, slot, asked, kept) is not None:
            return set()
        alone = [(asked[0], 0), (0, asked[1])]
        found = {at for at in (0, 1) if self._lender_of(usage, slot, alone[at], at, kept) is None}
        found = found or {at for at in (0, 1) if self._lender_of(usage, slot, alone[at], at, kept) != (0, (0, 0))}
        return {("quota_slots", "quota_memory_bytes")[at] for at in found}

    def _lender_of(
        self, usage: dict[int, Amounts], slot: int, asked: Amounts, resource: int, kept: KeptQuota
    ) -> tuple[int, Amounts] | None:
        """Return who would lend if nothing but one resource counted."""
        blank = {"slots": None, "memory_bytes": None}
        del blank[("slots", "memory_bytes")[resource]]
        grants = {at: grant.model_copy(update=blank) for at, grant in self.grants.items()}
        return SlowQuotas(self.parents, grants, open=self.open).lender(usage, slot, asked, kept)

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
        if slot in self.buckets and self.advances.pop((slot, workload), None) is None:
            grant, _, _ = self.buckets[slot]
            self.buckets[slot] = (grant, self.level(self.buckets[slot], now_ms) - asked[0], now_ms)

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

    def set_aside(self, slot: int, workload: str, cost: int, now_ms: int) -> None:
        """Let a workload have the tokens that come next."""
        grant = self.buckets[slot][0]
        level = self.level(self.buckets[slot], now_ms, whatever=True)
        wait_ms = -((level - cost) * grant.period_ms // grant.tokens) if level < cost else 0
        if cost <= grant.burst and max(now_ms + wait_ms, grant.from_ms) < grant.until_ms:
            self.buckets[slot] = (grant, level - cost, now_ms)
            self.advances[slot, workload] = (cost, self.buckets[slot])

    def granted(self, slot: int, event: quotas.BandwidthGranted, now_ms: int) -> None:
        """Put a grant in force; what was spent beyond the new rate is not forgotten."""
        before = self.buckets.get(slot)
        self.buckets[slot] = (event, Fraction(event.burst), now_ms) if before is None else self._moved(
            before, event, now_ms
        )  # fmt: skip
        for key, (cost, bucket) in list(self.advances.items()):
            if key[0] == slot and cost > event.burst:
                del self.advances[key]
            elif key[0] == slot:
                self.advances[key] = (cost, self._moved(bucket, event, now_ms))

    def _moved(self, bucket: Bucket, event: quotas.BandwidthGranted, now_ms: int) -> Bucket:
        before = bucket[0]
        owed_ms = (before.burst - self.level(bucket, now_ms, whatever=True)) * before.period_ms / before.tokens
        return event, event.burst - owed_ms * event.tokens / event.period_ms, now_ms

    def level(self, bucket: Bucket, now_ms: int, *, whatever: bool = False) -> Fraction:
        """Return how full a bucket is; `whatever`: though its grant may be over."""
        grant, level, at_ms = bucket
        full = level + Fraction((now_ms - at_ms) * grant.tokens, grant.period_ms)
        return min(Fraction(grant.burst), full) if whatever or grant.from_ms <= now_ms < grant.until_ms else Fraction(0)

    def tokens_for(self, slot: int, workload: str, cost: int, now_ms: int) -> bool:
        """Tell whether there are so many tokens for a workload."""
        if slot not in self.buckets:
            return True
        cost, bucket = (0, self.advances[slot, workload][1]) if (slot, workload) in self.advances else (
            cost, self.buckets[slot]
        )  # fmt: skip
        return bucket[0].from_ms <= now_ms < bucket[0].until_ms and self.level(bucket, now_ms) >= cost

    def passes_at(self, slot: int, workload: str, cost: int, now_ms: int, retry_ms: int | None) -> bool:
        """Tell whether it passes at that instant, and not a millisecond before; None: never again."""
        grant = self.buckets[slot][0]
        if retry_ms is None:
            last_ms = max(now_ms, grant.until_ms - 1)
            return cost > grant.burst or not self.tokens_for(slot, workload, cost, last_ms)
        there = self.tokens_for(slot, workload, cost, retry_ms)
        return there and not self.tokens_for(slot, workload, cost, retry_ms - 1) and retry_ms > now_ms

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
