import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.transparency.note import Note, NoteSignature
from infrastructure.witness.request import MAX_REQUEST_BYTES, AddCheckpoint, Submitted

HASHES = st.binary(min_size=32, max_size=32)
NOTES = st.builds(
    Note,
    st.sampled_from([b"o\n1\nAAAA\n", b"o\n\nx\n\ny\n", b"\n"]),
    st.lists(st.builds(NoteSignature, st.just("o"), st.just(b"1234"), HASHES), min_size=1, max_size=2).map(tuple),
)
REQUESTS = st.builds(AddCheckpoint, st.integers(0, 2**63 - 1), st.lists(HASHES, max_size=4).map(tuple), NOTES)
HASH = base64.b64encode(bytes(32)).decode()
LINE = "\n\u2014 o AAAAAAA=\n"


@given(REQUESTS)
def test_a_printed_request_reads_back(request_: AddCheckpoint) -> None:
    assert AddCheckpoint.parse(request_.to_bytes()) == request_


@given(REQUESTS, st.data())
def test_what_parses_as_a_request_prints_the_same_bytes(request_: AddCheckpoint, data: st.DataObject) -> None:
    raw = bytearray(request_.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        parsed = AddCheckpoint.parse(bytes(raw))
    except MalformedError:
        return
    assert parsed.to_bytes() == bytes(raw)
    assert parsed != request_


@given(st.binary(max_size=100))
def test_anything_else_is_malformed_and_raises_nothing_else(data: bytes) -> None:
    for body in (data, b"old 0\n\n" + data, b"old 0\n\n" + data + LINE.encode()):
        try:
            AddCheckpoint.parse(body).submitted()
        except MalformedError as error:
            str(error).encode()


@pytest.mark.parametrize(
    "body",
    [
        "",
        "old 0",
        "old 0\n",
        "old 0\n\n",
        f"old 0\no\n1\n{HASH}\n{LINE}",
        f"old 00\n\no\n1\n{HASH}\n{LINE}",
        f"old -1\n\no\n1\n{HASH}\n{LINE}",
        f"old +1\n\no\n1\n{HASH}\n{LINE}",
        f"old\t1\n\no\n1\n{HASH}\n{LINE}",
        f"old 9223372036854775808\n\no\n1\n{HASH}\n{LINE}",
        f"old \u0661\n\no\n1\n{HASH}\n{LINE}",
        f"OLD 0\n\no\n1\n{HASH}\n{LINE}",
        f"old 0\nAAAA\n\no\n1\n{HASH}\n{LINE}",
        f"old 0\n{HASH[:-1]}\n\no\n1\n{HASH}\n{LINE}",
        "old 0\n" + (HASH + "\n") * 64 + f"\no\n1\n{HASH}\n{LINE}",
        f"old 0\r\n\r\no\n1\n{HASH}\n{LINE}",
        f"old 0\n\no\n1\n{HASH}\n",
    ],
)
def test_another_form_of_a_request_is_refused(body: str) -> None:
    with pytest.raises(MalformedError):
        AddCheckpoint.parse(body.encode())


def test_a_request_is_bounded() -> None:
    with pytest.raises(MalformedError):
        AddCheckpoint.parse(b"x" * (MAX_REQUEST_BYTES + 1))
    note = Note(b"o\n", (NoteSignature("o", b"1234", b"s"),))
    for size, proof in ((-1, ()), (2**63, ()), (0, (b"",)), (0, (bytes(32),) * 64)):
        with pytest.raises(MalformedError):
            AddCheckpoint(size, proof, note)


@pytest.mark.parametrize(
    "text",
    ["o\n1\n", f"o\n1\n{HASH}\n\nx\n", f"\n1\n{HASH}\n", f"o\n01\n{HASH}\n", "o\n1\nAAAA\n", f"o\u202e\n1\n{HASH}\n"],
)
def test_a_note_that_is_no_checkpoint_is_malformed(text: str) -> None:
    request = AddCheckpoint.parse(f"old 0\n\n{text}{LINE}".encode())
    with pytest.raises(MalformedError):
        request.submitted()


def test_extension_lines_are_ignored_and_size_zero_with_another_root_is_left_to_the_witness() -> None:
    request = AddCheckpoint.parse(f"old 0\n\no\n0\n{HASH}\nextension\n{LINE}".encode())
    assert request.submitted() == Submitted("o", 0, bytes(32))
