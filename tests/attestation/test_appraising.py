"""Evidence appraised for a ledger: one signed answer, and no way back to older collateral."""

from pathlib import Path

import pytest

from domain.attestation.appraiser import AppraisalPolicy, ReferenceValues
from domain.attestation.claims import EvidenceClass
from domain.attestation.trust_vector import Tier
from infrastructure.attestation.appraising import Appraised, EvidenceAppraiser
from infrastructure.attestation.collateral_cache import FileCache
from infrastructure.attestation.ear import EarSigner, verify_ear
from infrastructure.attestation.endorsements import Endorsements, sort_endorsements
from infrastructure.attestation.highest import HighestNumbers
from infrastructure.keys import ed25519
from infrastructure.keys.thumbprint import thumbprint
from tests.attestation.scene import AT_S, ISSUED_S, MEASUREMENT, REPORT_DATA, Intel

KEY = ed25519.private_key(b"a" * 32)
PUBLIC = ed25519.public_bytes(KEY)
REFERENCE = ReferenceValues(
    measurements=frozenset({MEASUREMENT[:32].hex()}), platform_ids=frozenset({"intel:" + "69" * 16})
)


@pytest.fixture
def appraiser(tmp_path: Path, intel: Intel) -> EvidenceAppraiser:
    return EvidenceAppraiser(intel.roots, FileCache(tmp_path), HighestNumbers(tmp_path), EarSigner(KEY, "0.3"))


def answer(
    appraiser: EvidenceAppraiser, intel: Intel, raw: bytes, given: Endorsements | None, *, at_s: int = AT_S,
    report_data: bytes = REPORT_DATA,
) -> Appraised:  # fmt: skip
    assert intel.roots.intel is not None
    policy = AppraisalPolicy(policy_id="sha256:00", roots=frozenset({intel.roots.intel.spki_sha256}))
    return appraiser.appraise(
        raw, given, at_s, report_data=report_data, reference=REFERENCE, policy=policy, nonce=b"n" * 32
    )


def test_the_answer_is_signed_and_says_on_what_it_rests(appraiser: EvidenceAppraiser, intel: Intel) -> None:
    given = sort_endorsements([intel.collateral("SGX")])
    good = answer(appraiser, intel, intel.sgx, given)
    ear = verify_ear(good.ear, {thumbprint(PUBLIC): PUBLIC})
    assert (ear.status, ear.evidence_class, ear.nonce) == (Tier.AFFIRMING, EvidenceClass.SYNTHETIC, b"n" * 32)
    assert ear.trust_vector.members() == {"executables": 2, "hardware": 2, "instance-identity": 2}
    assert ear.not_appraised == ()
    assert ear.policy_ids == ("sha256:00",)


def test_another_binding_machine_or_module_is_contraindicated(appraiser: EvidenceAppraiser, intel: Intel) -> None:
    given = sort_endorsements([intel.collateral("SGX")])
    relayed = intel.authority.machine(b"p" * 16, instance=b"j" * 16)
    for raw, report_data in (
        (intel.sgx, b"s" * 64),
        (relayed.sgx_quote(REPORT_DATA, mr_enclave=MEASUREMENT[:32]), REPORT_DATA),
        (intel.machine.sgx_quote(REPORT_DATA), REPORT_DATA),
    ):
        assert answer(appraiser, intel, raw, given, report_data=report_data).result.status is Tier.CONTRAINDICATED


def test_an_instant_set_back_to_older_collateral_is_rejected(appraiser: EvidenceAppraiser, intel: Intel) -> None:
    newer = sort_endorsements([intel.collateral("SGX", ISSUED_S + 60, evaluation=18, crl_number=2, status="OutOfDate")])
    older = sort_endorsements([intel.collateral("SGX", ISSUED_S, evaluation=17, crl_number=1)])
    assert answer(appraiser, intel, intel.sgx, older, at_s=ISSUED_S + 30).result.status is Tier.AFFIRMING
    assert answer(appraiser, intel, intel.sgx, newer).result.status is Tier.CONTRAINDICATED
    back = answer(appraiser, intel, intel.sgx, older, at_s=ISSUED_S + 30)
    assert back.result.status is Tier.REJECTED
    assert (back.result.reason or "").startswith("rolled_back: ")
    assert back.claims is None


def test_whatever_is_wrong_there_is_a_signed_answer(appraiser: EvidenceAppraiser, intel: Intel) -> None:
    for raw in (b"", b"junk", intel.sgx[:-900], intel.tdx):
        wrong = answer(appraiser, intel, raw, None)
        assert wrong.result.status is Tier.REJECTED
        assert verify_ear(wrong.ear, {thumbprint(PUBLIC): PUBLIC}).status is Tier.CONTRAINDICATED
