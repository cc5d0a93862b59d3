"""Examining any credential: vectors from elsewhere, every field of them spoiled, and all that is hostile."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infrastructure.credentials.data_integrity import Document, add_proof, canonical_bytes
from infrastructure.credentials.did_document import multikey_document
from infrastructure.credentials.examining import REFUSED, VALID, WARNING, Examiner, Verdict
from infrastructure.credentials.executor import Delegation, issue_executor
from infrastructure.credentials.resolving import DirectoryFetcher, Resolver
from infrastructure.credentials.status_checking import StatusLists
from infrastructure.credentials.status_entry import entry_document
from infrastructure.credentials.status_list import MAX_LIST_BYTES, issue_list
from infrastructure.credentials.status_source import StatusFiles
from infrastructure.credentials.timestamp import parse_timestamp
from infrastructure.keys import did_key, ed25519
from tests.credentials.test_executor_and_node import FROM, ISSUER, ISSUER_DID, STRANGER, SUBJECT, UNTIL, issued
from tests.credentials.test_executor_and_node import node_document as issued_node

AT = FROM + 1000
BASE = "https://www.w3.org/ns/credentials/v2"
FOREIGN: Document = {
    "@context": [BASE, "https://www.w3.org/ns/credentials/examples/v2"],
    "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
    "type": ["VerifiableCredential", "AlumniCredential"],
    "issuer": {"id": ISSUER_DID, "name": "\u00dcniversity \u20ac"},
    "validFrom": "2026-01-01T00:00:00Z",
    "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": {"\u00fc": 1.5, "n": 0}},
}


def examine(document: Document | bytes, *, at_ms: int = AT, **how: Any) -> Verdict:
    data = document if isinstance(document, bytes) else canonical_bytes(document, limit=2 * MAX_LIST_BYTES)
    return Examiner(at_ms, how.pop("resolver", Resolver()), **how).examine(data)


def signed(change: Callable[[Document], object] = lambda _: None, key: Any = ISSUER, **how: Any) -> Document:
    document = json.loads(json.dumps(FOREIGN))
    change(document)
    return add_proof(document, key, created_ms=FROM, **how)


def spoiled(value: Any) -> Iterator[Any]:
    """Yield a JSON value with one thing in it changed, left out or added, everywhere in turn."""
    match value:
        case dict():
            yield {**value, "more": 1}
            for name, member in value.items():
                yield {key: kept for key, kept in value.items() if key != name}
                yield from ({**value, name: bent} for bent in spoiled(member))
        case list():
            yield [*value, "more"]
            for at, member in enumerate(value):
                yield value[:at] + value[at + 1 :]
                yield from ([*value[:at], bent, *value[at + 1 :]] for bent in spoiled(member))
        case str():
            yield from (value + "x", value[:-1], None, 7)
        case _:
            yield from (not value, "x")


def test_the_vector_is_valid_and_refused_with_anything_spoiled(vectors: Path) -> None:
    path = vectors / "credentials" / "eddsa-jcs-2022" / "signedJCS.json"
    good = json.loads(path.read_bytes())
    at_ms = parse_timestamp("2023-02-24T23:36:38Z")
    verdict = examine(path.read_bytes(), at_ms=at_ms)
    assert (verdict.status, verdict.kind, verdict.issuer) == (VALID, "AlumniCredential", good["issuer"])
    assert verdict.claims == good["credentialSubject"]
    assert examine(good, at_ms=at_ms - 1).reason == "not_yet_valid"
    context = good["@context"]
    for bent in spoiled(good):
        # What is beyond the proof's @context is left out of the document that the verifier returns.
        if bent.get("@context", [])[: len(context)] == context and {**bent, "@context": context} == good:
            assert examine(bent, at_ms=at_ms).status == VALID
            continue
        found = examine(bent, at_ms=at_ms)
        assert (found.status, found.claims) == (REFUSED, None), bent
        assert found.reason in {"malformed", "signature", "key_unreachable"}


def test_the_vectors_signer_is_whom_one_trusts_where_the_issuer_is_no_did(vectors: Path) -> None:
    data = (vectors / "credentials" / "eddsa-jcs-2022" / "signedJCS.json").read_bytes()
    signer = json.loads(data)["proof"]["verificationMethod"].partition("#")[0]
    assert any("no DID" in one for one in examine(data).not_checked)
    assert examine(data, issuers=(signer,)).status == VALID
    assert examine(data, issuers=("https://vc.example/issuers/5678",)).reason == "issuer_not_trusted"


def test_a_credential_of_another_ecosystem_is_examined() -> None:
    verdict = examine(signed(), issuers=(ISSUER_DID,))
    assert (verdict.status, verdict.kind, verdict.issuer) == (VALID, "AlumniCredential", ISSUER_DID)
    assert (verdict.subject, verdict.claims) == ("did:example:abcdefgh", FOREIGN["credentialSubject"])
    assert "trust: its issuer is one of those given" in verdict.checks
    assert any(one.startswith("trust:") for one in examine(signed()).not_checked)
    assert examine(signed(), issuers=("did:web:a.example",)).reason == "issuer_not_trusted"


def test_a_proof_without_a_context_signs_the_documents_own() -> None:
    """vc-di-eddsa 3.3.2, step 4: `If proofOptions.@context exists`."""
    plain = {name: value for name, value in FOREIGN.items() if name != "@context"}
    proof = add_proof(plain, ISSUER, created_ms=FROM)["proof"]
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    assert "@context" not in options
    from infrastructure.credentials.data_integrity import hash_data  # noqa: PLC0415 - beside its one use

    value = did_key.encode_base58(ISSUER.sign(hash_data(FOREIGN, options)))
    document = {**FOREIGN, "proof": {**options, "proofValue": value}}
    assert examine(document).status == VALID
    assert examine({**document, "@context": [BASE]}).reason == "signature"
    # hashed with an @context that it then leaves out: the hash is another one
    hidden = did_key.encode_base58(ISSUER.sign(hash_data(FOREIGN, {**options, "@context": FOREIGN["@context"]})))
    assert examine({**FOREIGN, "proof": {**options, "proofValue": hidden}}).reason == "signature"


def test_only_what_the_proof_covers_is_told() -> None:
    longer = signed()
    longer["@context"] = [*longer["@context"], "https://attacker.example/terms"]
    assert examine(longer).status == VALID
    shorter = signed(lambda document: document.update({"@context": [BASE]}))
    assert examine({**shorter, "@context": FOREIGN["@context"]}).status == VALID
    for context in ([], BASE, None, FOREIGN["@context"][::-1], [BASE]):
        assert examine({**signed(), "@context": context}).reason == "malformed"


CHANGES: list[tuple[Callable[[Document], object], str]] = [
    (lambda document: document.update({"@context": ["https://www.w3.org/2018/credentials/v1"]}), "malformed"),
    (lambda document: document.update({"@context": BASE}), "malformed"),
    (lambda document: document.update({"@context": [BASE, 7]}), "malformed"),
    (lambda document: document.update({"@context": ["https://x.example", BASE]}), "malformed"),
    (lambda document: document.pop("@context"), "malformed"),
    (lambda document: document.update(type="AlumniCredential"), "malformed"),
    (lambda document: document.update(type=["VerifiablePresentation"]), "malformed"),
    (lambda document: document.update(type=[]), "malformed"),
    (lambda document: document.pop("type"), "malformed"),
    (lambda document: document.pop("issuer"), "malformed"),
    (lambda document: document.update(issuer=["did:a:b"]), "malformed"),
    (lambda document: document.update(issuer="me"), "malformed"),
    (lambda document: document.update(issuer="did:web:other.example"), "signature"),
    (lambda document: document.update(issuer=did_key.did_key(ed25519.public_bytes(STRANGER))), "signature"),
    (lambda document: document.update(validFrom="2026-01-01"), "malformed"),
    (lambda document: document.update(validFrom=None), "malformed"),
    (lambda document: document.update(validFrom="2026-01-01T00:00:02Z"), "not_yet_valid"),
    (lambda document: document.update(validUntil="2026-01-01T00:00:01Z"), "expired"),
    (lambda document: document.update(validUntil="2025-01-01T00:00:01Z"), "malformed"),
    (lambda document: document.pop("credentialSubject"), "malformed"),
    (lambda document: document.update(credentialSubject=[]), "malformed"),
    (lambda document: document.update(credentialSubject={}), "malformed"),
    (lambda document: document.update(credentialSubject="did:example:a"), "malformed"),
    (lambda document: document["credentialSubject"].update(id=7), "malformed"),
    (lambda document: document.update(id="not a url"), "malformed"),
    (lambda document: document.update(id=None), "malformed"),
    (lambda document: document.update(parentCredential={}), "malformed"),
    (lambda document: document.update(credentialStatus={"type": "RevocationList2020Status"}), "malformed"),
    (lambda document: document.update(credentialStatus=[]), "malformed"),
    (
        lambda document: document.update(credentialStatus=entry_document("https://a.example/l", "revocation", 1)),
        "status_unreachable",
    ),
]


@pytest.mark.parametrize(("change", "reason"), CHANGES)
def test_a_signed_credential_of_another_shape_time_or_status_is_refused(
    change: Callable[[Document], object], reason: str
) -> None:
    assert examine(signed(change)).reason == reason


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"{}", b'{"proof":{}}', b"\xff\xfe{\x00}\x00", b"\xef\xbb\xbf{}", b"{" * 10**5,
        b'{"a":' * 10**5, b"[" * 10**6, b" " * (MAX_LIST_BYTES + 1), b'"' + b"x" * 10**6,
        canonical_bytes(signed()).replace(b'"id":"urn', b'"id":"urn:x","id":"urn'),
        canonical_bytes(signed()).replace(b'"id":"urn', b'"\\u0069d":"urn:x","id":"urn'),
        canonical_bytes(signed()).replace(b'"n":0', b'"n":9007199254740993'),
        canonical_bytes(signed()).replace(b'"n":0', b'"n":1e400'),
        canonical_bytes(signed()).decode().encode("utf-16"),
        canonical_bytes(signed()) + b"x",
    ],
)  # fmt: skip
def test_hostile_bytes_are_malformed(data: bytes) -> None:
    verdict = examine(data)
    assert (verdict.status, verdict.reason, verdict.issuer) == (REFUSED, "malformed", None)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cryptosuite": "ecdsa-jcs-2019"}, "malformed"),
        ({"cryptosuite": "eddsa-rdfc-2022"}, "malformed"),
        ({"cryptosuite": "none"}, "malformed"),
        ({"type": "Ed25519Signature2020"}, "malformed"),
        ({"type": "JsonWebSignature2020"}, "malformed"),
        ({"proofPurpose": "authentication"}, "signature"),
        ({"domain": "x"}, "signature"),
        ({"challenge": "x"}, "signature"),
        ({"previousProof": "urn:x:1"}, "malformed"),
        ({"crit": ["x"]}, "malformed"),
        ({"b64": False}, "malformed"),
        ({"id": "urn:x:1"}, "signature"),
        ({"nonce": "x"}, "signature"),
        ({"expires": "2099-01-01T00:00:00Z"}, "signature"),
        ({"created": 5}, "malformed"),
        ({"verificationMethod": "https://x.example/keys/1"}, "malformed"),
        ({"verificationMethod": "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169"}, "malformed"),
        ({"verificationMethod": "did:web:127.0.0.1#k"}, "malformed"),
        ({"verificationMethod": "did:web:x.example#k"}, "key_unreachable"),
    ],
)
def test_proofs_of_other_algorithms_purposes_or_members_are_refused(change: dict[str, Any], reason: str) -> None:
    document = signed()
    assert examine({**document, "proof": {**document["proof"], **change}}).reason == reason


def test_only_status_lists_may_be_long() -> None:
    long = {**signed(), "more": "x" * 300_000}
    assert examine(long).reason == "malformed"
    assert examine({**long, "type": ["VerifiableCredential", "BitstringStatusListCredential"]}).reason == "signature"


def test_proof_sets_and_chains_are_refused() -> None:
    document = signed()
    proof = document["proof"]
    for proofs in ([proof], [proof, proof], [], [{**proof, "id": "urn:a"}, {**proof, "previousProof": "urn:a"}]):
        assert examine({**document, "proof": proofs}).reason == "malformed"


def test_a_proofs_id_and_nonce_count_where_they_were_signed() -> None:
    from infrastructure.credentials.data_integrity import hash_data  # noqa: PLC0415 - beside its one use

    proof = {name: value for name, value in signed()["proof"].items() if name != "proofValue"}
    options = {**proof, "id": "urn:x:1", "nonce": "n"}
    value = did_key.encode_base58(ISSUER.sign(hash_data(FOREIGN, options)))
    assert examine({**FOREIGN, "proof": {**options, "proofValue": value}}).status == VALID


def test_a_proof_that_expired_is_expired() -> None:
    assert examine(signed(expires_ms=AT)).reason == "expired"
    assert examine(signed(expires_ms=AT + 1)).status == VALID


def test_an_issuer_of_the_web_signs_with_a_key_of_its_document(tmp_path: Path) -> None:
    did, method = "did:web:who.example:a", "did:web:who.example:a#k"
    document = signed(lambda one: one.update(issuer=did), verification_method=method)
    assert examine(document).reason == "key_unreachable"
    place = tmp_path / "who.example" / "a"
    place.mkdir(parents=True)
    key = ed25519.public_bytes(ISSUER)
    for keys, reason in (({"k": key}, None), ({"other": key}, "signature"), ({"k": bytes(range(32))}, "signature")):
        (place / "did.json").write_text(json.dumps(multikey_document(did, keys)))
        assert examine(document, resolver=Resolver(DirectoryFetcher(tmp_path))).reason == reason
    (place / "did.json").write_text("{}")
    assert examine(document, resolver=Resolver(DirectoryFetcher(tmp_path))).reason == "malformed"


def test_another_ecosystems_status_list_is_read(tmp_path: Path) -> None:
    url = "https://issuer.example/status/3"
    entries = [entry_document(url, "revocation", 94_567), entry_document(url, "message", 4)]
    document = signed(lambda one: one.update(credentialStatus=entries))
    for bit, reason in ((0, None), (1, "revoked")):
        bits = bytearray(16_384)
        bits[94_567 // 8] |= bit << (7 - 94_567 % 8)
        made = issue_list(url, "revocation", bytes(bits), ISSUER, valid_from_ms=FROM, valid_until_ms=UNTIL)
        (tmp_path / "list.json").write_bytes(json.dumps(made, indent=2).encode())
        lists = StatusLists(StatusFiles(tmp_path / "list.json"), Resolver(), lambda: 0.0)
        verdict = examine(document, statuses=lists)
        assert verdict.reason == reason
    assert examine((tmp_path / "list.json").read_bytes()).kind == "BitstringStatusListCredential"


def test_our_own_kinds_are_held_to_their_shape() -> None:
    for document, kind in ((issued(), "TEEExecutorVC"), (issued_node(), "NodeCredential")):
        verdict = examine(document, issuers=(ISSUER_DID,))
        assert (verdict.status, verdict.kind, verdict.reason) == (VALID, kind, None)
        assert examine(document, issuers=("did:web:a.example",)).reason == "issuer_not_trusted"
        assert examine(document, at_ms=UNTIL).reason == "expired"
        unsigned = {name: value for name, value in document.items() if name != "proof"}
        more = add_proof({**unsigned, "termsOfUse": {}}, ISSUER, created_ms=FROM)
        assert examine(more).reason == "malformed"
        alias = add_proof({**unsigned, "@context": [BASE]}, ISSUER, created_ms=FROM)
        assert (examine(alias).status, examine(alias).reason) == (WARNING, "kind_not_checked")


def test_a_chain_is_examined_to_its_top() -> None:
    times: dict[str, Any] = {"valid_from_ms": FROM, "valid_until_ms": UNTIL, "created_ms": FROM}
    below = Delegation(issuer=did_key.did_key(ed25519.public_bytes(STRANGER)), depth=1)
    parent = issue_executor(SUBJECT.model_copy(update={"delegation": below}), ISSUER, **times)
    child = issue_executor(SUBJECT, STRANGER, **times, parent=parent)
    verdict = examine(child, issuers=(ISSUER_DID,))
    assert verdict.status == VALID
    assert any(one.startswith("delegation: 1") for one in verdict.checks)
    assert examine(child, issuers=(below.issuer,)).reason == "issuer_not_trusted"
    wider = SUBJECT.model_copy(update={"maximum_memory_bytes": 2**40})
    assert examine(issue_executor(wider, STRANGER, **times, parent=parent)).reason == "delegation"


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_any_changed_byte_is_refused_or_changes_nothing_that_is_told(at: int, change: int) -> None:
    data = bytearray(canonical_bytes(signed()))
    data[at % len(data)] ^= change
    verdict = examine(bytes(data))
    assert verdict.status == REFUSED or verdict.claims == FOREIGN["credentialSubject"]
    if verdict.status == REFUSED:
        assert verdict.claims is None
