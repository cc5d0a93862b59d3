import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash, node_hash

LEAVES = st.lists(st.binary(max_size=8), max_size=70).map(lambda entries: [leaf_hash(entry) for entry in entries])


def root_by_definition(hashes: list[bytes]) -> bytes:
    """MTH of RFC 9162 2.1.1, written as the RFC writes it."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    left, right = root_by_definition(hashes[:split]), root_by_definition(hashes[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_leaves_and_nodes_are_hashed_under_their_prefixes() -> None:
    assert leaf_hash(b"entry") == hashlib.sha256(b"\x00entry").digest()
    assert node_hash(b"l" * 32, b"r" * 32) == hashlib.sha256(b"\x01" + b"l" * 32 + b"r" * 32).digest()
    assert hashlib.sha256(b"").digest() == EMPTY_ROOT


def test_the_empty_tree_has_the_hash_of_nothing_as_its_root() -> None:
    assert Frontier.empty().root() == EMPTY_ROOT
    assert Frontier.empty().to_bytes() == b""


@given(LEAVES)
def test_the_root_is_that_of_the_definition(leaves: list[bytes]) -> None:
    assert Frontier.empty().extend(leaves).root() == root_by_definition(leaves)


@given(LEAVES, st.data())
def test_growing_in_two_steps_equals_growing_in_one(leaves: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(leaves)))
    once = Frontier.empty().extend(leaves)
    twice = Frontier.empty().extend(leaves[:at]).extend(leaves[at:])
    one_by_one = Frontier.empty()
    for leaf in leaves:
        one_by_one = one_by_one.append(leaf)
    assert once == twice == one_by_one


@given(LEAVES)
def test_a_stored_frontier_reads_back(leaves: list[bytes]) -> None:
    frontier = Frontier.empty().extend(leaves)
    assert Frontier.from_bytes(frontier.size, frontier.to_bytes()) == frontier
    assert len(frontier.hashes) == len(leaves).bit_count()


@pytest.mark.parametrize(
    ("size", "data"),
    [(0, b"x" * 32), (1, b""), (1, b"x" * 31), (1, b"x" * 33), (3, b"x" * 32), (-1, b""), (2**63, b"x" * 32)],
)
def test_a_stored_frontier_that_does_not_fit_its_size_is_refused(size: int, data: bytes) -> None:
    with pytest.raises(MalformedError):
        Frontier.from_bytes(size, data)


def test_a_hash_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(MalformedError):
        Frontier.empty().append(b"x" * 31)
    with pytest.raises(MalformedError):
        Frontier(1, (b"x" * 33,))
