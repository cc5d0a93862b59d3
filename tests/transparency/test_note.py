import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.transparency.note import (
    MAX_NOTE_BYTES,
    Note,
    NoteSignature,
    SignatureType,
    VerifierKey,
    decode_base64,
    parse_note,
)

NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Cf", "Co", "Cn", "Zs", "Zl", "Zp"), exclude_characters="+"),
    min_size=1,
    max_size=40,
)
LINES = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20)
TEXTS = st.lists(LINES, min_size=1, max_size=6).map(lambda lines: ("\n".join(lines) + "\n").encode())
SIGNATURES = st.builds(NoteSignature, NAMES, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
NOTES = st.builds(Note, TEXTS, st.lists(SIGNATURES, min_size=1, max_size=5).map(tuple))
KEYS = st.one_of(
    st.builds(
        VerifierKey,
        NAMES,
        st.sampled_from((SignatureType.ED25519, SignatureType.ED25519_COSIGNATURE)),
        st.binary(min_size=32, max_size=32),
    ),
    st.builds(VerifierKey, NAMES, st.just(SignatureType.ML_DSA_44), st.binary(min_size=1312, max_size=1312)),
)
GOOD = "a\n\n\u2014 name AAAAAAE=\n".encode()


@given(NOTES)
def test_a_printed_note_reads_back(note: Note) -> None:
    assert parse_note(note.to_bytes()) == note


@given(NOTES, st.data())
def test_what_parses_prints_the_same_bytes(note: Note, data: st.DataObject) -> None:
    raw = bytearray(note.to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        parsed = parse_note(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_bytes() == bytes(raw)
    assert parsed != note


@given(st.binary(max_size=200))
def test_no_bytes_make_the_parser_fail_in_another_way(data: bytes) -> None:
    with contextlib.suppress(MalformedError):
        assert parse_note(data).to_bytes() == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"\n\n",
        b"a\n",
        b"a\n\n",
        GOOD[:-1],
        GOOD.replace(b"a\n", b"a", 1),
        GOOD.replace(b"a\n", b"a\r\n", 1),
        GOOD.replace(b"a", b"\x07"),
        GOOD.replace(b"a", b"\xff"),
        GOOD + b"\n",
        GOOD + b"x\n",
        GOOD.replace(b"name", b"na+me"),
        GOOD.replace(b"name", "na\u2003me".encode()),
        GOOD.replace(b"name ", b"name  "),
        GOOD.replace(b"name", b""),
        GOOD.replace(b"name", b"n" * 256),
        GOOD.replace(b"name", "\u202ename".encode()),
        GOOD.replace(b"AAAAAAE=", b""),
        GOOD.replace(b" AAAAAAE=", b""),
        GOOD.replace(b"AAAAAAE=", b"AAAA"),
        GOOD.replace(b"AAAAAAE=", b"AAAAAA=="),
        GOOD.replace(b"AAAAAAE=", b"AAAAAAE"),
        GOOD.replace(b"AAAAAAE=", b"AAAAAAF="),
        GOOD.replace(b"AAAAAAE=", b"AAAA AAE="),
        GOOD.replace(b"AAAAAAE=", b"AAAAA-E="),
        GOOD.replace("\u2014".encode(), b"-"),
        GOOD + GOOD[3:] * 100,
        b"a" * MAX_NOTE_BYTES + GOOD,
    ],
)
def test_another_spelling_of_a_note_is_refused(data: bytes) -> None:
    assert parse_note(GOOD).to_bytes() == GOOD
    with pytest.raises(MalformedError):
        parse_note(data)


def test_the_last_empty_line_ends_the_text() -> None:
    note = parse_note(b"a\n\nb\n" + GOOD[2:])
    assert note.text == b"a\n\nb\n"


def test_sixteen_post_quantum_signatures_are_accepted() -> None:
    note = Note(b"a\n", tuple(NoteSignature(f"w{number}", b"abcd", b"s" * 4900) for number in range(16)))
    assert parse_note(note.to_bytes()) == note


@given(KEYS)
def test_a_printed_verifier_key_reads_back(key: VerifierKey) -> None:
    assert VerifierKey.parse(str(key)) == key


@given(KEYS)
def test_the_key_id_is_the_one_that_signed_note_defines(key: VerifierKey) -> None:
    data = key.name.encode() + b"\x0a" + bytes([key.type]) + key.public_key
    assert key.key_id == hashlib.sha256(data).digest()[:4]
    assert hashlib.sha256(bytes([key.type]) + key.public_key).hexdigest() in key.fingerprint


@given(KEYS)
def test_a_signature_line_is_by_the_key_of_its_name_and_id(key: VerifierKey) -> None:
    assert NoteSignature(key.name, key.key_id, b"s").by(key)
    assert not NoteSignature(key.name + "x", key.key_id, b"s").by(key)
    assert not NoteSignature(key.name, bytes(4), b"s").by(key)


def test_another_spelling_of_a_verifier_key_is_refused() -> None:
    key = str(VerifierKey("example.org/log", SignatureType.ED25519, bytes(range(32))))
    name, key_id, material = key.split("+", 2)
    unknown = base64.b64encode(b"\x02" + bytes(range(32))).decode()
    long = base64.b64encode(b"\x01" + bytes(range(33))).decode()
    for text in (
        "",
        "x",
        f"+{key_id}+{material}",
        f"{name}+{material}",
        f"{name}+{key_id}+",
        f"{name}+{key_id}+====",
        f"{name}+{key_id}+{unknown}",
        f"{name}+{key_id}+{long}",
        f"{name}+00000000+{material}",
        f"{name}x+{key_id}+{material}",
        f"{name}+{key_id.upper()}X+{material}",
        f"{name}+{key_id}+{material}\n",
        f" {key}",
    ):
        with pytest.raises(MalformedError):
            VerifierKey.parse(text)


def test_the_parts_of_a_note_are_checked_when_made() -> None:
    for make in (
        lambda: Note(b"a\n", ()),
        lambda: Note(b"a", (NoteSignature("n", b"abcd", b"s"),)),
        lambda: NoteSignature("n", b"abc", b"s"),
        lambda: NoteSignature("n", b"abcd", b""),
        lambda: NoteSignature("\ud800", b"abcd", b"s"),
        lambda: VerifierKey("n", SignatureType.ED25519, b"short"),
    ):
        with pytest.raises(MalformedError):
            make()


def test_base64_has_one_spelling() -> None:
    assert decode_base64("AAE=") == b"\x00\x01"
    for text in ("AAF=", "AAE", "AAE==", "A AE=", "AA\nE=", "\u00e4"):
        with pytest.raises(MalformedError):
            decode_base64(text)
