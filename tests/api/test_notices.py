"""Notices over HTTP: a tenant's own, and what is open for a treaty monitor's scope."""

import json
from collections.abc import Iterator

import pytest

from infrastructure.statements import jws
from tests.api.service import Service
from tests.cli.conftest import EXAMPLES, TENANT, Installation, first_steps
from tests.database import TestServer


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with postgres.database() as name:
        made = Installation(tmp_path_factory.mktemp("told"), {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        first_steps(made)
        policy = made.folder / "told.policy.json"
        policy.write_text(json.dumps({"rules": [{"kind": "notification", "recipients": ["root", "Elsewhere"]}]}))
        made.inside("policy", "adopt", policy, "--tenant", TENANT, "--key", "alice.json")
        for _ in range(3):
            made.inside("submit", EXAMPLES / "starved.submission.json", "--tenant", TENANT, "--key", "alice.json")
        for who, of, role, key, more in (
            ("rita", TENANT, "auditor", "alice.json", ()),
            ("mona", "root", "monitor", "data/root.key.json", ("--jurisdiction", "deu")),
            ("fran", "root", "monitor", "data/root.key.json", ("--jurisdiction", "fra")),
        ):
            made.done("key", "new", f"{who}.json", "--name", who)
            made.done("principal", "enrol", f"{who}.json", "--of", of, "--role", role, "--key", key, *more)
        served = Service(made)
        try:
            yield served.start()
        finally:
            served.close()


def test_a_tenant_sees_whom_its_faults_are_told_to(service: Service) -> None:
    given = service.token_of("rita.json", TENANT)
    answer = service.ask("GET", "/v1/notices", token=given)
    assert answer.status == 200, answer.body
    rows = answer.json["notices"]
    assert len(rows) == 6
    assert {(row["recipient"], row["kind"], row["delivered"]) for row in rows} == {
        ("root", "fuel", False), ("Elsewhere", "fuel", False),
    }  # fmt: skip
    first = service.ask("GET", "/v1/notices?limit=1", token=given).json
    rest = service.ask("GET", f"/v1/notices?cursor={first['next']}", token=given).json
    assert [*first["notices"], *rest["notices"]] == rows


def test_a_monitor_sees_what_is_open_for_its_scope_in_its_jurisdictions(service: Service) -> None:
    given = service.token_of("mona.json", "root")
    found, cursor = [], ""
    for _ in range(5):
        answer = service.ask("GET", f"/v1/notices?limit=2{cursor}", token=given).json
        found += answer["notices"]
        if answer["next"] is None:
            break
        cursor = f"&cursor={answer['next']}"
    assert len({row["execution"] for row in found}) == len(found) == 3
    assert {row["recipient"] for row in found} == {"root"}
    assert jws.peek(found[0]["statement"])[1]["execution"] == found[0]["execution"]
    again = service.ask("GET", "/v1/notices", token=given).json["notices"]
    assert len(again) == 3, "looking delivers nothing"
    assert service.ask("GET", "/v1/notices", token=service.token_of("fran.json", "root")).json["notices"] == []
