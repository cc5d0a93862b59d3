"""Traces of a round: the bytes of wire formats 8, and what root, padding and paths guarantee."""

import hashlib
import hmac
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchors import slot_key
from domain.transparency.small_tree import SmallTree
from domain.transparency.traces import (
    CLOSING_LEAF,
    MIN_VALUES,
    Kind,
    TraceTree,
    cell_key,
    entry_salt,
    order_salt,
    order_value,
    padding,
    padding_seed,
    root_of_cells,
    trace_value,
    verify_place,
)

SECRET = bytes(range(32))
SEED = bytes(32)
HASHES = st.binary(min_size=32, max_size=32)
VALUES = st.sets(HASHES, max_size=40)


def h(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def test_the_bytes_are_those_of_the_wire_format() -> None:
    """Written out here from the text, with nothing of the module."""
    r, j, leaf, view = 3, 7, h(b"leaf"), b'{"kind":"queued"}'
    place = b"\0\0\0\0\0\0\0\x03" + b"\0\0\0\x07"
    k_cell = mac(SECRET, b"ledger cell key v1\0", b"\0\0\0\x02")
    k_slot = mac(SECRET, b"ledger slot key v1\0", b"\0\0\0\0\0\0\0\x05")
    q = h(b"ledger trace order v1\0", mac(k_cell, b"ledger trace order v1\0", place), place)
    t = h(
        b"ledger trace v1\0", mac(k_slot, b"ledger trace salt v1\0", b"\0\0\0\0\0\0\0\x03", leaf),
        b"\x69", leaf, h(view), q,
    )  # fmt: skip
    assert cell_key(SECRET, 2) == k_cell
    assert order_value(order_salt(k_cell, r, j), r, j) == q
    assert trace_value(entry_salt(slot_key(SECRET, 5), r, leaf), Kind.INPUT, leaf, h(view), q) == t
    assert [kind.value for kind in Kind] == [b"\x69", b"\x64", b"\x73"]
    assert bytes(32) == CLOSING_LEAF


def test_the_vector_holds_byte_for_byte() -> None:
    """Cell 0, round 3: the input of `test_the_bytes_are_those_of_the_wire_format` at place 0, the empty state at 1."""
    key = cell_key(SECRET, 0)
    orders = [order_value(order_salt(key, 3, place), 3, place) for place in (0, 1)]
    leaf, digest = h(b"leaf"), h(b"{}")
    values = [
        trace_value(entry_salt(slot_key(SECRET, 5), 3, leaf), Kind.INPUT, leaf, h(b'{"kind":"queued"}'), orders[0]),
        trace_value(
            entry_salt(slot_key(SECRET, 0), 3, CLOSING_LEAF), Kind.CLOSING, CLOSING_LEAF, h(digest), orders[1]
        ),
    ]  # fmt: skip
    assert key.hex() == VECTOR["k_cell"]
    assert [order.hex() for order in orders] == VECTOR["q"]
    assert [value.hex() for value in values] == VECTOR["t"]
    assert TraceTree(values, padding_seed(key, 3)).root.hex() == VECTOR["root"]


@given(VALUES, HASHES, st.randoms())
def test_the_root_does_not_depend_on_the_order_in_which_values_come(
    values: set[bytes], seed: bytes, shuffled: random.Random
) -> None:
    ordered = sorted(values)
    shuffled.shuffle(ordered)
    assert TraceTree(ordered, seed).root == TraceTree(values, seed).root


@pytest.mark.parametrize(
    ("count", "size"), [(0, 256), (1, 256), (255, 256), (256, 256), (257, 512), (512, 512), (513, 1024)]
)
def test_a_trace_is_padded_to_a_power_of_two_from_256_on(count: int, size: int) -> None:
    values = [h(bytes([number // 256, number % 256])) for number in range(count)]
    tree = TraceTree(values, SEED)
    assert tree.size == size
    everything = sorted([*values, *padding(SEED, size - count)])
    assert tree.root == SmallTree([h(b"\0", value) for value in everything]).root


@given(VALUES.filter(bool), HASHES, st.data())
def test_each_value_has_a_place_and_no_other_value_has_it(values: set[bytes], seed: bytes, data: st.DataObject) -> None:
    tree = TraceTree(values, seed)
    value = data.draw(st.sampled_from(sorted(values)))
    index, path = tree.place(value)
    verify_place(value, index, tree.size, path, tree.root)
    other = data.draw(HASHES.filter(lambda one: one != value))
    with pytest.raises(VerificationError):
        verify_place(other, index, tree.size, path, tree.root)
    with pytest.raises(VerificationError):
        verify_place(value, index ^ 1, tree.size, path, tree.root)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**63), st.integers(0, 2**63))
def test_no_two_places_share_an_order_value(one: int, other: int, r: int, s: int) -> None:
    key = cell_key(SECRET, 0)
    same = order_value(order_salt(key, r, one), r, one) == order_value(order_salt(key, s, other), s, other)
    assert same == ((one, r) == (other, s))


@given(st.data())
def test_a_value_changes_with_all_that_it_is_of(data: st.DataObject) -> None:
    salt, leaf, order, view = (data.draw(HASHES) for _ in range(4))
    made = trace_value(salt, Kind.INPUT, leaf, view, order)
    assert made != trace_value(salt, Kind.DECISION, leaf, view, order)
    changed = data.draw(HASHES)
    for number, before in enumerate((salt, leaf, view, order)):
        parts = [salt, leaf, view, order]
        parts[number] = changed
        again = trace_value(parts[0], Kind.INPUT, parts[1], parts[2], parts[3])
        assert (again == made) == (changed == before)


def test_a_value_that_is_not_there_or_stands_twice_or_is_no_hash_is_refused() -> None:
    value = h(b"one")
    with pytest.raises(MalformedError, match="twice"):
        TraceTree([value, value], SEED)
    with pytest.raises(MalformedError, match="32 bytes"):
        TraceTree([b"short"], SEED)
    with pytest.raises(MalformedError, match="not in the trace"):
        TraceTree([value], SEED).place(h(b"other"))


@pytest.mark.parametrize("size", [0, 1, 128, 255, 257, 384])
def test_a_trace_of_another_size_is_refused(size: int) -> None:
    with pytest.raises(VerificationError, match=f"from {MIN_VALUES}"):
        verify_place(h(b"one"), 0, size, (), bytes(32))


def test_the_root_over_several_cells_is_the_tree_over_their_roots() -> None:
    one, two = h(b"one"), h(b"two")
    assert root_of_cells([one]) == one
    assert root_of_cells([one, two]) == h(b"\1", h(b"\0", one), h(b"\0", two))


VECTOR = {
    "k_cell": "0f0102441ff6333a7b851c73e8cbbf8c30baf31345cc01e9f5cbde31ca57b3db",
    "q": [
        "02ee1d4e53f3c342869cbbbbf00465336b13c38075e6a63344ac0f599a56f1ad",
        "4ed93500d5e2b0d5e84fd65c8f5cef34a51d8ea1035d2e022f020ea72b838610",
    ],
    "t": [
        "e4d25d034174f763a59e15f3f78b444ee377d1e59e67af44791bfa270223eb7f",
        "85f22500f070dc765f6ba861c7ae2e099317c179c669c792af55f083dcfb181a",
    ],
    "root": "04759d8795f9e58f4613adbdc26feb9036158dd11017818d5e0a9f502eff4511",
}
