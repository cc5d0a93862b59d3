"""Inclusion and consistency proofs (RFC 9162 2.1.3 and 2.1.4).

Invariants:
- A proof has exactly the length that its numbers imply; any other length is refused before anything is hashed.
- Every node that a proof needs is the root of a perfect subtree or is made of such, so `NodeGetter` serves any store.
- Consistency from or to size 0: the empty proof with exactly the root of the empty tree, nothing else; and no other
  size has that root.
"""

from collections.abc import Callable, Sequence

from domain.errors import MalformedError, VerificationError
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import EMPTY_ROOT, HASH_BYTES, node_hash

NodeGetter = Callable[[int, int], bytes]
"""`node(height, index)`: the root of the perfect subtree over leaves `[index << height, (index + 1) << height)`."""


def nodes_of(leaf_hashes: Sequence[bytes]) -> NodeGetter:
    """Return a node getter over leaf hashes held in memory; it computes on demand and remembers."""
    known: dict[tuple[int, int], bytes] = {}

    def node(height: int, index: int) -> bytes:
        if height == 0:
            return leaf_hashes[index]
        if (height, index) not in known:
            known[height, index] = node_hash(node(height - 1, 2 * index), node(height - 1, 2 * index + 1))
        return known[height, index]

    return node


def inclusion_proof(source: Sequence[bytes] | NodeGetter, index: int, size: int) -> tuple[bytes, ...]:
    """Return PATH(index, D[size]), lowest node first (RFC 9162 2.1.3.1).

    Args:
        source: leaf hashes of at least `size` leaves, or a node getter.
        index: zero-based leaf index.
        size: tree size.

    Raises:
        MalformedError: when the leaf is not in the tree.
    """
    if not 0 <= index < size:
        raise MalformedError(f"leaf {index} is not in a tree of size {size}")
    node = source if callable(source) else nodes_of(source)
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_range_root(node, middle, end))
            end = middle
        else:
            path.append(_range_root(node, start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_proof(source: Sequence[bytes] | NodeGetter, old_size: int, new_size: int) -> tuple[bytes, ...]:
    """Return PROOF(old_size, D[new_size]) (RFC 9162 2.1.4.1); empty from size 0 and between equal sizes.

    Raises:
        MalformedError: when the sizes do not grow.
    """
    if not 0 <= old_size <= new_size:
        raise MalformedError(f"no tree of size {old_size} precedes one of size {new_size}")
    if old_size in (0, new_size):
        return ()
    node = source if callable(source) else nodes_of(source)
    path: list[bytes] = []
    start, end, complete = 0, new_size, True
    while end != old_size:
        middle = start + _split(end - start)
        if old_size <= middle:
            path.append(_range_root(node, middle, end))
            end = middle
        else:
            path.append(_range_root(node, start, middle))
            start, complete = middle, False
    if not complete:
        path.append(_range_root(node, start, end))
    return tuple(reversed(path))


def verify_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that the leaf hash stands at `index` of the tree with this size and root (RFC 9162 2.1.3.2).

    Raises:
        VerificationError: when it does not, or the proof has another form.
    """
    if root_from_inclusion(leaf_hash, index, size, path) != root:
        raise VerificationError("the inclusion proof leads to another root")


def root_from_inclusion(leaf_hash: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """Return the root to which an inclusion proof leads (RFC 9162 2.1.3.2), for who gets the root signed, not told.

    Raises:
        VerificationError: when the proof has not the form that its numbers imply.
    """
    if not 0 <= index < size <= MAX_TREE_SIZE:
        raise VerificationError(f"leaf {index} is not in a tree of size {size}")
    inner = (index ^ (size - 1)).bit_length()
    border = (index >> inner).bit_count()
    _check_length(path, inner + border)
    _check_hashes((leaf_hash, *path))
    return _chain_right(_chain_inner(leaf_hash, path[:inner], index), path[inner:])


def verify_consistency(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that the tree (old_size, old_root) is a prefix of (new_size, new_root) (RFC 9162 2.1.4.2).

    Raises:
        VerificationError: when it is not, or the proof has another form.
    """
    if not 0 <= old_size <= new_size <= MAX_TREE_SIZE:
        raise VerificationError(f"no tree of size {old_size} precedes one of size {new_size}")
    if (old_size == 0) != (old_root == EMPTY_ROOT) or (new_size == 0) != (new_root == EMPTY_ROOT):
        raise VerificationError("the tree of size 0, and no other, has the root of the empty tree")
    if old_size == new_size:
        _check_length(path, 0)
        if old_root != new_root:
            raise VerificationError("one size with two roots")
        return
    if old_size == 0:
        _check_length(path, 0)
        _check_hashes((new_root,))
        return
    _verify_growth(old_size, new_size, path, old_root, new_root)


def _verify_growth(old_size: int, new_size: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Rebuild both roots from one path. Both walks start at the last perfect subtree of the old tree."""
    shift = (old_size & -old_size).bit_length() - 1
    inner = ((old_size - 1) ^ (new_size - 1)).bit_length() - shift
    last = (old_size - 1) >> shift
    whole = old_size == 1 << shift  # the old tree is itself that subtree, so the path leaves it out
    border = (last >> inner).bit_count()
    _check_length(path, inner + border + (0 if whole else 1))
    _check_hashes((old_root, *path))
    seed, rest = (old_root, path) if whole else (path[0], path[1:])
    old = _chain_right(_chain_inner_right(seed, rest[:inner], last), rest[inner:])
    if old != old_root:
        raise VerificationError("the consistency proof leads to another root of the older tree")
    new = _chain_right(_chain_inner(seed, rest[:inner], last), rest[inner:])
    if new != new_root:
        raise VerificationError("the consistency proof leads to another root of the newer tree")


def _chain_inner(node: bytes, path: Sequence[bytes], index: int) -> bytes:
    for height, sibling in enumerate(path):
        node = node_hash(sibling, node) if index >> height & 1 else node_hash(node, sibling)
    return node


def _chain_inner_right(node: bytes, path: Sequence[bytes], index: int) -> bytes:
    for height, sibling in enumerate(path):
        if index >> height & 1:
            node = node_hash(sibling, node)
    return node


def _chain_right(node: bytes, path: Sequence[bytes]) -> bytes:
    for sibling in path:
        node = node_hash(sibling, node)
    return node


def _split(width: int) -> int:
    """Return the largest power of two smaller than the width, 2 or more (RFC 9162 2.1.1)."""
    return 1 << (width - 1).bit_length() - 1


def _range_root(node: NodeGetter, start: int, end: int) -> bytes:
    """Return the root over `[start, end)`, where `start` is a multiple of the power of two not below its width."""
    width = end - start
    if width & (width - 1) == 0:
        height = width.bit_length() - 1
        return node(height, start >> height)
    middle = start + _split(width)
    return node_hash(_range_root(node, start, middle), _range_root(node, middle, end))


def _check_length(path: Sequence[bytes], expected: int) -> None:
    if len(path) != expected:
        raise VerificationError(f"a proof of {len(path)} hashes where {expected} are due")


def _check_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(digest) != HASH_BYTES for digest in hashes):
        raise VerificationError(f"a hash of a proof is not {HASH_BYTES} bytes")
