"""Whatever somebody hands in for a CAC: refused with a reason, in bounded time and memory, and no byte can change."""

import json
import time
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.cacs.claims import Refusal
from domain.errors import MalformedError
from infrastructure.cacs import cose
from infrastructure.cacs.presented import Form
from infrastructure.cacs.verify import MAX_FILE_BYTES, verify_cac
from tests.cacs.conftest import FORMS, Scene

SHARED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


def refused(data: bytes) -> Refusal:
    began = time.monotonic()
    verdict = verify_cac(data)
    assert time.monotonic() - began < 2
    assert not verdict.ok
    assert verdict.trust == "not verified"
    assert verdict.error is not None
    assert verdict.error.isprintable()
    assert len(verdict.error) <= 1000
    assert verdict.reason is not None
    return verdict.reason


@pytest.mark.parametrize("form", FORMS)
@settings(parent=SHARED, max_examples=150)
@given(data=st.data())
def test_no_byte_of_an_exported_form_can_change(scene: Scene, form: Form, data: st.DataObject) -> None:
    exported = scene.forms[form]
    at = data.draw(st.integers(0, len(exported) - 1))
    bits = data.draw(st.integers(1, 255))
    refused(exported[:at] + bytes([exported[at] ^ bits]) + exported[at + 1 :])


@pytest.mark.parametrize("form", FORMS)
@settings(parent=SHARED, max_examples=60)
@given(data=st.data())
def test_nothing_can_be_cut_off_put_in_or_added(scene: Scene, form: Form, data: st.DataObject) -> None:
    exported = scene.forms[form]
    at = data.draw(st.integers(0, len(exported) - 1))
    refused(exported[:at])
    refused(exported[at + 1 :])
    put = data.draw(st.binary(min_size=1, max_size=4).filter(lambda found: found.strip(b" \t\r\n") != b""))
    refused(exported + put)


@SHARED
@given(data=st.binary(max_size=2_000))
def test_arbitrary_bytes_are_malformed(data: bytes) -> None:
    assert refused(data) is Refusal.MALFORMED
    assert refused(b"\xd2" + data) is Refusal.MALFORMED


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{}", b"[]", b"null", b'{"cac":{}}', b'{"cac":{"cac":{}}}', b'{"cac_id":1}', b"\xff\xfe", b"{" * 100_000,
        b'{"a":' * 100_000, b"[" * 200_000, b'{"cac_id":NaN}', b'{"cac_id":1e999}', b'{"cac_id":"\\ud800"}',
        b'{"credentialSubject":{}}', b'{"cac_id":' + b"9" * 5_000 + b"}", b" " * (MAX_FILE_BYTES + 1),
        b"\xd2" + b"\x81" * 100_000, b"\xd2\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xd2\x5b\x00\x00\x00\x40\x00\x00\x00\x00",
        b"\xd2\x84\x43\xa1\x01\x27\xa0\xf6\x40", b"\xd2\x9f\xff", b"\xd2\xd2\xd2\x80",
    ],
    ids=lambda data: f"{len(data)}-{data[:3].hex()}",
)  # fmt: skip
def test_hostile_sizes_and_nestings_are_malformed(data: bytes) -> None:
    assert refused(data) is Refusal.MALFORMED


@pytest.mark.parametrize("name", ["cac_id", "proof", "outcome", "scope"])
def test_a_member_that_stands_twice_is_malformed(scene: Scene, name: str) -> None:
    again = f'{{"{name}":{json.dumps(scene.real[name])},'.encode()
    assert refused(again + scene.forms["json"][1:]) is Refusal.MALFORMED
    assert (
        refused(scene.forms["vc"].replace(b'"cac":{', b'"cac":{"type":"ClauseAttestedCompute",')) is Refusal.MALFORMED
    )


def test_a_block_or_proof_with_a_member_twice_is_malformed(scene: Scene) -> None:
    for place in (b'"tenant_info":{', b'"proof":{', b'"policy":{', b'"window":{'):
        member = scene.forms["json"].split(place)[1].split(b",")[0].rstrip(b"}")
        assert refused(scene.forms["json"].replace(place, place + member + b",")) is Refusal.MALFORMED


def test_a_document_that_is_spelled_otherwise_is_the_same_document(scene: Scene) -> None:
    """JSON has no one spelling: what is signed is the canonical form, so spaces and order say nothing."""
    spelled = json.dumps(json.loads(scene.forms["json"]), indent=2, sort_keys=False).encode()
    assert verify_cac(spelled).ok
    shown = json.dumps({"cac": scene.real, "output": "{}"}).encode()  # as `cac show --json --output` prints it
    assert verify_cac(shown).ok
    assert refused(json.dumps({"cac": scene.real, "more": 1}).encode()) is Refusal.MALFORMED


@pytest.mark.parametrize(
    "spelled",
    [
        b"\xd2\x9f\x40\xa0\xf6\x40\xff",  # of indefinite length
        b"\xd8\x12\x84\x40\xa0\xf6\x40",  # the tag in a long form
        b"\xd2\x98\x04\x40\xa0\xf6\x40",  # the array's length in a long form
        b"\xd2\x84\x40\xa2\x01\x01\x01\x01\xf6\x40",  # a label twice
        b"\xd2\x84\x40\xa2\x03\x01\x01\x01\xf6\x40",  # labels in another order
        b"\xd2\x84\x40\xa0\xf6\x40\x00",  # a byte behind it
        b"\xd2\x84\x40\xa1\x01\xfb\x3f\xf0\x00\x00\x00\x00\x00\x00\xf6\x40",  # a float
        b"\xd2\x84\x40\xa1\x01\xf5\xf6\x40",  # true
        b"\xd2\x84\x40\xa1\x01\xc1\x00\xf6\x40",  # a tag inside
        b"\xd2\x84\x40\xa1\xa0\x00\xf6\x40",  # a map as a label
    ],
)
def test_cbor_has_one_spelling(spelled: bytes) -> None:
    with pytest.raises(MalformedError):
        cose.decode(spelled)


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers(-(2**63), 2**63) | st.binary(max_size=20) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.integers(0, 500) | st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(value=VALUES)
def test_what_is_encoded_is_decoded_to_the_same(value: Any) -> None:
    assert plain(cose.decode(cose.encode(value))) == value


def plain(value: Any) -> Any:
    """Return a value of lists and dictionaries, whatever the CBOR library makes of them."""
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, bytes | str | int) or value is None:
        return value
    return {name: plain(one) for name, one in value.items()}


def test_only_tag_18_with_four_parts_is_a_message() -> None:
    four: list[Any] = [b"", {}, None, b""]
    for one in (cbor2.CBORTag(17, four), cbor2.CBORTag(18, four[:3]), four):
        with pytest.raises(MalformedError):
            cose.parse_sign1(cbor2.dumps(one, canonical=True), protected=(), unprotected=())
