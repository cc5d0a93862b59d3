"""Endorsements kept in a data directory, and the numbers that never fall."""

import json
from pathlib import Path

import pytest

from domain.attestation.refusal import EvidenceRefusedError, Refusal
from domain.errors import MalformedError
from infrastructure.attestation.collateral_cache import FileCache
from infrastructure.attestation.endorsements import sort_endorsements
from infrastructure.attestation.highest import HighestNumbers
from infrastructure.attestation.recognise import recognise
from infrastructure.attestation.verify import verify
from tests.attestation.scene import AT_S, CHIP, ISSUED_S, REPORT_DATA, Intel, Snp


def test_what_was_kept_verifies_without_endorsements(tmp_path: Path, snp: Snp, intel: Intel) -> None:
    cache = FileCache(tmp_path)
    listed = snp.authority.revocation_list(AT_S - 5, AT_S + 5)
    kept = (
        (snp.good, [snp.authority.endorsements(snp.machine), listed, b"junk"], snp.roots),
        (intel.sgx, [intel.collateral("SGX"), intel.collateral("TDX")], intel.roots),
        (intel.tdx, [intel.collateral("SGX"), intel.collateral("TDX")], intel.roots),
    )
    for raw, files, roots in kept:
        evidence, given = recognise(raw), sort_endorsements(files)
        assert not cache.find(evidence)
        cache.keep(evidence, given, verify(evidence, given, AT_S, roots))
    for raw, _, roots in kept:
        claims = verify(raw, FileCache(tmp_path).find(recognise(raw)), AT_S, roots)
        assert claims.revocation


def test_another_machine_finds_nothing(tmp_path: Path, snp: Snp, intel: Intel) -> None:
    cache = FileCache(tmp_path)
    evidence, given = recognise(snp.good), sort_endorsements([snp.authority.endorsements(snp.machine)])
    cache.keep(evidence, given, verify(evidence, given, AT_S, snp.roots))
    assert not cache.find(recognise(snp.authority.machine(CHIP[::-1]).report(REPORT_DATA)))
    assert not cache.find(recognise(intel.sgx))
    assert not cache.find(recognise(snp.machine.report(REPORT_DATA, key_info=7 << 2)))


def test_older_collateral_is_not_kept_and_not_admitted(tmp_path: Path, intel: Intel) -> None:
    cache, evidence = FileCache(tmp_path), recognise(intel.sgx)
    newer = sort_endorsements([intel.collateral("SGX", ISSUED_S + 60, evaluation=18, crl_number=5)])
    cache.keep(evidence, newer, verify(evidence, newer, AT_S, intel.roots))
    for how in ({"evaluation": 17, "crl_number": 5}, {"evaluation": 18, "crl_number": 4}):
        older = sort_endorsements([intel.collateral("SGX", **how)])
        claims = verify(evidence, older, AT_S, intel.roots)  # good by itself: an instant before the newer was issued
        with pytest.raises(EvidenceRefusedError) as refused:
            cache.keep(evidence, older, claims)
        assert refused.value.refusal is Refusal.ROLLED_BACK
    assert cache.find(evidence).collateral == newer.collateral
    other = sort_endorsements([intel.collateral("TDX", evaluation=18, crl_number=5)])
    tdx = recognise(intel.tdx)
    cache.keep(tdx, other, verify(tdx, other, AT_S, intel.roots))


def test_a_damaged_memory_is_never_taken_for_empty(tmp_path: Path, intel: Intel) -> None:
    numbers = intel.claims(intel.sgx).collateral
    highest = HighestNumbers(tmp_path)
    highest.admit(numbers)
    assert highest.seen() == {one.source: one.number for one in numbers}
    for damage in (b"", b"{", b"[]", json.dumps({"a": "1"}).encode(), b'{"a":true}'):
        (tmp_path / "highest.json").write_bytes(damage)
        with pytest.raises(MalformedError):
            highest.admit(numbers)
