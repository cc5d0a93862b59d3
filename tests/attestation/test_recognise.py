"""Formats are told apart by bytes alone, and hostile ones within bounds."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.attestation.claims import EvidenceFormat
from domain.attestation.refusal import EvidenceRefusedError, Refusal
from infrastructure.attestation.endorsements import Endorsements, sort_endorsements
from infrastructure.attestation.recognise import MAX_EVIDENCE_BYTES, MAX_TEXT_BYTES, recognise
from infrastructure.attestation.verify import verify
from tests.attestation.scene import AT_S, Intel, Snp


def refusal(data: bytes) -> Refusal | None:
    try:
        recognise(data)
    except EvidenceRefusedError as error:
        return error.refusal
    return None


def test_each_format_is_recognised_raw_and_as_hex(snp: Snp, intel: Intel) -> None:
    kinds = (
        (snp.good, EvidenceFormat.SNP),
        (intel.sgx, EvidenceFormat.SGX_V3),
        (intel.tdx, EvidenceFormat.TDX_V4),
    )
    for raw, form in kinds:
        text = raw.hex()
        lines = "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
        for spelled in (raw, text.encode(), text.upper().encode(), f"0x{text}\n".encode(), f" {lines}\r\n".encode()):
            evidence = recognise(spelled)
            assert (evidence.format, evidence.raw) == (form, raw)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", Refusal.UNKNOWN_FORMAT),
        (b"\x02\0\0\0", Refusal.UNKNOWN_FORMAT),
        (b"{}" * 600, Refusal.UNKNOWN_FORMAT),
        (b"\0" * 1184, Refusal.UNKNOWN_FORMAT),
        (b"\x01\0\0\0" + bytes(1180), Refusal.UNKNOWN_FORMAT),
        (b"\x02\0\0\0" + bytes(1179), Refusal.MALFORMED),
        (b"\x02\0\0\0" + bytes(1181), Refusal.MALFORMED),
        (b"\x03\0\x02\0" + bytes(400), Refusal.MALFORMED),
        (b"\x04\0\x02\0\0\0\0\0" + bytes(4000), Refusal.UNSUPPORTED),
        (b"\x05\0\x02\0\x81\0\0\0" + bytes(4000), Refusal.UNSUPPORTED),
        (b"\x03\0\x02\0\x81\0\0\0" + bytes(4000), Refusal.UNSUPPORTED),
        (b"\x06\0\x02\0" + bytes(4000), Refusal.UNKNOWN_FORMAT),
        (b"030002000", Refusal.MALFORMED),
        (b"\x03\0\x02\0" + bytes(MAX_EVIDENCE_BYTES), Refusal.TOO_LARGE),
        (b"ab" * (MAX_EVIDENCE_BYTES + 1), Refusal.TOO_LARGE),
        (b" " * (MAX_TEXT_BYTES + 1), Refusal.TOO_LARGE),
    ],
)
def test_what_is_no_evidence_is_refused(data: bytes, kind: Refusal) -> None:
    assert refusal(data) is kind


def test_cut_off_evidence_is_refused(snp: Snp, intel: Intel) -> None:
    for raw in (snp.good, intel.sgx, intel.tdx):
        for length in range(0, len(raw), 37):
            assert refusal(raw[:length]) is not None


def test_replay_keys_cover_header_and_body_and_nothing_else(intel: Intel) -> None:
    one, again = intel.machine.sgx_quote(b"x"), intel.machine.sgx_quote(b"x")
    assert one != again  # another signature
    assert recognise(one).key == recognise(again).key
    assert recognise(one).key != recognise(intel.machine.sgx_quote(b"y")).key


@given(st.binary(max_size=2000))
def test_no_bytes_do_anything_but_refuse(data: bytes) -> None:
    for head in (b"", b"\x02\0\0\0", b"\x03\0\x02\0\0\0\0\0", b"\x04\0\x02\0\x81\0\0\0", b"\x05\0\x02\0\x81\0\0\0"):
        with pytest.raises(EvidenceRefusedError):
            verify(head + data, Endorsements(collateral=("{}",)), AT_S)


@given(st.data())
def test_damaged_evidence_is_never_an_internal_fault(snp: Snp, intel: Intel, data: st.DataObject) -> None:
    raw = data.draw(st.sampled_from([snp.good, intel.sgx, intel.tdx]))
    at = data.draw(st.integers(0, len(raw) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=40))
    changed = raw[:at] + damage + raw[at + len(damage) :]
    known = [intel.collateral("SGX"), snp.authority.endorsements(snp.machine)]
    for roots in (snp.roots, intel.roots):
        try:
            claims = verify(changed, sort_endorsements(known), AT_S, roots)
        except EvidenceRefusedError:
            continue
        assert claims.evidence_key == recognise(raw).key


@given(st.data())
def test_damaged_endorsements_are_never_an_internal_fault(snp: Snp, data: st.DataObject) -> None:
    chain = snp.authority.endorsements(snp.machine)
    at = data.draw(st.integers(0, len(chain) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=40))
    with suppress(EvidenceRefusedError):
        verify(snp.good, sort_endorsements([chain[:at] + damage + chain[at + len(damage) :]]), AT_S, snp.roots)
