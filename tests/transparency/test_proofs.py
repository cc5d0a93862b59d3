import base64
import json
import warnings
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import EMPTY_ROOT, leaf_hash
from domain.transparency.proofs import (
    consistency_proof,
    inclusion_proof,
    nodes_of,
    verify_consistency,
    verify_inclusion,
)

LEAVES = [leaf_hash(b"%d" % index) for index in range(300)]
SIZES = st.integers(1, 130)


def root_of(size: int) -> bytes:
    return Frontier.empty().extend(LEAVES[:size]).root()


def decoded(document: dict[str, Any], name: str) -> bytes:
    return base64.b64decode(document[name])


def path_of(document: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(node) for node in document["proof"] or ()]


def outcome(verify: Any, *arguments: Any) -> bool:
    try:
        verify(*arguments)
    except VerificationError:
        return False
    return True


def test_every_inclusion_vector_agrees(vectors: Path) -> None:
    files = sorted((vectors / "merkle" / "inclusion").rglob("*.json"))
    assert len(files) == 98
    for file in files:
        document = json.loads(file.read_text())
        arguments = (document["leafIdx"], document["treeSize"], path_of(document), decoded(document, "root"))
        good = outcome(verify_inclusion, decoded(document, "leafHash"), *arguments)
        assert good is not document["wantErr"], file


def test_every_consistency_vector_agrees(vectors: Path) -> None:
    files = sorted((vectors / "merkle" / "consistency").rglob("*.json"))
    assert len(files) == 98
    for file in files:
        document = json.loads(file.read_text())
        roots = (decoded(document, "root1"), decoded(document, "root2"))
        good = outcome(verify_consistency, document["size1"], document["size2"], path_of(document), *roots)
        assert good is not document["wantErr"], file


@given(SIZES, st.data())
def test_every_leaf_is_proved_included(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = inclusion_proof(LEAVES[:size], index, size)
    verify_inclusion(LEAVES[index], index, size, path, root_of(size))
    assert path == inclusion_proof(nodes_of(LEAVES), index, size)


@given(SIZES, st.data())
def test_every_older_tree_is_proved_a_prefix(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    path = consistency_proof(LEAVES, old, size)
    verify_consistency(old, size, path, root_of(old), root_of(size))


@given(SIZES, st.data())
def test_no_altered_inclusion_proof_passes(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = list(inclusion_proof(LEAVES, index, size))
    root = root_of(size)
    other = data.draw(st.integers(0, size - 1).filter(lambda value: value != index)) if size > 1 else size
    assert not outcome(verify_inclusion, LEAVES[index], other, size, path, root)
    assert not outcome(verify_inclusion, LEAVES[index], index, size, [*path, LEAVES[0]], root)
    assert not outcome(verify_inclusion, LEAVES[index], index, size, path, EMPTY_ROOT)
    assert not outcome(verify_inclusion, LEAVES[index + 1], index, size, path, root)
    for place in range(len(path)):
        altered = [*path[:place], bytes((path[place][0] ^ 1,)) + path[place][1:], *path[place + 1 :]]
        assert not outcome(verify_inclusion, LEAVES[index], index, size, altered, root)


@given(SIZES, st.data())
def test_no_altered_consistency_proof_passes(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    path = list(consistency_proof(LEAVES, old, size))
    roots = (root_of(old), root_of(size))
    assert not outcome(verify_consistency, old, size, [*path, LEAVES[0]], *roots)
    assert not outcome(verify_consistency, old, size, path, EMPTY_ROOT, roots[1])
    assert not outcome(verify_consistency, old, size, path, roots[0], EMPTY_ROOT)
    assert not outcome(verify_consistency, old, size, path[:-1] if path else [LEAVES[0]], *roots)
    for place in range(len(path)):
        altered = [*path[:place], path[place][::-1], *path[place + 1 :]]
        assert not outcome(verify_consistency, old, size, altered, *roots)


def test_consistency_with_the_empty_tree_is_the_empty_proof_with_exactly_its_root() -> None:
    verify_consistency(0, 0, [], EMPTY_ROOT, EMPTY_ROOT)
    verify_consistency(0, 5, [], EMPTY_ROOT, root_of(5))
    for arguments in (
        (0, 0, [EMPTY_ROOT], EMPTY_ROOT, EMPTY_ROOT),
        (0, 0, [], LEAVES[0], LEAVES[0]),
        (0, 5, [], LEAVES[0], root_of(5)),
        (0, 5, [LEAVES[0]], EMPTY_ROOT, root_of(5)),
        (0, 5, [], EMPTY_ROOT, EMPTY_ROOT),
        (0, 5, [], EMPTY_ROOT, b"not a root"),
        (5, 0, [], root_of(5), EMPTY_ROOT),
        (-1, 5, [], EMPTY_ROOT, root_of(5)),
    ):
        assert not outcome(verify_consistency, *arguments)


def test_a_proof_of_a_wrong_length_is_refused_before_hashing() -> None:
    unhashable: Any = [object()] * 20
    with pytest.raises(VerificationError, match="20 hashes where 3 are due"):
        verify_inclusion(LEAVES[0], 0, 8, unhashable, root_of(8))
    with pytest.raises(VerificationError, match="20 hashes where 3 are due"):
        verify_consistency(6, 8, unhashable, root_of(6), root_of(8))


def test_a_node_does_not_pass_as_a_leaf() -> None:
    node = inclusion_proof(LEAVES, 0, 4)[1]
    assert not outcome(verify_inclusion, node, 1, 2, [], root_of(4))
    with pytest.raises(VerificationError, match="32 bytes"):
        verify_inclusion(b"short", 0, 2, [LEAVES[1]], root_of(2))


def test_proofs_of_what_is_not_there_are_refused() -> None:
    for index, size in ((0, 0), (5, 5), (-1, 5)):
        with pytest.raises(MalformedError):
            inclusion_proof(LEAVES, index, size)
    with pytest.raises(MalformedError):
        consistency_proof(LEAVES, 6, 5)
    with pytest.raises(MalformedError):
        consistency_proof(LEAVES, -1, 5)


def test_a_node_is_computed_once() -> None:
    asked: list[int] = []

    class Counted(list[bytes]):
        def __getitem__(self, index: Any) -> Any:
            asked.append(index)
            return super().__getitem__(index)

    node = nodes_of(Counted(LEAVES[:8]))
    assert node(3, 0) == node(3, 0) == root_of(8)
    assert node(2, 1) != node(2, 0)
    assert asked == list(range(8))


def test_an_independent_implementation_finds_the_same_roots_and_paths() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains at import of a hash that nobody uses here
        merkletools = pytest.importorskip("merkletools")
    for size in (*range(1, 40), 63, 64, 65, 127, 128, 129, 255, 256, 257, 300):
        tree = merkletools.MerkleTools()
        tree.hash_function = lambda data: sha256(b"\x01" + data)
        tree.add_leaf([leaf.hex() for leaf in LEAVES[:size]])
        tree.make_tree()
        assert tree.get_merkle_root() == root_of(size).hex()
        for index in {0, size // 3, size // 2, size - 1}:
            theirs = [bytes.fromhex(next(iter(step.values()))) for step in tree.get_proof(index)]
            assert tuple(theirs) == inclusion_proof(LEAVES, index, size)
            ours = [
                {"left" if _is_right(index, size, place) else "right": node.hex()} for place, node in enumerate(theirs)
            ]
            assert tree.validate_proof(ours, LEAVES[index].hex(), root_of(size).hex())


def _is_right(index: int, size: int, place: int) -> bool:
    """Tell on which side of the sibling the path's node stands, from the numbers alone."""
    sides, last = [], size - 1
    while last:
        if index & 1 or index < last:
            sides.append(bool(index & 1))
        index, last = index >> 1, last >> 1
    return sides[place]
