"""`attestation verify` as a person or a script meets it."""

import json
from pathlib import Path
from typing import Any

import pytest

from infrastructure.attestation.synthetic.platform import SyntheticPlatform
from infrastructure.cli import main

MEMBERS = ["status", "evidence_class", "trust_vector", "claims", "platform_id", "reason", "not_appraised"]
BEGIN_S, ISSUED_S = 1_700_000_000, 1_750_000_000
AT = "2025-06-16T00:00:00Z"
DATA = b"d" * 64


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> SyntheticPlatform:
    return SyntheticPlatform(tmp_path_factory.mktemp("cell") / "synthetic", BEGIN_S, bits=2048)


@pytest.fixture
def files(platform: SyntheticPlatform, tmp_path: Path) -> Path:
    """Return a directory with evidence of each format, and all its endorsements below `given`."""
    (tmp_path / "given").mkdir()
    for kind, size in (("sgx", 32), ("tdx", 48), ("snp", 48)):
        (tmp_path / kind).write_bytes(platform.quote(kind, "n", DATA, b"m" * size))  # type: ignore[arg-type]
        for number, content in enumerate(platform.endorsements(kind, "n", ISSUED_S)):  # type: ignore[arg-type]
            (tmp_path / "given" / f"{kind}-{number}").write_bytes(content)
    (tmp_path / "given" / "junk").write_bytes(b"\0junk")
    return tmp_path


def ended(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Run the command with --json; return exit code and object."""
    with pytest.raises(SystemExit) as left:
        main(["attestation", "verify", *map(str, arguments), "--json"])
    said = capsys.readouterr().out
    assert isinstance(left.value.code, int)
    return left.value.code, json.loads(said.rstrip("\n").rpartition("\n")[2])


@pytest.mark.parametrize("kind", ["sgx", "tdx", "snp"])
def test_json_is_one_object_with_these_members(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform, kind: str
) -> None:
    common = ("--endorsements", files / "given", "--trust-root", platform.root_path, "--at", AT)
    code, found = ended(capsys, files / kind, *common)
    assert (code, list(found)) == (0, MEMBERS)
    assert (found["status"], found["evidence_class"], found["reason"]) == ("affirming", "synthetic", None)
    assert found["trust_vector"] == {"hardware": 2}
    assert found["claims"]["report_data"] == DATA.hex()
    assert set(found["not_appraised"]) == {"reference_values", "platform", "nonce"}
    code, found = ended(capsys, files / kind, *common, "--nonce", f"0x{DATA.hex()}")
    assert (code, "nonce" in found["not_appraised"]) == (0, False)
    code, found = ended(capsys, files / kind, *common, "--nonce", "00")
    assert (code, found["status"]) == (1, "contraindicated")


def test_a_synthetic_platform_counts_only_with_its_root_named(capsys: pytest.CaptureFixture[str], files: Path) -> None:
    for kind in ("sgx", "tdx", "snp"):
        code, found = ended(capsys, files / kind, "--endorsements", files / "given", "--at", AT)
        assert (code, found["status"], found["platform_id"]) == (1, "rejected", None)
        assert found["reason"].startswith("untrusted_root: ")


def test_hex_and_raw_evidence_are_the_same(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform
) -> None:
    common = ("--endorsements", files / "given", "--trust-root", platform.root_path, "--at", AT)
    (files / "hex").write_text("0x" + (files / "snp").read_bytes().hex().upper() + "\n")
    assert ended(capsys, files / "hex", *common) == ended(capsys, files / "snp", *common)


@pytest.mark.parametrize(
    ("at", "kind"),
    [("2025-06-15T00:00:00+02:00", "not_yet_valid"), ("2025-08-16T00:00:00Z", "expired"), (None, "expired")],
)
def test_the_instant_is_the_one_given_or_now(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform, at: str | None, kind: str
) -> None:
    instant = () if at is None else ("--at", at)
    given = ("--endorsements", files / "given", "--trust-root", platform.root_path)
    code, found = ended(capsys, files / "tdx", *given, *instant)
    assert (code, found["status"]) == (1, "rejected")
    assert found["reason"].startswith(f"{kind}: ")


def test_without_endorsements_and_none_kept_it_is_rejected(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform
) -> None:
    common = ("--trust-root", platform.root_path, "--at", AT, "--data-dir", files / "data")
    for kind in ("sgx", "tdx", "snp"):
        code, found = ended(capsys, files / kind, *common)
        assert (code, found["status"], list(found)) == (1, "rejected", MEMBERS)
        assert found["reason"].startswith("no_endorsements: ")
        assert ended(capsys, files / kind, *common, "--endorsements", files / "given")[0] == 0
    assert not (files / "data").exists()
    for kind in ("sgx", "tdx", "snp"):
        assert ended(capsys, files / kind, *common, "--endorsements", files / "given", "--keep")[0] == 0
        assert ended(capsys, files / kind, *common)[0] == 0


def test_what_is_no_evidence_or_no_endorsement_is_rejected(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform
) -> None:
    (files / "empty").write_bytes(b"")
    (files / "long").write_bytes(b"\2\0\0\0" + bytes(2**20))
    (files / "short").write_bytes((files / "snp").read_bytes()[:-1])
    common = ("--trust-root", platform.root_path, "--at", AT)
    for name, kind in (("empty", "unknown_format"), ("long", "too_large"), ("short", "malformed")):
        code, found = ended(capsys, files / name, *common, "--endorsements", files / "given")
        assert (code, found["status"], found["claims"]) == (1, "rejected", {})
        assert found["reason"].startswith(f"{kind}: ")
    for given in ("given/junk", "nowhere", "snp"):
        code, found = ended(capsys, files / "snp", *common, "--endorsements", files / given)
        assert (code, found["status"]) == (1, "rejected")


@pytest.mark.parametrize(
    "wrong",
    [
        ("--nonce", "xyz"),
        ("--nonce", ""),
        ("--nonce", "00" * 65),
        ("--at", "yesterday"),
        ("--at", "1969-01-01T00:00:00Z"),
    ],
)
def test_a_usage_error_is_64(capsys: pytest.CaptureFixture[str], files: Path, wrong: tuple[str, str]) -> None:
    assert ended(capsys, files / "snp", *wrong)[0] == 64


def test_a_person_reads_what_was_found(
    capsys: pytest.CaptureFixture[str], files: Path, platform: SyntheticPlatform
) -> None:
    common = ["--endorsements", str(files / "given"), "--trust-root", str(platform.root_path), "--at", AT]
    with pytest.raises(SystemExit) as left:
        main(["attestation", "verify", str(files / "snp"), *common])
    said = capsys.readouterr().out
    assert left.value.code == 0
    assert said.startswith("affirming\n  sev-snp-report under a synthetic root\n  machine amd:")
    assert "not appraised: reference_values, platform, nonce" in said


def test_real_evidence_ends_with_its_code(capsys: pytest.CaptureFixture[str], vectors: Path) -> None:
    amd, intel = vectors / "attestation" / "amd", vectors / "attestation" / "intel"
    summer = ("--at", "2025-07-01T00:00:00Z")
    cases: list[tuple[Path, Path, tuple[str, ...], int, str]] = [
        (amd / "virtee" / "report_milan.hex", amd / "virtee", (), 0, "affirming"),
        (amd / "attestation.bin", amd, (), 1, "contraindicated"),
        (intel / "tdx_quote", intel / "tdx_quote_collateral.json", summer, 0, "affirming"),
        (intel / "sgx_quote", intel, summer, 3, "warning"),
        (intel / "sgx_quote", intel, (), 1, "rejected"),
        (intel / "tdx_quote_outdated", intel, ("--at", "2026-03-01T00:00:00Z"), 1, "contraindicated"),
        (intel / "tdx_quote_outdated", amd, ("--at", "2026-03-01T00:00:00Z"), 1, "rejected"),
    ]
    for evidence, given, instant, code, status in cases:
        ended_with, found = ended(capsys, evidence, "--endorsements", given, *instant)
        assert (ended_with, found["status"]) == (code, status), evidence
        assert found["evidence_class"] == ("vendor" if status != "rejected" else None)
