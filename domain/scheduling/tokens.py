"""Bandwidth tokens: the generic cell rate algorithm (ITU-T I.371) in integers, one number per tenant.

Invariants:
- In any window at most rate x window + burst tokens are spent, rate = tokens / period_ms.
- `retry_ms` is exact: at that instant the same cost passes if nothing is spent meanwhile, and a millisecond before it
  does not.
- `spent` is the theoretical arrival time in ms, times `tokens`: then nothing is ever rounded.
"""

from domain.scheduling.tables import Bandwidth


def passes(grant: Bandwidth, spent: int, cost: int, now_ms: int) -> bool:
    """Tell whether so many tokens may be spent now."""
    if not grant.from_ms <= now_ms < grant.until_ms:
        return False
    return max(spent, now_ms * grant.tokens) + (cost - grant.burst) * grant.period_ms <= now_ms * grant.tokens


def spend(grant: Bandwidth, spent: int, cost: int, now_ms: int) -> int:
    """Return what `spent` is after that."""
    return max(spent, now_ms * grant.tokens) + cost * grant.period_ms


def retry_ms(grant: Bandwidth, spent: int, cost: int, now_ms: int) -> int | None:
    """Return the first instant from now on at which it passes, or None where only another grant can help."""
    if cost > grant.burst:
        return None
    free = -(-(spent + (cost - grant.burst) * grant.period_ms) // grant.tokens)
    at_ms = max(now_ms, grant.from_ms, free)
    return at_ms if at_ms < grant.until_ms else None


def available(grant: Bandwidth, spent: int, now_ms: int) -> int:
    """Return how many tokens there are now."""
    if not grant.from_ms <= now_ms < grant.until_ms:
        return 0
    used = max(spent, now_ms * grant.tokens) - now_ms * grant.tokens
    return max(0, (grant.burst * grant.period_ms - used) // grant.period_ms)


def rescaled(spent: int, before: Bandwidth | None, after: Bandwidth) -> int:
    """Return `spent` in the scale of another grant: what was spent is not forgotten, whatever is granted next."""
    return -(-spent * after.tokens // before.tokens) if before is not None else 0
