"""The fast writer equals RFC 8785 on restricted values, and refuses all others."""

import enum
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import canonical
from domain.errors import MalformedError
from infrastructure.keys.plaintext import EntryRecord, decode_record, encode_json, encode_record

STREAM = UUID("0198c0de-0000-7000-8000-000000000001")

ascii_keys = st.text(st.characters(max_codepoint=127), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_keys, inner, max_size=4), max_leaves=12
)
events = st.dictionaries(ascii_keys, values, max_size=6)


@given(values)
def test_the_fast_writer_equals_both_canonical_writers(value: Any) -> None:
    assert encode_json(value) == canonical(value) == rfc8785.dumps(value)


@given(st.text(st.characters(max_codepoint=0x2FF), max_size=60))
def test_control_characters_are_escaped_as_rfc_8785_escapes_them(text: str) -> None:
    assert encode_json({"t": text}) == rfc8785.dumps({"t": text})


@given(event=events, version=st.integers(0, 2**53 - 1), at_ms=st.integers(0, 2**53 - 1))
def test_a_record_reads_back_equal(event: dict[str, Any], version: int, at_ms: int) -> None:
    record = EntryRecord(STREAM, version, "workload.submitted.v1", at_ms, event)
    assert decode_record(encode_record(record)) == record


class Colour(enum.StrEnum):
    RED = "red"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        2**53,
        -(2**53),
        float("nan"),
        {1: 2},
        {"é": 1},
        "\ud800",
        STREAM,
        b"",
        {1, 2},
        Colour.RED,
        nested(40),
        nested(2000),
    ],
)
def test_what_lies_outside_the_restricted_json_is_refused(value: Any) -> None:
    for candidate in (value, {"a": value}, [[value]]):
        with pytest.raises(MalformedError):
            encode_json(candidate)


GOOD = b'{"at":1,"event":{"a":1},"stream":"0198c0de-0000-7000-8000-000000000001","topic":"a.b.v1","version":0}'


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"at":1', b'"at":1.0'),
        (b'"at":1', b'"at":-1'),
        (b'"at":1', b'"at":true'),
        (b'"at":1', b'"at":1,"at":1'),
        (b'"at":1', b'"at": 1'),
        (b'"at":1', b'"at":9007199254740992'),
        (b'"event":{"a":1}', b'"event":[]'),
        (b'"event":{"a":1}', b'"event":{"a":1,"a":1}'),
        (b'"event":{"a":1}', b'"event":{"b":1,"a":1}'),
        (b"0198c0de-", b"0198C0DE-"),
        (b"0198c0de-", b"{0198c0de-"),
        (b'"topic":"a.b.v1"', b'"topic":""'),
        (b'"topic":"a.b.v1"', '"topic":"é"'.encode()),
        (b'"version":0', b'"version":-0'),
        (b'"version":0', b'"version":null'),
        (b'"version":0', b'"version":0,"x":0'),
        (b',"version":0', b""),
        (b"}", b"} "),
    ],
)
def test_a_plaintext_of_any_other_spelling_is_refused(old: bytes, new: bytes) -> None:
    assert decode_record(GOOD).event == {"a": 1}
    with pytest.raises(MalformedError):
        decode_record(GOOD.replace(old, new, 1))


@pytest.mark.parametrize("plaintext", [b"", b"[]", b"1", b"\xff", b"{", b"[" * 5000])
def test_what_is_no_record_is_refused(plaintext: bytes) -> None:
    with pytest.raises(MalformedError):
        decode_record(plaintext)
