"""Names and ids: one spelling each, round trips, and an independent derivation of execution ids."""

import struct
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import MalformedError
from domain.identifiers import (
    cac_id,
    cac_id_of_execution,
    clause_stream,
    execution_id,
    node_stream,
    origin,
    parse_clause_id,
    parse_dao,
    parse_digest,
    parse_host,
    parse_resource_class,
    priority_domain,
    stream_of,
    uuid7,
    workload_id,
)
from tests.domain import strategies

uuids = st.uuids()
U32 = st.integers(0, 2**32 - 1)


@given(strategies.clause_ids)
def test_a_clause_id_prints_as_it_was_read(text: str) -> None:
    clause = parse_clause_id(text)
    assert str(clause) == text
    assert text.startswith(f"{clause.family}@")
    assert clause.draft is (clause.version[0] == 0)


@pytest.mark.parametrize(
    "text",
    [
        "", "A::B::C", "A::B::C@1", "A::B::C@1.2", "A::B::C@1.2.3.4", "A::B::C@01.2.3", "A::B::C@1.2.-3", "A::B@1.2.3",
        "A::B::C::D@1.2.3", " A::B::C@1.2.3", "A::B::C@1.2.3\n", "A::B::C@1.2.3-rc", "1::B::C@1.2.3", "A:B::C@1.2.3",
        "A::B::Ü@1.2.3", "A::B::C@\uff11.2.3", "A::B::C@1_0.2.3", "A::B::C@1234567.0.0", "A" * 65 + "::B::C@1.2.3",
    ],
)  # fmt: skip
def test_another_form_of_clause_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="Namespace::Domain::Name"):
        parse_clause_id(text)


@given(strategies.resource_classes)
def test_a_resource_class_keeps_its_text_and_names_its_domain(text: str) -> None:
    assert parse_resource_class(text) == text
    assert text.startswith(f"{priority_domain(text)}::")


@pytest.mark.parametrize(
    "text", ["", "A@v1", "A::B", "A::B@1", "A::B@v", "A::B@v01", "A::B@V1", "A::B@v1 ", "A::B::C@v1", "A::B@v1\n"]
)
def test_another_form_of_resource_class_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="Domain::Name@vN"):
        parse_resource_class(text)


@pytest.mark.parametrize("text", ["A", "Climate-DAO_2", "a" * 64])
def test_a_dao_name_is_kept(text: str) -> None:
    assert parse_dao(text) == text


@pytest.mark.parametrize("text", ["", "1a", "-a", "a b", "a/b", "a" * 65, "ä", "a\n", "a\x00"])
def test_another_dao_name_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="DAO name"):
        parse_dao(text)


@pytest.mark.parametrize("text", ["a", "ledger.example", "localhost:8443", "1.2.3.4:1"])
def test_a_host_is_kept(text: str) -> None:
    assert parse_host(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "Ledger.example", "a..b", "-a", "a-", "a:", "a:0", "a:012", "a/b", "a b", "a\n", "ä.example", ".a", "a" * 300],
)
def test_another_host_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="host"):
        parse_host(text)


@pytest.mark.parametrize("text", ["", "0" * 63, "0" * 65, "A" * 64, "g" * 64, "0" * 63 + "\n", "\u0660" * 64])
def test_a_digest_is_64_lowercase_hex_digits(text: str) -> None:
    assert parse_digest("0123456789abcdef" * 4) == "0123456789abcdef" * 4
    with pytest.raises(MalformedError, match="64 lowercase"):
        parse_digest(text)


@given(
    text=st.text(max_size=200), parse=st.sampled_from([parse_clause_id, parse_dao, parse_resource_class, parse_host])
)
def test_foreign_text_raises_nothing_but_malformed_and_is_shown_bounded_and_printable(
    text: str, parse: Callable[[str], object]
) -> None:
    said = ""
    try:
        parse(text)
    except MalformedError as error:
        said = str(error)
    assert len(said) < 1200
    assert said.isascii()
    assert said.isprintable()


@given(uuids)
def test_workload_and_cac_ids_lead_back_to_their_stream(stream: UUID) -> None:
    assert stream_of(workload_id(stream)) == stream == stream_of(cac_id(stream))
    assert workload_id(stream) == f"wl-0x{stream.hex}"
    assert cac_id(stream) == f"cac-0x{stream.hex}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "wl-0x",
        "wl-0x" + "0" * 31,
        "wl-0x" + "A" * 32,
        "wl-" + "0" * 32,
        "job-0x" + "0" * 32,
        "wl-0x" + "0" * 32 + "\n",
    ],
)
def test_another_id_has_no_stream(text: str) -> None:
    with pytest.raises(MalformedError, match="32 hex digits"):
        stream_of(text)


@given(host=st.sampled_from(["ledger.example", "a:1"]), slot=st.integers(0, 10**9), stream=uuids, attempt=U32, k=U32)
def test_an_execution_id_follows_wire_formats_9(host: str, slot: int, stream: UUID, attempt: int, k: int) -> None:
    workload = f"wl-0x{stream.hex}"
    preimage = b"ledger exec id v1\x00" + f"{host}/t/{slot}".encode() + b"\x00" + workload.encode()
    preimage += struct.pack(">II", attempt, k)
    expected = "exec-0x" + sha256(preimage).hexdigest()[:32]
    assert execution_id(origin(host, slot), workload, attempt, k) == expected
    assert stream_of(expected).hex == expected[7:]


@given(first=st.tuples(U32, U32), second=st.tuples(U32, U32))
def test_another_attempt_or_enclave_has_another_execution_id(first: tuple[int, int], second: tuple[int, int]) -> None:
    ids = {execution_id("h/t/1", "wl-0x" + "0" * 32, *pair) for pair in (first, second)}
    assert len(ids) == len({first, second})


@given(at_ms=st.integers(0, 2**48 - 1), bits=st.integers(0, 2**80 - 1))
def test_a_uuid7_has_its_version_variant_and_instant(at_ms: int, bits: int) -> None:
    made = uuid7(at_ms, bits)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == at_ms
    assert ((made.int >> 64) & 0xFFF) << 62 | made.int & (2**62 - 1) == bits & (2**74 - 1)


def test_the_cac_id_of_an_execution_is_a_uuid7_of_its_placement_and_never_the_execution_id() -> None:
    execution = execution_id("h/t/1", "wl-0x" + "0" * 32, 1, 0)
    first = cac_id_of_execution(execution, 1_790_000_000_000)
    assert first == cac_id_of_execution(execution, 1_790_000_000_000)
    assert stream_of(first).version == 7
    assert stream_of(first).int >> 80 == 1_790_000_000_000
    assert stream_of(first) != stream_of(execution)


@given(strategies.words, strategies.words)
def test_derived_streams_are_uuid8_and_differ_by_name_and_kind(one: str, other: str) -> None:
    assert clause_stream(one).version == node_stream(one).version == 8
    assert clause_stream(one) != node_stream(one)
    assert (node_stream(one) == node_stream(other)) is (one == other)
