"""A Merkle tree that is held whole in memory: for few leaves and many paths (RFC 9162 2.1.1 and 2.1.3).

Invariants:
- Pairing each level from the left, and lifting a node without a partner as it is, gives exactly the tree of RFC 9162,
  whose left subtree is the largest power of two (a property test holds roots and paths equal).
"""

from collections.abc import Sequence

from domain.errors import MalformedError
from domain.transparency.hashing import EMPTY_ROOT, node_hash


class SmallTree:
    """A tree over leaf hashes (32 bytes each)."""

    __slots__ = ("_levels",)

    def __init__(self, leaf_hashes: Sequence[bytes]) -> None:
        level = list(leaf_hashes)
        self._levels = [level]
        while len(level) > 1:
            pairs = zip(level[::2], level[1::2], strict=False)
            level = [node_hash(left, right) for left, right in pairs] + level[len(level) & ~1 :]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """The tree head (32 bytes)."""
        return self._levels[-1][0] if self._levels[-1] else EMPTY_ROOT

    def path(self, index: int) -> tuple[bytes, ...]:
        """Return PATH(index, D), lowest node first.

        Raises:
            MalformedError: when there is no such leaf.
        """
        if not 0 <= index < len(self._levels[0]):
            raise MalformedError(f"leaf {index} is not in a tree of size {len(self._levels[0])}")
        path = []
        for level in self._levels[:-1]:
            sibling = index ^ 1
            if sibling < len(level):
                path.append(level[sibling])
            index >>= 1
        return tuple(path)
