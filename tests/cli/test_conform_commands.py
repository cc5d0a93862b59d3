"""`audit conform` and `audit export-cell` from the command line."""

from pathlib import Path

import pytest

from tests.cli.conftest import TENANT, Installation


@pytest.fixture(scope="module")
def traced(ledger: Installation) -> Installation:
    """The installation with a round over everything."""
    ledger.done("anchor", "run", "--once")
    return ledger


def test_the_live_cell_its_package_and_a_tenants_bundle_conform(traced: Installation) -> None:
    live = traced.done("audit", "conform", "--json").json
    assert live["conform"] is True
    assert live["rounds"] == [[0, 0]]
    assert live["untraced_commits"] == 0
    package = traced.folder / "package"
    assert traced.done("audit", "export-cell", package, "--json").json["rounds"] == 1
    assert package.stat().st_mode & 0o077 == 0, "it holds what the scheduler knows of everybody"
    told = traced.done("audit", "conform", "--cell-audit", package)
    assert f"rounds 0..0 conform, engine {live['engine']}" in told.out
    assert "whose the anchor log's keys are" in told.out
    keys = package / "anchors/log.vkey"
    authentic = traced.done("audit", "conform", "--cell-audit", package, "--log-key", keys, "--json").json
    assert authentic["authentic"] is True
    assert {**authentic, "conform": True}["decisions"] == live["decisions"]
    bundle = traced.folder / "own"
    traced.done("audit", "export", "--tenant", TENANT, "--out", bundle, "--with-keys", "all")
    own = traced.done("audit", "conform", bundle, "--json").json
    assert own["conform"] is True
    assert own["rests_on_commitment"]


def test_what_is_wrong_is_refused_with_its_name(traced: Installation, tmp_path: Path) -> None:
    package = tmp_path / "package"
    traced.done("audit", "export-cell", package)
    (package / "traces/0.jsonl").write_bytes(b"")
    traced.refused("audit", "conform", "--cell-audit", package, says="round 0: its entry names a trace")
    traced.refused("audit", "export-cell", package, says="holds something already")
    traced.refused("audit", "conform", "--from", "7", says="none asked for is among them")
    traced.run("audit", "conform", package, "--cell-audit", package, code=64)
