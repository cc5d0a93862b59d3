"""The quota tree: what is used below each scope and tenant, what is lent, and whether one more placement fits.

Invariants:
- Usage of a node of the tree is the sum of live placements at and below it; what a scope has lent is the sum of open
  borrowings from it.
- A placement keeps every limit on its way up: nominal + borrow. What goes beyond a nominal is borrowed, once, from the
  nearest scope above that has idle nominal which it lends. Nobody borrows from a tenant.
- A place of the tree without a grant limits nothing. Who is nowhere in the tree hangs below its top.
- Shares are integers: parts per billion of the cell's slots or memory, the greater of the two, divided by the weight.
"""

from collections import deque
from typing import Any, NamedTuple

from domain.scheduling.tables import Limit, Quota

TOP = -1
"""The slot that stands for the top of the tree: no log has it."""

SHARE = 10**9
_MOVED = 256
SLOTS, MEMORY = 0, 1
RESOURCES = ("slots", "memory_bytes")


class Account:
    """A scope or tenant of the quota tree. `moved` names the last of those right below with other shares."""

    __slots__ = (
        "borrowers", "classes", "in_use", "lent", "limits", "lines", "living", "moved", "moves", "parent", "shapes",
        "share", "short", "slot", "used", "waiting", "weight",
    )  # fmt: skip

    def __init__(self, slot: int, parent: "Account | None") -> None:
        self.slot = slot
        self.parent = parent
        self.limits: tuple[Limit | None, Limit | None] = (None, None)
        self.weight = 1
        self.used = [0, 0]
        self.lent = [0, 0]
        self.share = 0
        self.moved: list[Account] = []  # a share of theirs or below them is another: the last ones, in order
        self.moves = 0  # how many there were in all
        self.classes: dict[tuple[str, str], Any] = {}
        self.in_use = 0  # how many of them had members when the others were forgotten
        self.shapes: dict[Any, Any] = {}
        self.borrowers: dict[Any, None] = {}  # classes that wait, or were told that they do, for something lent
        self.waiting: dict[Any, None] = {}
        self.living: dict[str, None] = {}
        self.lines: dict[Any, None] = {}
        self.short: deque[tuple[int, Any]] = (
            deque()
        )  # classes that were told that its tokens are short, by their stamps


class Loan(NamedTuple):
    """What a placement borrows, of whom."""

    lender: Account
    slots: int
    memory_bytes: int


class Hindrance(NamedTuple):
    """Why a placement does not fit: the limit at `account` is full, or (`lenders`) nobody above lends what it needs."""

    account: Account
    resource: int
    limit: int
    lenders: tuple[Account, ...] | None


class QuotaTree:
    """All accounts by slot."""

    def __init__(self) -> None:
        self.top = Account(TOP, None)
        self.accounts: dict[int, Account] = {}
        self.total = [0, 0]

    def of(self, slot: int) -> Account:
        """Return an account; one that is nowhere yet hangs below the top."""
        account = self.accounts.get(slot)
        if account is None:
            account = self.accounts[slot] = Account(slot, self.top)
        return account

    def hang(self, slot: int, parent: int | None) -> None:
        """Put an account below another, with all that is used there."""
        account = self.of(slot)
        above = self.top if parent is None else self.of(parent)
        self._add(account.parent, -account.used[SLOTS], -account.used[MEMORY])
        account.parent = above
        self._add(above, account.used[SLOTS], account.used[MEMORY])

    def grant(self, slot: int, quota: Quota) -> None:
        """Put a grant in force."""
        account = self.of(slot)
        account.limits, account.weight = (quota.slots, quota.memory_bytes), quota.weight
        self._share(account)

    def resize(self, slots: int, memory: int) -> None:
        """Take in what the cell has in all: every share is of that."""
        self.total = [slots, memory]
        for account in self.accounts.values():
            self._share(account)

    def use(self, account: Account, slots: int, memory: int) -> None:
        """Add to what is used at an account and above; negative amounts give back."""
        self._add(account, slots, memory)

    def judge(self, account: Account, slots: int, memory: int, told: int | None = None) -> Loan | Hindrance | None:
        """Return what has to be borrowed for one more placement, what hinders it, or None: it fits as it is.

        Args:
            account: of whom.
            slots: of all its enclaves.
            memory: of all its enclaves, in bytes.
            told: the resource that hindered it last: it is named as long as it does, by itself.
        """
        asked, needs, highest = (slots, memory), [0, 0], None
        path = ancestors(account)
        for at, one in enumerate(path):
            for resource, limit in enumerate(one.limits):
                if limit is None:
                    continue
                used = one.used[resource]
                after = used + asked[resource]
                if after > limit.nominal:
                    if after > limit.nominal + limit.borrow:
                        full = Hindrance(one, resource, limit.nominal + limit.borrow, None)
                        return (self._alone(path, asked, told) if told is not None else None) or full
                    needs[resource] = max(needs[resource], after - max(used, limit.nominal))
                    highest = at
        if highest is None:
            return None
        for one in path[highest + 1 :]:
            if all(not need or lends(one, resource) >= need for resource, need in enumerate(needs)):
                return Loan(one, needs[SLOTS], needs[MEMORY])
        return self._nobody_lends(path, highest, asked, needs, told)

    def _nobody_lends(
        self, path: list[Account], highest: int, asked: tuple[int, int], needs: list[int], told: int | None
    ) -> Hindrance:
        order = (MEMORY, SLOTS) if told == MEMORY else (SLOTS, MEMORY)
        for resource in order:
            alone = self._alone(path, asked, resource)
            if alone is not None:
                return alone
        resource = next(resource for resource in order if needs[resource])  # nobody lends both
        return unlent(path, highest, resource)

    @staticmethod
    def _alone(path: list[Account], asked: tuple[int, int], resource: int) -> Hindrance | None:
        """Return what hinders a placement if nothing but one resource counts, or None."""
        need, highest = 0, 0
        for at, one in enumerate(path):
            limit = one.limits[resource]
            if limit is None:
                continue
            used = one.used[resource]
            after = used + asked[resource]
            if after > limit.nominal + limit.borrow:
                return Hindrance(one, resource, limit.nominal + limit.borrow, None)
            if after > limit.nominal:
                need, highest = max(need, after - max(used, limit.nominal)), at
        if not need or any(lends(one, resource) >= need for one in path[highest + 1 :]):
            return None
        return unlent(path, highest, resource)

    @staticmethod
    def needs(path: list[Account], asked: tuple[int, int], resources: tuple[int, ...]) -> tuple[list[int], int | None]:
        """Return what a placement within all limits has to borrow if these resources count, and from above whom."""
        needs, highest = [0, 0], None
        for at, one in enumerate(path):
            for resource in resources:
                limit, after = one.limits[resource], one.used[resource] + asked[resource]
                if limit is not None and after > limit.nominal:
                    needs[resource] = max(needs[resource], after - max(one.used[resource], limit.nominal))
                    highest = at
        return needs, highest

    def _add(self, account: Account | None, slots: int, memory: int) -> None:
        while account is not None:
            account.used[SLOTS] += slots
            account.used[MEMORY] += memory
            if account is not self.top:
                self._share(account)
            account = account.parent

    def _share(self, account: Account) -> None:
        slots, memory = self.total
        share = account.used[SLOTS] * SHARE // slots if slots else 0
        if memory:
            share = max(share, account.used[MEMORY] * SHARE // memory)
        share //= account.weight
        if share == account.share:
            return
        account.share = share
        while account.parent is not None:
            above = account.parent
            if len(above.moved) >= _MOVED:
                above.moved.clear()
            above.moved.append(account)
            above.moves += 1
            account = above


def unlent(path: list[Account], highest: int, resource: int) -> Hindrance:
    """Return the hindrance that nobody lends what the highest place that is beyond its nominal lacks."""
    limited = path[highest].limits[resource]
    limit_of = limited.nominal if limited is not None else 0
    lenders = tuple(one for one in path[highest + 1 :] if one.limits != (None, None))
    return Hindrance(path[highest], resource, limit_of, lenders)


def ancestors(account: Account) -> list[Account]:
    """Return an account and all above it, the top last."""
    path = [account]
    while (above := path[-1].parent) is not None:
        path.append(above)
    return path


def lends(account: Account, resource: int) -> int:
    """Return how much more of a resource an account lends now."""
    limit = account.limits[resource]
    if limit is None:
        return 0
    return min(limit.lend - account.lent[resource], limit.nominal - account.used[resource])
