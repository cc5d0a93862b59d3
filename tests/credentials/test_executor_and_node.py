"""TEEExecutorVC and NodeCredential: what they grant, and every reason to refuse."""

import json
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError
from domain.hashing import sha256_hex
from infrastructure.credentials import executor, node, verifiable
from infrastructure.credentials.data_integrity import add_proof
from infrastructure.credentials.executor import ExecutorSubject, check_scope, issue_executor, verify_executor
from infrastructure.credentials.node import NodeSubject, issue_node, verify_node
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.status_entry import StatusEntry
from infrastructure.keys import did_key, ed25519

ISSUER = ed25519.private_key(bytes(range(32)))
STRANGER = ed25519.private_key(bytes(32))
ISSUER_DID = did_key.did_key(ed25519.public_bytes(ISSUER))
TENANT = did_key.did_key(ed25519.public_bytes(ed25519.private_key(bytes([7]) * 32)))
FROM = 1_767_225_600_000
UNTIL = FROM + 86_400_000
AT = FROM + 1000
SUBJECT = ExecutorSubject(
    id=TENANT,
    dao="ClimateDAO",
    jurisdiction="DEU",
    clause_families=("UNFCCC::Flood::Alert",),
    resource_classes=("Disaster::Flood@v1",),
    maximum_memory_bytes=64 * 2**20,
)
NODE = NodeSubject(
    id="did:example:node-1",
    operator="Rechenzentrum-Nord",
    country_of_operation="DEU",
    vendor="amd",
    platform_ids=("amd:" + "ab" * 64, "software:" + "A" * 43),
)
STATUS = {
    "type": "BitstringStatusListEntry",
    "statusPurpose": "revocation",
    "statusListIndex": "94567",
    "statusListCredential": "https://issuer.example/status/1",
}
TRUST: dict[str, Any] = {"trusted_issuers": {ISSUER_DID}, "at_ms": AT}


def issued(key: Any = ISSUER, **changes: Any) -> dict[str, Any]:
    times = {"valid_from_ms": FROM, "valid_until_ms": UNTIL, "created_ms": FROM}
    return issue_executor(SUBJECT, key, **{**times, **changes})


def resigned(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Change a credential and sign it again with the issuer's key: only its content is wrong."""
    document = json.loads(json.dumps({name: value for name, value in issued().items() if name != "proof"}))
    change(document)
    return add_proof(document, ISSUER, created_ms=FROM)


def refused(document: dict[str, Any], **changes: Any) -> Refusal:
    with pytest.raises(CredentialRefusedError) as error:
        verify_executor(document, **{**TRUST, **changes})
    assert isinstance(error.value, NotAuthorisedError)
    assert str(error.value).startswith(error.value.reason)
    return error.value.reason


def test_an_executor_credential_is_a_verifiable_credential_of_the_data_model() -> None:
    document = issued(credential_id="urn:uuid:0198c0de-0000-7000-8000-000000000001")
    assert document["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert document["type"] == ["VerifiableCredential", "TEEExecutorVC"]
    assert (document["issuer"], document["validFrom"]) == (ISSUER_DID, "2026-01-01T00:00:00Z")
    assert document["credentialSubject"] == {
        "id": TENANT,
        "dao": "ClimateDAO",
        "jurisdiction": "DEU",
        "clauseFamilies": ["UNFCCC::Flood::Alert"],
        "resourceClasses": ["Disaster::Flood@v1"],
        "maximumMemoryBytes": 67_108_864,
    }


def test_an_executor_credential_verifies_to_its_claims() -> None:
    document = issued(credential_id="urn:x:1")
    claims = verify_executor(json.loads(json.dumps(document)), **TRUST)
    assert claims.subject == SUBJECT
    assert (claims.grant.issuer, claims.grant.credential_id) == (ISSUER_DID, "urn:x:1")
    assert (claims.grant.valid_from_ms, claims.grant.valid_until_ms) == (FROM, UNTIL)
    assert claims.grant.digest == sha256_hex(canonical(document))


def test_validity_includes_its_first_instant_and_not_its_last() -> None:
    document = issued(created_ms=FROM - 1)
    assert verify_executor(document, **{**TRUST, "at_ms": FROM})
    assert verify_executor(document, **{**TRUST, "at_ms": UNTIL - 1})
    assert refused(document, at_ms=UNTIL) is Refusal.EXPIRED
    assert refused(document, at_ms=FROM - 1) is Refusal.NOT_YET_VALID
    assert refused(issued(created_ms=AT + 1)) is Refusal.NOT_YET_VALID
    with pytest.raises(MalformedError):
        issued(valid_until_ms=FROM)


def test_a_proof_that_expired_before_its_credential_is_expired() -> None:
    unsigned = {name: value for name, value in issued().items() if name != "proof"}
    assert refused(add_proof(unsigned, ISSUER, created_ms=FROM, expires_ms=AT)) is Refusal.EXPIRED


def test_the_issuer_must_be_trusted_and_have_signed() -> None:
    assert refused(issued(STRANGER)) is Refusal.ISSUER_NOT_TRUSTED
    assert refused(issued(), trusted_issuers=()) is Refusal.ISSUER_NOT_TRUSTED
    assert refused({**issued(STRANGER), "issuer": ISSUER_DID}) is Refusal.SIGNATURE
    unsigned = {name: value for name, value in issued().items() if name != "proof"}
    assert refused(add_proof(unsigned, STRANGER, created_ms=FROM)) is Refusal.SIGNATURE
    assert refused(add_proof(unsigned, ISSUER, created_ms=FROM, purpose="authentication")) is Refusal.SIGNATURE
    assert refused({**issued(), "validUntil": "2099-01-01T00:00:00Z"}) is Refusal.SIGNATURE
    assert refused(unsigned) is Refusal.MALFORMED


@pytest.mark.parametrize(
    "change",
    [
        lambda document: document.update(issuer={"id": ISSUER_DID}),
        lambda document: document.update(type=["VerifiableCredential", "NodeCredential"]),
        lambda document: document.update(type="TEEExecutorVC"),
        lambda document: document["@context"].append("https://other.example/v1"),
        lambda document: document["@context"].reverse(),
        lambda document: document.pop("@context"),
        lambda document: document.pop("validUntil"),
        lambda document: document.pop("validFrom"),
        lambda document: document.update(validFrom="yesterday"),
        lambda document: document.update(id=7),
        lambda document: document.update(termsOfUse={}),
        lambda document: document.update(credentialSubject=[document["credentialSubject"]]),
        lambda document: document["credentialSubject"].pop("id"),
        lambda document: document["credentialSubject"].update(id="tenant"),
        lambda document: document["credentialSubject"].update(dao="no dao"),
        lambda document: document["credentialSubject"].update(jurisdiction="deu"),
        lambda document: document["credentialSubject"].update(jurisdiction="XXX"),
        lambda document: document["credentialSubject"].update(clauseFamilies=[]),
        lambda document: document["credentialSubject"].update(clauseFamilies=["A::B::C@1.0.0"]),
        lambda document: document["credentialSubject"].update(clauseFamilies=["A::B::C", "A::B::C"]),
        lambda document: document["credentialSubject"].update(clauseFamilies="A::B::C"),
        lambda document: document["credentialSubject"].update(resourceClasses=["Flood"]),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes=0),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes="1"),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes="09007199254740992"),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes="18446744073709551616"),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes=True),
        lambda document: document["credentialSubject"].update(maximumMemoryBytes=1.5),
        lambda document: document["credentialSubject"].update(more=1),
        lambda document: document["credentialSubject"].update({"clause_families": ["A::B::C"]}),
    ],
)
def test_a_credential_of_another_shape_is_malformed_even_when_signed(
    change: Callable[[dict[str, Any]], object],
) -> None:
    assert verify_executor(resigned(lambda _: None), **TRUST).subject == SUBJECT
    assert refused(resigned(change)) is Refusal.MALFORMED


def test_memory_of_two_to_the_53_and_more_is_a_string() -> None:
    wide = SUBJECT.model_copy(update={"maximum_memory_bytes": 2**53})
    document = issue_executor(wide, ISSUER, valid_from_ms=FROM, valid_until_ms=UNTIL, created_ms=FROM)
    assert document["credentialSubject"]["maximumMemoryBytes"] == "9007199254740992"
    assert verify_executor(document, **TRUST).subject == wide


class Answering:
    """Answers every question about a status alike, and remembers them."""

    def __init__(self, reason: Refusal | None) -> None:
        self.reason = reason
        self.asked: list[Any] = []

    def check(self, entries: Iterable[StatusEntry], *, issuer: str, at_ms: int) -> None:
        self.asked += [(one.purpose, one.index, one.list_url, issuer, at_ms) for one in entries]
        if self.reason is not None:
            raise CredentialRefusedError(self.reason, "as the test wants it")


def test_a_status_that_nobody_can_check_denies() -> None:
    document = issued(status=STATUS)

    assert refused(document) is Refusal.STATUS_UNREACHABLE
    for reason in (Refusal.STATUS_UNREACHABLE, Refusal.REVOKED, Refusal.SUSPENDED):
        assert refused(document, status=Answering(reason)) is reason
    good = Answering(None)
    assert verify_executor(document, **TRUST, status=good).subject == SUBJECT
    assert good.asked == [("revocation", 94567, STATUS["statusListCredential"], ISSUER_DID, AT)]


@pytest.mark.parametrize("status", [{}, {**STATUS, "type": "StatusList2021Entry"}])
def test_a_status_of_another_kind_is_malformed(status: dict[str, str]) -> None:
    assert refused(issued(status=status), status=Answering(None)) is Refusal.MALFORMED


WORKLOAD: dict[str, Any] = {
    "tenant": TENANT,
    "dao": "ClimateDAO",
    "jurisdiction": "DEU",
    "clause_id": "UNFCCC::Flood::Alert@1.2.0",
    "resource_class": "Disaster::Flood@v1",
    "memory_bytes": 64 * 2**20,
}


def test_a_workload_inside_the_credential_passes() -> None:
    check_scope(verify_executor(issued(), **TRUST), **WORKLOAD)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tenant": ISSUER_DID}, Refusal.SUBJECT),
        ({"dao": "OtherDAO"}, Refusal.SUBJECT),
        ({"jurisdiction": "KEN"}, Refusal.SUBJECT),
        ({"clause_id": "UNFCCC::Flood::Alarm@1.2.0"}, Refusal.SCOPE),
        ({"resource_class": "Disaster::Flood@v2"}, Refusal.SCOPE),
        ({"memory_bytes": 64 * 2**20 + 1}, Refusal.SCOPE),
    ],
)
def test_a_workload_outside_the_credential_is_refused(change: dict[str, Any], reason: Refusal) -> None:
    claims = verify_executor(issued(), **TRUST)
    with pytest.raises(CredentialRefusedError) as error:
        check_scope(claims, **{**WORKLOAD, **change})
    assert error.value.reason is reason


def node_document(**changes: Any) -> dict[str, Any]:
    times = {"valid_from_ms": FROM, "valid_until_ms": UNTIL, "created_ms": FROM}
    return issue_node(NODE, ISSUER, **{**times, **changes})


def test_a_node_credential_verifies_to_its_claims() -> None:
    document = node_document()
    assert document["credentialSubject"]["countryOfOperation"] == "DEU"
    claims = verify_node(json.loads(json.dumps(document)), **TRUST, node=NODE.id)
    assert claims.subject == NODE
    assert claims.grant.digest == sha256_hex(canonical(document))


def test_a_node_credential_about_another_node_or_out_of_time_is_refused() -> None:
    cases: list[tuple[dict[str, Any], Refusal]] = [
        ({"node": "did:example:node-2"}, Refusal.SUBJECT),
        ({"at_ms": UNTIL}, Refusal.EXPIRED),
        ({"trusted_issuers": set()}, Refusal.ISSUER_NOT_TRUSTED),
    ]
    for changes, reason in cases:
        with pytest.raises(CredentialRefusedError) as error:
            verify_node(node_document(), **{**TRUST, **changes})
        assert error.value.reason is reason


@pytest.mark.parametrize(
    "change",
    [
        {"countryOfOperation": "EU"},
        {"countryOfOperation": "deu"},
        {"operator": ""},
        {"vendor": "a b"},
        {"platformIds": ["arm:00"]},
        {"platformIds": ["amd:aa", "amd:aa"]},
        {"memoryBytes": 1},
    ],
)
def test_a_node_credential_of_another_shape_is_malformed(change: dict[str, Any]) -> None:
    document = {name: value for name, value in node_document().items() if name != "proof"}
    document["credentialSubject"] = {**document["credentialSubject"], **change}
    with pytest.raises(CredentialRefusedError) as error:
        verify_node(add_proof(document, ISSUER, created_ms=FROM), **TRUST)
    assert error.value.reason is Refusal.MALFORMED


def test_one_type_of_credential_never_passes_as_the_other() -> None:
    with pytest.raises(CredentialRefusedError):
        verify_node(issued(), **TRUST)
    assert refused(node_document()) is Refusal.MALFORMED
    assert (executor.TYPE, node.TYPE) == ("TEEExecutorVC", "NodeCredential")
    assert verifiable.CONTEXT[1] == "https://enclave-ledger.example/ns/v1"
