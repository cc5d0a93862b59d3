"""Usage and results over HTTP and by command: statements, totals for operators, the feed, subscriptions."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.keys.wallet import Purpose
from tests.api.service import Answered, Service, eventually
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer
from tests.posting.receiver import SECRET, Receiver, verified_by

ROOT_KEY = "data/root.key.json"
ALL_TIME = ("--from", "0", "--to", "99999999999999")


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Serve a tenant that has two results and a fault, and another that has none."""
    with postgres.database() as name:
        environ = {"LEDGER_DATABASE_URL": postgres.conninfo(name), "LEDGER_WEBHOOK_NETWORKS": "127.0.0.0/8"}
        made = Installation(tmp_path_factory.mktemp("told"), environ)
        first_steps(made)
        for file in ("flood", "starved", "flood"):
            made.inside("submit", EXAMPLES / f"{file}.submission.json", "--tenant", TENANT, "--key", "alice.json")
        made.done("key", "new", "bob.json", "--name", "bob")
        made.done(
            "tenant",
            "register",
            "--dao",
            "HealthDAO",
            "--jurisdiction",
            "fra",
            "--key",
            "bob.json",
            "--clause",
            "UNDRR::Disaster::Flood",
            "--class",
            "Disaster::Flood@v1",
        )
        for who, of, role, key in (
            ("rita", TENANT, "auditor", "alice.json"), ("Nordrechner", "root", "operator", ROOT_KEY),
            ("otto", "root", "operator", ROOT_KEY),
        ):  # fmt: skip
            made.done("key", "new", f"{who}.json", "--name", who)
            made.done("principal", "enrol", f"{who}.json", "--of", of, "--role", role, "--key", key)
        served = Service(made)
        try:
            yield served.start()
        finally:
            served.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver().start()
    yield made
    made.die()


def there(service: Service, *arguments: str | Path) -> Answered:
    """Run a command at the server; return what it printed."""
    done = service.ledger.done(*arguments, "--server", service.url, "--json")
    return Answered(0, {}, json.dumps(done.json).encode())


def bobs(service: Service, path: str) -> Answered:
    return service.ask("GET", path, token=service.token_of("bob.json", "HealthDAO/FRA", Purpose.GOVERNANCE))


def get(service: Service, path: str, who: str, log: str, purpose: Purpose = Purpose.REPORT) -> Answered:
    return service.ask("GET", path, token=service.token_of(f"{who}.json", log, purpose))


def test_a_statement_comes_over_http_and_verifies_offline(service: Service) -> None:
    ledger = service.ledger
    there(service, "usage", "statement", "--tenant", TENANT, *ALL_TIME, "--key", "alice.json", "--out", "said.json")
    said = json.loads((ledger.folder / "said.json").read_bytes())
    assert len(said["lines"]) == 3
    assert said["totals"]["bytes_in"] > said["totals"]["tokens"] == 3
    by_http = get(service, "/v1/usage/statement?from=0&to=99999999999999", "rita", TENANT).json["statement"]
    assert by_http["lines"] == said["lines"]
    (mine,) = ledger.done("usage", "--tenant", TENANT, "--json").json["usage"]
    whole = get(service, "/v1/usage", "rita", TENANT).json["usage"]
    for name, amount in said["totals"].items():
        assert mine[name] == whole[name] == amount
    ledger.done("anchor", "run", "--once")
    ledger.done("audit", "export", "--tenant", TENANT, "--out", "bundle", "--with-keys", "all")
    verdict = ledger.done("usage", "verify", "said.json", "bundle", "--json").json
    assert (verdict["ok"], verdict["whole"], verdict["lines"]) == (True, True, 3)
    said["lines"][0]["fuel"] += 1
    said["totals"]["fuel"] += 1
    for name in ("nodes", "operators"):
        said[name][0]["fuel"] += 1
    (ledger.folder / "forged.json").write_text(json.dumps(said))
    ended = ledger.inside("usage", "verify", "forged.json", "bundle")
    assert ended.code == 1
    assert "does not say what the line says" in ended.out


@pytest.mark.parametrize(
    "query", ["", "?from=0", "?from=5&to=5", "?from=-1&to=5", "?from=0&to=x", "?from=0&to=5&x=1", "?from=0&from=1&to=5"]
)
def test_a_malformed_period_is_refused(service: Service, query: str) -> None:
    assert get(service, f"/v1/usage/statement{query}", "rita", TENANT).status == 400
    assert get(service, "/v1/usage?from=1", "rita", TENANT).status == 400


def test_an_operator_sees_its_own_nodes_without_tenants_and_others_nothing(service: Service) -> None:
    own = get(service, "/v1/usage", "Nordrechner", "platform")
    assert own.json["usage"]["executions"] == 3
    assert {row["operator"] for row in own.json["usage"]["nodes"]} == {"Nordrechner"}
    assert b"ClimateDAO" not in own.body
    assert b"/t/" not in own.body
    other = get(service, "/v1/usage", "otto", "platform").json["usage"]
    assert (other["executions"], other["nodes"], other["operators"]) == (0, [], [])
    root = service.ask("GET", "/v1/usage", token=service.token_of(ROOT_KEY, "platform", Purpose.GOVERNANCE))
    assert root.json["usage"]["executions"] == 3
    assert get(service, "/v1/usage/statement?from=0&to=5", "Nordrechner", "platform").status == 404
    assert service.ledger.done("usage", "nodes", "--operator", "Nordrechner", "--json").json["usage"]["executions"] == 3


def test_results_are_pulled_by_cursor_without_hole_or_repeat(service: Service) -> None:
    whole = get(service, "/v1/cacs/feed", "rita", TENANT).json
    assert [row["type"] for row in whole["results"]] == ["cac.issued"] * 2
    found, cursor = [], ""
    for _ in range(4):
        page = get(service, f"/v1/cacs/feed?limit=1{cursor}", "rita", TENANT).json
        found += page["results"]
        cursor = f"&cursor={page['next']}"
    assert found == whole["results"]
    outcome = found[0]["cac"]["outcome"]
    for query, rows in ((f"outcome={outcome}", 2), ("clause=UNDRR::Disaster::Flood", 2), ("class=Health::X@v1", 0)):
        assert len(get(service, f"/v1/cacs/feed?{query}", "rita", TENANT).json["results"]) == rows
    assert bobs(service, "/v1/cacs/feed").json["results"] == []
    for query in ("outcome=MAYBE", "clause=x", "cursor=eHl6", "class=x", "limit=0"):
        assert get(service, f"/v1/cacs/feed?{query}", "rita", TENANT).status == 400
    pulled = there(service, "cacs", "feed", "--tenant", TENANT, "--key", "alice.json").json
    assert pulled == whole
    assert service.ledger.done("cacs", "feed", "--tenant", TENANT, "--json").json["results"] == whole["results"]


def test_a_subscription_over_http_is_served_by_the_process_and_ends(service: Service, receiver: Receiver) -> None:
    subscribe = ("cacs", "subscribe", "--tenant", TENANT, "--url", receiver.url, "--after", "-1", "--key", "alice.json")
    receiver.statuses = [503]
    made = there(service, *subscribe).json
    assert made["acknowledgements"]
    eventually(lambda: len(receiver.taken) == 2)
    listed = there(service, "cacs", "subscriptions", "--tenant", TENANT, "--key", "alice.json")
    assert SECRET.encode() not in listed.body
    (jwk,) = listed.json["keys"]["keys"]
    for taken in receiver.taken:
        verified_by(jwk, taken, receiver.url)
        assert taken.said["subscription"] == made["subscription"]
    assert receiver.leaves == sorted(receiver.leaves)

    def row() -> dict[str, object]:
        rows = get(service, "/v1/subscriptions", "rita", TENANT).json["subscriptions"]
        return next(dict(one) for one in rows if one["subscription"] == made["subscription"])

    eventually(lambda: row()["delivered"] == 2)
    assert (row()["status"], row()["host"]) == ("open", "127.0.0.1")
    there(service, "cacs", "unsubscribe", made["subscription"], "--tenant", TENANT, "--key", "alice.json")
    assert (row()["status"], row()["host"]) == ("ended", None)
    assert bobs(service, "/v1/subscriptions").json["subscriptions"] == []
    service.ledger.refused(
        "cacs", "unsubscribe", made["subscription"], "--tenant", "HealthDAO/FRA", "--key", "bob.json",
        "--server", service.url, says="no such subscription",
    )  # fmt: skip
    assert SECRET not in "".join(service.ledger.said)


def test_by_command_beside_the_server_too(service: Service, receiver: Receiver) -> None:
    ledger = service.ledger
    service.stop()
    try:
        common = ("--tenant", TENANT, "--key", "alice.json")
        made = ledger.done(
            "cacs", "subscribe", "--url", receiver.url, "--after", "-1", "--outcome", "FAIL", *common, "--json"
        )
        ledger.done("cacs", "subscribe", "--url", receiver.url, "--after", "-1", *common)
        assert ledger.done("cacs", "deliver", "--json").json == {"delivered": 2, "left": False}
        assert len(receiver.taken) == 2
        rows = ledger.done("cacs", "subscriptions", "--tenant", TENANT, "--json").json["subscriptions"]
        assert sorted(row["delivered"] for row in rows if row["status"] == "open") == [0, 2]
        ledger.done("cacs", "unsubscribe", made.json["subscription"], *common)
        ledger.refused("cacs", "subscribe", "--url", "ftp://x/", *common, says="begins with http")
        ledger.refused("cacs", "subscribe", "--url", receiver.url, "--outcome", "MAYBE", *common, says="outcome")
    finally:
        service.start()
