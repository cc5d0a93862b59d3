"""SGX and TDX evidence under a private root: every status, and what Intel's keys would never sign."""

import json
from typing import Any

import pytest

from domain.attestation.claims import EvidenceClass, EvidenceFormat, TcbStatus, Weakness
from domain.attestation.refusal import Refusal
from domain.attestation.trust_vector import Tier
from infrastructure.attestation.roots import named_roots, vendor_roots
from infrastructure.attestation.synthetic.intel import COLLATERAL_LIFE_S, CPU_SVN, IntelAuthority, Tee
from tests.attestation.scene import AT_S, BEGIN_S, ISSUED_S, REPORT_DATA, Intel, spoiled

STATUSES = {
    "UpToDate": Tier.AFFIRMING,
    "SWHardeningNeeded": Tier.WARNING,
    "ConfigurationNeeded": Tier.WARNING,
    "ConfigurationAndSWHardeningNeeded": Tier.WARNING,
    "OutOfDate": Tier.CONTRAINDICATED,
    "OutOfDateConfigurationNeeded": Tier.CONTRAINDICATED,
    "Revoked": Tier.CONTRAINDICATED,
}


def evidence(intel: Intel, tee: Tee, **how: Any) -> bytes:
    return (intel.machine.sgx_quote if tee == "SGX" else intel.machine.tdx_quote)(REPORT_DATA, **how)


@pytest.mark.parametrize(("tee", "form"), [("SGX", EvidenceFormat.SGX_V3), ("TDX", EvidenceFormat.TDX_V4)])
def test_it_verifies_under_its_root_only(intel: Intel, tee: Tee, form: EvidenceFormat) -> None:
    claims = intel.claims(evidence(intel, tee))
    assert (claims.format, claims.evidence_class) == (form, EvidenceClass.SYNTHETIC)
    assert claims.platform_id == f"intel:{b'i'.hex() * 16}"
    assert intel.refusal(evidence(intel, tee), roots=vendor_roots()) is Refusal.UNTRUSTED_ROOT
    other = named_roots(IntelAuthority.create(BEGIN_S).root.pem)
    assert intel.refusal(evidence(intel, tee), roots=other) is Refusal.UNTRUSTED_ROOT


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_each_status_has_its_tier(intel: Intel, tee: Tee, status: str) -> None:
    given = intel.collateral(tee, status=status, advisories=("INTEL-SA-00001",))
    claims = intel.claims(evidence(intel, tee), given)
    assert claims.tcb_status is TcbStatus(status)
    assert intel.appraised(evidence(intel, tee), given).status is STATUSES[status]


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_debug_is_genuine_and_contraindicated(intel: Intel, tee: Tee) -> None:
    raw = evidence(intel, tee, debug=True)
    assert intel.claims(raw).weaknesses == (Weakness.DEBUG,)
    assert intel.appraised(raw).status is Tier.CONTRAINDICATED
    older = intel.collateral(tee, status="OutOfDate")
    assert intel.appraised(raw, older).status is Tier.CONTRAINDICATED


def test_a_platform_below_every_level_is_contraindicated(intel: Intel) -> None:
    old = intel.authority.machine(b"o" * 16, cpu_svn=bytes((CPU_SVN[0] - 1,)) + CPU_SVN[1:])
    assert intel.claims(old.sgx_quote(REPORT_DATA)).tcb_status is TcbStatus.BELOW_EVERY_LEVEL
    assert intel.appraised(old.sgx_quote(REPORT_DATA)).status is Tier.CONTRAINDICATED


@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_nothing_is_contraindicated_that_is_not_genuine(intel: Intel, tee: Tee) -> None:
    """Whatever is said of genuine evidence only is said after every signature: a forged one is rejected."""
    old = intel.authority.machine(b"o" * 16, cpu_svn=bytes((CPU_SVN[0] - 1,)) + CPU_SVN[1:])
    below = old.sgx_quote(REPORT_DATA) if tee == "SGX" else old.tdx_quote(REPORT_DATA)
    revoked = intel.collateral(tee, status="Revoked")
    signed = 432 if tee == "SGX" else 632
    certified = signed + 4 + 128 + (6 if tee == "TDX" else 0)
    for raw, given in ((evidence(intel, tee, debug=True), intel.collateral(tee)), (below, intel.collateral(tee)),
                       (evidence(intel, tee), revoked)):  # fmt: skip
        assert intel.refusal(raw, given) is None
        for at in (signed - 1, signed + 10, signed + 80, certified + 10, certified + 340, certified + 400):
            assert intel.refusal(spoiled(raw, at), given) is Refusal.SIGNATURE, at


def test_the_platforms_chain_may_come_with_the_collateral(intel: Intel) -> None:
    bare = type(intel.machine)(intel.machine.pck, b"", intel.machine.attestation_key)
    given = json.loads(intel.collateral("SGX"))
    assert intel.refusal(bare.sgx_quote(REPORT_DATA)) is Refusal.INCOMPLETE
    whole = json.dumps({**given, "pck_certificate_chain": intel.machine.chain.decode()}).encode()
    claims = intel.claims(bare.sgx_quote(REPORT_DATA), whole)
    assert claims.platform_id == f"intel:{b'i'.hex() * 16}"
    other = intel.authority.machine(b"z" * 16)
    swapped = json.dumps({**given, "pck_certificate_chain": other.chain.decode()}).encode()
    assert intel.refusal(intel.sgx, swapped) is Refusal.SIGNATURE


def test_revoked_platforms_and_issuers_are_refused(intel: Intel) -> None:
    own = intel.machine.pck.certificate.serial_number
    assert intel.refusal(intel.sgx, intel.collateral("SGX", revoked=(own,))) is Refusal.REVOKED
    for one in (intel.authority.pck_ca, intel.authority.signer):
        given = intel.collateral("SGX", revoked_by_root=(one.certificate.serial_number,))
        assert intel.refusal(intel.sgx, given) is Refusal.REVOKED


def test_a_newer_list_beside_the_collateral_counts(intel: Intel) -> None:
    own = intel.machine.pck.certificate.serial_number
    newer = json.loads(intel.collateral("SGX", revoked=(own,), crl_number=9))["pck_crl"]
    assert intel.refusal(intel.sgx, intel.collateral("SGX"), bytes.fromhex(newer)) is Refusal.REVOKED
    assert intel.refusal(intel.sgx, intel.collateral("SGX"), newer.encode()) is Refusal.REVOKED


@pytest.mark.parametrize(
    ("at_s", "kind"),
    [
        (ISSUED_S - 1, Refusal.NOT_YET_VALID),
        (ISSUED_S, None),
        (ISSUED_S + COLLATERAL_LIFE_S - 1, None),
        (ISSUED_S + COLLATERAL_LIFE_S, Refusal.EXPIRED),
        (BEGIN_S - 1, Refusal.NOT_YET_VALID),
    ],
)
@pytest.mark.parametrize("tee", ["SGX", "TDX"])
def test_collateral_counts_within_its_window_only(intel: Intel, tee: Tee, at_s: int, kind: Refusal | None) -> None:
    assert intel.refusal(evidence(intel, tee), intel.collateral(tee), at_s=at_s) is kind


@pytest.mark.parametrize("member", ["tcb_info", "qe_identity"])
def test_a_part_that_ends_early_ends_the_whole(intel: Intel, member: str) -> None:
    later = json.loads(intel.collateral("SGX", ISSUED_S + 7200))
    early = json.loads(intel.collateral("SGX", ISSUED_S, life_s=7000))
    mixed = {**early, **{name: value for name, value in later.items() if name.startswith(member)}}
    assert intel.refusal(intel.sgx, json.dumps(mixed).encode(), at_s=ISSUED_S + 7100) is not None
    assert intel.refusal(intel.sgx, json.dumps(mixed).encode(), at_s=ISSUED_S + 100) is Refusal.NOT_YET_VALID


def test_a_strangers_collateral_is_refused(intel: Intel) -> None:
    stranger = IntelAuthority.create(BEGIN_S)
    own, foreign = json.loads(intel.collateral("SGX")), json.loads(stranger.collateral("SGX", ISSUED_S))
    assert intel.refusal(intel.sgx, json.dumps(foreign).encode()) is Refusal.UNTRUSTED_ROOT
    for names, kind in (
        (("tcb_info", "tcb_info_signature"), Refusal.ENDORSEMENT_SIGNATURE),
        (("tcb_info_signature",), Refusal.ENDORSEMENT_SIGNATURE),
        (("qe_identity_signature",), Refusal.ENDORSEMENT_SIGNATURE),
        (("tcb_info_issuer_chain",), Refusal.UNTRUSTED_ROOT),
        (("qe_identity_issuer_chain",), Refusal.UNTRUSTED_ROOT),
        (("pck_crl_issuer_chain",), Refusal.UNTRUSTED_ROOT),
        (("pck_crl",), Refusal.ENDORSEMENT_SIGNATURE),
        (("root_ca_crl",), Refusal.ENDORSEMENT_SIGNATURE),
    ):
        mixed = {**own, **{name: foreign[name] for name in names}}
        assert intel.refusal(intel.sgx, json.dumps(mixed).encode()) is kind, names


def test_a_strangers_platform_under_good_collateral_is_refused(intel: Intel) -> None:
    stranger = IntelAuthority.create(BEGIN_S).machine(b"s" * 16)
    assert intel.refusal(stranger.sgx_quote(REPORT_DATA)) is Refusal.UNTRUSTED_ROOT
    relabelled = type(stranger)(stranger.pck, intel.machine.chain, stranger.attestation_key)
    assert intel.refusal(relabelled.sgx_quote(REPORT_DATA)) is Refusal.SIGNATURE


def test_a_certificate_that_may_not_sign_others_ends_no_chain(intel: Intel) -> None:
    rogue = IntelAuthority(intel.authority.root, intel.machine.pck, intel.authority.signer, BEGIN_S)
    machine = rogue.machine(b"x" * 16)
    chain = machine.pck.pem + intel.machine.chain
    assert intel.refusal(type(machine)(machine.pck, chain, machine.attestation_key).sgx_quote(REPORT_DATA)) is (
        Refusal.ENDORSEMENT_SIGNATURE
    )


def test_the_newest_fitting_collateral_is_taken(intel: Intel) -> None:
    older = intel.collateral("SGX", evaluation=16)
    newer = intel.collateral("SGX", evaluation=18, status="OutOfDate")
    for files in ((older, newer), (newer, older)):
        assert intel.claims(intel.sgx, *files).tcb_status is TcbStatus.OUT_OF_DATE
    numbers = {one.source.partition("@")[0]: one.number for one in intel.claims(intel.sgx, newer).collateral}
    assert numbers["tcb:SGX:ffeeddccbb00"] == 18
    assert numbers["qe:QE"] == 18


def test_without_an_instance_id_the_ppid_names_the_machine(intel: Intel) -> None:
    plain = intel.authority.machine(b"q" * 16)
    assert intel.claims(plain.sgx_quote(REPORT_DATA)).platform_id == f"intel:{b'q'.hex() * 16}"
    nameless = intel.authority.machine(bytes(16))
    assert intel.claims(nameless.sgx_quote(REPORT_DATA)).platform_id is None


def test_a_window_is_held_to_the_second(intel: Intel) -> None:
    assert intel.claims(intel.sgx, at_s=AT_S).fresh_until_s == ISSUED_S + COLLATERAL_LIFE_S - 1
