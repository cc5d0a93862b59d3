"""The quick way to take an entry apart never says anything else than the decoder."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from infrastructure.keys import entry as module
from infrastructure.keys.entry import IV_BYTES, EntryHeader, ParsedEntry, laid_out_for, parse_entry
from infrastructure.keys.stream_keys import KID_BYTES

ORIGINS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="+"), min_size=1)
KIDS = st.binary(min_size=KID_BYTES, max_size=KID_BYTES)
IVS = st.binary(min_size=IV_BYTES, max_size=IV_BYTES)
CIPHERTEXTS = st.binary(max_size=80) | st.integers(0, 70_000).map(bytes)


@st.composite
def printed(draw: st.DrawFn) -> bytes:
    """Draw an entry as it is printed, with a ciphertext that may be too short or too long."""
    origin = draw(ORIGINS | st.integers(1, 255).map(lambda length: "o" * length))
    return EntryHeader.of(draw(KIDS), origin).wrap(draw(IVS), draw(CIPHERTEXTS))


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Draw an entry with bytes changed, left out or put in."""
    data = bytearray(draw(printed()))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, min(len(data), 200)))
        match draw(st.sampled_from(["change", "cut", "insert", "end"])):
            case "change" if place < len(data):
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place : place + draw(st.integers(1, 4))]
            case "insert":
                data[place:place] = draw(st.binary(max_size=4))
            case _:
                data += draw(st.binary(max_size=4))
    return bytes(data)


def outcome(parse: Callable[[bytes], ParsedEntry], data: bytes) -> ParsedEntry | str:
    try:
        return parse(data)
    except MalformedError as error:
        return str(error)


@given(data=printed() | spoilt() | st.binary(max_size=200))
def test_both_ways_agree_on_every_input(data: bytes) -> None:
    quick = module._as_printed(data)
    slow = outcome(module._decoded, data)
    assert quick is None or quick == slow
    if len(data) <= module.MAX_ENTRY_BYTES:
        assert outcome(parse_entry, data) == slow


@given(data=printed())
def test_what_is_printed_takes_the_quick_way(data: bytes) -> None:
    assert (module._as_printed(data) is None) == isinstance(outcome(module._decoded, data), str)


@pytest.mark.parametrize("length", [*range(1, 30), 254, 255])
def test_every_length_of_origin_has_its_layout(length: int) -> None:
    data = EntryHeader.of(bytes(KID_BYTES), "x" * length).wrap(bytes(IV_BYTES), bytes(400))
    assert module._as_printed(data) == module._decoded(data)


@given(data=printed() | spoilt() | st.binary(max_size=200), other=ORIGINS.filter(lambda text: len(text) <= 255))
def test_what_is_laid_out_for_a_log_is_an_entry_of_it(data: bytes, other: str) -> None:
    parsed = outcome(parse_entry, data)
    if isinstance(parsed, str):
        assert not laid_out_for(data, other)
    else:
        assert laid_out_for(data, parsed.origin)
        assert laid_out_for(data, other) == (parsed.origin == other)
