"""A CAC that stands by itself, and that its log contradicts, is refused with what the log says otherwise."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from domain.cacs.claims import CacRefusedError, Refusal, read_claims
from domain.canonical import canonical
from domain.tenants.events import KeyDisclosed
from infrastructure.audit.export import log_signer
from infrastructure.cacs.against_log import registered_key
from infrastructure.cacs.trail import Found, Trail
from infrastructure.cacs.verify import Verdict, verify_cac
from tests.cacs.conftest import FORMS, Scene
from tests.cacs.forging import changed, forged
from tests.commands.driver import Driver

HEX = "0" * 64


def held(scene: Scene, document: dict[str, Any], bundle: str = "all", **options: Any) -> Verdict:
    return verify_cac(canonical(document), bundle=scene.bundle(bundle), **options)


def test_every_cac_that_the_log_issued_stands(scene: Scene) -> None:
    for document in (scene.real, scene.own, *scene.agreed):
        verdict = held(scene, document)
        assert (verdict.error, verdict.issued) == (None, True)
        assert any("as in force" in text for text in verdict.checked)
        assert any("nonce issued and used once" in text for text in verdict.checked)
    assert any("quorum of 2 enclaves was reached" in text for text in held(scene, scene.agreed[0]).checked)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"evidence_entry": HEX}, Refusal.EVIDENCE),
        ({"evidence_digest": HEX}, Refusal.EVIDENCE),
        ({"evidence_class": "vendor"}, Refusal.EVIDENCE),
        ({"engine": "other"}, Refusal.EVIDENCE),
        ({"measurement": HEX}, Refusal.EVIDENCE),
        ({"hpke_key_digest": HEX}, Refusal.EVIDENCE),
        ({"hpke_kem_id": 1}, Refusal.EVIDENCE),
        ({"release_entry": HEX}, Refusal.RELEASE),
        ({"released_by": "custody: tenant"}, Refusal.RELEASE),
        ({"submission_digest": HEX}, Refusal.SUBMISSION),
        ({"input_commitments": [HEX, HEX]}, Refusal.SUBMISSION),
        ({"input_commitments": []}, Refusal.SUBMISSION),
        ({"policy.version": 7}, Refusal.POLICY),
        ({"policy.digest": HEX}, Refusal.POLICY),
        ({"nonce": HEX}, Refusal.NONCE),
        ({"node": "gamma2"}, Refusal.DIFFERS),
        ({"module_digest": HEX}, Refusal.DIFFERS),
        ({"clause_id": "UNDRR::Disaster::Other@1.0.0"}, Refusal.DIFFERS),
        ({"limits.fuel": 1}, Refusal.DIFFERS),
        ({"window.from_ms": 1}, Refusal.DIFFERS),
        ({"outcome": "TRIGGER"}, Refusal.DIFFERS),
        ({"outputs": [{"commitment": HEX, "size_bytes": 2}]}, Refusal.DIFFERS),
        ({"tenant_info.dao": "VictimDAO"}, Refusal.TENANT),
        ({"tenant_info.jurisdiction": "KEN"}, Refusal.TENANT),
        ({"hardware": "vendor"}, Refusal.EVIDENCE),
        ({"tenant_info.resource_class": "Disaster::Other@v1"}, Refusal.DIFFERS),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_what_differs_from_the_entries_is_refused_by_its_name(
    scene: Scene, changes: dict[str, Any], expected: Refusal
) -> None:
    made = forged(scene, changes)
    assert verify_cac(canonical(made)).ok  # by itself nobody could tell
    verdict = held(scene, made)
    assert (verdict.reason, verdict.ok) == (expected, False), verdict.error
    if expected not in {Refusal.DIFFERS, Refusal.TENANT}:  # the CAC's own entry is not needed for it
        assert held(scene, made, "parts").reason is expected


def test_a_log_that_is_no_tenants_has_no_cac(scene: Scene) -> None:
    first = Found(0, 0, scene.cell.ledger.platform().log_id, KeyDisclosed(
        streams=1, streams_digest=HEX, everything=False, recipient="x"), HEX)  # fmt: skip
    with pytest.raises(CacRefusedError, match="no tenant's"):
        registered_key(Trail([first]), read_claims(scene.own))
    assert registered_key(Trail([first._replace(leaf_index=1)]), read_claims(scene.own)) is None


def test_entries_that_are_named_for_each_other_are_refused(scene: Scene) -> None:
    swapped = {"evidence_entry": scene.own["release_entry"], "release_entry": scene.own["evidence_entry"]}
    assert held(scene, forged(scene, swapped)).reason is Refusal.EVIDENCE
    twice = {"release_entry": scene.own["evidence_entry"]}
    assert held(scene, forged(scene, twice)).reason is Refusal.RELEASE
    theirs = {"evidence_entry": scene.real["evidence_entry"]}
    assert held(scene, forged(scene, theirs)).reason is Refusal.EVIDENCE


def test_another_cac_of_the_same_execution_is_a_replay(scene: Scene) -> None:
    other = "cac-0x018bcfe5680073dc8f1408ffbd65309b"
    made = forged(scene, {"cac_id": other, "output_address": f"{scene.own['scope']}/cac/{other}"})
    assert held(scene, made).reason is Refusal.REPLAY


def test_a_rejected_cac_is_refused_though_nothing_else_is_wrong_with_it(scene: Scene) -> None:
    assert verify_cac(canonical(scene.rejected)).ok
    assert held(scene, scene.rejected).reason is Refusal.REJECTED


def test_enclaves_that_did_not_agree_have_no_result(scene: Scene) -> None:
    for document in scene.diverged:
        verdict = held(scene, document)
        assert (verdict.reason, verdict.error) == (Refusal.QUORUM, "the attempt's enclaves did not agree: divergence")


def test_as_of_an_instant_only_what_was_there_counts(scene: Scene) -> None:
    assert held(scene, scene.agreed[0], at_ms=scene.instants["half"]).reason is Refusal.QUORUM
    assert held(scene, scene.agreed[0], at_ms=scene.instants["half"] + 60_000).ok
    # signed and reported, and issued a second later
    created = scene.instants["done"] - 1_000
    assert held(scene, scene.own, at_ms=created).reason in {Refusal.NOT_ISSUED, Refusal.TIME}
    assert held(scene, scene.own, at_ms=scene.instants["done"]).ok


def test_a_cac_that_no_log_issued_is_refused_by_the_log_that_it_names(scene: Scene) -> None:
    """The enclave of an execution that has not come to its gate could show what it signed."""
    (execution,) = scene.cell.place(scene.other)
    node = Driver(scene.cell, execution)
    node.evidence()
    node.started()
    document = node.signed(node.document())
    node.faulted()
    node.reset()
    scene.exported("unissued", "all", scene.other)
    assert held(scene, document, "unissued").reason is Refusal.NOT_ISSUED


@pytest.mark.parametrize("form", FORMS)
def test_another_tenants_bundle_a_damaged_one_and_none_are_refused(scene: Scene, tmp_path: Path, form: Any) -> None:
    def reason(name: str, *keys: str) -> Refusal | None:
        return verify_cac(scene.forms[form], bundle=scene.bundle(name, *keys)).reason

    assert reason("another") is Refusal.BUNDLE
    assert reason("nowhere") is Refusal.BUNDLE
    damaged = scene.folder / f"damaged-{form}"
    shutil.copytree(scene.folder / "all", damaged)
    (tile,) = (damaged / "tile/0").glob("000.p/*")
    tile.write_bytes(bytes(32) + tile.read_bytes()[32:])
    assert reason(damaged.name) is Refusal.BUNDLE


def test_a_log_key_of_somebody_else_authenticates_nothing(scene: Scene) -> None:
    theirs = str(log_signer(scene.cell.ledger, scene.other.log_id).verifier_keys()[0])
    verdict = verify_cac(scene.forms["json"], bundle=scene.bundle("all", theirs))
    assert not verdict.ok or verdict.trust.startswith("self-consistent")


@pytest.mark.parametrize(("form", "issued"), [("json", False), ("vc", False), ("scitt", True)])
def test_without_keys_only_the_receipt_shows_the_issuing_entry(scene: Scene, form: Any, issued: bool) -> None:
    verdict = verify_cac(scene.forms[form], bundle=scene.bundle("sealed", scene.vkey))
    assert (verdict.ok, verdict.issued, verdict.trust) == (True, issued, "verified")
    left = [text for text in verdict.not_checked if "disclosed" in text]
    assert len(left) >= 6
    assert any("appraisal (entry" in text for text in left)


def test_with_the_workloads_stream_alone_the_submission_is_still_held_against(scene: Scene) -> None:
    assert held(scene, scene.own, "workload").issued is False
    assert held(scene, forged(scene, {"submission_digest": HEX}), "workload").reason is Refusal.SUBMISSION


def test_a_document_changed_after_it_was_signed_never_gets_as_far_as_the_log(scene: Scene) -> None:
    asked: list[bool] = []
    bundle = scene.bundle("all")
    counting = type(bundle)(bundle.directory, lambda: asked.append(True) or bundle.verify())  # type: ignore[func-returns-value]
    verdict = verify_cac(canonical(changed(scene.own, {"outcome": "TRIGGER"})), bundle=counting)
    assert (verdict.reason, asked) == (Refusal.PROOF, [])
