"""Quota that is kept for one class: others leave what it needs, wherever its way up the tree and theirs are the same.

Invariants:
- It is kept from the tenant's own account up to the first that is full; when that one is full no more, further up: so
  nobody has to leave anything where it could not be used yet.
- There, a placement of others leaves every place within its own nominal with what is kept added to what is used, and
  borrows from none of them. So whatever hinders the class there only shrinks, and what does not hinder it never will:
  it has its quota when those have ended who live there now, at the latest.
- It is kept only for who would fit if nobody else was there, and whose own limit is not what hinders it: that one is
  for its own tenant to share out.
"""

from domain.scheduling.quotas import RESOURCES, Account, Hindrance, Loan, QuotaTree, ancestors, lends, unlent

Amounts = tuple[int, int]
Judged = Loan | Hindrance | None

_ALL = tuple(range(len(RESOURCES)))


class Headroom:
    """What is kept, slots and memory in bytes, at `accounts`. Made anew (`at`) when something was given back."""

    __slots__ = ("accounts", "asked")

    def __init__(self, accounts: dict[Account, None], asked: Amounts) -> None:
        self.accounts = accounts
        self.asked = asked

    @classmethod
    def at(cls, account: Account, asked: Amounts) -> "Headroom":
        """Return what is to be kept for so much at an account."""
        path = ancestors(account)
        full = next((at for at, one in enumerate(path) if is_full(one, asked)), len(path) - 1)
        return cls(dict.fromkeys(path[: full + 1]), asked)

    def full(self, account: Account, asked: int, resource: int) -> bool:
        """Tell whether a place on the way has not so much more of a resource within its nominal, for others."""
        limit = account.limits[resource]
        if limit is None or account not in self.accounts:
            return False
        return account.used[resource] + self.asked[resource] + asked > limit.nominal

    def beside(self, tree: QuotaTree, account: Account, asked: Amounts, told: int | None) -> Judged:
        """Return what `QuotaTree.judge` does, for who is not the class for which it is kept."""
        found = tree.judge(account, *asked, told)
        if isinstance(found, Hindrance):
            true_yet = told is None or found.resource == told
            return found if true_yet else self._hindrance(tree, account, asked, (told or 0,)) or found
        for resource in (told, *_ALL) if told is not None else _ALL:
            alone = self._hindrance(tree, account, asked, (resource,))
            if alone is not None:
                return alone
        return self._hindrance(tree, account, asked, _ALL) or found

    def _hindrance(
        self, tree: QuotaTree, account: Account, asked: Amounts, resources: tuple[int, ...]
    ) -> Hindrance | None:
        """Return what would be taken of what is kept, if nothing counted but these resources."""
        path = ancestors(account)
        for one in path:
            for resource in resources:
                if self.full(one, asked[resource], resource):
                    limit = one.limits[resource]
                    return Hindrance(one, resource, limit.nominal if limit is not None else 0, None)
        needs, highest = tree.needs(path, asked, resources)
        if highest is None:
            return None
        lender = next((one for one in path[highest + 1 :] if _lends_all(one, needs)), None)
        if lender is None or lender not in self.accounts:
            return None
        return unlent(path, highest, next(resource for resource in resources if needs[resource]))


def is_full(account: Account, asked: Amounts) -> bool:
    """Tell whether so much more is beyond an account's limits, whatever it borrows."""
    return any(
        limit is not None and account.used[resource] + asked[resource] > limit.nominal + limit.borrow
        for resource, limit in enumerate(account.limits)
    )


def fits_alone(account: Account, asked: Amounts) -> bool:
    """Tell whether a placement would keep every limit if nobody else was there."""
    path, needs, highest = ancestors(account), [0, 0], -1
    for at, one in enumerate(path):
        for resource, limit in enumerate(one.limits):
            if limit is not None and asked[resource] > limit.nominal:
                if asked[resource] > limit.nominal + limit.borrow:
                    return False
                needs[resource], highest = max(needs[resource], asked[resource] - limit.nominal), at
    if highest < 0:
        return True
    return any(
        all(not need or _most(one, resource) >= need for resource, need in enumerate(needs))
        for one in path[highest + 1 :]
    )


def _most(account: Account, resource: int) -> int:
    limit = account.limits[resource]
    return 0 if limit is None else min(limit.lend, limit.nominal)


def _lends_all(account: Account, needs: list[int]) -> bool:
    return all(not need or lends(account, resource) >= need for resource, need in enumerate(needs))
