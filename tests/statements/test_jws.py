"""Statements: interoperable with a JOSE library, and far stricter than it."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws as joserfc_jws
from joserfc.jwk import OKPKey

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.keys import ed25519
from infrastructure.statements import jws

KEY = ed25519.private_key(bytes(range(32)))
PUBLIC = ed25519.public_bytes(KEY)
KID = jws.thumbprint(PUBLIC)
AUD = "ledger.example/t/5"
NOW = 1_767_225_600
PAYLOAD: dict[str, Any] = {
    "iss": "did:example:dao",
    "aud": AUD,
    "jti": "0123456789abcdef" * 2,
    "iat": NOW,
    "exp": NOW + 300,
    "decision": "retry",
    "bounds": {"fuel": 10, "memory_bytes": 65_536},
}


def token(payload: dict[str, Any] | None = None, typ: str = jws.GOVERNANCE) -> str:
    return jws.sign(typ, KEY, PAYLOAD if payload is None else payload)


def verify(compact: str, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"typ": jws.GOVERNANCE, "keys": {KID: PUBLIC}, "aud": AUD, "now_s": NOW + 1}
    return jws.verify(compact, **{**arguments, **changes})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def by_hand(header: bytes, payload: bytes) -> str:
    """Sign any bytes: what a signer of bad faith can send."""
    signing_input = f"{b64(header)}.{b64(payload)}"
    return f"{signing_input}.{b64(KEY.sign(signing_input.encode()))}"


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


HEADER = {"alg": "Ed25519", "kid": KID, "typ": jws.GOVERNANCE}


def test_a_statement_verifies_and_returns_its_payload() -> None:
    assert verify(token()) == PAYLOAD
    assert jws.peek(token()) == (HEADER, PAYLOAD)
    assert verify(by_hand(canonical(HEADER), canonical(PAYLOAD))) == PAYLOAD


def test_an_independent_library_verifies_what_is_signed_here_and_the_other_way_round() -> None:
    key = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": b64(PUBLIC), "d": b64(bytes(range(32)))})
    theirs = joserfc_jws.deserialize_compact(token(), key, algorithms=["Ed25519"])
    assert (theirs.headers(), theirs.payload) == (HEADER, canonical(PAYLOAD))
    assert joserfc_jws.serialize_compact(HEADER, canonical(PAYLOAD), key, algorithms=["Ed25519"]) == token()


@given(
    st.dictionaries(
        st.text(st.characters(max_codepoint=127), min_size=4, max_size=9), st.text(max_size=9) | st.integers(0, 9)
    )
)
def test_any_restricted_members_survive(extra: dict[str, Any]) -> None:
    assert verify(token({**extra, **PAYLOAD})) == {**extra, **PAYLOAD}


@pytest.mark.parametrize(
    "header",
    [
        canonical({**HEADER, "alg": "EdDSA"}),
        canonical({**HEADER, "alg": "none"}),
        canonical({**HEADER, "typ": "JWT"}),
        canonical({**HEADER, "typ": ["ledger-governance+jwt"]}),
        canonical({**HEADER, "kid": 7}),
        canonical({**HEADER, "kid": KID[:-1]}),
        canonical({**HEADER, "crit": []}),
        canonical({**HEADER, "jwk": {}}),
        canonical({"alg": "Ed25519", "kid": KID}),
        canonical([]),
        json.dumps(HEADER).encode(),
        json.dumps({"typ": jws.GOVERNANCE, "kid": KID, "alg": "Ed25519"}, separators=(",", ":")).encode(),
        canonical(HEADER).replace(b"{", b'{"alg":"Ed25519",', 1),
        canonical(HEADER).decode().encode("utf-16"),
        b"",
        b"{",
    ],
)
def test_another_header_is_malformed_even_when_signed(header: bytes) -> None:
    with pytest.raises(MalformedError):
        verify(by_hand(header, canonical(PAYLOAD)))


@pytest.mark.parametrize(
    "payload",
    [
        canonical({**PAYLOAD, "aud": [AUD]}),
        canonical({**PAYLOAD, "aud": ""}),
        canonical({**PAYLOAD, "iss": None}),
        canonical({**PAYLOAD, "jti": "0123456789ABCDEF" * 2}),
        canonical({**PAYLOAD, "jti": "01" * 15}),
        canonical({**PAYLOAD, "jti": "01" * 16 + "\n"}),
        canonical({**PAYLOAD, "iat": float(NOW)}),
        canonical({**PAYLOAD, "iat": True}),
        canonical({**PAYLOAD, "iat": str(NOW)}),
        canonical({**PAYLOAD, "iat": -1}),
        canonical({**PAYLOAD, "exp": NOW}),
        canonical({**PAYLOAD, "amount": 1.5}),
        canonical({**PAYLOAD, "amount": 2**53}),
        canonical({name: value for name, value in PAYLOAD.items() if name != "exp"}),
        canonical({name: value for name, value in PAYLOAD.items() if name != "jti"}),
        canonical([PAYLOAD]),
        canonical(PAYLOAD).replace(b"{", b'{"iat":1,', 1),
        canonical(PAYLOAD).replace(b":", b": ", 1),
        b"[" * 3000,
    ],
)
def test_another_payload_is_malformed_even_when_signed(payload: bytes) -> None:
    with pytest.raises(MalformedError):
        verify(by_hand(canonical(HEADER), payload))


@pytest.mark.parametrize(
    "change",
    [
        lambda compact: compact + "=",
        lambda compact: compact + ".",
        lambda compact: "." + compact,
        lambda compact: compact.replace(".", "..", 1),
        lambda compact: compact[:-1],
        lambda compact: compact[:-4],
        lambda compact: compact + "AAAA",
        lambda compact: compact[:-1] + chr(ord(compact[-1]) + 1),
        lambda compact: " " + compact,
        lambda compact: compact + "\n",
        lambda compact: compact.replace("A", "é", 1),
        lambda compact: compact.rpartition(".")[0] + ".",
        lambda compact: compact + "A" * jws.MAX_STATEMENT_BYTES,
        lambda _: "",
        lambda _: "..",
    ],
)
def test_another_spelling_is_malformed(change: Callable[[str], str]) -> None:
    with pytest.raises(MalformedError):
        verify(change(token()))


@given(st.text(max_size=60))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    with pytest.raises(MalformedError):
        jws.parse(text)


def test_every_changed_character_is_refused() -> None:
    compact = token()
    for place in range(len(compact)):
        other = "A" if compact[place] != "A" else "B"
        with pytest.raises((MalformedError, NotAuthorisedError)):
            verify(compact[:place] + other + compact[place + 1 :])


def test_type_audience_key_and_time_are_authority_not_form() -> None:
    stranger = ed25519.private_key(bytes(32))
    wrong: list[dict[str, Any]] = [
        {"typ": jws.REPORT},
        {"aud": "ledger.example/t/6"},
        {"keys": {}},
        {"keys": {KID: ed25519.public_bytes(stranger)}},
        {"now_s": NOW + 300},
        {"now_s": NOW - jws.CLOCK_SKEW_S - 1},
    ]
    for changes in wrong:
        with pytest.raises(NotAuthorisedError):
            verify(token(), **changes)
    assert verify(token(), now_s=NOW + 299) == verify(token(), now_s=NOW - jws.CLOCK_SKEW_S) == PAYLOAD
    assert verify(token(), now_s=None) == PAYLOAD


def test_a_signature_by_another_key_under_this_kid_is_refused() -> None:
    head, _, _ = token().rpartition(".")
    forged = ed25519.private_key(bytes(32)).sign(head.encode())
    with pytest.raises(NotAuthorisedError):
        verify(f"{head}.{b64(forged)}")


def test_acknowledgements_have_no_exp_and_assertions_live_a_minute() -> None:
    endless = {name: value for name, value in PAYLOAD.items() if name != "exp"}
    ack = token(endless, jws.ACKNOWLEDGEMENT)
    assert verify(ack, typ=jws.ACKNOWLEDGEMENT, now_s=NOW + 10**9) == endless
    with pytest.raises(MalformedError):
        token(PAYLOAD, jws.ACKNOWLEDGEMENT)
    assertion = {**PAYLOAD, "sub": PAYLOAD["iss"], "exp": NOW + 60}
    assert verify(token(assertion, jws.ASSERTION), typ=jws.ASSERTION) == assertion
    for wrong in ({"exp": NOW + 61}, {"sub": "did:example:other"}):
        with pytest.raises(MalformedError):
            token({**assertion, **wrong}, jws.ASSERTION)


def test_what_verify_would_refuse_is_not_signed() -> None:
    for payload in ({**PAYLOAD, "jti": "x"}, {**PAYLOAD, "x": 1.5}, {**PAYLOAD, "x": "y" * jws.MAX_STATEMENT_BYTES}):
        with pytest.raises(MalformedError):
            token(payload)
    with pytest.raises(MalformedError):
        token(PAYLOAD, "JWT")
