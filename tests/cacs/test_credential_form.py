"""A CAC as a credential: of one shape, by the tenant's attestation key, and only that."""

import json
from typing import Any

import pytest

from domain.cacs.claims import Refusal
from domain.canonical import canonical
from infrastructure.cacs.credential import CONTEXT, make_credential
from infrastructure.cacs.verify import verify_cac
from infrastructure.credentials.data_integrity import add_proof, canonical_bytes
from infrastructure.keys import did_key, ed25519
from tests.cacs.conftest import Scene
from tests.cacs.forging import forged

STRANGER = ed25519.private_key(b"s" * 32)


def credential(scene: Scene) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(scene.forms["vc"])
    return made


def signed(scene: Scene, **changes: Any) -> bytes:
    """Return the credential with members changed, signed again by the tenant's attestation key."""
    unsigned = {name: value for name, value in credential(scene).items() if name != "proof"}
    key = scene.cell.ledger.keyring.get(scene.member.log_id).attestation_key()
    return canonical_bytes(add_proof({**unsigned, **changes}, key, created_ms=scene.cell.clock.now_ms()))


def test_it_is_a_vc_2_0_whose_proof_repeats_its_context(scene: Scene) -> None:
    made = credential(scene)
    assert made["@context"] == made["proof"]["@context"] == CONTEXT
    assert made["@context"][0] == "https://www.w3.org/ns/credentials/v2"
    assert made["type"] == ["VerifiableCredential", "ClauseAttestedComputeCredential"]
    assert made["issuer"] == did_key.did_key(scene.tenant_key)
    assert made["id"].startswith("urn:uuid:")
    assert made["validFrom"].endswith("Z")
    assert made["credentialSubject"]["cac"] == scene.real
    proof = made["proof"]
    assert (proof["type"], proof["cryptosuite"], proof["proofPurpose"]) == (
        "DataIntegrityProof", "eddsa-jcs-2022", "assertionMethod",
    )  # fmt: skip
    assert proof["verificationMethod"] == f"{made['issuer']}#{made['issuer'].removeprefix('did:key:')}"


@pytest.mark.parametrize(
    "changes",
    [
        {"type": ["VerifiableCredential"]}, {"type": ["VerifiableCredential", "TEEExecutorVC"]},
        {"@context": CONTEXT[:1]}, {"@context": [*CONTEXT, "https://more.example"]}, {"id": "urn:uuid:0"},
        {"validFrom": "yesterday"}, {"credentialSubject": {}}, {"credentialSubject": []},
        {"credentialSubject": {"id": "urn:x", "cac": {}}}, {"more": 1}, {"validUntil": "2040-01-01T00:00:00Z"},
        {"credentialStatus": {}},
    ],
    ids=str,
)  # fmt: skip
def test_another_shape_is_malformed_though_the_tenant_signed_it(scene: Scene, changes: dict[str, Any]) -> None:
    assert verify_cac(signed(scene, **changes)).reason is Refusal.MALFORMED


def test_a_credential_of_another_issuer_is_refused(scene: Scene) -> None:
    theirs = scene.cell.ledger.keyring.get(scene.other.log_id).attestation_key()
    made = canonical_bytes(make_credential(scene.real, theirs, issued_at_ms=0, created_ms=0))
    assert verify_cac(made).reason is Refusal.CERTIFICATE  # whose key did not certify the enclave
    assert verify_cac(made, tenant_key=scene.tenant_key).reason is Refusal.ISSUER
    assert verify_cac(made, bundle=scene.bundle("all")).reason is not None


def test_issuer_and_key_of_the_proof_are_one(scene: Scene) -> None:
    unsigned = {name: value for name, value in credential(scene).items() if name != "proof"}
    made = canonical_bytes(add_proof(unsigned, STRANGER, created_ms=0))
    assert verify_cac(made).reason is Refusal.CREDENTIAL
    assert verify_cac(signed(scene, issuer="did:web:x.example")).reason is Refusal.CREDENTIAL


@pytest.mark.parametrize("name", ["domain", "challenge"])
def test_a_proof_for_something_else_is_refused(scene: Scene, name: str) -> None:
    unsigned = {key: value for key, value in credential(scene).items() if key != "proof"}
    key = scene.cell.ledger.keyring.get(scene.member.log_id).attestation_key()
    made = add_proof(unsigned, key, created_ms=0, domain="x" if name == "domain" else None,
                     challenge="x" if name == "challenge" else None)  # fmt: skip
    assert verify_cac(canonical_bytes(made)).reason is Refusal.CREDENTIAL


def test_the_cac_in_it_is_checked_as_any_other(scene: Scene) -> None:
    key = scene.cell.ledger.keyring.get(scene.member.log_id).attestation_key()
    for cac, expected in (
        (forged(scene, {"node": "elsewhere"}, bind=False), Refusal.BINDING),
        (forged(scene, {}, key=STRANGER), Refusal.PROOF),
        (forged(scene, {"attempt": 2}), Refusal.TENANT),
    ):
        made = canonical_bytes(make_credential(cac, key, issued_at_ms=0, created_ms=0))
        assert verify_cac(made).reason is expected


def test_before_it_was_valid_or_signed_it_is_refused(scene: Scene) -> None:
    assert verify_cac(scene.forms["vc"], at_ms=0).reason is Refusal.TIME
    assert verify_cac(signed(scene, validFrom="2040-01-01T00:00:00Z"), at_ms=scene.cell.clock.now_ms()).reason is (
        Refusal.TIME
    )
    assert verify_cac(scene.forms["vc"], at_ms=scene.cell.clock.now_ms()).ok
    assert canonical(credential(scene)) == scene.forms["vc"]
