"""Tokens of others: each that another implementation signs is read, and nothing that is not as it must be."""

import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import RSAKey

from domain.access.token_issuers import AnyKey, RsaKey
from domain.errors import LedgerError, MalformedError, NotAuthorisedError
from infrastructure.keys.jwks import check_key, read_jwks
from infrastructure.statements import foreign_jwt
from tests.api.provider import ALGORITHM, Provider, by_hand, mac, new_key, public

PROVIDER = Provider(keys={kind: new_key(kind, f"{kind}-1") for kind in ALGORITHM})
NOW_MS = 1_790_000_000_000
NOW_S = NOW_MS // 1000


def jwks(*members: dict[str, Any]) -> bytes:
    return json.dumps({"keys": members}).encode()


def admitted(kind: str) -> AnyKey:
    (key,) = read_jwks(jwks(public(PROVIDER.keys[kind])))
    return key


@pytest.mark.parametrize("kind", ALGORITHM)
def test_what_another_implementation_signs_verifies_by_its_key_and_by_no_other(kind: str) -> None:
    token = foreign_jwt.read(PROVIDER.token(kind))
    foreign_jwt.verify(token, admitted(kind))
    assert token.claims["sub"] == "248289761001"
    for other in ALGORITHM:
        if other != kind:
            with pytest.raises(NotAuthorisedError, match="algorithm"):
                foreign_jwt.verify(token, admitted(other))
    (stranger,) = read_jwks(jwks(public(new_key(kind, f"{kind}-1"))))
    with pytest.raises(NotAuthorisedError, match="does not verify"):
        foreign_jwt.verify(token, stranger)


@pytest.mark.parametrize("kind", ALGORITHM)
def test_one_changed_byte_of_header_payload_or_signature_refuses(kind: str) -> None:
    good = PROVIDER.token(kind)
    for place in range(0, len(good), 7):
        changed = good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]
        with pytest.raises(LedgerError):
            foreign_jwt.verify(foreign_jwt.read(changed), admitted(kind))


def test_algorithm_confusion_is_refused() -> None:
    rsa = PROVIDER.keys["RSA"]
    pem = rsa.as_pem(private=False)
    der = serialization.load_pem_public_key(pem).public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    claims = PROVIDER.claims()
    for secret in (pem, pem.strip(), der, public(rsa)["n"].encode()):
        token = foreign_jwt.read(mac(secret, {"alg": "HS256", "kid": "RSA-1"}, claims))
        for kind in ALGORITHM:
            with pytest.raises(NotAuthorisedError, match="algorithm"):
                foreign_jwt.verify(token, admitted(kind))
    for alg in ("none", "None", "", "RS512", "PS256", "ES384", "es256", "RS256 "):
        token = foreign_jwt.read(by_hand(json.dumps({"alg": alg}), json.dumps(claims)))
        for kind in ALGORITHM:
            with pytest.raises(NotAuthorisedError, match="algorithm"):
                foreign_jwt.verify(token, admitted(kind))


def test_a_key_that_the_header_brings_is_not_looked_at() -> None:
    thief = Provider(keys={"EC": new_key("EC", "EC-1")})
    brought = {"jwk": public(thief.keys["EC"]), "jku": "https://evil.example/jwks", "x5u": "https://e"}
    with pytest.raises(NotAuthorisedError, match="does not verify"):
        foreign_jwt.verify(foreign_jwt.read(thief.token(header=brought)), admitted("EC"))


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "..", by_hand("{}", "{}"), by_hand('{"alg":7}', "{}"),
        by_hand('{"alg":"ES256","kid":7}', "{}"), by_hand('{"alg":"ES256","typ":["JWT"]}', "{}"),
        by_hand('{"alg":"ES256","alg":"none"}', "{}"), by_hand('{"alg":"ES256"}', '{"sub":"a","sub":"b"}'),
        by_hand('{"alg":"ES256"}', '{"a":{"b":1,"b":2}}'), by_hand('{"alg":"ES256"}', '{"a":[{"b":1,"b":2}]}'),
        by_hand('{"alg":"ES256","crit":["exp"],"exp":1}', "{}"), by_hand('{"alg":"ES256","crit":[]}', "{}"),
        by_hand('{"alg":"ES256","crit":["b64"],"b64":false}', "{}"), by_hand('{"alg":"ES256"}', "[]"),
        by_hand('{"alg":"ES256"}', '"x"'), by_hand('{"alg":"ES256"}', "{" * 9000), by_hand('{"alg":"ES256"}', "NaN"),
        by_hand('{"alg":"ES256"}', '{"exp":NaN}'), by_hand('{"alg":"ES256"}', '{"exp":Infinity}'),
        by_hand('{"alg":"ES256"}', '{"a":' + "[" * 5000 + "]" * 5000 + "}"), by_hand('{"alg":"ES256"}', "\ufeff{}"),
        by_hand('{"alg":"ES256"}', "{}") + "=", by_hand('{"alg":"ES256"}', "{}").replace(".", ". "),
        by_hand('{"alg":"ES256"}', '{"a":"' + "x" * 17_000 + '"}'), by_hand("{}", '{"a":' + "9" * 5000 + "}"),
        "e30.\u00e9.e30",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        foreign_jwt.read(text)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: by_hand("{}", data.decode("latin-1"))))
def test_whatever_comes_is_read_or_refused(text: str) -> None:
    with suppress(MalformedError):
        foreign_jwt.read(text)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"exp": NOW_S}, "expired"), ({"exp": NOW_S - 1}, "expired"), ({"exp": None}, "exp is missing"),
        ({"iat": None}, "iat is missing"), ({"iat": NOW_S + 61, "exp": NOW_S + 99}, "not count yet"),
        ({"nbf": NOW_S + 61}, "not count yet"), ({"nbf": "1"}, "nbf is missing"), ({"exp": "1790000300"}, "exp is"),
        ({"exp": True}, "exp is missing"), ({"exp": -1}, "exp is missing"), ({"exp": 2**60}, "exp is missing"),
        ({"exp": 1e300}, "exp is missing"), ({"exp": [NOW_S + 9]}, "exp is missing"),
        ({"exp": 10**400}, "exp is missing"),
        ({"iat": NOW_S - 80_000, "exp": NOW_S + 80_000}, "at most 86400 s"),
        ({"iat": NOW_S + 50, "exp": NOW_S + 40}, "at most 86400 s"),
    ],
)  # fmt: skip
def test_a_token_that_is_not_of_now_is_refused(changes: dict[str, Any], says: str) -> None:
    good = {"iat": NOW_S, "exp": NOW_S + 300}
    claims = {name: value for name, value in {**good, **changes}.items() if value is not None}
    with pytest.raises(LedgerError, match=says):
        foreign_jwt.require_now(claims, NOW_MS)


def test_a_token_of_now_counts_until_it_says() -> None:
    assert foreign_jwt.require_now({"iat": NOW_S, "exp": NOW_S + 300}, NOW_MS) == (NOW_S + 300) * 1000
    assert foreign_jwt.require_now({"iat": NOW_S + 59, "exp": NOW_S + 60.5}, NOW_MS) == (NOW_S + 60) * 1000 + 500
    assert foreign_jwt.require_now({"iat": NOW_S, "nbf": NOW_S + 60, "exp": NOW_S + 99}, NOW_MS)


def test_how_a_token_is_typed() -> None:
    def typed(typ: str | None, token_type: str) -> bool:
        return foreign_jwt.read(PROVIDER.token(header={"typ": typ})).is_of(token_type)

    for typ in (None, "JWT", "jwt", "application/jwt"):
        assert typed(typ, "JWT")
        assert not typed(typ, "at+jwt")
    for typ in ("at+jwt", "AT+JWT", "application/at+jwt"):
        assert typed(typ, "at+jwt")
        assert not typed(typ, "JWT")
    for typ in ("logout+jwt", "dpop+jwt", "ledger-assertion+jwt", "JWS", "", "secevent+jwt"):
        assert not typed(typ, "JWT")
        assert not typed(typ, "at+jwt")


@pytest.mark.parametrize("bound", [{"x5t#S256": "x"}, {"jkt": 7}, {"jkt": "a", "kid": "b"}, "a", None, {}])
def test_a_token_that_is_bound_to_what_can_not_be_shown_is_refused(bound: Any) -> None:
    with pytest.raises(NotAuthorisedError, match="bound"):
        foreign_jwt.confirmed_by({"cnf": bound})


def test_a_key_set_keeps_what_verifies_and_leaves_the_rest() -> None:
    everything = [public(key) for key in PROVIDER.keys.values()]
    others = [
        {**everything[2], "use": "enc"}, {**everything[2], "alg": "RSA-OAEP"}, {**everything[0], "alg": "ES384"},
        {**everything[0], "key_ops": ["encrypt"]}, {"kty": "EC", "crv": "P-384", "x": "a", "y": "b"}, {"kty": "AKP"},
    ]  # fmt: skip
    found = read_jwks(jwks(*everything, *others, {**everything[0], "x5c": ["abc"], "alg": "ES256", "kid": "more"}))
    assert [key.kid for key in found] == ["EC-1", "OKP-1", "RSA-1", "more"]


def test_a_key_set_that_can_not_be_admitted_is_refused() -> None:
    ec, okp, rsa = (public(PROVIDER.keys[kind]) for kind in ALGORITHM)
    with pytest.warns(Warning, match="2048"):
        weak = public(RSAKey.generate_key(1024))
    for keys in (
        [PROVIDER.keys["EC"].as_dict(private=True)], [ec, PROVIDER.keys["RSA"].as_dict(private=True)],
        [ec, {"kty": "oct", "k": "AAAA"}], [], [weak], [{**rsa, "e": "Aw"}], [{**rsa, "n": "A" + rsa["n"][1:]}],
        [{**rsa, "n": rsa["n"][:-4] + "AAAA"}], [{**ec, "x": ec["y"]}], [{**ec, "x": ec["x"][:-2]}],
        [{**okp, "x": "A" * 43}], [{**ec, "kid": 7}], [{**ec, "kid": ""}], [{"kty": "EC", "crv": "P-256"}],
        [{"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}], [ec] * 65,
    ):  # fmt: skip
        with pytest.raises(MalformedError):
            read_jwks(jwks(*keys))
    for text in (b"", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[1]}', b'{"keys":[],"keys":[]}', b"\xff", b"[" * 100_000):
        with pytest.raises(MalformedError):
            read_jwks(text)
    with pytest.raises(MalformedError, match="modulus"):
        check_key(RsaKey(kty="RSA", n=rsa["n"][:-3] + "AAA", e="AQAB"))


def test_a_signature_of_another_length_or_form_is_refused() -> None:
    head, _, signature = PROVIDER.token("EC").rpartition(".")
    for made in ("", signature[:-2], signature + "AA", "A" * 86, "MEUCIQ" + "A" * 80):
        with pytest.raises(LedgerError):
            foreign_jwt.verify(foreign_jwt.read(f"{head}.{made}"), admitted("EC"))
