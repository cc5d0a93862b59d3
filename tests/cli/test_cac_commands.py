"""`cac export` and `cac verify` as people and scripts use them."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import EXAMPLES, ROOT, TENANT, Installation

FORMS = ("json", "vc", "scitt")


@pytest.fixture(scope="module")
def exported(ledger: Installation) -> dict[str, Any]:
    """Run the example, export its CAC in every form, and the log with its keys; return the row of the CAC."""
    ledger.done("submit", EXAMPLES / "flood.submission.json", "--tenant", TENANT, "--key", "alice.json")
    row: dict[str, Any] = ledger.done("cac", "list", "--json").json["cacs"][0]
    for form in FORMS:
        told = ledger.done("cac", "export", row["cac"], "--format", form, "--out", f"cac.{form}", "--json").json
        assert told["bytes"] == (ledger.folder / f"cac.{form}").stat().st_size
    ledger.done("audit", "export", "--tenant", TENANT, "--with-keys", "all", "--out", "bundle")
    ledger.done("trust", "export", "--tenant", TENANT, "--out", "policy")
    return row


def verify(ledger: Installation, *arguments: str | Path, code: int = 0) -> dict[str, Any]:
    """Run the command as a process of its own, without any ledger."""
    ended = ledger.end(ledger.start("cac", "verify", *arguments, "--json"), code)
    return ended.json


@pytest.mark.parametrize("form", FORMS)
def test_a_cac_is_verified_in_each_form_alone_and_with_its_bundle(
    ledger: Installation, exported: dict[str, Any], form: str
) -> None:
    alone = verify(ledger, f"cac.{form}")
    assert (alone["ok"], alone["form"], alone["reason"], alone["issued"]) == (True, form, None, None)
    assert (alone["cac_id"], alone["outcome"]) == (exported["cac"], exported["outcome"])
    assert alone["trust"] == "self-consistent; origin not authenticated"
    inside = verify(ledger, f"cac.{form}", "bundle")
    assert (inside["ok"], inside["issued"], inside["trust"]) == (True, True, alone["trust"])
    outside = verify(ledger, f"cac.{form}", "bundle", "--policy", "policy")
    assert outside["ok"]
    assert outside["trust"].startswith("verified")
    assert outside["tenant_info"]["dao"] == "ClimateDAO"


def test_what_is_shown_is_verified_too(ledger: Installation, exported: dict[str, Any]) -> None:
    shown = ledger.done("cac", "show", exported["cac"], "--json").out
    (ledger.folder / "shown.json").write_text(shown)
    assert verify(ledger, "shown.json", "bundle")["issued"] is True


def test_a_spoiled_one_ends_with_1_and_its_reason(ledger: Installation, exported: dict[str, Any]) -> None:
    document = json.loads((ledger.folder / "cac.json").read_text())
    (ledger.folder / "spoiled.json").write_text(json.dumps({**document, "outcome": "TRIGGER"}))
    told = verify(ledger, "spoiled.json", "bundle", code=1)
    assert (told["ok"], told["reason"], told["trust"]) == (False, "proof", "not verified")
    assert told["cac_id"] is None
    ended = ledger.end(ledger.start("cac", "verify", "spoiled.json"), 1)
    assert "refused: proof: " in ended.out
    assert exported["cac"] not in ended.err


def test_what_a_bundle_does_not_show_ends_with_3(ledger: Installation, exported: dict[str, Any]) -> None:
    ledger.done("audit", "export", "--tenant", TENANT, "--out", "sealed")
    assert verify(ledger, "cac.vc", "sealed", code=3)["issued"] is False
    assert verify(ledger, "cac.scitt", "sealed")["issued"] is True
    assert exported["cac"]


def test_an_instant_and_the_tenants_key_are_taken(ledger: Installation, exported: dict[str, Any]) -> None:
    assert verify(ledger, "cac.json", "--at", "2001-01-01T00:00:00Z", code=1)["reason"] == "time"
    assert verify(ledger, "cac.json", "--at", "2999-01-01T00:00:00Z")["ok"]
    issuer = json.loads((ledger.folder / "cac.vc").read_text())["issuer"]
    assert verify(ledger, "cac.json", "--tenant-key", issuer)["trust"] == "verified"
    assert verify(ledger, "cac.json", "--tenant-key", "1" * 64, code=1)["reason"] == "certificate"
    assert exported["cac"]


def test_wrong_usage_ends_with_64_and_bad_files_with_1(ledger: Installation, exported: dict[str, Any]) -> None:
    for arguments in (
        ("cac.json", "--policy", "policy"), ("cac.json", "--log-key", "x+y+z"), ("cac.json", "--at", "noon"), (),
    ):  # fmt: skip
        ledger.end(ledger.start("cac", "verify", *arguments), 64)
    ledger.end(ledger.start("cac", "export", exported["cac"], "--format", "xml", "--out", "x"), 64)
    for wrong in (["missing.json"], ["cac.json", "--tenant-key", "x"], ["cac.json", "bundle", "--log-key", "x"]):
        ledger.end(ledger.start("cac", "verify", *wrong), 1)
    ledger.refused("cac", "export", exported["cac"], "--out", "cac.json", says="exists already")
    ledger.refused("cac", "export", "cac-0x" + "0" * 32, "--out", "none", says="")
    ledger.refused("cac", "export", exported["workload"], "--out", "none", says="no CAC")
    assert not (ledger.folder / "none").exists()


def test_help_is_quick() -> None:
    began = time.monotonic()
    told = subprocess.run(
        [sys.executable, "-m", "infrastructure.cli", "cac", "verify", "--help"], cwd=ROOT, check=True, text=True,
        capture_output=True,
    )  # fmt: skip
    assert "--tenant-key" in told.stdout
    assert time.monotonic() - began < 2  # loosely: other tests run beside it; 0.5 s alone
