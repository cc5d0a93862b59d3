"""Attestation results as signed EAR: one shape, whoever reads it."""

import base64
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey

from domain.attestation.appraiser import appraise, rejected
from domain.attestation.claims import EvidenceClass
from domain.attestation.refusal import Refusal
from domain.attestation.trust_vector import Tier
from domain.canonical import canonical
from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.attestation.ear import PROFILE, EarSigner, verify_ear
from infrastructure.keys import base64url, ed25519
from infrastructure.keys.thumbprint import jwk, thumbprint
from tests.attestation.scene import AT_S, REPORT_DATA, Snp

KEY = ed25519.private_key(b"v" * 32)
PUBLIC = ed25519.public_bytes(KEY)
KEYS = {thumbprint(PUBLIC): PUBLIC}


@pytest.fixture(scope="session")
def token(snp: Snp) -> str:
    claims = snp.claims(snp.good)
    return EarSigner(KEY, "0.3").sign(appraise(claims, nonce=REPORT_DATA), claims, issued_at_s=AT_S, nonce=REPORT_DATA)


def forged(token: str, change: Any) -> str:
    """Return the token with a changed payload, signed again by the right key."""
    header, payload, _ = token.split(".")
    members = json.loads(base64url.decode(payload))
    change(members)
    signing_input = f"{header}.{base64url.encode(canonical(members))}"
    return f"{signing_input}.{base64url.encode(KEY.sign(signing_input.encode()))}"


def appraisal(members: dict[str, Any]) -> dict[str, Any]:
    (one,) = members["submods"].values()
    assert isinstance(one, dict)
    return one


def test_what_is_signed_is_what_was_appraised(token: str, snp: Snp) -> None:
    ear = verify_ear(token, KEYS)
    claims = snp.claims(snp.good)
    assert (ear.status, ear.evidence_class, ear.platform_id) == (
        Tier.AFFIRMING,
        EvidenceClass.SYNTHETIC,
        claims.platform_id,
    )
    assert (ear.submodule, ear.issued_at_s, ear.nonce) == ("sev-snp-report", AT_S, REPORT_DATA)
    assert (ear.evidence_key, ear.root, ear.trust_vector.hardware) == (claims.evidence_key, claims.root, 2)


def test_another_implementation_verifies_it_and_finds_the_drafts_members(token: str) -> None:
    key = OKPKey.import_key(dict(jwk(PUBLIC)))
    read = jws.deserialize_compact(token, key, algorithms=["Ed25519"])
    payload = json.loads(read.payload)
    assert payload["eat_profile"] == PROFILE == "tag:ietf.org,2026:rats/ear#03"
    assert payload["ear_verifier_id"].keys() == {"developer", "build"}
    assert base64.urlsafe_b64decode(payload["eat_nonce"] + "==") == REPORT_DATA
    (one,) = payload["submods"].values()
    assert one["ear_status"] == "affirming"
    assert one["ear_trustworthiness_vector"] == {"hardware": 2}


def test_a_rejection_is_contraindicated_and_names_nothing() -> None:
    result = rejected(Refusal.SIGNATURE, "signature: no")
    ear = verify_ear(EarSigner(KEY, "0.3").sign(result, None, issued_at_s=AT_S, nonce=b"short"), KEYS)
    assert (ear.status, ear.evidence_class, ear.platform_id, ear.evidence_key) == (
        Tier.CONTRAINDICATED,
        None,
        None,
        None,
    )
    assert ear.nonce is None
    assert ear.trust_vector.hardware == 99


def test_another_key_or_any_turned_bit_is_refused(token: str) -> None:
    with pytest.raises(NotAuthorisedError):
        verify_ear(token, {})
    for at in range(0, len(token), 7):
        turned = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises((MalformedError, NotAuthorisedError)):
            verify_ear(turned, KEYS)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(eat_profile="tag:ietf.org,2026:rats/ear#04"),
        lambda one: one.update(exp=1),
        lambda one: one.pop("iat"),
        lambda one: one.update(iat="1"),
        lambda one: one.update(submods={}),
        lambda one: one.update(submods={**one["submods"], "other": {}}),
        lambda one: one.update(eat_nonce=7),
        lambda one: appraisal(one).update(ear_status="rejected"),
        lambda one: appraisal(one).update(ear_status="none"),
        lambda one: appraisal(one).update(ear_trustworthiness_vector={"hardware": 96}),
        lambda one: appraisal(one).update(ear_trustworthiness_vector={"hardware": "2"}),
        lambda one: appraisal(one).update(ear_trustworthiness_vector={"luck": 2}),
        lambda one: appraisal(one).update(ear_trustworthiness_vector=[2]),
        lambda one: appraisal(one).update(ledger_evidence_class="genuine"),
        lambda one: appraisal(one).update(ledger_platform_id=7),
        lambda one: appraisal(one).pop("ledger_not_appraised"),
        lambda one: appraisal(one).update(unknown=1),
    ],
)
def test_another_shape_is_refused_even_under_the_right_key(token: str, change: Any) -> None:
    with pytest.raises(MalformedError):
        verify_ear(forged(token, change), KEYS)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "kid": thumbprint(PUBLIC), "typ": "eat+jwt"},
        {"alg": "EdDSA", "kid": thumbprint(PUBLIC), "typ": "eat+jwt"},
        {"alg": "Ed25519", "kid": thumbprint(PUBLIC), "typ": "JWT"},
        {"alg": "Ed25519", "kid": thumbprint(PUBLIC)},
        {"alg": "Ed25519", "crit": ["x"], "kid": thumbprint(PUBLIC), "typ": "eat+jwt"},
    ],
)
def test_another_header_is_refused(token: str, header: dict[str, Any]) -> None:
    signing_input = f"{base64url.encode(canonical(header))}.{token.split('.')[1]}"
    with pytest.raises(MalformedError):
        verify_ear(f"{signing_input}.{base64url.encode(KEY.sign(signing_input.encode()))}", KEYS)


def test_what_is_no_token_or_too_long_is_refused(token: str) -> None:
    for bad in ("", "a.b", token + ".x", "x" * 20_000, token + "A" * 20_000):
        with pytest.raises(MalformedError):
            verify_ear(bad, KEYS)
