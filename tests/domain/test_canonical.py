"""Canonical JSON equals RFC 8785 on the restricted values and is the only spelling that is read."""

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from domain.canonical import MAX_INTEGER, canonical, parse_canonical
from domain.errors import MalformedError

ascii_keys = st.text(st.characters(max_codepoint=127), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | st.text(max_size=20)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ascii_keys, inner, max_size=4), max_leaves=12
)


@given(values)
def test_it_equals_rfc_8785_and_reads_back(value: Any) -> None:
    printed = canonical(value)
    assert printed == rfc8785.dumps(value)
    assert parse_canonical(printed) == value


@pytest.mark.parametrize(
    "value", [1.0, float("nan"), MAX_INTEGER + 1, -MAX_INTEGER - 1, b"x", {1: 2}, {"ü": 1}, object()]
)
def test_what_is_not_restricted_json_is_refused(value: Any) -> None:
    for wrapped in (value, [value], {"a": value}):
        with pytest.raises(MalformedError):
            canonical(wrapped)


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"a": "x\ud800y"}])
def test_lone_surrogates_are_refused(value: Any) -> None:
    with pytest.raises(MalformedError, match="surrogate"):
        canonical(value)


def test_nesting_is_bounded_in_both_directions() -> None:
    deep: Any = 1
    for _ in range(33):
        deep = [deep]
    with pytest.raises(MalformedError, match="nested deeper"):
        canonical(deep)
    assert canonical(deep[0])
    with pytest.raises(MalformedError):
        parse_canonical(b"[" * 100_000)


@pytest.mark.parametrize(
    "data",
    [
        b"", b" 1", b"1 ", b"01", b"1.0", b"1e2", b"-0", b'{"b":1,"a":2}', b'{"a":1,"a":1}', b'{"a": 1}', b"NaN",
        b"Infinity", b'"\\u0041"', b'"\\/"', b"\xef\xbb\xbf1", b"\xff", '"a"'.encode("utf-16"), b'{"\\u00fc":1}',
        b"9007199254740992", b"[1,]", b"9" * 5000, b'"\\ud800"',
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_canonical(data)


@given(st.binary(max_size=40))
def test_foreign_bytes_raise_nothing_but_malformed(data: bytes) -> None:
    try:
        value = parse_canonical(data)
    except MalformedError:
        return
    assert json.loads(data) == value
