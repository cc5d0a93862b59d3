"""A CAC that does not stand by itself is refused with its reason, whoever signed it."""

import json
from typing import Any

import pytest

from domain.cacs.claims import Refusal
from domain.canonical import canonical
from infrastructure.cacs.verify import verify_cac
from infrastructure.keys import ed25519
from infrastructure.statements import jws
from tests.cacs.conftest import Scene
from tests.cacs.forging import changed, forged

HEX = "0" * 64
OTHER_ID = "0x018bcfe5680073dc8f1408ffbd65309b"
MEMBERS = (
    "attempt", "cac_id", "cac_key", "certificate", "clause_id", "engine", "evidence_class", "evidence_digest",
    "evidence_entry", "execution_id", "hardware", "host", "hpke_kem_id", "hpke_key_digest", "input_commitments",
    "limits", "measurement", "module_digest", "node", "nonce", "outcome", "output_address", "outputs", "policy",
    "proof", "release_entry", "released_by", "report_data", "scope", "submission_digest", "tenant_info", "type",
    "version", "window", "workload",
)  # fmt: skip


def reason(document: dict[str, Any] | bytes, **options: Any) -> Refusal | None:
    verdict = verify_cac(document if isinstance(document, bytes) else canonical(document), **options)
    assert verdict.ok is (verdict.reason is None)
    assert (verdict.trust == "not verified") is (verdict.reason is not None)
    return verdict.reason


def test_what_is_changed_in_nothing_stands(scene: Scene) -> None:
    assert set(scene.own) == set(MEMBERS)
    assert reason(forged(scene, {})) is None
    assert reason(forged(scene, {}), tenant_key=scene.tenant_key) is None


@pytest.mark.parametrize("name", MEMBERS)
def test_a_missing_member_is_malformed(scene: Scene, name: str) -> None:
    assert reason({key: value for key, value in scene.own.items() if key != name}) is Refusal.MALFORMED


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("value", [None, 1.5, True, [], {}, "", -1, ["x"], {"x": 1}, "x" * 70_000, 2**53])
def test_a_member_of_another_form_is_refused(scene: Scene, name: str, value: Any) -> None:
    assert reason(str_json({**scene.own, name: value})) is not None


@pytest.mark.parametrize("name", MEMBERS)
def test_a_member_that_was_changed_after_the_signature_is_refused(scene: Scene, name: str) -> None:
    value = scene.real[name] if scene.real[name] != scene.own[name] else near(scene.own[name])
    assert reason(str_json({**scene.own, name: value})) is not None


@pytest.mark.parametrize("where", ["", "tenant_info", "policy", "limits", "window", "outputs"])
def test_an_unknown_member_is_malformed(scene: Scene, where: str) -> None:
    if where == "outputs":
        (output,) = scene.own["outputs"]
        made: dict[str, Any] = {**scene.own, "outputs": [{**output, "more": 1}]}
    else:
        made = changed(scene.own, {f"{where}.more" if where else "more": 1})
    assert reason(made) is Refusal.MALFORMED


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"clause_id": "UNDRR::Disaster::Flood@0.9.0"}, Refusal.DRAFT),
        ({"scope": "ledger.example/t/999"}, Refusal.TENANT),
        ({"scope": "ledger.example/t/0", "output_address": "ledger.example/t/0/cac/x"}, Refusal.TENANT),
        ({"scope": "other.example/t/5"}, Refusal.TENANT),
        ({"scope": "ledger.example/t/007"}, Refusal.TENANT),
        ({"host": "other.example"}, Refusal.TENANT),
        ({"host": "Not A Host"}, Refusal.MALFORMED),
        ({"output_address": "ledger.example/t/5/cac/cac-0x00"}, Refusal.TENANT),
        ({"tenant_info.workload_id": f"exec-{OTHER_ID}"}, Refusal.TENANT),
        ({"execution_id": f"exec-{OTHER_ID}", "tenant_info.workload_id": f"exec-{OTHER_ID}"}, Refusal.TENANT),
        ({"workload": f"wl-{OTHER_ID}"}, Refusal.TENANT),
        ({"attempt": 2}, Refusal.TENANT),
        ({"attempt": 0}, Refusal.MALFORMED),
        ({"cac_id": f"cac-{OTHER_ID}"}, Refusal.TENANT),
        ({"cac_id": f"wl-{OTHER_ID}"}, Refusal.MALFORMED),
        ({"cac_id": "cac-0x1"}, Refusal.MALFORMED),
        ({"window.until_ms": 0}, Refusal.MALFORMED),
        ({"tenant_info.jurisdiction": "deu"}, Refusal.MALFORMED),
        ({"tenant_info.jurisdiction": "XXX"}, Refusal.MALFORMED),
        ({"evidence_class": "hardware"}, Refusal.MALFORMED),
        ({"outcome": "MAYBE"}, Refusal.MALFORMED),
        ({"version": 2}, Refusal.MALFORMED),
        ({"type": "Other"}, Refusal.MALFORMED),
        ({"released_by": "nobody"}, Refusal.MALFORMED),
        ({"outputs": []}, Refusal.MALFORMED),
        ({"input_commitments": [HEX.upper().replace("0", "A")]}, Refusal.MALFORMED),
    ],
)  # fmt: skip
def test_blocks_that_disagree_are_refused_though_the_enclave_signed_them(
    scene: Scene, changes: dict[str, Any], expected: Refusal
) -> None:
    try:
        made = forged(scene, changes)
    except Exception:  # noqa: BLE001 - what can't be bound is sent as it is
        made = forged(scene, changes, bind=False)
    assert reason(str_json(made)) is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"report_data": "0" * 128}, {"node": "beta2"}, {"nonce": HEX}, {"module_digest": HEX}, {"limits.fuel": 1},
        {"limits.memory_bytes": 65_536}, {"limits.wall_ms": 1}, {"policy.digest": HEX}, {"submission_digest": HEX},
        {"hpke_kem_id": 1}, {"hpke_key_digest": HEX}, {"cac_key": "1" * 64},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_every_part_of_the_binding_is_recomputed(scene: Scene, changes: dict[str, Any]) -> None:
    assert reason(forged(scene, changes, bind=False)) is Refusal.BINDING


def test_the_proof_is_the_enclaves_for_this_log_and_nonce(scene: Scene) -> None:
    stranger = ed25519.private_key(b"s" * 32)
    assert reason(forged(scene, {}, key=stranger)) is Refusal.PROOF
    assert reason(forged(scene, {}, domain="ledger.example/t/999")) is Refusal.PROOF
    assert reason(forged(scene, {}, domain=None)) is Refusal.PROOF
    assert reason(forged(scene, {}, challenge=HEX)) is Refusal.PROOF
    assert reason(forged(scene, {}, challenge=None)) is Refusal.PROOF
    assert reason(forged(scene, {}, purpose="authentication")) is Refusal.PROOF
    good = forged(scene, {})
    for name, value in {"cryptosuite": "ecdsa-jcs-2019", "type": "Other", "@context": "x", "more": "x"}.items():
        assert reason(str_json({**good, "proof": {**good["proof"], name: value}})) is Refusal.PROOF
    assert reason(str_json({**good, "proof": [good["proof"]]})) is Refusal.MALFORMED


def test_the_certificate_is_of_this_enclave_for_this_log(scene: Scene) -> None:
    tenant = scene.cell.ledger.keyring.get(scene.member.log_id).attestation_key()
    said = jws.peek(scene.own["certificate"])[1]
    for change in (
        {"aud": "ledger.example/t/999"}, {"execution": f"exec-{OTHER_ID}"}, {"cac_key": HEX},
        {"report_data": "0" * 128}, {"evidence_digest": HEX}, {"act": "certify_receipts"}, {"more": 1},
    ):  # fmt: skip
        token = jws.sign(jws.ENDORSEMENT, tenant, {**said, **change})
        assert reason(forged(scene, {"certificate": token}, certify=False)) is Refusal.CERTIFICATE, change
    other = jws.sign(jws.GOVERNANCE, tenant, said)
    assert reason(forged(scene, {"certificate": other}, certify=False)) is Refusal.CERTIFICATE
    assert reason(forged(scene, {"certificate": "x.y.z"}, certify=False)) is Refusal.CERTIFICATE


def test_a_key_that_another_daos_key_certified_is_refused_where_the_tenants_key_is_known(scene: Scene) -> None:
    theirs = scene.cell.ledger.keyring.get(scene.other.log_id).attestation_key()
    made = forged(scene, {}, certify=theirs)
    assert reason(made, tenant_key=scene.tenant_key) is Refusal.CERTIFICATE
    assert reason(made, bundle=scene.bundle("all")) is Refusal.CERTIFICATE
    unknown = verify_cac(canonical(made))
    assert unknown.ok
    assert any("certificate's signature" in text for text in unknown.not_checked)


def test_before_it_was_made_there_is_none(scene: Scene) -> None:
    assert reason(scene.own, at_ms=scene.instants["before"]) is Refusal.TIME
    assert reason(scene.own, at_ms=scene.instants["done"]) is None
    late = forged(scene, {}, created_ms=0)
    assert reason(late, at_ms=1) is Refusal.TIME  # the certificate is later


def near(value: Any) -> Any:
    """Return a value of the same form that is another one."""
    if isinstance(value, dict):
        return {**value, next(iter(value)): near(next(iter(value.values())))}
    if isinstance(value, list):
        return [near(value[0]), *value[1:]]
    if isinstance(value, int):
        return value + 1
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def str_json(value: Any) -> bytes:
    """Return JSON of any value, also of those that have no canonical form here."""
    return json.dumps(value).encode()
