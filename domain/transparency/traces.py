r"""The trace of a round: a value for each input, each decision and the closing state, under one root (wire formats 8).

Invariants:
- `q` fixes an entry's place among those of its round, `t` the entry, its view and that place. Who holds neither key
  learns from them nothing but how many there are, and that only up to the next power of two.
- Padding follows from a seed of the round that the cell's auditor gets: no value of the tree is left unexplained, so
  nothing can be shown to a tenant that the auditor did not see.
- Salts and keys are arguments: an auditor who got an entry's salts needs no key.
"""

import hashlib
import hmac
from collections.abc import Iterable
from enum import Enum
from typing import Final

from domain.errors import MalformedError, VerificationError
from domain.transparency.hashing import HASH_BYTES, leaf_hash
from domain.transparency.proofs import verify_inclusion
from domain.transparency.small_tree import SmallTree

MIN_VALUES: Final = 256
"""Fewest values of a round's trace, padding included."""

MOST_ENTRIES: Final = (1 << 32) - 1
"""The place of an entry in its round is an u32, and the closing state has the last one."""

CLOSING_LEAF: Final = bytes(HASH_BYTES)
"""What stands for the leaf hash of the closing state, which is no entry."""

_CELL_KEY = b"ledger cell key v1\0"
_ORDER = b"ledger trace order v1\0"
_SALT = b"ledger trace salt v1\0"
_VALUE = b"ledger trace v1\0"
_PADDING = b"ledger trace padding v1\0"
_U32_BYTES, _U64_BYTES = 4, 8

_sha256 = hashlib.sha256


class Kind(Enum):
    """What a traced value is of. The value is the byte that is hashed."""

    INPUT = b"\x69"
    DECISION = b"\x64"
    CLOSING = b"\x73"


def cell_key(anchor_secret: bytes, cell: int) -> bytes:
    """Return `k_cell` (32 bytes) of a cell, by its number."""
    return hmac.digest(anchor_secret, _CELL_KEY + cell.to_bytes(_U32_BYTES), "sha256")


def order_salt(key: bytes, round_index: int, place: int) -> bytes:
    """Return the salt (32 bytes) of the place `j` of a round, from `k_cell`."""
    return hmac.digest(key, _ORDER + _place(round_index, place), "sha256")


def order_value(salt: bytes, round_index: int, place: int) -> bytes:
    """Return `q` (32 bytes), from the salt of that place."""
    return _sha256(_ORDER + salt + _place(round_index, place)).digest()


def entry_salt(key: bytes, round_index: int, entry_hash: bytes) -> bytes:
    """Return the salt (32 bytes) of an entry in a round, from the `k_slot` of its log and its leaf hash."""
    return hmac.digest(key, _SALT + round_index.to_bytes(_U64_BYTES) + entry_hash, "sha256")


def trace_value(salt: bytes, kind: Kind, entry_hash: bytes, view_digest: bytes, order: bytes) -> bytes:
    """Return `t` (32 bytes) of an entry.

    Args:
        salt: the entry's salt.
        kind: what it is.
        entry_hash: its leaf hash; CLOSING_LEAF for the closing state.
        view_digest: H(view), 32 bytes; the closing state's view is its digest, which is hashed like any other.
        order: its `q`.
    """
    return _sha256(_VALUE + salt + kind.value + entry_hash + view_digest + order).digest()


def padding_seed(key: bytes, round_index: int) -> bytes:
    """Return what a round's padding follows from (32 bytes), from `k_cell`."""
    return hmac.digest(key, _PADDING + round_index.to_bytes(_U64_BYTES), "sha256")


def padding(seed: bytes, count: int) -> list[bytes]:
    """Return a round's first `count` values of padding."""
    return [_sha256(_PADDING + seed + number.to_bytes(_U32_BYTES)).digest() for number in range(count)]


class TraceTree:
    """The values of one round with their padding, sorted, as a tree.

    Args:
        values: every `t` of the round, in any order.
        seed: of the padding.

    Raises:
        MalformedError: when a value is no hash, or stands twice.
    """

    __slots__ = ("_places", "_sorted", "_tree")

    def __init__(self, values: Iterable[bytes], seed: bytes) -> None:
        known = list(values)
        if any(len(value) != HASH_BYTES for value in known):
            raise MalformedError(f"a traced value has {HASH_BYTES} bytes")
        size = max(MIN_VALUES, 1 << (len(known) - 1).bit_length()) if known else MIN_VALUES
        self._sorted = sorted(known + padding(seed, size - len(known)))
        if any(one == other for one, other in zip(self._sorted, self._sorted[1:], strict=False)):
            raise MalformedError("one value stands twice in a trace")
        self._tree = SmallTree([leaf_hash(value) for value in self._sorted])
        self._places: dict[bytes, int] = {}

    @property
    def root(self) -> bytes:
        """The trace root (32 bytes) of this cell."""
        return self._tree.root

    @property
    def size(self) -> int:
        """How many values there are, padding included."""
        return len(self._sorted)

    def place(self, value: bytes) -> tuple[int, tuple[bytes, ...]]:
        """Return where a value stands among the sorted ones, and its path.

        Raises:
            MalformedError: when it is not there.
        """
        if not self._places:
            self._places = {known: index for index, known in enumerate(self._sorted)}
        index = self._places.get(value)
        if index is None:
            raise MalformedError("this value is not in the trace")
        return index, self._tree.path(index)


def verify_place(value: bytes, index: int, size: int, path: tuple[bytes, ...], root: bytes) -> None:
    """Check that a value stands at an index of the trace with this size and root.

    Raises:
        VerificationError: when it does not, or the size is none that a trace may have.
    """
    if size < MIN_VALUES or size & (size - 1):
        raise VerificationError(f"a trace has a power of two of values, from {MIN_VALUES}, not {size}")
    verify_inclusion(leaf_hash(value), index, size, path, root)


def root_of_cells(roots: Iterable[bytes]) -> bytes:
    """Return line 5 of a round's entry: the root of the one cell, or the tree's over the roots of several."""
    found = list(roots)
    return found[0] if len(found) == 1 else SmallTree([leaf_hash(root) for root in found]).root


def _place(round_index: int, place: int) -> bytes:
    return round_index.to_bytes(_U64_BYTES) + place.to_bytes(_U32_BYTES)
