"""A small tree is the tree of RFC 9162."""

import hashlib

import pytest

from domain.errors import MalformedError
from domain.transparency.frontier import Frontier
from domain.transparency.proofs import inclusion_proof, verify_inclusion
from domain.transparency.small_tree import SmallTree


@pytest.mark.parametrize("size", [*range(70), 127, 128, 129, 255, 256, 257, 500])
def test_root_and_paths_are_those_of_the_standard(size: int) -> None:
    leaves = [hashlib.sha256(bytes([n & 255, n >> 8])).digest() for n in range(size)]
    tree = SmallTree(leaves)
    assert tree.root == Frontier.empty().extend(leaves).root()
    for index in range(size):
        path = tree.path(index)
        assert path == inclusion_proof(leaves, index, size)
        verify_inclusion(leaves[index], index, size, path, tree.root)


@pytest.mark.parametrize(("size", "index"), [(0, 0), (3, 3), (3, -1)])
def test_there_is_no_path_from_a_leaf_that_is_not_there(size: int, index: int) -> None:
    with pytest.raises(MalformedError):
        SmallTree([bytes(32)] * size).path(index)
