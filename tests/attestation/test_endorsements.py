"""Endorsements are sorted by content: names say nothing, junk is passed over, sizes are bounded."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from domain.errors import MalformedError
from infrastructure.attestation import endorsements
from infrastructure.attestation.endorsements import read_endorsements, sort_endorsements
from infrastructure.attestation.roots import named_roots
from tests.attestation.scene import AT_S, Intel, Snp


def test_a_directory_means_all_its_files(tmp_path: Path, snp: Snp) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "a.txt").write_bytes(snp.machine.vek.certificate.public_bytes(Encoding.DER))
    (tmp_path / "below" / "b.json").write_bytes(b"some words\n" + snp.authority.ask.pem + b"\nmore words")
    (tmp_path / "evidence").write_bytes(snp.good)
    (tmp_path / "junk.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    (tmp_path / "open.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n")
    (tmp_path / "key.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    (tmp_path / "other.json").write_bytes(b'{"tcb_info": 1}')
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "der").write_bytes(b"\x30\x82\x01\x00" + os.urandom(256))
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    given = read_endorsements(tmp_path)
    assert (len(given.certificates), given.passed_over) == (2, 7)
    assert (
        snp.refusal(snp.good, *(file.read_bytes() for file in (tmp_path / "a.txt", tmp_path / "below" / "b.json")))
        is None
    )


def test_lists_and_certificates_may_be_der_pem_or_hex(snp: Snp) -> None:
    crl = snp.authority.revocation_list(AT_S - 5, AT_S + 5)
    spelled = sort_endorsements([crl, crl.hex().encode(), crl.hex().upper().encode() + b"\n"])
    assert [one.der for one in spelled.crls] == [crl]
    der = snp.authority.ask.certificate.public_bytes(Encoding.DER)
    assert len(sort_endorsements([der, snp.authority.ask.pem, der.hex().encode()]).certificates) == 1


def test_collateral_is_json_with_its_nine_members(intel: Intel) -> None:
    good = intel.collateral("SGX")
    assert len(sort_endorsements([good, b"\n " + good + b"\n"]).collateral) == 1
    assert not sort_endorsements([b"[" + good + b"]", good[:-1], b"{}", b'{"a": [[[[[[[[[['])


def test_sizes_and_numbers_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snp: Snp) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(endorsements.MAX_FILE_BYTES + 1)
    with pytest.raises(MalformedError, match="larger than"):
        read_endorsements(big)
    assert not read_endorsements(tmp_path)  # in a directory it is passed over
    monkeypatch.setattr(endorsements, "MAX_CERTIFICATES", 2)
    with pytest.raises(MalformedError, match="at most 2"):
        sort_endorsements([snp.authority.endorsements(snp.machine)])
    monkeypatch.setattr(endorsements, "MAX_TOTAL_BYTES", 10)
    with pytest.raises(MalformedError, match="at most 10 bytes"):
        sort_endorsements([b"x" * 11])
    monkeypatch.setattr(endorsements, "MAX_FILES", 1)
    (tmp_path / "small").write_bytes(b"")
    with pytest.raises(MalformedError, match="more than 1 files"):
        read_endorsements(tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedError, match="cannot read"):
        read_endorsements(tmp_path / "nowhere")


def test_a_file_of_roots_holds_roots_only(snp: Snp, intel: Intel) -> None:
    both = named_roots(snp.authority.ark.pem + intel.authority.root.pem)
    assert len(both.amd) == 1
    assert both.intel is not None
    for bad in (b"", b"junk", intel.authority.root.pem + intel.authority.signer.pem, snp.authority.ark.pem * 9):
        with pytest.raises(MalformedError):
            named_roots(bad)
    with pytest.raises(MalformedError, match="at most"):
        named_roots(b"x" * 65_537)
