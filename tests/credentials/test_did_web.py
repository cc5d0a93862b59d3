"""did:web: one DID, one address; documents that are not the DID's own; keys that may not sign."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LedgerError, MalformedError, NotAuthorisedError, UnavailableError
from infrastructure.credentials.did_document import MAX_BYTES, multikey_document, read_did_document
from infrastructure.credentials.did_web import WebDid, parse_did_web
from infrastructure.credentials.resolving import DirectoryFetcher, Resolver
from infrastructure.credentials.timestamp import parse_timestamp
from infrastructure.keys import base64url, did_key, ed25519

DID = "did:web:who.example"
METHOD = f"{DID}#key-1"
PUBLIC = ed25519.public_bytes(ed25519.private_key(bytes(range(32))))
AT = parse_timestamp("2026-01-01T00:00:00Z")
DOCUMENT = multikey_document(DID, {"key-1": PUBLIC})


@pytest.mark.parametrize(
    ("did", "url"),
    [
        ("did:web:w3c-ccg.github.io", "https://w3c-ccg.github.io/.well-known/did.json"),
        ("did:web:w3c-ccg.github.io:user:alice", "https://w3c-ccg.github.io/user/alice/did.json"),
        ("did:web:example.com%3A3000", "https://example.com:3000/.well-known/did.json"),
        ("did:web:example.com%3A3000:user:alice", "https://example.com:3000/user/alice/did.json"),
        ("did:web:xn--bcher-kva.example", "https://xn--bcher-kva.example/.well-known/did.json"),
    ],
)
def test_a_did_names_its_address_and_the_address_names_the_did(did: str, url: str) -> None:
    web = parse_did_web(did)
    assert (web.url, web.did) == (url, did)


@pytest.mark.parametrize(
    "rest",
    [
        "", ".", "localhost", "localhost%3A80", "127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1",
        "example.127", "0x7f000001", "1.2.3.0x4", "[::1]", "%5B%3A%3A1%5D", "::1", "a.example%3A", "a.example%3A0",
        "a.example%3A080", "a.example%3A65536", "a.example%3A99999999", "a.example%3a80", "a.example%3A80%3A90",
        "a.example%3A8_0", "A.example", "a.example.", ".a.example", "a..example", "-a.example", "a-.example",
        "a_b.example", "a.example:", "a.example::b", "a.example:..", "a.example:.", "a.example:%2e%2e",
        "a.example:b%2Fc", "a.example:b/c", "a.example/b", "a.example:b?x", "a.example:b#x", "user@a.example",
        "a.example\n", "a.example ", "\u0430.example", "a.example:b\x00", "a" * 64 + ".example", "a." * 130 + "example",
        "a.example" + ":b" * 17, "a.example:" + "b" * 65,
    ],
)  # fmt: skip
def test_hosts_that_are_no_names_ports_and_paths_that_lead_elsewhere_are_refused(rest: str) -> None:
    with pytest.raises(MalformedError):
        parse_did_web(f"did:web:{rest}")


@given(st.text(alphabet="ab1.-:%3A/\\@#? _", max_size=24))
def test_whatever_parses_prints_back(rest: str) -> None:
    try:
        web = parse_did_web(f"did:web:{rest}")
    except MalformedError:
        return
    assert web.did == f"did:web:{rest}"
    assert web.url.startswith("https://")
    assert {"", ".", ".."}.isdisjoint(web.segments)


def resolver_of(document: Any) -> Resolver:
    class Fetcher:
        def fetch(self, _did: WebDid) -> bytes:
            return document if isinstance(document, bytes) else json.dumps(document).encode()

    return Resolver(Fetcher())


def test_a_multikey_and_a_json_web_key_give_the_key() -> None:
    assert resolver_of(DOCUMENT).key(METHOD, AT) == PUBLIC
    jwk = {"id": METHOD, "type": "JsonWebKey", "controller": DID}
    jwk |= {"publicKeyJwk": {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(PUBLIC), "alg": "EdDSA"}}  # type: ignore[dict-item]
    assert resolver_of({**DOCUMENT, "verificationMethod": [jwk]}).key(METHOD, AT) == PUBLIC
    embedded = {**DOCUMENT, "verificationMethod": [], "assertionMethod": [jwk]}
    assert resolver_of(embedded).key(METHOD, AT) == PUBLIC


def test_did_key_needs_no_document() -> None:
    method = did_key.verification_method(PUBLIC)
    assert Resolver().key(method, AT) == PUBLIC
    with pytest.raises(UnavailableError):
        Resolver().key(METHOD, AT)
    for other in (DID, "did:key:zzz#zzz", "did:example:a#b", "https://who.example#key-1", "key-1", ""):
        with pytest.raises(LedgerError):
            resolver_of(DOCUMENT).key(other, AT)


def changed(**members: Any) -> dict[str, Any]:
    return {**DOCUMENT, "verificationMethod": [{**DOCUMENT["verificationMethod"][0], **members}]}


X25519 = did_key.encode_base58(b"\xec\x01" + bytes(range(1, 33)))
P256 = did_key.encode_base58(b"\x80\x24" + bytes([2]) + bytes(range(32)))


@pytest.mark.parametrize(
    "document",
    [
        {**DOCUMENT, "assertionMethod": []},
        {**DOCUMENT, "authentication": [METHOD], "assertionMethod": [f"{DID}#key-2"]},
        {**DOCUMENT, "assertionMethod": ["#key-1"]},
        {**DOCUMENT, "assertionMethod": METHOD},
        {**DOCUMENT, "assertionMethod": [7]},
        {**DOCUMENT, "id": "did:web:other.example"},
        {**DOCUMENT, "verificationMethod": DOCUMENT["verificationMethod"] * 2},
        {**DOCUMENT, "verificationMethod": [*DOCUMENT["verificationMethod"], "x"]},
        {**DOCUMENT, "verificationMethod": DOCUMENT["verificationMethod"] * 65},
        {**DOCUMENT, "verificationMethod": []},
        changed(id="#key-1"),
        changed(id="key-1"),
        changed(id=DID),
        changed(controller="did:web:other.example"),
        changed(controller=None),
        changed(type="Ed25519VerificationKey2018"),
        changed(type=["Multikey"]),
        changed(type="JsonWebKey"),
        changed(publicKeyMultibase=X25519),
        changed(publicKeyMultibase=P256),
        changed(publicKeyMultibase="m" + "A" * 46),
        changed(publicKeyMultibase={"a": 1}),
        changed(publicKeyMultibase=did_key.encode_base58(b"\xed\x01" + bytes(32))),
        changed(publicKeyJwk={"kty": "OKP"}),
        changed(secretKeyMultibase="z6Mk"),
        changed(revoked="2026-01-01T00:00:00Z"),
        changed(expires="2025-12-31T23:59:59Z"),
        changed(expires="soon"),
        [],
        b"",
        b'{"id":"did:web:who.example","id":"did:web:who.example"}',
        b" " * (MAX_BYTES + 1),
        json.dumps(DOCUMENT).encode("utf-16"),
    ],
)
def test_a_document_that_does_not_let_the_key_sign_is_refused(document: Any) -> None:
    with pytest.raises((MalformedError, NotAuthorisedError)):
        resolver_of(document).key(METHOD, AT)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "EC"}, {"crv": "X25519"}, {"crv": "Ed448"}, {"d": base64url.encode(bytes(32))}, {"alg": "ES256"},
        {"alg": ["EdDSA"]}, {"use": "enc"}, {"key_ops": ["sign"]}, {"key_ops": "verify"}, {"x": 7}, {"x": "AA"},
        {"x": base64url.encode(PUBLIC) + "="}, {"x": base64url.encode(bytes(32))},
    ],
)  # fmt: skip
def test_a_jwk_of_another_algorithm_or_use_is_refused(change: dict[str, Any]) -> None:
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url.encode(PUBLIC), **change}
    method = {"id": METHOD, "type": "JsonWebKey", "controller": DID, "publicKeyJwk": jwk}
    with pytest.raises((MalformedError, NotAuthorisedError)):
        resolver_of({**DOCUMENT, "verificationMethod": [method]}).key(METHOD, AT)


def test_a_key_ends_at_the_instant_that_its_document_names() -> None:
    resolver = resolver_of(changed(revoked="2026-01-01T00:00:00Z"))
    assert resolver.key(METHOD, AT - 1) == PUBLIC
    with pytest.raises(NotAuthorisedError):
        resolver.key(METHOD, AT)


def test_documents_are_asked_for_again_once_they_are_old() -> None:
    asked: list[str] = []
    now = [0.0]

    class Fetcher:
        def fetch(self, did: WebDid) -> bytes:
            asked.append(did.did)
            if len(asked) > 1:
                raise UnavailableError("gone")
            return json.dumps(DOCUMENT).encode()

    resolver = Resolver(Fetcher(), max_age_s=10, monotonic_s=lambda: now[0])
    for now[0] in (0.0, 9.9):
        assert resolver.key(METHOD, AT) == PUBLIC
    now[0] = 10.0
    with pytest.raises(UnavailableError):
        resolver.key(METHOD, AT)
    assert asked == [DID, DID]


def test_what_is_kept_of_documents_is_bounded() -> None:
    asked: list[str] = []

    class Fetcher:
        def fetch(self, did: WebDid) -> bytes:
            asked.append(did.did)
            return json.dumps(multikey_document(did.did, {"key-1": PUBLIC})).encode()

    ticks = iter(range(1000))
    resolver = Resolver(Fetcher(), max_age_s=10**6, monotonic_s=lambda: float(next(ticks)))
    for number in [*range(300), 299, 0]:
        resolver.key(f"did:web:h{number}.example#key-1", AT)
    assert len(asked) == 301  # the newest was kept, the oldest had to go


def test_a_directory_is_read_where_the_url_says(tmp_path: Path) -> None:
    places: list[tuple[str, str]] = [
        ("did:web:who.example", "who.example/.well-known/did.json"),
        ("did:web:who.example%3A8443:a:b", "who.example%3A8443/a/b/did.json"),
        ("did:web:bare.example", "bare.example/did.json"),
        ("did:web:hand.example:x", "by-hand.json"),
    ]
    for did, place in places:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(json.dumps(multikey_document(did, {"k": PUBLIC})))
    resolver = Resolver(DirectoryFetcher(tmp_path))
    for did, _ in places:
        assert resolver.key(f"{did}#k", AT) == PUBLIC
    with pytest.raises(UnavailableError):
        resolver.key("did:web:nobody.example#k", AT)


def test_a_document_below_another_host_never_counts(tmp_path: Path) -> None:
    (tmp_path / "evil.example").mkdir()
    (tmp_path / "evil.example" / "did.json").write_text(json.dumps(DOCUMENT))
    with pytest.raises(UnavailableError):
        Resolver(DirectoryFetcher(tmp_path)).key(METHOD, AT)


CHANGES: list[Callable[[dict[str, Any]], object]] = [
    lambda document: document.pop("id"),
    lambda document: document["verificationMethod"][0].pop("controller"),
    lambda document: document["verificationMethod"][0].pop("type"),
    lambda document: document["verificationMethod"][0].pop("publicKeyMultibase"),
    lambda document: document.pop("assertionMethod"),
    lambda document: document.pop("verificationMethod"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_document_that_lacks_a_member_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(json.dumps(DOCUMENT))
    change(document)
    with pytest.raises((MalformedError, NotAuthorisedError)):
        resolver_of(document).key(METHOD, AT)
    assert read_did_document(json.dumps(DOCUMENT).encode(), DID).assertion_key(METHOD, AT) == PUBLIC
