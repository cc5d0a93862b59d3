"""Who is next: weighted dominant-resource fairness, compared at the lowest common place of the quota tree.

The key of a class is the shares on its way from the top of the tree down to its tenant, then the arrival of its head.
Compared member by member, two classes are told apart where their ways part: there the smaller share goes first. Ties
go to who came first.

Invariants:
- `best` is the least key of all that were added, whatever shares have become since. Each place of the tree keeps whose
  turn it is of those right below; only those are asked again of whom the tree noted that a share moved
  (`Account.moved`), or of whom it was told that their classes did.
"""

from heapq import heapify, heappop, heappush, heapreplace

from domain.scheduling.classes import WorkClass
from domain.scheduling.quotas import Account

Turn = tuple[int, ...]


class _Tenant:
    """The classes of an order that are one tenant's, by the arrival of their heads; `turn` is that of the first."""

    __slots__ = ("account", "heap", "placed", "turn", "work")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.heap: list[tuple[int, int, WorkClass]] = []
        self.placed: Turn | None = None
        self.turn: Turn = ()
        self.work: WorkClass | None = None

    def find(self, order: "Order") -> None:
        """Work out which class is next."""
        heap = self.heap
        while heap:
            arrived, number, work = heap[0]
            now = work.head.arrived
            if work.order is not order or now < arrived:  # it left, or has another entry
                heappop(heap)
            elif now > arrived:
                heapreplace(heap, (now, number, work))
            else:
                self.turn, self.work = (arrived,), work
                return
        self.work = None


class _Branch:
    """What an order holds below one account: its tenants, and the branches of scopes below it.

    Attributes:
        asked: up to which of the account's moves this has taken note.
        placed: of one that hangs below another: the key with which it stands there, None while it has no class.
    """

    __slots__ = ("account", "asked", "doubted", "heap", "inner", "placed", "turn", "work")

    def __init__(self, account: Account) -> None:
        self.account = account
        self.asked = account.moves
        self.doubted: dict[_Tenant | _Branch, None] = {}
        self.heap: list[tuple[Turn, int, _Tenant | _Branch]] = []
        self.inner: dict[Account, _Tenant | _Branch] = {}
        self.placed: Turn | None = None
        self.turn: Turn = ()
        self.work: WorkClass | None = None

    def find(self, order: "Order") -> None:
        """Work out which class is next."""
        account, doubted, inner = self.account, self.doubted, self.inner
        missed = account.moves - self.asked
        if missed:
            self.asked = account.moves
            if missed > len(account.moved):
                doubted.update(dict.fromkeys(inner.values()))
            else:
                for moved in account.moved[-missed:]:
                    below = inner.get(moved)
                    if below is not None:
                        doubted[below] = None
        if not doubted:
            return
        if len(inner) == 1:  # as in the line of one tenant, or of one scope: nobody to compare with
            [one] = doubted
            doubted.clear()
            one.find(order)
            self.turn, self.work = (one.account.share, *one.turn), one.work
            return
        self._compare(order)

    def _compare(self, order: "Order") -> None:
        """Ask those that are in doubt, and find the first of all."""
        doubted, heap = self.doubted, self.heap
        if not heap:  # there was one at most, which has no entry yet
            doubted.update(dict.fromkeys(self.inner.values()))
        for one in doubted:
            one.find(order)
            if one.work is None:
                one.placed = None
                continue
            turn = (one.account.share, *one.turn)
            if turn != one.placed:
                one.placed = turn
                heappush(heap, (turn, one.account.slot, one))
        doubted.clear()
        if len(heap) > 4 * len(self.inner) + 64:
            heap[:] = [(one.placed, one.account.slot, one) for one in self.inner.values() if one.placed is not None]
            heapify(heap)
        while heap:
            turn, _, one = heap[0]
            if turn == one.placed:
                self.turn, self.work = turn, one.work
                return
            heappop(heap)
        self.work = None


class Order:
    """Classes of one level, the next one first. A class is in one order at most."""

    __slots__ = ("_branches", "_top", "changes", "size")

    def __init__(self) -> None:
        self._top: _Branch | None = None
        self._branches: dict[Account, _Branch] = {}
        self.size = 0
        self.changes = 0

    def add(self, work: WorkClass) -> None:
        """Take a class in that is in no order."""
        work.order = self
        self.size += 1
        self.push(work)

    def remove(self, work: WorkClass) -> None:
        """Let a class go."""
        work.order = None
        self.size -= 1
        self.changed(work)
        if not self.size:
            self._top = None
            self._branches.clear()

    def push(self, work: WorkClass) -> None:
        """Take note that a class of this order may be nearer its turn than before."""
        account = work.account
        branch = self._branch(account.parent)
        tenant = branch.inner.get(account)
        if not isinstance(tenant, _Tenant):
            tenant = branch.inner[account] = _Tenant(account)
        heap = tenant.heap
        heappush(heap, (work.head.arrived, work.number, work))
        if len(heap) > 4 * self.size + 64:
            members = {one.number: one for _, _, one in heap if one.order is self}
            heap[:] = sorted((one.head.arrived, number, one) for number, one in members.items())
        self.changed(work)

    def changed(self, work: WorkClass) -> None:
        """Take note that a class of this order left, or that its head is another."""
        self.changes += 1
        account = work.account
        while account.parent is not None:
            branch = self._branches.get(account.parent)
            if branch is None:
                return
            below = branch.inner.get(account)
            if below is not None:
                branch.doubted[below] = None
            account = account.parent

    def best(self) -> tuple[Turn, WorkClass] | None:
        """Return who is next, and the key by which orders are compared."""
        top = self._top
        if top is None:
            return None
        if top.doubted or top.asked != top.account.moves:
            top.find(self)
        return None if top.work is None else (top.turn, top.work)

    def _branch(self, account: Account | None) -> _Branch:
        """Return the branch of an account, which may be a new one."""
        if account is None:
            raise AssertionError("a tenant hangs somewhere")
        branch = self._branches.get(account)
        if branch is None:
            branch = self._branches[account] = _Branch(account)
            if account.parent is None:
                self._top = branch
            else:
                self._branch(account.parent).inner[account] = branch
        return branch


def turn_of(work: WorkClass) -> Turn:
    """Return the key of a class as it is now."""
    turn: list[int] = [work.head.arrived]
    account = work.account
    while account.parent is not None:
        turn.append(account.share)
        account = account.parent
    return tuple(reversed(turn))
