import base64
import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError, VerificationError
from domain.transparency.anchor_slots import AnchorRound, SlotKeys
from domain.transparency.anchors import (
    AnchorEntry,
    Opening,
    anchor_origin,
    blind,
    check_slots,
    commitment,
    slot_key,
    slot_of,
)
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.proofs import inclusion_proof

HASHES = st.binary(min_size=32, max_size=32)
ENTRIES = st.builds(AnchorEntry, st.integers(0, 2**62), st.integers(6, 32).map(lambda bits: 1 << bits), HASHES, HASHES)
SECRET = bytes(range(32))
TEXT = b"ledger.example/t/5\n2\n" + base64.b64encode(hashlib.sha256(b"a").digest()) + b"\n"


@st.composite
def openings(draw: st.DrawFn) -> Opening:
    height = draw(st.integers(0, 32))
    path = tuple(draw(HASHES) for _ in range(height))
    slot = draw(st.integers(0, (1 << height) - 1))
    return Opening(1 << height, slot, draw(HASHES), draw(HASHES), path, draw(st.binary(max_size=330)))


def test_the_published_vector_holds_byte_for_byte() -> None:
    key = slot_key(SECRET, 5)
    assert key.hex() == "7435e6b0497faea0c3e56ed375b140a9c06bc4c3570669af1242ff98f1e6b11f"
    blinding = blind(key, 3)
    assert blinding.hex() == "77daf744ad36cf6c838e4dd2e28fedbd8efa77bd5dbdcbd09332ccc2db28efd4"
    assert commitment(blinding, TEXT).hex() == "fdea2c4d59136c58e261161a196066f050070486662c508a946b50faa0a1a664"
    keys = SlotKeys(SECRET)
    made = AnchorRound(keys, 3, {5: TEXT}, slots=8, trace_root=EMPTY_ROOT, minimum_slots=8)
    root = "690d893e3529ab610b8dfc1f0edb2bf616575b352c894fd0035d541a1566f42c"
    assert made.entry.slot_root.hex() == root
    assert made.entry.to_bytes() == (
        b"ledger-anchor/v1\n3\n8\n"
        + base64.b64encode(bytes.fromhex(root))
        + b"\n"
        + base64.b64encode(EMPTY_ROOT)
        + b"\n"
    )
    leaf = "23155b77fbba3d96973776866335221ade95fa70fb038bf246a6510c6874d5aa"
    assert made.entry.leaf_hash().hex() == leaf
    opening = made.open(5)
    assert (opening.blinding, opening.text, len(opening.path)) == (blinding, TEXT, 3)
    assert opening.entry(3).leaf_hash().hex() == leaf
    assert len(opening.to_extra()) == 8 + 8 + 32 + 32 + 1 + 3 * 32 + len(TEXT)


def test_the_vector_has_fewer_slots_than_a_round_may_have() -> None:
    made = AnchorRound(SlotKeys(SECRET), 3, {}, slots=8, trace_root=EMPTY_ROOT, minimum_slots=8)
    with pytest.raises(MalformedError, match="from 64"):
        AnchorRound(SlotKeys(SECRET), 3, {}, slots=8, trace_root=EMPTY_ROOT)
    with pytest.raises(MalformedError, match="from 64"):
        AnchorEntry.parse(made.entry.to_bytes())
    assert AnchorEntry.parse(made.entry.to_bytes(), minimum_slots=8) == made.entry


@pytest.mark.parametrize("slots", [0, -64, 63, 65, 96, 2**33, 2**64])
def test_a_number_of_slots_is_a_power_of_two_within_bounds(slots: int) -> None:
    with pytest.raises(MalformedError):
        check_slots(slots)


@given(ENTRIES)
def test_a_printed_entry_reads_back(entry: AnchorEntry) -> None:
    assert AnchorEntry.parse(entry.to_bytes()) == entry


@given(ENTRIES, st.data())
def test_what_parses_as_an_entry_prints_the_same_bytes(entry: AnchorEntry, data: st.DataObject) -> None:
    raw = bytearray(entry.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = AnchorEntry.parse(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_bytes() == bytes(raw)
    assert parsed != entry


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry + b"\n",
        lambda entry: entry[:-1],
        lambda entry: entry + b"more\n",
        lambda entry: entry.replace(b"\n3\n", b"\n03\n"),
        lambda entry: entry.replace(b"\n3\n", b"\n+3\n"),
        lambda entry: entry.replace(b"\n3\n", b"\n\xb2\n"),
        lambda entry: entry.replace(b"\n", b"\r\n"),
        lambda entry: entry.replace(b"v1", b"v2"),
        lambda entry: entry.replace(b"\n64\n", b"\n65\n"),
        lambda entry: entry.replace(base64.b64encode(EMPTY_ROOT), b"AAAA"),
        lambda entry: entry.replace(b"U=\n", b"V=\n"),
        lambda _: b"",
    ],
)
def test_another_form_of_an_entry_is_refused(change: Any) -> None:
    with pytest.raises(MalformedError):
        AnchorEntry.parse(change(AnchorEntry(3, 64, EMPTY_ROOT, EMPTY_ROOT).to_bytes()))


@given(openings())
def test_a_printed_opening_reads_back(opening: Opening) -> None:
    assert Opening.parse(opening.to_extra()) == opening


@given(openings(), st.data())
def test_what_parses_as_an_opening_prints_the_same_bytes(opening: Opening, data: st.DataObject) -> None:
    raw = bytearray(opening.to_extra())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw
    try:
        parsed = Opening.parse(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_extra() == bytes(raw)
    assert parsed != opening


@pytest.mark.parametrize(
    "change",
    [
        {"slot": 64},
        {"slot": -1},
        {"slots": 128},
        {"slots": 63},
        {"path": (EMPTY_ROOT,) * 5},
        {"path": (EMPTY_ROOT,) * 7},
        {"path": (EMPTY_ROOT,) * 5 + (b"",)},
        {"blinding": b""},
        {"trace_root": b"x" * 33},
        {"text": b"x" * 513},
    ],
)
def test_an_opening_out_of_bounds_is_refused(change: dict[str, Any]) -> None:
    parts: dict[str, Any] = {
        "slots": 64, "slot": 5, "blinding": EMPTY_ROOT, "trace_root": EMPTY_ROOT, "path": (EMPTY_ROOT,) * 6, "text": b""
    }  # fmt: skip
    Opening(**parts)
    with pytest.raises(MalformedError):
        Opening(**(parts | change))


@given(
    st.dictionaries(st.integers(0, 63), st.binary(max_size=100), max_size=10),
    st.integers(0, 2**40),
    st.sampled_from([64, 128]),
    st.integers(0, 63),
)
def test_every_slot_of_a_round_opens_to_the_entry_used_or_free(
    texts: dict[int, bytes], round_index: int, slots: int, slot: int
) -> None:
    made = AnchorRound(SlotKeys(SECRET), round_index, texts, slots=slots, trace_root=EMPTY_ROOT)
    opening = made.open(slot)
    assert opening.entry(round_index) == made.entry
    assert opening.text == texts.get(slot, b"")
    assert opening.blinding == blind(slot_key(SECRET, slot), round_index)
    leaf_hashes = [made.open(each) for each in range(slots)]
    assert opening.path == inclusion_proof([_leaf(each) for each in leaf_hashes], slot, slots)


def _leaf(opening: Opening) -> bytes:
    return hashlib.sha256(b"\0" + commitment(opening.blinding, opening.text)).digest()


def test_a_slot_that_never_changes_is_committed_anew_in_every_round() -> None:
    keys = SlotKeys(SECRET)
    made = [AnchorRound(keys, index, {}, slots=64, trace_root=EMPTY_ROOT) for index in range(3)]
    assert len({commitment(each.open(9).blinding, each.open(9).text) for each in made}) == 3
    assert len({each.entry.slot_root for each in made}) == 3


def test_an_altered_opening_leads_to_another_entry() -> None:
    made = AnchorRound(SlotKeys(SECRET), 3, {5: TEXT}, slots=64, trace_root=EMPTY_ROOT)
    extra = bytearray(made.open(5).to_extra())
    for place in range(16, len(extra)):
        altered = bytearray(extra)
        altered[place] ^= 1
        try:
            assert Opening.parse(bytes(altered)).entry(3) != made.entry
        except MalformedError:
            assert place == 80  # the length of the path


def test_a_slot_opens_only_as_its_own_logs_checkpoint() -> None:
    made = AnchorRound(SlotKeys(SECRET), 3, {5: TEXT, 6: TEXT, 7: b"no checkpoint\n"}, slots=64, trace_root=EMPTY_ROOT)
    assert made.open(5).checkpoint("ledger.example/t/5") == Checkpoint.parse(TEXT)
    assert made.open(8).checkpoint("ledger.example/t/8") is None
    for slot, origin in ((6, "ledger.example/t/6"), (7, "ledger.example/t/7"), (5, "other.example/t/5")):
        with pytest.raises(VerificationError, match="the slot of"):
            made.open(slot).checkpoint(origin)
    with pytest.raises(VerificationError, match="is of slot 5"):
        made.open(5).checkpoint("ledger.example/t/6")


def test_an_origin_fixes_its_slot_and_its_anchor_log() -> None:
    assert slot_of("ledger.example:8443/t/0") == 0
    assert anchor_origin("ledger.example:8443/t/17") == "ledger.example:8443/anchors"
    for wrong in ("ledger.example", "ledger.example/t/", "ledger.example/t/05", "/t/5", "a/t/5\n", "a/t/4294967296"):
        with pytest.raises(MalformedError):
            slot_of(wrong)


def test_slots_and_texts_out_of_bounds_are_refused() -> None:
    keys = SlotKeys(SECRET)
    for texts in ({64: b""}, {-1: b""}, {5: b"x" * 513}):
        with pytest.raises(MalformedError):
            AnchorRound(keys, 0, texts, slots=64, trace_root=EMPTY_ROOT)
    made = AnchorRound(keys, 0, {}, slots=64, trace_root=EMPTY_ROOT)
    for slot in (-1, 64):
        with pytest.raises(MalformedError):
            made.open(slot)
    with pytest.raises(MalformedError):
        AnchorRound(keys, 0, {}, slots=64, trace_root=b"")
    with pytest.raises(MalformedError):
        AnchorEntry(-1, 64, EMPTY_ROOT, EMPTY_ROOT)


def test_secrets_show_in_no_repr() -> None:
    keys = SlotKeys(SECRET)
    made = AnchorRound(keys, 3, {5: TEXT}, slots=64, trace_root=EMPTY_ROOT)
    shown = repr(keys) + repr(made)
    for secret in (SECRET, slot_key(SECRET, 5), blind(slot_key(SECRET, 5), 3)):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
    with pytest.raises(MalformedError):
        SlotKeys(b"short")
