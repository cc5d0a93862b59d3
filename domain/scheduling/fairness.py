"""Who is next: weighted dominant-resource fairness, compared at the lowest common place of the quota tree.

The key of a class is the shares on its way from the top of the tree down to its tenant, then the arrival of its head.
Compared member by member, two classes are told apart where their ways part: there the smaller share goes first. Ties
go to who came first.

Invariants:
- `best` is the least key of all that were added, whatever shares have become since: a share that grows is noticed when
  its entry comes to the top, one that shrinks has to be told (`push`).
"""

from heapq import heapify, heappop, heappush, heapreplace

from domain.scheduling.classes import WorkClass
from domain.scheduling.quotas import Account

Turn = tuple[int, ...]
_Entry = tuple[int, int, int, WorkClass]


class Order:
    """Classes of one level, the next one first. A class is in one order at most."""

    __slots__ = ("_heaps", "size")

    def __init__(self) -> None:
        self._heaps: dict[Account, list[_Entry]] = {}
        self.size = 0

    def add(self, work: WorkClass) -> None:
        """Take a class in that is in no order."""
        work.order = self
        self.size += 1
        self.push(work)

    def remove(self, work: WorkClass) -> None:
        """Let a class go."""
        work.order = None
        self.size -= 1
        if not self.size:
            self._heaps.clear()

    def push(self, work: WorkClass) -> None:
        """Take note that a class of this order may be nearer its turn than before."""
        parent = work.account.parent
        if parent is None:
            raise AssertionError("a tenant hangs somewhere")
        heap = self._heaps.get(parent)
        entry = (work.account.share, work.head.arrived, work.number, work)
        if heap is None:
            self._heaps[parent] = [entry]
            return
        if len(heap) > 4 * self.size + 64:
            heap[:] = [(one.account.share, one.head.arrived, one.number, one) for one in self._members(heap)]
            heapify(heap)
        heappush(heap, entry)

    def best(self) -> tuple[Turn, WorkClass] | None:
        """Return who is next, and the key by which orders are compared."""
        least: Turn | None = None
        found: WorkClass | None = None
        gone: list[Account] = []
        for parent, heap in self._heaps.items():
            while heap:
                share, arrived, number, work = heap[0]
                if work.order is not self:
                    heappop(heap)
                    continue
                now = (work.account.share, work.head.arrived)
                if now == (share, arrived):
                    turn = (*parent.path, share, arrived)
                    if least is None or turn < least:
                        least, found = turn, work
                    break
                if now > (share, arrived):
                    heapreplace(heap, (*now, number, work))
                else:  # it was told, so there is another entry of it
                    heappop(heap)
            else:
                gone.append(parent)
        for parent in gone:
            del self._heaps[parent]
        return None if least is None or found is None else (least, found)

    def _members(self, heap: list[_Entry]) -> list[WorkClass]:
        return list({work.number: work for _, _, _, work in heap if work.order is self}.values())


def turn_of(work: WorkClass) -> Turn:
    """Return the key of a class as it is now."""
    parent = work.account.parent
    return (*(parent.path if parent is not None else ()), work.account.share, work.head.arrived)
