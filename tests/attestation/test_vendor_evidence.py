"""Evidence of real machines under their vendors' roots, and each of it spoiled."""

import json
from pathlib import Path

import pytest

from domain.attestation.appraiser import appraise
from domain.attestation.claims import EvidenceClass, EvidenceFormat, TcbStatus, Weakness
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.attestation.trust_vector import Tier
from infrastructure.attestation.certificates import load_certificate, pem_blocks, serial_number
from infrastructure.attestation.endorsements import Endorsements, read_endorsements, sort_endorsements
from infrastructure.attestation.roots import VENDORS, named_roots, vendor_roots
from infrastructure.attestation.verify import verify
from infrastructure.credentials.timestamp import parse_timestamp
from tests.attestation.scene import spoiled

NOW = "2026-11-01T00:00:00Z"
SUMMER = "2025-07-01T00:00:00Z"
QUOTES = {"sgx_quote": SUMMER, "tdx_quote": SUMMER, "tdx_quote_outdated": "2026-03-01T00:00:00Z"}


def seconds(text: str) -> int:
    return parse_timestamp(text) // 1000


def refusal(evidence: bytes, endorsements: Endorsements, at: str) -> Refusal | None:
    try:
        verify(evidence, endorsements, seconds(at))
    except EvidenceRefusedError as error:
        return error.refusal
    return None


def quote(vectors: Path, name: str) -> bytes:
    return (vectors / "attestation" / "intel" / name).read_bytes()


def collateral(vectors: Path, name: str) -> bytes:
    return (vectors / "attestation" / "intel" / f"{name}_collateral.json").read_bytes()


@pytest.fixture(scope="session")
def milan(vectors: Path) -> bytes:
    return (vectors / "attestation" / "amd" / "virtee" / "report_milan.hex").read_bytes()


@pytest.fixture(scope="session")
def milan_chain(vectors: Path) -> Endorsements:
    return read_endorsements(vectors / "attestation" / "amd" / "virtee")


def test_a_milan_report_affirms_and_names_its_chip(milan: bytes, milan_chain: Endorsements) -> None:
    claims = verify(milan, milan_chain, seconds(NOW))
    assert claims.format is EvidenceFormat.SNP
    assert claims.evidence_class is EvidenceClass.VENDOR
    assert (claims.platform_id or "").startswith("amd:d49554ec717f4e5b")
    assert appraise(claims).status is Tier.AFFIRMING


def test_a_debug_report_is_genuine_and_contraindicated(vectors: Path) -> None:
    amd = vectors / "attestation" / "amd"
    claims = verify((amd / "attestation.bin").read_bytes(), read_endorsements(amd), seconds(NOW))
    assert claims.weaknesses == (Weakness.DEBUG,)
    assert appraise(claims).status is Tier.CONTRAINDICATED


@pytest.mark.parametrize(
    ("name", "status", "tier"),
    [
        ("sgx_quote", TcbStatus.CONFIGURATION_AND_SW_HARDENING_NEEDED, Tier.WARNING),
        ("tdx_quote", TcbStatus.UP_TO_DATE, Tier.AFFIRMING),
        ("tdx_quote_outdated", TcbStatus.BELOW_EVERY_LEVEL, Tier.CONTRAINDICATED),
    ],
)
def test_quotes_of_intels_machines_have_their_status(vectors: Path, name: str, status: TcbStatus, tier: Tier) -> None:
    claims = verify(quote(vectors, name), sort_endorsements([collateral(vectors, name)]), seconds(QUOTES[name]))
    assert (claims.tcb_status, appraise(claims).status) == (status, tier)
    assert claims.evidence_class is EvidenceClass.VENDOR
    assert (claims.platform_id or "").startswith("intel:")


def test_collateral_is_found_among_others(vectors: Path) -> None:
    everything = read_endorsements(vectors / "attestation")
    for name, at in QUOTES.items():
        verify(quote(vectors, name), everything, seconds(at))


def test_a_machine_without_an_instance_id_is_named_by_its_ppid(vectors: Path) -> None:
    claims = verify(quote(vectors, "sgx_quote"), sort_endorsements([collateral(vectors, "sgx_quote")]), seconds(SUMMER))
    assert claims.platform_id == "intel:d04ec06d4e6d92dc90d0ad3cf5ee2ddf"


def test_every_byte_of_a_report_matters(milan: bytes, milan_chain: Endorsements) -> None:
    raw = bytes.fromhex(milan.decode())
    found = [refusal(spoiled(raw, at), milan_chain, NOW) for at in range(len(raw))]
    assert None not in found
    assert set(found[0x50:0x180]) == {Refusal.SIGNATURE}
    assert set(found[0x180:0x188]) == {Refusal.MISMATCH}
    assert set(found[0x1A0:0x1E0]) == {Refusal.MISMATCH}
    assert set(found[0x2A0:0x330]) == {Refusal.SIGNATURE}
    assert set(found[0x330:]) == {Refusal.MALFORMED}


@pytest.mark.parametrize("name", ["sgx_quote", "tdx_quote"])
def test_every_byte_of_a_quotes_header_and_body_matters(vectors: Path, name: str) -> None:
    raw, given = quote(vectors, name), sort_endorsements([collateral(vectors, name)])
    signed = {"sgx_quote": 432, "tdx_quote": 632}[name]
    kinds = {refusal(spoiled(raw, at), given, SUMMER) for at in range(0, signed, 3)}
    assert kinds <= {Refusal.SIGNATURE, Refusal.UNSUPPORTED, Refusal.UNKNOWN_FORMAT}
    assert {refusal(spoiled(raw, at), given, SUMMER) for at in range(48, signed, 11)} == {Refusal.SIGNATURE}


@pytest.mark.parametrize("name", ["sgx_quote", "tdx_quote"])
def test_signatures_and_chain_of_a_quote_matter(vectors: Path, name: str) -> None:
    raw, given = quote(vectors, name), sort_endorsements([collateral(vectors, name)])
    begin = raw.index(b"-----BEGIN")
    signatures = range({"sgx_quote": 436, "tdx_quote": 636}[name], begin - 8, 9)
    assert None not in [refusal(spoiled(raw, at), given, SUMMER) for at in signatures]
    body = [at for at in range(begin, raw.rindex(b"-----END"), 17) if raw[at] != ord("\n")]
    assert None not in [refusal(spoiled(raw, at), given, SUMMER) for at in body]


def test_every_member_of_a_collateral_matters(vectors: Path) -> None:
    raw, good = quote(vectors, "sgx_quote"), json.loads(collateral(vectors, "sgx_quote"))
    for name, value in good.items():
        for part in (1, 3, 7):
            at = len(value) * part // 8
            other = "a" if value[at] not in "aA" else "b"
            bad = {**good, name: value[:at] + other + value[at + 1 :]}
            assert refusal(raw, sort_endorsements([json.dumps(bad).encode()]), SUMMER) is not None, (name, part)
        for damaged in ("", value[: len(value) // 2]):
            bad = {**good, name: damaged}
            assert refusal(raw, sort_endorsements([json.dumps(bad).encode()]), SUMMER) is not None, name
        lacking = {key: kept for key, kept in good.items() if key != name}
        given = sort_endorsements([json.dumps(lacking).encode()])
        assert refusal(raw, given, SUMMER) is Refusal.NO_ENDORSEMENTS


@pytest.mark.parametrize("which", [0, 1])
def test_every_byte_of_amds_certificates_matters(vectors: Path, milan: bytes, which: int) -> None:
    folder = vectors / "attestation" / "amd" / "virtee"
    vek = (folder / "vcek_milan.der").read_bytes()
    ask = pem_blocks((folder / "cert_chain_milan").read_text())[0][1]
    whole = [vek, ask]
    kinds = set()
    for at in range(0, len(whole[which]), 5):
        files = [*whole]
        files[which] = spoiled(whole[which], at)
        kinds.add(refusal(milan, sort_endorsements(files), NOW))
    assert None not in kinds
    assert Refusal.ENDORSEMENT_SIGNATURE in kinds


@pytest.mark.parametrize(
    ("name", "at", "kind"),
    [
        ("sgx_quote", "2025-06-18T00:00:00Z", Refusal.NOT_YET_VALID),
        ("sgx_quote", "2025-07-19T10:01:19Z", Refusal.EXPIRED),
        ("sgx_quote", "2026-11-01T00:00:00Z", Refusal.EXPIRED),
        ("tdx_quote", "2017-01-01T00:00:00Z", Refusal.NOT_YET_VALID),
        ("tdx_quote_outdated", "2026-03-21T00:00:00Z", Refusal.EXPIRED),
        ("tdx_quote_outdated", "2026-02-17T00:00:00Z", Refusal.NOT_YET_VALID),
    ],
)
def test_collateral_counts_within_its_window_only(vectors: Path, name: str, at: str, kind: Refusal) -> None:
    assert refusal(quote(vectors, name), sort_endorsements([collateral(vectors, name)]), at) is kind


@pytest.mark.parametrize(
    ("at", "kind"),
    [("2023-04-03T19:23:42Z", Refusal.NOT_YET_VALID), ("2030-04-03T19:23:44Z", Refusal.EXPIRED)],
)
def test_a_vcek_counts_while_valid_only(milan: bytes, milan_chain: Endorsements, at: str, kind: Refusal) -> None:
    assert refusal(milan, milan_chain, at) is kind


def test_amds_root_need_not_come_along(vectors: Path, milan: bytes) -> None:
    folder = vectors / "attestation" / "amd" / "virtee"
    ask = pem_blocks((folder / "cert_chain_milan").read_text())[0][1]
    verify(milan, sort_endorsements([ask, (folder / "vcek_milan.der").read_bytes()]), seconds(NOW))


def test_a_chain_without_its_middle_is_incomplete(vectors: Path, milan: bytes) -> None:
    folder = vectors / "attestation" / "amd" / "virtee"
    vek = (folder / "vcek_milan.der").read_bytes()
    assert refusal(milan, sort_endorsements([vek]), NOW) is Refusal.INCOMPLETE
    assert refusal(milan, sort_endorsements([(folder / "cert_chain_milan").read_bytes()]), NOW) is Refusal.INCOMPLETE
    genoa = (vectors / "attestation" / "amd" / "ask_ark_genoa.pem").read_bytes()
    assert refusal(milan, sort_endorsements([vek, genoa]), NOW) is Refusal.INCOMPLETE


def test_without_endorsements_nothing_is_proved(vectors: Path, milan: bytes) -> None:
    assert refusal(milan, Endorsements(), NOW) is Refusal.NO_ENDORSEMENTS
    assert refusal(quote(vectors, "tdx_quote"), Endorsements(), SUMMER) is Refusal.NO_ENDORSEMENTS


def test_another_machines_key_does_not_fit(vectors: Path, milan: bytes) -> None:
    amd = vectors / "attestation" / "amd"
    given = sort_endorsements([(amd / "vcek.testcer").read_bytes(), (amd / "ask_ark_milan.pem").read_bytes()])
    assert refusal(milan, given, NOW) is Refusal.MISMATCH


def test_collateral_of_another_kind_of_platform_does_not_fit(vectors: Path) -> None:
    given = sort_endorsements([collateral(vectors, "tdx_quote")])
    assert refusal(quote(vectors, "sgx_quote"), given, SUMMER) is Refusal.MISMATCH
    outdated = sort_endorsements([collateral(vectors, "tdx_quote_outdated")])
    assert refusal(quote(vectors, "tdx_quote"), outdated, "2026-03-01T00:00:00Z") is Refusal.MISMATCH


def test_roots_are_compiled_in_and_are_amds_and_intels(vectors: Path) -> None:
    roots = vendor_roots()
    assert roots.intel is not None
    assert {root.spki_sha256 for root in (*roots.amd, roots.intel)} == VENDORS
    for product in ("milan", "genoa", "milan_vlek", "genoa_vlek"):
        given = named_roots(pem_ark(vectors, product))
        (known,) = [root for root in roots.amd if root.spki == given.amd[0].spki]
        assert (known.name, known.window) == (given.amd[0].name, given.amd[0].window)
        assert given.amd[0].evidence_class is EvidenceClass.VENDOR


def test_a_root_named_by_hand_replaces_the_vendors(vectors: Path, milan: bytes, milan_chain: Endorsements) -> None:
    genoa = named_roots(pem_ark(vectors, "genoa"))
    with pytest.raises(EvidenceRefusedError) as refused:
        verify(milan, milan_chain, seconds(NOW), genoa)
    assert refused.value.refusal is Refusal.UNTRUSTED_ROOT
    same = named_roots(pem_ark(vectors, "milan"))
    assert verify(milan, milan_chain, seconds(NOW), same).evidence_class is EvidenceClass.VENDOR


def test_a_vcek_with_serial_zero_can_be_read(vectors: Path) -> None:
    """When this fails, `cryptography` has begun to refuse what AMD issues: its version is capped for that."""
    der = (vectors / "attestation" / "amd" / "virtee" / "vcek_milan.der").read_bytes()
    assert serial_number(load_certificate(der)) == 0


def test_keys_for_replay_ignore_what_is_not_signed(vectors: Path) -> None:
    given = sort_endorsements([collateral(vectors, "sgx_quote")])
    raw = quote(vectors, "sgx_quote")
    whole, longer = (verify(one, given, seconds(SUMMER)) for one in (raw, raw + b"\0" * 32))
    assert whole.evidence_key == longer.evidence_key


def pem_ark(vectors: Path, product: str) -> bytes:
    text = (vectors / "attestation" / "amd" / f"ask_ark_{product}.pem").read_text()
    return pem_blocks(text)[1][1]
