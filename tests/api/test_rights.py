"""Every route of the application x every role x a foreign tenant: nothing leaks, nothing is left out of the table."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from domain.errors import RefusedError
from infrastructure.api import app
from infrastructure.api.app import declared, make_app
from infrastructure.api.peers import Peers
from infrastructure.api.rights import BY_STATEMENT, EVERYBODY, OF_SCOPES, OF_TENANTS, RIGHTS, Role, missing
from infrastructure.api.state import Serving
from tests.api.people import PEOPLE, service, token
from tests.api.provider import Provider, admit, shown
from tests.api.service import Answered, Service

__all__ = ["service"]

ROLES: Final = {
    "alice": Role.ADMIN, "sam": Role.SUBMITTER, "sid": Role.SIGNATORY,
    "rita": Role.AUDITOR, "rene": Role.RELEASER, "otto": Role.OPERATOR,
    "pia": Role.AUDITOR, "mona": Role.MONITOR, "resi": Role.RESOLVER, "root": Role.ADMIN, "node": Role.NODE,
    "wes": Role.WITNESS, "olga": Role.AUDITOR,
}  # fmt: skip
"""What each of the people is."""
GUARDED: Final = sorted(set(declared()) - EVERYBODY - BY_STATEMENT)
NO_DISPUTE: Final = "0198c0de-0000-7000-8000-00000000000d"
"""Disputes that there are, and whose, are in tests.api.test_disputing."""
NO_DIGEST: Final = "0" * 64
SHOWN: Final = frozenset({"olga"})
"""Who has no key: somebody else's token showed who it is. Such a one reads what its role reads, and no more."""
OWN: Final = frozenset({"date", "x-request-id"})
"""Headers that differ from answer to answer."""


@pytest.fixture(scope="module")
def tokens(service: Service) -> dict[str, str]:
    rules = ("auditor=groups=ledger-auditors",)
    provider = Provider()
    admit(service, provider, *rules)
    return {**{who: token(service, who) for who in (*PEOPLE, "node")}, "olga": shown(service, provider.token())}


@pytest.fixture(scope="module")
def ids(service: Service, tokens: dict[str, str]) -> dict[str, dict[str, str]]:
    """Return what the paths name: of the one tenant, of the other, and of nobody."""

    def of(who: str) -> dict[str, str]:
        (row,) = service.ask("GET", "/v1/workloads", token=tokens[who]).json["workloads"]
        found = {
            "workload": row["workload"],
            "execution": row["executions"][0],
            "cac": row["cacs"][0],
            "dispute": NO_DISPUTE,
        }
        return {
            **found,
            "name": row["workload"],
            "index": "0",
            "path:path": "0/000",
            "digest": NO_DIGEST,
            "note": "1.note",
        }

    digits = "0" * 32
    nobody = {
        "workload": f"wl-0x{digits}",
        "execution": f"exec-0x{digits}",
        "cac": f"cac-0x{digits}",
        "dispute": NO_DISPUTE,
    }
    return {
        "own": of("rita"), "foreign": of("flora"),
        "none": {**nobody, "name": f"wl-0x{digits}", "index": "9007199254740991", "path:path": "0/x009/999",
                 "digest": NO_DIGEST, "note": "1.note"},
    }  # fmt: skip


def filled(path: str, names: dict[str, str]) -> str:
    """Return a path with its names filled in."""
    for name, value in names.items():
        path = path.replace(f"{{{name}}}", value)
    assert "{" not in path
    return path


def ask(service: Service, method: str, path: str, given: str) -> Answered:
    """Ask without anything but a token; a feed is asked from behind its end, so that it is refused."""
    more = {"Last_Event_ID": "9007199254740991"} if path == "/v1/feed" else {}
    return service.ask(method, path, b"{}" if method == "POST" else None, given, **more)


def plain(answer: Answered) -> tuple[int, dict[str, str], bytes]:
    """Return all of an answer but its instant."""
    return answer.status, {name: value for name, value in answer.headers.items() if name not in OWN}, answer.body


def test_every_route_stands_in_the_table_and_every_role_is_asked_for() -> None:
    assert missing(declared()) == []
    assert RIGHTS.keys() == set(GUARDED)
    assert set(ROLES.values()) == set(Role)
    assert OF_TENANTS | OF_SCOPES | {Role.NODE, Role.OPERATOR, Role.SIGNATORY} == set(Role)


def test_without_its_line_in_the_table_there_is_no_application(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "declared", lambda: [*declared(), ("GET", "/v1/new")])
    with pytest.raises(RefusedError, match="/v1/new"):
        make_app(Serving(), print, Peers())


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_who_may_not_ask_a_route_hears_that_there_is_nothing(
    service: Service, tokens: dict[str, str], ids: dict[str, dict[str, str]], method: str, path: str
) -> None:
    nowhere = plain(service.ask("GET", "/v1/nowhere", token=tokens["rita"]))
    for who, role in ROLES.items():
        if role not in RIGHTS[method, path] or (who in SHOWN and method != "GET"):
            for names in ids.values():
                assert plain(ask(service, method, filled(path, names), tokens[who])) == nowhere, (who, path)
        elif method == "GET" and "{" not in path:
            answer = ask(service, method, path, tokens[who])
            assert answer.status != 404 or path.endswith("/checkpoint"), (who, path, answer.body)


@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_what_is_anothers_is_as_what_does_not_exist(
    service: Service, tokens: dict[str, str], ids: dict[str, dict[str, str]], method: str, path: str
) -> None:
    if not any(f"{{{name}}}" in path for name in ("workload", "execution", "cac", "name")):
        return
    for who in ("alice", "sam", "rita", "rene", "otto", "pia", "mona", "resi", "root", "node", "wes", "olga"):
        foreign = ask(service, method, filled(path, ids["foreign"]), tokens[who])
        none = ask(service, method, filled(path, ids["none"]), tokens[who])
        assert foreign.status == 404, (who, path, foreign.body)
        assert plain(foreign) == plain(none), (who, path)


def test_what_is_ones_own_is_there(service: Service, tokens: dict[str, str], ids: dict[str, dict[str, str]]) -> None:
    for path in ("/v1/workloads/{workload}", "/v1/executions/{execution}", "/v1/why/{name}", "/v1/cacs/{cac}"):
        answer = service.ask("GET", filled(path, ids["own"]), token=tokens["rita"])
        assert answer.status == 200, answer.body
    for name in ("execution", "cac"):
        assert service.ask("GET", f"/v1/why/{ids['own'][name]}", token=tokens["rita"]).status == 200


def words_of(service: Service, who: str) -> Iterator[str]:
    """Yield what must stand in no answer to anybody else: ids of one tenant's, its names, its origin."""
    given = token(service, who)
    for path in ("/v1/workloads", "/v1/cacs"):
        for row in service.ask("GET", path, token=given).json[path.rpartition("/")[2]]:
            yield from (row[name] for name in ("workload", "cac", "execution") if name in row)
    (tenant,) = service.ask("GET", "/v1/tenants", token=given).json["tenants"]
    yield from (tenant["tenant"], tenant["dao"], tenant["origin"] + '"')


def test_no_answer_to_the_one_tenant_names_anything_of_the_other(service: Service, tokens: dict[str, str]) -> None:
    secrets = [word.encode() for word in words_of(service, "flora")]
    assert len(secrets) >= 6
    for who in ("alice", "sam", "rita", "rene", "mona", "resi", "root", "node", "wes", "olga"):
        for method, path in GUARDED:
            if method == "GET" and "{" not in path and path not in {"/v1/feed", "/v1/audit/bundle"}:
                body = service.ask(method, path, token=tokens[who]).body
                assert not [word for word in secrets if word in body], (who, path)
    for path in ("/metrics", "/openapi.json", "/healthz", "/readyz"):
        answer = service.ask("GET", path)
        assert answer.status == 200
        assert not [word for word in secrets if word in answer.body], path


def test_the_operator_learns_slots_and_no_names(service: Service, tokens: dict[str, str]) -> None:
    found = service.ask("GET", "/v1/tenants", token=tokens["otto"]).json["tenants"]
    assert all(row.keys() == {"slot", "origin"} for row in found)
    nodes = service.ask("GET", "/v1/nodes", token=tokens["otto"]).json["nodes"]
    assert "free_slots" in nodes[0]
    for who in ("rita", "mona", "pia"):
        assert "free_slots" not in service.ask("GET", "/v1/nodes", token=tokens[who]).json["nodes"][0]


def test_a_role_that_a_tenant_makes_up_opens_nothing(service: Service) -> None:
    ledger = service.ledger
    ledger.done("key", "new", "eve.json", "--name", "eve")
    for number, role in enumerate(("operator", "node", "treasurer")):
        ledger.done("key", "new", f"eve{number}.json", "--name", f"eve{number}")
        ledger.done(
            "principal", "enrol", f"eve{number}.json", "--of", "HealthDAO/FRA", "--role", role, "--key", "bob.json"
        )
        given = service.token_of(f"eve{number}.json", "HealthDAO/FRA")
        for method, path in GUARDED:
            if "{" not in path:
                assert ask(service, method, path, given).status == 404


@pytest.mark.parametrize("name", ["HealthDAO/FRA", "root", "platform", "Nobody/DEU", "x", "", 7, None, ["root"]])
def test_a_key_asks_about_the_log_in_which_it_is_enrolled_and_no_other(service: Service, name: Any) -> None:
    with pytest.raises(AssertionError, match=r"not enrolled in the log that it names|no node is enrolled"):
        service.token_of("rita.json", name)


def test_a_reader_counts_within_its_time_only(service: Service) -> None:
    ledger = service.ledger
    for name, times in (("early", ("--from", "2099-01-01T00:00:00Z")), ("late", ("--from", "0", "--until", "5"))):
        ledger.done("key", "new", f"{name}.json", "--name", name)
        ledger.done(
            "principal", "enrol", f"{name}.json", "--of", "ClimateDAO/DEU", "--role", "auditor",
            "--key", "alice.json", *times,
        )  # fmt: skip
        with pytest.raises(AssertionError, match="not enrolled in the log that it names"):
            service.token_of(f"{name}.json", "ClimateDAO/DEU")
