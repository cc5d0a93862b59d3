"""eddsa-jcs-2022: every intermediate value of the vectors, and every way to bend a proof."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import LedgerError, MalformedError, NotAuthorisedError
from infrastructure.credentials.data_integrity import (
    MAX_DOCUMENT_BYTES,
    add_proof,
    canonical_bytes,
    hash_data,
    parse_document,
    read_proof,
    verify_proof,
)
from infrastructure.credentials.timestamp import parse_timestamp
from infrastructure.keys import did_key, ed25519

KEY = ed25519.private_key(bytes(range(32)))
DID = did_key.did_key(ed25519.public_bytes(KEY))
CREATED = 1_767_225_600_000
CAC: dict[str, Any] = {"cac_id": "cac-0x00", "outcome": "PASS", "tenant_info": {"dao": "WFP-RegionalDAO"}}
SIGNED = add_proof(CAC, KEY, created_ms=CREATED, domain="ledger.example/t/5", challenge="ab" * 32)


def verify(document: dict[str, Any], **changes: Any) -> dict[str, Any]:
    arguments = {"at_ms": CREATED, "domain": "ledger.example/t/5", "challenge": "ab" * 32, "controller": DID}
    return verify_proof(document, **{**arguments, **changes})


@pytest.fixture
def suite(vectors: Path) -> Path:
    return vectors / "credentials" / "eddsa-jcs-2022"


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8").strip()


def vector_key(suite: Path) -> Ed25519PrivateKey:
    pair = json.loads((suite.parent / "keyPair.json").read_text(encoding="utf-8"))
    seed = did_key.decode_base58(pair["privateKeyMultibase"])
    assert seed[:2] == b"\x80\x26"
    key = ed25519.private_key(seed[2:])
    assert did_key.did_key(ed25519.public_bytes(key)) == "did:key:" + pair["publicKeyMultibase"]
    return key


def test_every_intermediate_value_of_the_vectors_matches(suite: Path) -> None:
    document = parse_document((suite.parent / "unsigned.json").read_bytes())
    options = parse_document((suite / "proofConfigJCS.json").read_bytes())
    assert canonical_bytes(document) == text(suite / "canonDocJCS.txt").encode()
    assert canonical_bytes(options) == text(suite / "proofCanonJCS.txt").encode()
    assert hashlib.sha256(canonical_bytes(document)).hexdigest() == text(suite / "docHashJCS.txt")
    assert hashlib.sha256(canonical_bytes(options)).hexdigest() == text(suite / "proofHashJCS.txt")
    assert hash_data(document, options).hex() == text(suite / "combinedHashJCS.txt")
    signature = vector_key(suite).sign(hash_data(document, options))
    assert signature.hex() == text(suite / "sigHexJCS.txt")
    assert did_key.encode_base58(signature) == text(suite / "sigBTC58JCS.txt")


def test_the_signed_document_of_the_vectors_is_made_and_verified(suite: Path) -> None:
    unsigned = parse_document((suite.parent / "unsigned.json").read_bytes())
    signed = parse_document((suite / "signedJCS.json").read_bytes())
    created = parse_timestamp("2023-02-24T23:36:38Z")
    assert add_proof(unsigned, vector_key(suite), created_ms=created) == signed
    assert verify_proof(signed, at_ms=created) == unsigned
    with pytest.raises(NotAuthorisedError):
        verify_proof(signed, at_ms=created - 1)


def test_verification_returns_a_new_document_without_proof() -> None:
    verified = verify(SIGNED)
    assert verified == CAC
    verified["tenant_info"]["dao"] = "other"
    assert SIGNED["tenant_info"]["dao"] == "WFP-RegionalDAO"


def test_what_a_proof_says_is_read_typed() -> None:
    proof = read_proof(SIGNED)
    assert (proof.controller, proof.domain, proof.challenge) == (DID, "ledger.example/t/5", "ab" * 32)
    assert (proof.created_ms, proof.expires_ms, proof.purpose) == (CREATED, None, "assertionMethod")


floats = st.floats(-1e9, 1e9)  # a whole float of 2^53 and more is printed as an integer that must be a string
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8) | floats,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8).filter(lambda name: name not in {"proof", "@context"}), values, max_size=5))
def test_any_document_survives_signing_and_json(document: dict[str, Any]) -> None:
    signed = parse_document(json.dumps(add_proof(document, KEY, created_ms=CREATED)))
    assert canonical_bytes(verify_proof(signed, at_ms=CREATED)) == canonical_bytes(document)


def test_every_changed_value_is_refused() -> None:
    for name in CAC:
        with pytest.raises(NotAuthorisedError):
            verify({**SIGNED, name: "FAIL"})
        with pytest.raises(NotAuthorisedError):
            verify({key: value for key, value in SIGNED.items() if key != name})
    with pytest.raises(NotAuthorisedError):
        verify({**SIGNED, "more": 1})


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Ed25519Signature2020"},
        {"cryptosuite": "eddsa-rdfc-2022"},
        {"cryptosuite": "ecdsa-jcs-2019"},
        {"proofValue": "u" + "A" * 86},
        {"proofValue": "z"},
        {"proofValue": "z" + "1" * 63},
        {"proofValue": "z" + "0" * 88},
        {"proofValue": 7},
        {"proofValue": did_key.encode_base58(bytes(65))},
        {"verificationMethod": DID},
        {"verificationMethod": DID + "#key-1"},
        {"verificationMethod": {"id": DID}},
        {"created": "2026-01-01"},
        {"created": 7},
        {"expires": "soon"},
        {"domain": ["ledger.example/t/5"]},
        {"previousProof": "urn:uuid:1"},
        {"nonce": "x"},
        {"@context": "https://www.w3.org/ns/credentials/v2"},
    ],
)
def test_a_proof_of_another_shape_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(LedgerError):
        verify({**SIGNED, "proof": {**SIGNED["proof"], **change}}, controller=None)


@pytest.mark.parametrize("name", ["type", "cryptosuite", "verificationMethod", "proofPurpose", "proofValue"])
def test_a_proof_that_lacks_a_member_is_malformed(name: str) -> None:
    with pytest.raises(MalformedError):
        verify({**SIGNED, "proof": {key: value for key, value in SIGNED["proof"].items() if key != name}})


@pytest.mark.parametrize("proof", [None, [], [SIGNED["proof"]], [SIGNED["proof"], SIGNED["proof"]], "z", {}])
def test_anything_but_exactly_one_proof_is_malformed(proof: object) -> None:
    with pytest.raises(MalformedError):
        verify({**SIGNED, "proof": proof})
    with pytest.raises(MalformedError):
        verify(CAC)
    with pytest.raises(MalformedError):
        add_proof(SIGNED, KEY, created_ms=CREATED)


@pytest.mark.parametrize(
    "changes",
    [
        {"purpose": "authentication"},
        {"controller": "did:key:z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"},
        {"domain": "ledger.example/t/6"},
        {"domain": None},
        {"challenge": "cd" * 32},
        {"challenge": None},
        {"at_ms": CREATED - 1},
    ],
)
def test_a_proof_for_another_use_is_not_authorised(changes: dict[str, Any]) -> None:
    with pytest.raises(NotAuthorisedError):
        verify(SIGNED, **changes)


def test_a_missing_domain_or_challenge_is_not_the_expected_one() -> None:
    bare = add_proof(CAC, KEY, created_ms=CREATED)
    assert verify(bare, domain=None, challenge=None) == CAC
    for changes in ({"challenge": None}, {"domain": None}):
        with pytest.raises(NotAuthorisedError):
            verify(bare, **changes)


def test_a_proof_holds_until_it_expires() -> None:
    signed = add_proof(CAC, KEY, created_ms=CREATED, expires_ms=CREATED + 1000)
    assert verify_proof(signed, at_ms=CREATED + 999) == verify_proof(signed, at_ms=None) == CAC
    with pytest.raises(NotAuthorisedError):
        verify_proof(signed, at_ms=CREATED + 1000)


def test_another_signers_key_in_place_of_the_first_is_refused() -> None:
    other = add_proof(CAC, ed25519.private_key(bytes(32)), created_ms=CREATED)
    for change in ("verificationMethod", "proofValue"):
        forged = {**SIGNED["proof"], change: other["proof"][change]}
        with pytest.raises(NotAuthorisedError):
            verify({**SIGNED, "proof": forged}, controller=None)


CONTEXT = ["https://www.w3.org/ns/credentials/v2", "https://enclave-ledger.example/ns/v1"]


def test_the_proofs_context_is_signed_and_is_what_the_verified_document_has() -> None:
    signed = add_proof({"@context": CONTEXT, **CAC}, KEY, created_ms=CREATED)
    longer = {**signed, "@context": [*CONTEXT, "https://attacker.example/terms"]}
    assert verify_proof(longer, at_ms=CREATED)["@context"] == CONTEXT
    for context in (CONTEXT[::-1], CONTEXT[:1], [], "https://www.w3.org/ns/credentials/v2", None):
        with pytest.raises(MalformedError):
            verify_proof({**signed, "@context": context}, at_ms=CREATED)


def test_a_context_in_the_document_or_the_proof_alone_is_malformed() -> None:
    signed = add_proof({"@context": CONTEXT, **CAC}, KEY, created_ms=CREATED)
    without = {name: value for name, value in signed["proof"].items() if name != "@context"}
    for document in (
        {**signed, "proof": without},
        {name: value for name, value in signed.items() if name != "@context"},
        {**SIGNED, "@context": CONTEXT},
    ):
        with pytest.raises((MalformedError, NotAuthorisedError)):
            verify_proof(
                document, at_ms=CREATED, domain=read_proof(document).domain, challenge=read_proof(document).challenge
            )


def test_keys_behind_other_dids_come_from_the_resolver() -> None:
    method = "did:web:who.example#key-1"
    signed = add_proof(CAC, KEY, created_ms=CREATED, verification_method=method)
    public = ed25519.public_bytes(KEY)
    assert (
        verify_proof(signed, at_ms=CREATED, resolve={method: public}.__getitem__, controller="did:web:who.example")
        == CAC
    )
    with pytest.raises(MalformedError):
        verify_proof(signed, at_ms=CREATED)


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":2}',
        b'{"b":{"a":1,"a":1}}',
        b"[]",
        b"7",
        b"",
        b"\xff",
        b"{" * 50_000,
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-32-le"),
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b'{"a":1,"\\u0061":1}',
        b'{"a":9007199254740992}',
        b'{"a":-9007199254740992}',
        b'{"a":9007199254740993.0}',
        b'{"a":1e30}',
        b'{"a":1e999}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":NaN}',
        b'{"a":-Infinity}',
        b'{"a":1}{}',
        b" " * (MAX_DOCUMENT_BYTES + 1),
    ],
)
def test_documents_that_are_no_objects_or_repeat_members_are_malformed(data: bytes) -> None:
    with pytest.raises(MalformedError):
        parse_document(data)


@pytest.mark.parametrize("value", [2**53, float("nan"), float("inf"), "\ud800", b"", "x" * MAX_DOCUMENT_BYTES])
def test_documents_without_a_canonical_form_are_malformed(value: Any) -> None:
    with pytest.raises(MalformedError):
        canonical_bytes({"a": value})


BENDS: list[Callable[[str], str]] = [str.lower, lambda value: value + " ", lambda value: value[:-1]]


@pytest.mark.parametrize("bend", BENDS)
@pytest.mark.parametrize(
    "name", ["proofValue", "verificationMethod", "created", "domain", "challenge", "proofPurpose", "type"]
)
def test_every_bent_member_of_a_proof_is_refused(name: str, bend: Callable[[str], str]) -> None:
    bent = bend(SIGNED["proof"][name])
    if bent != SIGNED["proof"][name]:
        with pytest.raises((MalformedError, NotAuthorisedError)):
            verify({**SIGNED, "proof": {**SIGNED["proof"], name: bent}}, controller=None)
