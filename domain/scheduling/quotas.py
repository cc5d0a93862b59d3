"""The quota tree: what is used below each scope and tenant, what is lent, and whether one more placement fits.

Invariants:
- Usage of a node of the tree is the sum of live placements at and below it; what a scope has lent is the sum of open
  borrowings from it.
- A placement keeps every limit on its way up: nominal + borrow. What goes beyond a nominal is borrowed, once, from the
  nearest scope above that has idle nominal which it lends. Nobody borrows from a tenant.
- A place of the tree without a grant limits nothing. Who is nowhere in the tree hangs below its top.
- Shares are integers: parts per billion of the cell's slots or memory, the greater of the two, divided by the weight.
"""

from typing import Any, NamedTuple

from domain.scheduling.tables import Limit, Quota

TOP = -1
"""The slot that stands for the top of the tree: no log has it."""

SHARE = 10**9
SLOTS, MEMORY = 0, 1
RESOURCES = ("slots", "memory_bytes")


class Account:
    """A scope or tenant of the quota tree. `path` is that of shares from the top down, of what others hang below."""

    __slots__ = (
        "classes", "inner", "lent", "limits", "lines", "living", "parent", "path", "shapes", "share", "slot", "used",
        "waiting", "weight",
    )  # fmt: skip

    def __init__(self, slot: int, parent: "Account | None") -> None:
        self.slot = slot
        self.parent = parent
        self.limits: tuple[Limit | None, Limit | None] = (None, None)
        self.weight = 1
        self.used = [0, 0]
        self.lent = [0, 0]
        self.share = 0
        self.path: tuple[int, ...] = ()
        self.inner: dict[int, Account] = {}
        self.classes: dict[tuple[str, str], Any] = {}
        self.shapes: dict[Any, Any] = {}
        self.waiting: dict[Any, None] = {}
        self.living: dict[str, None] = {}
        self.lines: dict[Any, None] = {}


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
        if account.parent is not None:
            account.parent.inner.pop(slot, None)
        account.parent = above
        if above is not self.top:
            self._inner(above)
        self._add(above, account.used[SLOTS], account.used[MEMORY])
        if account.inner:
            self._inner(account)

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

    def judge(self, account: Account, slots: int, memory: int) -> Loan | Hindrance | None:
        """Return what has to be borrowed for one more placement, what hinders it, or None: it fits as it is."""
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
                        return Hindrance(one, resource, limit.nominal + limit.borrow, None)
                    needs[resource] = max(needs[resource], after - max(used, limit.nominal))
                    highest = at
        if highest is None:
            return None
        for one in path[highest + 1 :]:
            if all(not need or lends(one, resource) >= need for resource, need in enumerate(needs)):
                return Loan(one, needs[SLOTS], needs[MEMORY])
        resource = SLOTS if needs[SLOTS] else MEMORY
        limited = path[highest].limits[resource]
        limit_of = limited.nominal if limited is not None else 0
        return Hindrance(path[highest], resource, limit_of, tuple(path[highest + 1 :]))

    def _inner(self, account: Account) -> None:
        """Make an account one that others hang below: it has a path."""
        if account.parent is not None:
            account.parent.inner[account.slot] = account
            if account.parent is not self.top:
                self._inner(account.parent)
        self._repath(account)

    def _repath(self, account: Account) -> None:
        account.path = (*(account.parent.path if account.parent is not None else ()), account.share)
        for below in account.inner.values():
            self._repath(below)

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
        if share != account.share:
            account.share = share
            if account.path:
                self._repath(account)


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
