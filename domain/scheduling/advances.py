"""Tokens that are set aside for one class of a tenant, so that others of that tenant do not take them for ever.

They are set aside in the bucket itself: what the class costs is spent at once, before it has come. So the class passes
at the instant at which its tokens come, and others of the tenant pass when theirs come after those.

Invariants:
- Of a tenant's classes that were told that tokens are short, whatever they were told since, the one that was told or
  served longest ago is next. Once BYPASSES of the tenant's placements went to others since, and since tokens were set
  aside last, they are for it. So a class before which m others of its tenant were told waits for at most (m + 1) *
  BYPASSES of its tenant's placements, and then for the instant that it is told: tokens never hinder it again.
- At most the rate is spent, counted when tokens are set aside. Who waits for something else by then begins later: in
  one window that may be as much more as classes are waiting like that, of which there is one in BYPASSES placements.
- What is set aside for who then ends, or comes under another policy, is lost: it was spent. Other tenants see nothing.
"""

from collections import deque
from collections.abc import Iterator

from domain.scheduling import passing
from domain.scheduling.classes import WorkClass
from domain.scheduling.desk import Desk
from domain.scheduling.quotas import Account
from domain.scheduling.tables import Bandwidth
from domain.scheduling.tokens import rescaled, spend


def count_shortage(state: Desk, work: WorkClass) -> None:
    """Begin to watch a class that was told that tokens are short, behind the others of its tenant."""
    account = work.account
    state.stamps += 1
    work.short_stamp, work.short_since = state.stamps, state.turns.get(account.slot, (0, 0))[0]
    if state.crowded(len(account.short)):
        account.short = deque(item for item in account.short if _counts(*item))
    account.short.append((work.short_stamp, work))


def shortages(account: Account) -> Iterator[WorkClass]:
    """Yield the classes of a tenant that are watched, the next one first."""
    return (work for stamp, work in account.short if _counts(stamp, work))


def _counts(stamp: int, work: WorkClass) -> bool:
    return work.short_stamp == stamp and bool(work.members)


def count_spending(state: Desk, work: WorkClass) -> None:
    """Count a placement of a tenant that has a grant; set tokens aside for who is next, if it is time."""
    slot, short = work.account.slot, work.account.short
    placements, last = state.turns.get(slot, (0, 0))
    placements += 1
    state.turns[slot] = placements, last
    if work.short_stamp and work.members:
        count_shortage(state, work)
    while short and not _counts(*short[0]):
        short.popleft()
    if not short or placements - max(last, short[0][1].short_since) < passing.BYPASSES:
        return
    state.turns[slot] = placements, placements
    _, first = short.popleft()
    count_shortage(state, first)
    if first.head.key not in state.advances and state.has_tokens_at_ms(first) is not None:
        _set_aside(state, first)


def _set_aside(state: Desk, work: WorkClass) -> None:
    slot = work.account.slot
    grant, spent = state.bandwidths[slot], state.spent.get(slot, 0)
    state.spent[slot] = state.advances[work.head.key] = spend(grant, spent, work.slots_all, state.now_ms)
    state.queues.look_at(work)


def regrant(state: Desk, slot: int, before: Bandwidth | None, after: Bandwidth) -> None:
    """Take note that a tenant's grant is another: what is set aside came from the one before."""
    for key in [key for key in state.advances if key[0] == slot]:
        if state.class_of[key].slots_all > after.burst:
            del state.advances[key]
        else:
            state.advances[key] = rescaled(state.advances[key], before, after)
