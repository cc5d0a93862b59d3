"""The frontier: what a Merkle tree must remember to grow.

Invariants:
- A tree of `size` leaves is a row of perfect subtrees, one for each 1 bit of `size`, largest first; the frontier holds
  their roots. `len(hashes)` is the number of 1 bits of `size`.
- Appending touches only the frontier: amortised one node hash for each leaf, and no other part of the tree.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from domain.errors import MalformedError
from domain.transparency.hashing import EMPTY_ROOT, HASH_BYTES, node_hash

MAX_TREE_SIZE = 2**63 - 1
"""Greatest tree size that is accepted anywhere (a signed 64-bit integer, as databases and C2SP use)."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """Roots of the perfect subtrees of a tree with `size` leaves, largest first, 32 bytes each.

    Raises:
        MalformedError: when the number or length of the hashes does not fit the size.
    """

    size: int
    hashes: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise MalformedError(f"tree size {self.size} is out of range")
        if len(self.hashes) != self.size.bit_count():
            raise MalformedError(f"a frontier of size {self.size} has {self.size.bit_count()} hashes")
        if not {*map(len, self.hashes)} <= {HASH_BYTES}:
            raise MalformedError(f"a hash of a frontier is not {HASH_BYTES} bytes")

    @classmethod
    def empty(cls) -> "Frontier":
        """Return the frontier of the empty tree."""
        return cls(0, ())

    @classmethod
    def from_bytes(cls, size: int, data: bytes) -> "Frontier":
        """Read what `to_bytes` wrote for a tree of this size.

        Raises:
            MalformedError: when the length does not fit the size.
        """
        if len(data) % HASH_BYTES:
            raise MalformedError(f"a stored frontier is not a whole number of {HASH_BYTES}-byte hashes")
        return cls(size, tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)))

    def to_bytes(self) -> bytes:
        """Return the hashes one after the other, largest subtree first; the size travels beside them."""
        return b"".join(self.hashes)

    def append(self, leaf_hash: bytes) -> "Frontier":
        """Return the frontier after one more leaf hash (32 bytes)."""
        return self.extend((leaf_hash,))

    def extend(self, leaf_hashes: Iterable[bytes]) -> "Frontier":
        """Return the frontier after more leaf hashes (32 bytes each), in order."""
        size, stack = self.size, list(self.hashes)
        for leaf_hash in leaf_hashes:
            if len(leaf_hash) != HASH_BYTES:
                raise MalformedError(f"a leaf hash is not {HASH_BYTES} bytes")
            node, carry = leaf_hash, size
            while carry & 1:  # a 1 bit is a full subtree of the same height: join them, as an addition carries
                node = node_hash(stack.pop(), node)
                carry >>= 1
            stack.append(node)
            size += 1
        return Frontier(size, tuple(stack))

    def root(self) -> bytes:
        """Return the 32-byte tree head: the empty hash for size 0, the leaf hash itself for size 1 (RFC 9162 2.1.1)."""
        if not self.hashes:
            return EMPTY_ROOT
        node = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            node = node_hash(left, node)
        return node
