"""SEV-SNP evidence under a private root: everything that AMD's key would never sign, signed."""

import pytest

from domain.attestation.claims import EvidenceClass, Weakness
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.attestation.trust_vector import Tier
from infrastructure.attestation.roots import Roots, named_roots, vendor_roots
from infrastructure.attestation.synthetic.authority import issue
from infrastructure.attestation.synthetic.snp import POLICY, SnpAuthority
from infrastructure.attestation.vek_extensions import HARDWARE_ID, SPL_OIDS
from tests.attestation.scene import AT_S, BEGIN_S, CHIP, REPORT_DATA, Snp

HOUR_S = 3600


def test_it_verifies_under_its_root_only(snp: Snp) -> None:
    claims = snp.claims(snp.good)
    assert claims.evidence_class is EvidenceClass.SYNTHETIC
    assert claims.platform_id == f"amd:{CHIP.hex()}"
    assert claims.report_data == REPORT_DATA.hex()
    assert snp.appraised(snp.good).status is Tier.AFFIRMING
    assert snp.refusal(snp.good, roots=vendor_roots()) is Refusal.UNTRUSTED_ROOT
    other = SnpAuthority.create(BEGIN_S, bits=2048)
    assert snp.refusal(snp.good, roots=named_roots(other.ark.pem)) is Refusal.UNTRUSTED_ROOT


def test_the_root_that_comes_along_is_not_trusted(snp: Snp) -> None:
    files = (snp.authority.endorsements(snp.machine), snp.authority.ark.pem)
    with pytest.raises(EvidenceRefusedError, match="with this key is not a trusted root"):
        snp.claims(snp.good, *files, roots=vendor_roots())
    assert snp.refusal(snp.good, *files, roots=Roots((), None)) is Refusal.UNTRUSTED_ROOT


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_reports_of_every_version_verify(snp: Snp, version: int) -> None:
    assert snp.appraised(snp.machine.report(REPORT_DATA, version=version)).status is Tier.AFFIRMING


@pytest.mark.parametrize(
    ("policy", "weakness"), [(POLICY | 1 << 19, Weakness.DEBUG), (POLICY | 1 << 18, Weakness.MIGRATABLE)]
)
def test_debug_and_migration_are_contraindicated(snp: Snp, policy: int, weakness: Weakness) -> None:
    evidence = snp.machine.report(REPORT_DATA, policy=policy)
    assert snp.claims(evidence).weaknesses == (weakness,)
    assert snp.appraised(evidence).status is Tier.CONTRAINDICATED


def test_a_report_that_the_hypervisor_requested_is_contraindicated(snp: Snp) -> None:
    assert snp.claims(snp.machine.report(REPORT_DATA, vmpl=3)).weaknesses == ()
    assert snp.appraised(snp.machine.report(REPORT_DATA, vmpl=0xFFFFFFFF)).status is Tier.CONTRAINDICATED


def test_the_key_belongs_to_the_chip_and_to_its_tcb(snp: Snp) -> None:
    assert snp.refusal(snp.machine.report(REPORT_DATA, chip_id=b"c" * 64)) is Refusal.MISMATCH
    for at in range(8):
        tcb = bytearray(snp.machine.tcb)
        tcb[at] += 1
        assert snp.refusal(snp.machine.report(REPORT_DATA, tcb=bytes(tcb))) is Refusal.MISMATCH


def test_a_key_certifies_each_part_of_the_tcb_that_is_not_reserved(snp: Snp) -> None:
    for at, oid in enumerate(SPL_OIDS):
        left = [one for one in snp.authority._extensions(snp.machine.tcb, "Milan-B0") if one[0] != oid]
        given = (*left, (HARDWARE_ID, CHIP))
        vek = issue("SEV-VCEK", snp.machine.key, snp.authority.ask, BEGIN_S, AT_S + HOUR_S, extensions=given)
        files = (vek.pem, snp.authority.ask.pem)
        if at == 0:
            assert snp.refusal(snp.good, *files) is Refusal.INCOMPLETE
        else:
            assert snp.refusal(snp.good, *files) is (None if at in range(2, 6) else Refusal.MISMATCH)


@pytest.mark.parametrize("name", ["SEV-VLEK", "SEV-OTHER"])
def test_a_key_has_the_name_of_its_kind(snp: Snp, name: str) -> None:
    given = (*snp.authority._extensions(snp.machine.tcb, "Milan-B0"), (HARDWARE_ID, CHIP))
    vek = issue(name, snp.machine.key, snp.authority.ask, BEGIN_S, AT_S + HOUR_S, extensions=given)
    assert snp.refusal(snp.good, vek.pem, snp.authority.ask.pem) is Refusal.MISMATCH


@pytest.mark.parametrize("product", ["Rome-B0", "Turin-C1", "Milano"])
def test_a_key_of_another_product_is_refused_by_its_name(snp: Snp, product: str) -> None:
    given = (*snp.authority._extensions(snp.machine.tcb, product), (HARDWARE_ID, CHIP))
    vek = issue("SEV-VCEK", snp.machine.key, snp.authority.ask, BEGIN_S, AT_S + HOUR_S, extensions=given)
    assert snp.refusal(snp.good, vek.pem, snp.authority.ask.pem) is Refusal.UNSUPPORTED


def test_a_masked_chip_names_no_machine(snp: Snp) -> None:
    claims = snp.claims(snp.machine.report(REPORT_DATA, chip_id=bytes(64)))
    assert claims.platform_id is None


def test_a_vlek_verifies_and_names_no_machine(snp: Snp) -> None:
    machine = snp.authority.provider_machine("cloud.example")
    chain = snp.authority.endorsements(machine)
    assert snp.claims(machine.report(REPORT_DATA), chain).platform_id is None
    assert snp.refusal(machine.report(REPORT_DATA, key_info=0), chain) is Refusal.MISMATCH


@pytest.mark.parametrize(
    ("key_info", "kind"),
    [(1 << 2, Refusal.MISMATCH), (2 << 2, Refusal.UNSUPPORTED), (7 << 2, Refusal.UNSUPPORTED)],
)
def test_another_kind_of_signing_key_is_refused(snp: Snp, key_info: int, kind: Refusal) -> None:
    assert snp.refusal(snp.machine.report(REPORT_DATA, key_info=key_info)) is kind


def test_turin_is_refused_by_name(snp: Snp) -> None:
    turin = SnpAuthority.create(BEGIN_S, "Turin", bits=2048)
    machine = turin.machine(CHIP)
    for version in (2, 3):
        with pytest.raises(EvidenceRefusedError, match=r"unsupported: SEV-SNP on Turin"):
            snp.claims(machine.report(REPORT_DATA, version=version), turin.endorsements(machine))


def test_a_genoa_report_needs_genoas_key(snp: Snp) -> None:
    genoa = Snp(SnpAuthority.create(BEGIN_S, "Genoa", bits=2048))
    assert genoa.appraised(genoa.machine.report(REPORT_DATA, version=3)).status is Tier.AFFIRMING
    wrong = snp.authority.machine(CHIP)
    claims_genoa = type(wrong)(wrong.key, wrong.vek, "VCEK", "Genoa", CHIP, wrong.tcb)
    assert snp.refusal(claims_genoa.report(REPORT_DATA, version=3), wrong.vek.pem, snp.authority.ask.pem) is (
        Refusal.MISMATCH
    )


def test_a_forged_report_is_told_from_a_forged_chain(snp: Snp) -> None:
    stranger = SnpAuthority.create(BEGIN_S, bits=2048)
    forged = stranger.machine(CHIP)
    assert snp.refusal(forged.report(REPORT_DATA)) is Refusal.SIGNATURE
    mixed = (forged.vek.pem, snp.authority.ask.pem)
    assert snp.refusal(forged.report(REPORT_DATA), *mixed) is Refusal.ENDORSEMENT_SIGNATURE


def test_another_machines_genuine_key_is_passed_over(snp: Snp) -> None:
    other = snp.authority.machine(b"o" * 64)
    files = (other.vek.pem, snp.authority.endorsements(snp.machine))
    assert snp.refusal(snp.good, *files) is None
    assert snp.refusal(snp.good, *reversed(files)) is None


def test_revocation_lists_are_honoured(snp: Snp) -> None:
    chain, ask = snp.authority.endorsements(snp.machine), snp.authority.ask.certificate
    good = snp.authority.revocation_list(AT_S - HOUR_S, AT_S + HOUR_S, number=2)
    assert snp.claims(snp.good, chain, good).revocation
    assert not snp.claims(snp.good, chain).revocation
    assert snp.claims(snp.good, chain, good).collateral[0].number == 2
    bad = snp.authority.revocation_list(AT_S - HOUR_S, AT_S + HOUR_S, number=3, revoked=(ask.serial_number,))
    assert snp.refusal(snp.good, chain, bad) is Refusal.REVOKED
    assert snp.refusal(snp.good, chain, good, bad) is Refusal.REVOKED


@pytest.mark.parametrize(("offset", "kind"), [(-2, Refusal.NOT_YET_VALID), (2, Refusal.EXPIRED)])
def test_a_revocation_list_out_of_its_window_refuses(snp: Snp, offset: int, kind: Refusal) -> None:
    chain = snp.authority.endorsements(snp.machine)
    given = snp.authority.revocation_list(AT_S - HOUR_S, AT_S + HOUR_S)
    assert snp.refusal(snp.good, chain, given, at_s=AT_S + offset * HOUR_S) is kind


def test_a_forged_revocation_list_refuses_and_a_strangers_does_not_count(snp: Snp) -> None:
    chain = snp.authority.endorsements(snp.machine)
    stranger = SnpAuthority.create(BEGIN_S, bits=2048)
    forged = stranger.revocation_list(AT_S - HOUR_S, AT_S + HOUR_S)  # the same name, another key
    assert snp.refusal(snp.good, chain, forged) is Refusal.ENDORSEMENT_SIGNATURE
    genoa = SnpAuthority.create(BEGIN_S, "Genoa", bits=2048)
    assert not snp.claims(snp.good, chain, genoa.revocation_list(AT_S - HOUR_S, AT_S + HOUR_S)).revocation


def test_certificates_count_while_valid_only(snp: Snp) -> None:
    assert snp.refusal(snp.good, at_s=BEGIN_S - 1) is Refusal.NOT_YET_VALID
    assert snp.refusal(snp.good, at_s=BEGIN_S + 8 * 365 * 86_400) is Refusal.EXPIRED
