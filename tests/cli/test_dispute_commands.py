"""Disputes as a person or a script meets them."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import EXAMPLES, TENANT, Installation

ROOT_KEY = "data/root.key.json"
ABSENT = "0198c0de-0000-7000-8000-00000000000d"


@pytest.fixture(scope="module")
def court(ledger: Installation) -> Installation:
    """An installation whose root has a resolver, and a key of the node's operator."""
    for name, role in (("judge", "resolver"), ("Nordrechner", "operator")):
        ledger.done("key", "new", f"{name}.json", "--name", name)
        ledger.done(
            "tenant", "enrol-key", f"{name}.json", "--tenant", "root", "--role", role, "--purpose", "governance",
            "--key", ROOT_KEY,
        )  # fmt: skip
    return ledger


def result(ledger: Installation) -> str:
    """Let something run; return its CAC."""
    done = ledger.done(
        "submit", EXAMPLES / "flood.submission.json", "--tenant", TENANT, "--key", "alice.json", "--json"
    )
    return str(done.json["cacs"][0])


def test_a_disputes_life_ends_each_output_with_one_object(court: Installation, tmp_path: Path) -> None:
    cac = result(court)
    found = court.done("dispute", "find", "--cac", cac, "--proofs", tmp_path / "proofs", "--json").json
    (involved,) = found["involved"]
    assert (involved["cac"], involved["node"], involved["evidence"]["class"]) == (cac, "berlin-1", "software")
    assert found["jurisdictions"] == [{"jurisdiction": "DEU", "tenants": 1, "executions": 1, "cacs": 1}]
    assert {path.name for path in (tmp_path / "proofs").iterdir()} == {one["proof"] for one in involved["entries"]}
    opened = court.done(
        "dispute", "open", "--cac", cac, "--grounds", "wrong", "--tenant", TENANT, "--key", "alice.json", "--json"
    ).json
    dispute = opened["dispute"]
    assert opened["concerned"] == [{"role": "operator", "name": "Nordrechner", "answered": False}]
    (tmp_path / "gauge.txt").write_text("1871,1\n")
    at = f"{opened['scope']}#1"
    steps: list[tuple[str | Path, ...]] = [
        ("answer", dispute, "--text", "right", "--operator", "Nordrechner", "--key", "Nordrechner.json"),
        ("attach", dispute, "--title", "gauge", "--file", tmp_path / "gauge.txt", "--tenant", TENANT, "--key",
         "alice.json"),
        ("attach", dispute, "--title", "an entry", "--entry", at, "--key", "judge.json"),
        ("decide", dispute, "overturned", "--reason", "wrong", "--key", "judge.json"),
        ("show", dispute), ("list",), ("list", "--scope", "root", "--status", "overturned"),
        ("export", dispute, "--out", tmp_path / "case"),
    ]  # fmt: skip
    for step in steps:
        ended = court.done("dispute", *step, "--json")
        assert ended.json, step
        assert ended.out.count("\n") == 1, step
    shown = court.done("dispute", "show", dispute, "--json").json
    assert (shown["status"], shown["evidence"], shown["overturned"]) == ("overturned", 2, [cac])
    assert "OVERTURNED" in court.done("cac", "show", cac).out
    assert court.done("cac", "list", "--json").json["cacs"][-1]["overturned"]["dispute"] == dispute
    for log in json.loads((tmp_path / "case/dispute.json").read_bytes())["logs"]:
        verdict = court.done("audit", "verify", tmp_path / "case" / log["directory"], "--json").json
        assert (verdict["ok"], verdict["size"]) == (True, log["size"])
    whole = court.done("dispute", "verify", tmp_path / "case", "--json").json
    assert (whole["ok"], whole["dispute"], whole["status"]) == (True, dispute, "overturned")
    (tmp_path / "case/evidence/0").write_text("1871,2\n")
    changed = court.inside("dispute", "verify", tmp_path / "case")
    assert (changed.code, "evidence/0" in changed.out) == (1, True)
    shown_cac = tmp_path / "cac.json"
    shown_cac.write_text(court.done("cac", "show", cac, "--json").out)
    slot = next(path for path in (tmp_path / "case").iterdir() if path.name.startswith("t-"))
    refused = court.inside("cac", "verify", shown_cac, slot, "--json")
    assert (refused.code, refused.json["reason"]) == (1, "overturned")


def test_a_node_is_found_and_disputed_by_a_resolver_and_taken_back(court: Installation) -> None:
    result(court)
    span = ("--node", "berlin-1", "--from", "2020-01-01T00:00:00Z")
    page = court.done("dispute", "find", *span, "--limit", "1", "--json").json
    whole = court.done("dispute", "find", *span, "--json").json["involved"]
    assert page["involved"] == whole[:1]
    rest = court.done("dispute", "find", *span, "--after", page["after"], "--json").json if page["after"] else {}
    assert [*page["involved"], *rest.get("involved", [])] == whole
    assert court.done("dispute", "find", *span, "--tenant", TENANT, "--json").json["involved"] == whole
    assert "nothing is involved" in court.done("dispute", "find", "--node", "other", *span[2:]).out
    opened = court.done("dispute", "open", *span, "--grounds", "tampered", "--key", "judge.json", "--json").json
    assert {one["execution_id"] for one in opened["affected"]} == {one["execution"] for one in whole}
    court.refused(
        "dispute", "decide", opened["dispute"], "upheld", "--reason", "x", "--key", "judge.json", says="have until"
    )
    done = court.done("dispute", "withdraw", opened["dispute"], "--reason", "settled", "--key", "judge.json")
    assert "withdrawn: settled" in done.out


def test_what_is_not_there_is_refused_in_one_line(court: Installation, tmp_path: Path) -> None:
    nothing = "there is nothing of that id"
    for arguments in (
        ("show", ABSENT), ("export", ABSENT, "--out", tmp_path / "none"),
        ("find", "--cac", "cac-0x" + "0" * 32), ("withdraw", ABSENT, "--reason", "x", "--key", "judge.json"),
        ("open", "--cac", "cac-0x" + "0" * 32, "--grounds", "x", "--tenant", TENANT, "--key", "alice.json"),
    ):  # fmt: skip
        court.refused("dispute", *arguments, says=nothing)
    court.refused("dispute", "show", "case-7", says="is a UUID")
    court.refused("dispute", "find", "--node", "berlin-1", says="needs --from")
    court.refused("dispute", "find", "--node", "berlin-1", "--clause", "A::B::C@1.0.0", says="ask about one thing")
    court.refused("dispute", "find", "--cac", "cac-1", says="is not wl-0x")
    court.refused("dispute", "find", "--node", "berlin-1", "--from", "0", "--after", "x", says="--after takes")
    court.refused("dispute", "list", "--status", "lost", says="--status is one of")
    court.refused("dispute", "list", "--scope", TENANT, says="no scope of that name")


def test_usage_errors_end_with_64(court: Installation) -> None:
    for arguments in (
        ("attach", ABSENT, "--title", "x", "--key", "judge.json"), ("decide", ABSENT, "lost", "--reason", "x"),
        ("answer", ABSENT, "--text", "x", "--tenant", TENANT, "--operator", "O"), ("find", "--from", "yesterday"),
    ):  # fmt: skip
        assert court.inside("dispute", *arguments).code == 64, arguments
