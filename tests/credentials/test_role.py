"""Role credentials: governance, auditors, dispute resolvers."""

from typing import Any

import pytest
from pydantic import ValidationError

from infrastructure.credentials.data_integrity import add_proof
from infrastructure.credentials.node import verify_node
from infrastructure.credentials.refusal import CredentialRefusedError, Refusal
from infrastructure.credentials.role import Role, RoleSubject, check_role, issue_role, verify_role
from infrastructure.credentials.status_entry import entry_document
from infrastructure.keys import did_key, ed25519
from tests.credentials.test_executor_and_node import AT, FROM, ISSUER, ISSUER_DID, TENANT, TRUST, UNTIL, Answering

TIMES: dict[str, Any] = {"valid_from_ms": FROM, "valid_until_ms": UNTIL, "created_ms": FROM}
AUDITOR = RoleSubject(id=TENANT, role="auditor", jurisdiction="DEU", daos=("ClimateDAO",))
RESOLVER = RoleSubject(id=TENANT, role="dispute_resolver", jurisdiction="DEU")
ACT: dict[str, Any] = {"person": TENANT, "dao": "ClimateDAO", "jurisdiction": "DEU"}


def refused(document: dict[str, Any], **changes: Any) -> Refusal:
    with pytest.raises(CredentialRefusedError) as error:
        verify_role(document, **{**TRUST, **changes})
    return error.value.reason


@pytest.mark.parametrize("role", ["governance", "auditor", "dispute_resolver"])
def test_each_role_is_issued_and_verified(role: Role) -> None:
    of = RoleSubject(id=TENANT, role=role, jurisdiction="DEU", daos=("ClimateDAO",))
    document = issue_role(of, ISSUER, **TIMES)
    assert document["type"] == ["VerifiableCredential", "LedgerRoleCredential"]
    claims = verify_role(document, **TRUST)
    assert claims.subject == of
    check_role(claims, role=role, **ACT)
    for other in {"governance", "auditor", "dispute_resolver"} - {role}:
        with pytest.raises(CredentialRefusedError):
            check_role(claims, role=other, **ACT)  # type: ignore[arg-type]


def test_a_role_is_for_one_person_jurisdiction_and_its_daos() -> None:
    auditor, resolver = (verify_role(issue_role(of, ISSUER, **TIMES), **TRUST) for of in (AUDITOR, RESOLVER))
    check_role(resolver, role="dispute_resolver", **{**ACT, "dao": "AnyDAO"})
    cases: list[tuple[dict[str, Any], Refusal]] = [
        ({"person": ISSUER_DID}, Refusal.SUBJECT),
        ({"dao": "OtherDAO"}, Refusal.SCOPE),
        ({"jurisdiction": "FRA"}, Refusal.SCOPE),
    ]
    for change, reason in cases:
        with pytest.raises(CredentialRefusedError) as error:
            check_role(auditor, role="auditor", **{**ACT, **change})
        assert error.value.reason is reason


def test_a_role_ends_and_can_be_withdrawn() -> None:
    document = issue_role(AUDITOR, ISSUER, **TIMES, status=[entry_document("https://x.example/r", "revocation", 1)])
    assert verify_role(document, **TRUST, status=Answering(None))
    assert refused(document, status=Answering(Refusal.REVOKED)) is Refusal.REVOKED
    assert refused(document) is Refusal.STATUS_UNREACHABLE
    assert refused(document, at_ms=UNTIL) is Refusal.EXPIRED
    assert refused(document, trusted_issuers=()) is Refusal.ISSUER_NOT_TRUSTED


@pytest.mark.parametrize(
    "change",
    [{"role": "admin"}, {"daos": []}, {"daos": ["A", "A"]}, {"role": "governance", "daos": None}, {"jurisdiction": "x"},
     {"more": 1}, {"id": "me"}],
)  # fmt: skip
def test_a_role_of_another_shape_is_malformed(change: dict[str, Any]) -> None:
    document = {name: value for name, value in issue_role(AUDITOR, ISSUER, **TIMES).items() if name != "proof"}
    document["credentialSubject"] = {**document["credentialSubject"], **change}
    assert refused(add_proof(document, ISSUER, created_ms=FROM)) is Refusal.MALFORMED


def test_a_role_passes_as_no_other_kind_and_has_no_parent() -> None:
    document = issue_role(AUDITOR, ISSUER, **TIMES)
    with pytest.raises(CredentialRefusedError):
        verify_node(document, **TRUST)
    unsigned = {name: value for name, value in document.items() if name != "proof"}
    assert refused(add_proof({**unsigned, "parentCredential": document}, ISSUER, created_ms=FROM)) is Refusal.MALFORMED
    with pytest.raises(ValidationError):
        RoleSubject(id=did_key.did_key(ed25519.public_bytes(ISSUER)), role="governance", jurisdiction="DEU")
    assert AT
