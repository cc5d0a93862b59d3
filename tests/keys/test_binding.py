"""report_data, HPKE info and commitments, against a straightforward second implementation and frozen values."""

import hashlib
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attestation.binding import Binding, input_info, output_info, report_data, salted_commitment
from domain.errors import MalformedError

BINDING = Binding(
    host="ledger.example",
    origin="ledger.example/t/5",
    execution_id="exec-0x" + "ab" * 16,
    node_id="node-1",
    nonce=bytes([1]) * 32,
    module_digest=bytes([2]) * 32,
    limits_digest=bytes([3]) * 32,
    policy_digest=bytes([4]) * 32,
    submission_digest=bytes([5]) * 32,
    cac_key=bytes([6]) * 32,
    kem_id=0x647A,
    hpke_key_digest=bytes([7]) * 32,
)


def by_hand(binding: Binding) -> bytes:
    text = b"ledger report-data v1\0"
    for field in fields(binding):
        value = getattr(binding, field.name)
        if isinstance(value, str):
            value = value.encode()
        elif isinstance(value, int):
            value = value.to_bytes(2, "big")
        text += len(value).to_bytes(2, "big") + value
    return hashlib.sha512(text).digest()


def test_report_data_equals_the_second_implementation_and_its_frozen_value() -> None:
    assert report_data(BINDING) == by_hand(BINDING)
    assert (
        report_data(BINDING).hex() == "4e6cf6a43e5ed5404e8ee2c134cfab5dfa6ca6fabb0a0c03ab1828b1c63cd592"
        "6b976efe4c77ed07691b1628329ec4e361561bbc70bf4d932ad661ba780acdae"
    )


digests = st.binary(min_size=32, max_size=32)
texts = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300)


@given(host=texts, origin=texts, nonce=digests, cac_key=digests, kem_id=st.integers(0, 65_535))
def test_report_data_equals_the_second_implementation(
    host: str, origin: str, nonce: bytes, cac_key: bytes, kem_id: int
) -> None:
    binding = replace(BINDING, host=host, origin=origin, nonce=nonce, cac_key=cac_key, kem_id=kem_id)
    assert report_data(binding) == by_hand(binding)


def test_a_character_moved_from_one_part_to_the_next_changes_report_data() -> None:
    moved = replace(BINDING, host=BINDING.host + "l", origin=BINDING.origin[1:])
    assert report_data(moved) != report_data(BINDING)


def test_every_part_counts() -> None:
    seen = {report_data(BINDING)}
    for field in fields(BINDING):
        value = getattr(BINDING, field.name)
        other: Any = value + "x" if isinstance(value, str) else value + 1 if isinstance(value, int) else bytes(32)
        seen.add(report_data(replace(BINDING, **{field.name: other})))
    assert len(seen) == 1 + len(fields(BINDING))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("host", ""),
        ("origin", "é"),
        ("node_id", "n" * 65_536),
        ("nonce", bytes(31)),
        ("cac_key", ""),
        ("kem_id", 65_536),
    ],
)
def test_parts_out_of_shape_are_refused(name: str, value: Any) -> None:
    with pytest.raises(MalformedError):
        replace(BINDING, **{name: value})


def test_info_strings_are_label_report_index_commitment() -> None:
    report, commitment = bytes(range(64)), bytes([9]) * 32
    assert input_info(report, 258, commitment) == b"ledger input v1\0" + report + b"\0\0\1\2" + commitment
    assert output_info(report, 0, commitment) == b"ledger output v1\0" + report + bytes(4) + commitment
    for wrong in (
        (report[:63], 0, commitment),
        (report, -1, commitment),
        (report, 2**32, commitment),
        (report, 0, b""),
    ):
        with pytest.raises(MalformedError):
            input_info(*wrong)


def test_a_commitment_is_the_hash_of_label_salt_and_data() -> None:
    salt = bytes([8]) * 32
    assert salted_commitment(salt, b"PASS") == hashlib.sha256(b"ledger commit v1\0" + salt + b"PASS").digest()
    assert salted_commitment(salt, b"PASS").hex() == "7c881e27714c3cdeaae0ffa44e8ca6c476b1d0851b6919aff0b92681dc121e96"
    with pytest.raises(MalformedError):
        salted_commitment(salt[:31], b"PASS")
