"""What is free on the nodes, by bitsets: who has so many slots and so much memory left.

Invariants:
- A node's room is its facts less what its residents hold, always.
- Tightest first: fewest free slots, then least free memory (by buckets of an eighth of a power of two), then the node
  that was enrolled first. That order is a function of the room alone.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from domain.scheduling.eligibility import bits, lowest

_FRACTION = 3
"""Bits of memory kept behind the leading one: within one bucket the amount itself is looked at."""


def bucket(amount: int) -> int:
    """Return the bucket of an amount: it rises with the amount."""
    if amount <= 0:
        return 0
    size = amount.bit_length()
    return size << _FRACTION | ((amount << _FRACTION) >> (size - 1)) & ((1 << _FRACTION) - 1)


def floor(amount: int) -> int:
    """Return the greatest power of two that is no more, or 0: who ask for as much to a factor of two wait together."""
    return 1 << amount.bit_length() - 1 if amount > 0 else 0


class Capacity:
    """Free slots and free bytes of memory of each node, by its number."""

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.memory: list[int] = []
        self._rooms: dict[tuple[int, int], int] = {}
        self._kinds: list[tuple[int, int]] = []

    def put(self, at: int, slots: int, memory: int) -> None:
        """Take a node in, or what it has now besides what is taken (both may be negative after new facts)."""
        if at == len(self.slots):
            self.slots.append(0)
            self.memory.append(0)
        else:
            self._leave(at)
        self.slots[at], self.memory[at] = slots, memory
        self._enter(at)

    def take(self, at: int, slots: int, memory: int) -> None:
        """Take room on a node; give it back with negative amounts."""
        self._leave(at)
        self.slots[at] -= slots
        self.memory[at] -= memory
        self._enter(at)

    def fits(self, at: int, slots: int, memory: int) -> bool:
        """Tell whether a node has that much room."""
        return self.slots[at] >= slots and self.memory[at] >= memory

    def first(self, nodes: int, slots: int, memory: int) -> int | None:
        """Return the tightest of some nodes that has room, or None."""
        least = bucket(memory)
        kinds = self._kinds
        rooms = self._rooms
        for at in range(bisect_left(kinds, (slots, 0)), len(kinds)):
            kind = kinds[at]
            if kind[1] < least:
                continue
            found = nodes & rooms[kind]
            if found:
                if kind[1] > least:
                    return lowest(found)
                node = self._enough(found, memory)
                if node is not None:
                    return node
        return None

    def roomy(self, nodes: int, slots: int, memory: int) -> int:
        """Return those of some nodes that have room."""
        least, found = bucket(memory), 0
        for kind in self._kinds[bisect_left(self._kinds, (slots, 0)) :]:
            if kind[1] > least:
                found |= nodes & self._rooms[kind]
            elif kind[1] == least:
                some = nodes & self._rooms[kind]
                for node in bits(some):
                    if self.memory[node] < memory:
                        some ^= 1 << node
                found |= some
        return found

    def all(self, nodes: int, slots: int, memory: int) -> Iterator[int]:
        """Yield those that have room, tightest first."""
        least = bucket(memory)
        for kind in self._kinds[bisect_left(self._kinds, (slots, 0)) :]:
            found = nodes & self._rooms[kind] if kind[1] >= least else 0
            while found:
                node = lowest(found)
                found &= found - 1
                if self.memory[node] >= memory:
                    yield node

    def roomiest(self, nodes: int) -> Iterator[int]:
        """Yield nodes: most free slots first, then most free memory by its bucket, then as they were enrolled."""
        for kind in reversed(self._kinds):
            found = nodes & self._rooms[kind]
            while found:
                yield lowest(found)
                found &= found - 1

    def _enough(self, found: int, memory: int) -> int | None:
        while found:
            node = lowest(found)
            if self.memory[node] >= memory:
                return node
            found &= found - 1
        return None

    def _leave(self, at: int) -> None:
        kind = (max(self.slots[at], 0), bucket(self.memory[at]))
        rest = self._rooms[kind] & ~(1 << at)
        if rest:
            self._rooms[kind] = rest
        else:
            del self._rooms[kind]
            del self._kinds[bisect_left(self._kinds, kind)]

    def _enter(self, at: int) -> None:
        kind = (max(self.slots[at], 0), bucket(self.memory[at]))
        if kind in self._rooms:
            self._rooms[kind] |= 1 << at
        else:
            self._rooms[kind] = 1 << at
            insort(self._kinds, kind)
