"""did:key, JWK, thumbprints, base64url and base58: one key, one name."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OKPKey

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys import base64url, did_key, ed25519
from infrastructure.keys.thumbprint import jwk, public_key, thumbprint

PUBLIC = ed25519.public_bytes(ed25519.private_key(bytes(range(32))))
RFC_8037_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"


def test_the_thumbprint_of_rfc_8037_appendix_a3() -> None:
    assert thumbprint(base64url.decode(RFC_8037_X)) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@given(st.binary(min_size=32, max_size=32))
def test_names_are_reversible_and_agree_with_an_independent_library(seed: bytes) -> None:
    public = ed25519.public_bytes(ed25519.private_key(seed))
    assert did_key.public_key(did_key.did_key(public)) == public
    assert did_key.resolve(did_key.verification_method(public)) == public
    assert public_key(jwk(public)) == public
    key = jwk(public)
    assert OKPKey.import_key({"crv": key["crv"], "kty": "OKP", "x": key["x"]}).thumbprint() == thumbprint(public)


@pytest.mark.parametrize(
    "did",
    [
        "did:web:example.org",
        "did:key:",
        "did:key:z",
        "did:key:u7QEBAgM",
        "did:key:z6Mk0",
        "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ",
        "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
        "did:key:z" + "6" * 500,
        "DID:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
    ],
)
def test_what_is_no_ed25519_did_key_is_refused(did: str) -> None:
    with pytest.raises(MalformedError):
        did_key.public_key(did)


def test_a_verification_method_repeats_its_key() -> None:
    did, other = did_key.did_key(PUBLIC), did_key.did_key(ed25519.public_bytes(ed25519.private_key(bytes(32))))
    for method in (did, f"{did}#", f"{did}#key-1", f"{did}#{other.removeprefix('did:key:')}", f"{did}#{did}"):
        with pytest.raises(MalformedError):
            did_key.resolve(method)


@given(st.binary(max_size=80))
def test_base58_and_base64url_are_reversible(data: bytes) -> None:
    assert did_key.decode_base58(did_key.encode_base58(data)) == data
    assert base64url.decode(base64url.encode(data)) == data


@given(st.text(max_size=20))
def test_a_text_that_decodes_is_the_one_spelling_of_its_bytes(text: str) -> None:
    for decode, encode in ((did_key.decode_base58, did_key.encode_base58), (base64url.decode, base64url.encode)):
        with contextlib.suppress(MalformedError):
            assert encode(decode(text)) == text


@pytest.mark.parametrize("text", ["A", "AB", "AA=", "AA==", "A A", "AA\n", "A+/A", "é"])
def test_loose_base64url_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        base64url.decode(text)


@pytest.mark.parametrize(
    "change",
    [{"d": "AA"}, {"crv": "X25519"}, {"kty": "EC"}, {"x": 7}, {"x": RFC_8037_X + "="}, {"x": "AA"}, {"use": "sig"}],
)
def test_a_jwk_with_other_members_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedError):
        public_key({**jwk(PUBLIC), **change})


ORDER_EIGHT = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03"
LOW_ORDER = [
    "00" * 32,
    "00" * 31 + "80",
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 30 + "7f",
    "ee" + "ff" * 30 + "ff",
    ORDER_EIGHT + "7a",
    ORDER_EIGHT + "fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
]


@pytest.mark.parametrize("public", LOW_ORDER)
def test_keys_of_small_order_are_refused_everywhere(public: str) -> None:
    key = bytes.fromhex(public)
    for use in (ed25519.check_public_key, did_key.did_key, thumbprint):
        with pytest.raises(MalformedError):
            use(key)
    with pytest.raises(MalformedError):
        ed25519.verify(key, bytes(64), b"")


def test_a_wrong_signature_is_not_authorised() -> None:
    key = ed25519.private_key(bytes(range(32)))
    signature = key.sign(b"message")
    ed25519.verify(PUBLIC, signature, b"message")
    for wrong in (b"", signature[:-1], bytes(64)):
        with pytest.raises(NotAuthorisedError):
            ed25519.verify(PUBLIC, wrong, b"message")
    with pytest.raises(MalformedError):
        ed25519.private_key(bytes(31))
