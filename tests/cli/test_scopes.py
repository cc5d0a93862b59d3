"""Quotas, tokens, levels, scopes, monitors and policies from the command line."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infrastructure.cli.output import WARNING
from tests.cli.conftest import EXAMPLES, TENANT, Ended, Installation

GRANT = ("--clause", "UNDRR::Disaster::Flood", "--class", "Disaster::Flood@v1")
SUBMIT = ("--tenant", TENANT, "--key", "alice.json")
UNTIL = ("--until", "2099-01-01T00:00:00Z")


def warned(ledger: Installation, *arguments: str | Path) -> Ended:
    """Run a command that ends with a warning."""
    ended = ledger.inside(*arguments)
    assert ended.code == WARNING, ended
    assert "warning: " in ended.err
    return ended


def policy(path: Path, *rules: dict[str, Any]) -> Path:
    """Write a policy."""
    path.write_text(json.dumps({"rules": list(rules)}))
    return path


def test_a_tree_of_scopes_is_built_granted_and_shown(ledger: Installation, tmp_path: Path) -> None:
    ledger.done("key", "new", tmp_path / "treaty.json", "--name", "treaty-admin")
    ledger.done("key", "new", tmp_path / "bob.json", "--name", "bob")
    treaty = ("--name", "Rhine", "--kind", "treaty", "--key", tmp_path / "treaty.json")
    assert ledger.done("scope", "register", *treaty, "--json").json["name"] == "Rhine"
    scopes = ledger.done("scope", "list", "--json").json["scopes"]
    assert [(row["name"], row["kind"], row["parent"]) for row in scopes if row["name"] in {"root", "Rhine"}] in (
        [("root", "root", None), ("Rhine", "treaty", "root")], [("Rhine", "treaty", "root"), ("root", "root", None)],
    )  # fmt: skip
    bob = ("tenant", "register", "--dao", "RhineDAO", "--jurisdiction", "DEU", "--key", tmp_path / "bob.json", *GRANT)
    ledger.refused(*bob, "--scope", "Rhine", says="no key enrolled")
    ledger.done(*bob, "--scope", "Rhine", "--scope-key", tmp_path / "treaty.json")
    grant = ("quota", "grant", "--slots")
    ledger.done(*grant, "100", "--lend-slots", "50", "--to", "root")
    ledger.done(*grant, "40", "--lend-slots", "10", "--borrow-slots", "5", "--to", "Rhine", "--memory-mib", "4096")
    by_treaty = ("--to", "RhineDAO/DEU", "--key", tmp_path / "treaty.json")
    ledger.refused(*grant, "41", *by_treaty, says="41 would be granted below Rhine, whose nominal is 40")
    ledger.refused(*grant, "4", "--to", "RhineDAO/DEU", says="no key enrolled")
    answer = ledger.done(*grant, "4", "--borrow-slots", "2", "--weight", "3", *by_treaty, "--json").json
    assert (answer["version"], answer["slots"], answer["warnings"]) == (1, {"nominal": 4, "borrow": 2, "lend": 0}, [])
    rows = {row["name"] or row["slot"]: row for row in ledger.done("quotas", "--json").json["quotas"]}
    mine = next(row for row in rows.values() if row["above"] == rows["Rhine"]["slot"])
    assert (rows["root"]["depth"], rows["Rhine"]["depth"], mine["depth"]) == (0, 1, 2)
    assert mine["name"] is None, "the operator sees tenants by slot"
    assert mine["slots"] == {"nominal": 4, "borrow": 2, "lend": 0, "used": 0, "borrowed": 0, "lent": 0}
    assert (mine["memory_bytes"]["nominal"], mine["weight"]) == (None, 3)
    assert rows["Rhine"]["memory_bytes"]["nominal"] == 4096 * 1024 * 1024
    (own,) = ledger.done("quotas", "--tenant", "RhineDAO/DEU", "--json").json["quotas"]
    assert (own["name"], own["slots"]) == ("RhineDAO/DEU", mine["slots"])
    assert "0 of 4 used, borrowed 0 of 2" in ledger.done("quotas").out


def test_tokens_are_granted_with_an_end_and_warned_of(ledger: Installation) -> None:
    grant = ("token", "grant", "--to", TENANT, "--tokens", "6", "--burst")
    answer = ledger.done(*grant, "3", *UNTIL, "--json").json
    assert (answer["tokens"], answer["burst"], answer["period_ms"]) == (6, 3, 60_000)
    ledger.refused(
        *grant, "3", "--from", "2098-01-01T00:00:00Z", "--until", "2097-01-01T00:00:00Z", says="before they end"
    )
    assert "starts before 2098" in warned(ledger, *grant, "3", "--from", "2098-01-01T00:00:00Z", *UNTIL).err
    over = warned(ledger, *grant, "3", "--from", "0", "--until", "1000", "--json")
    assert "over since" in over.json["warnings"][0]
    assert ledger.inside(*grant, "3", "--until", "tomorrow").code == 64
    ledger.refused("token", "grant", "--to", "root", "--tokens", "1", "--burst", "1", *UNTIL, says="handed on")
    (row,) = ledger.done("quotas", "--tenant", TENANT, "--json").json["quotas"]
    assert row["tokens"]["until_ms"] == 1000
    ledger.done(*grant, "60", *UNTIL)


def test_a_burst_below_what_a_clause_takes_at_once_is_warned_of(ledger: Installation, tmp_path: Path) -> None:
    clause = json.loads((EXAMPLES / "flood.clause.json").read_text()) | {
        "clause_id": "UNDRR::Disaster::Flood@3.0.0", "module": str((EXAMPLES / "../clauses/flood.wat").resolve()),
        "policies": [{"kind": "independent_attestations", "count": 3}],
    }  # fmt: skip
    (tmp_path / "clause.json").write_text(json.dumps(clause))
    ledger.done("clause", "register", tmp_path / "clause.json", *SUBMIT)
    ended = warned(ledger, "token", "grant", "--to", TENANT, "--tokens", "6", "--burst", "2", *UNTIL, "--json")
    assert ended.json["warnings"] == [
        "UNDRR::Disaster::Flood@3.0.0 takes 3 tokens at once, and the burst is 2: it never starts"
    ]
    ledger.done("token", "grant", "--to", TENANT, "--tokens", "6", "--burst", "3", *UNTIL)
    ledger.done("clause", "deprecate", "UNDRR::Disaster::Flood@3.0.0", *SUBMIT, "--reason", "tried")


def test_quotas_that_stop_a_tenant_are_warned_of(ledger: Installation) -> None:
    assert "nothing can run" in warned(ledger, "quota", "grant", "--slots", "0", "--to", TENANT).err
    ended = warned(
        ledger,
        "quota",
        "grant",
        "--slots",
        "1",
        "--borrow-slots",
        "1",
        "--memory-mib",
        "9999",
        "--borrow-memory-mib",
        "1",
        "--to",
        TENANT,
    )
    assert "memory_bytes: nothing above" in ended.err
    ledger.refused("quota", "grant", "--borrow-slots", "1", "--to", TENANT, says="--slots")
    ledger.done("quota", "grant", "--to", TENANT)


def test_levels_are_adopted_anew(ledger: Installation) -> None:
    assert ledger.done("levels", "adopt", "Finance", "Disaster", "--json").json == {"levels": ["Finance", "Disaster"]}
    ledger.refused("levels", "adopt", "Disaster", "--root-key", "alice.json", says="no key enrolled")
    ledger.refused("levels", "adopt", "Disaster", "Disaster", says="named twice")
    ledger.refused("levels", "adopt", "not a word", says="domains")
    ledger.done("levels", "adopt", "Disaster", "Health", "Finance", "Planning")


def test_a_monitor_is_appointed_once(ledger: Installation) -> None:
    appoint = ("monitor", "appoint", "--name", "RhineMonitor", *SUBMIT)
    assert ledger.done(*appoint, "--json").json["kind"] == "treaty_monitor"
    ledger.refused(*appoint, says="appointed already")
    ledger.refused(
        "monitor", "appoint", "--name", "Other", "--tenant", TENANT, "--key", "node.json", says="no key enrolled"
    )
    ledger.refused(*appoint, "--kind", "friend", says="--kind")


def test_usage_is_told_for_all_by_slot_and_for_one_by_day(ledger: Installation) -> None:
    row = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--json").json
    assert row["status"] == "done"
    (mine,) = ledger.done("usage", "--tenant", TENANT, "--json").json["usage"]
    assert mine["executions"] >= 1
    assert mine["fuel"] > 0
    assert sum(day["fuel"] for day in mine["days"]) == mine["fuel"]
    everybody = ledger.done("usage", "--json").json["usage"]
    assert {name: value for name, value in mine.items() if name != "days"} in everybody
    assert all("days" not in one for one in everybody)
    assert "executions" in ledger.done("usage").out


def test_a_policy_is_checked_without_being_adopted(ledger: Installation, tmp_path: Path) -> None:
    before = ledger.sizes()
    good = policy(tmp_path / "good.json", {"kind": "in_country"})
    assert ledger.done("policy", "check", good, "--tenant", TENANT, "--json").json["warnings"] == []
    nowhere = policy(tmp_path / "nowhere.json", {"kind": "in_country", "countries": ["KEN"]})
    ended = warned(ledger, "policy", "check", nowhere, "--tenant", TENANT, "--json")
    assert ended.json["warnings"][0] == "country KEN has no node"
    assert "stop everything" in ended.json["warnings"][1]
    both = policy(tmp_path / "both.json", {"kind": "operators", "allowed": ["A"], "forbidden": ["A"]})
    checked = ledger.inside("policy", "check", both, "--tenant", TENANT, "--json")
    assert (checked.code, len(checked.json["contradictions"])) == (1, 2)
    assert ledger.sizes() == before


def test_a_policy_that_contradicts_itself_is_refused_and_one_that_stops_work_is_warned_of(
    ledger: Installation, tmp_path: Path
) -> None:
    waits = ledger.done("submit", EXAMPLES / "flood.submission.json", *SUBMIT, "--no-run", "--json").json["workload"]
    never = policy(
        tmp_path / "never.json",
        {"kind": "operators", "allowed": ["A"]}, {"kind": "operators", "allowed": ["B"]},
    )  # fmt: skip
    ledger.refused("policy", "adopt", never, *SUBMIT, says="contradicts itself: no operator is allowed by every rule")
    nowhere = policy(tmp_path / "nowhere.json", {"kind": "in_country", "countries": ["KEN"]})
    ledger.refused("policy", "adopt", nowhere, *SUBMIT, "--strict", says="not adopted (--strict): country KEN")
    told = warned(ledger, "policy", "adopt", nowhere, *SUBMIT, "--json").json
    assert [(one["name"], one["rule"]) for one in told["held"]] == [(waits, "in_country")]
    assert told["running"] == []
    ledger.done("policy", "adopt", EXAMPLES / "in-country.policy.json", *SUBMIT)
    ledger.done("cancel", waits, *SUBMIT)


@pytest.mark.parametrize(
    "arguments",
    [
        ("quota", "grant"), ("quota", "grant", "--to", TENANT, "--slots", "-1"), ("token", "grant", "--to", TENANT),
        ("quota", "grant", "--to", TENANT, "--weight", "0"), ("levels", "adopt"), ("scope", "register"),
        ("monitor", "appoint"), ("token", "grant", "--to", TENANT, "--tokens", "0", "--burst", "1", *UNTIL),
    ],
    ids=str,
)  # fmt: skip
def test_a_usage_error_is_one(ledger: Installation, arguments: tuple[str, ...]) -> None:
    assert ledger.inside(*arguments).code == 64


@pytest.mark.parametrize("command", ["quota", "token", "levels", "scope", "monitor", "quotas", "usage"])
def test_every_command_has_help(ledger: Installation, command: str) -> None:
    ended = ledger.end(ledger.start(command, "--help"))
    assert "Usage: enclave-ledger" in ended.out


def test_a_pools_operator_offers_it_and_the_offer_is_withdrawn(ledger: Installation, tmp_path: Path) -> None:
    keeper = tmp_path / "keeper.json"
    ledger.done("key", "new", keeper, "--name", "keeper")
    reserve = ("--pool", "reserve", "--operator", "Keeper")
    until = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    stand = ("offer", "stand", *reserve, "--key", keeper, "--until")
    ledger.refused(*stand, "2099-01-01T00:00:00Z", says="400 days at most")
    answer = ledger.done(*stand, until, "--slots", "4", "--memory-mib", "1", "--json").json
    assert (answer["pool"], answer["slots"], answer["memory_bytes"]) == ("reserve", 4, 1024 * 1024)
    assert "all there is" in ledger.done(*stand, until).out
    assert ledger.done("offer", "withdraw", *reserve, "--key", keeper, "--json").json["withdrawn"] is True
    ledger.refused("offer", "withdraw", *reserve, says="no offer of that operator stands")
    ledger.done(*stand, until)
    ledger.done("offer", "withdraw", *reserve)
