"""The commands about notices of faults, and about nodes that are drained and return."""

import json
from pathlib import Path

from tests.cli.conftest import EXAMPLES, TENANT, Installation

POLICY = {"rules": [{"kind": "notification", "recipients": ["ParentDao", "TreatyMonitor"]}]}


def starve(ledger: Installation) -> None:
    """Let a workload of the tenant fault."""
    policy = ledger.folder / "told.policy.json"
    policy.write_text(json.dumps(POLICY))
    adopted = ledger.inside("policy", "adopt", policy, "--tenant", TENANT, "--key", "alice.json")
    assert adopted.code == 3, "recipients that nobody appointed are warned of"
    ledger.inside("submit", EXAMPLES / "starved.submission.json", "--tenant", TENANT, "--key", "alice.json")


def test_notices_are_listed_fetched_once_and_tried_at_webhooks(ledger: Installation, tmp_path: Path) -> None:
    assert ledger.done("notices", "list").out == "no notice is open\n"
    starve(ledger)
    rows = ledger.done("notices", "list", "--json").json["notices"]
    assert [(row["recipient"], row["kind"], row["delivered"]) for row in rows] == [
        ("ParentDao", "fuel", False), ("TreatyMonitor", "fuel", False),
    ]  # fmt: skip
    fetched = ledger.done("notices", "fetch", "--recipient", "ParentDao", "--out", tmp_path / "n", "--json").json
    (notice,) = fetched["notices"]
    (file,) = (tmp_path / "n").iterdir()
    assert file.read_text() == notice["statement"]
    assert file.name == f"{notice['execution']}.jwt"
    assert ledger.done("notices", "fetch", "--recipient", "ParentDao", "--json").json == {"notices": []}
    ledger.done("notices", "webhook", "--recipient", "TreatyMonitor", "--url", "http://127.0.0.1:9/")
    tried = ledger.inside("notices", "deliver", "--json")
    assert (tried.code, tried.json) == (3, {"delivered": 0, "left": True})
    assert "127.0.0.1 does not answer" in tried.err
    ledger.done("notices", "webhook", "--recipient", "TreatyMonitor", "--remove")
    assert ledger.done("notices", "deliver", "--json").json == {"delivered": 0, "left": False}
    told = ledger.done("notices", "list", "--delivered", "--json").json["notices"]
    assert [(row["recipient"], row["how"], row["tries"]) for row in told] == [
        ("TreatyMonitor", None, 1), ("ParentDao", "fetched", 1),
    ]  # fmt: skip


def test_what_is_wrong_about_a_webhook_is_refused(ledger: Installation) -> None:
    ledger.refused("notices", "webhook", "--recipient", "X", says="--url")
    ledger.refused("notices", "webhook", "--recipient", "X", "--url", "ftp://x/", says="http://")
    ledger.refused("notices", "webhook", "--recipient", "X", "--remove", says="no webhook is set")


def test_a_drained_node_returns(ledger: Installation) -> None:
    assert ledger.done("node", "drain", "berlin-1", "--reason", "repair", "--json").json == {"node": "berlin-1"}
    assert ledger.done("node", "return", "berlin-1", "--reason", "repaired", "--json").json == {"node": "berlin-1"}
    ledger.refused("node", "return", "nowhere", "--reason", "x", says="not enrolled")
