"""Governance over HTTP: each act by the command line, each refusal with nothing stored."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from domain.errors import LedgerError, NotAuthorisedError
from domain.policies.kinds import parse_policy
from domain.statements import GOVERNANCE
from domain.tenants.decisions import policy_claims
from infrastructure.client.signing import signed_by
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import jws
from infrastructure.statements.payload import payload
from tests.api.people import OTHER
from tests.api.service import Answered, Service
from tests.api.writing import remote, written
from tests.cli.conftest import EXAMPLES, TENANT, Ended
from tests.database import TestServer, as_role

POLICY = EXAMPLES / "in-country.policy.json"
ROOT_KEY = "data/root.key.json"


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("governed")) as made:
        made.ledger.done("key", "new", "sue.json", "--name", "sue")
        there(
            made, "tenant", "enrol-key", "sue.json", "--tenant", TENANT, "--role", "submitter", "--purpose",
            "submission", "--key", "alice.json",
        )  # fmt: skip
        yield made


def there(service: Service, *arguments: str | Path, code: int = 0) -> Ended:
    """Run a command at the server."""
    ended = service.ledger.inside(*arguments, "--server", service.url, "--json")
    assert ended.code == code, ended
    return ended


def entries(service: Service) -> int:
    """Count all events that are no ticks or what nodes and readers leave."""
    with psycopg.connect(as_role(service.ledger.environ["LEDGER_DATABASE_URL"])) as connection:
        query = (
            "SELECT count(*) FROM ledger.stored_events"
            " WHERE topic NOT LIKE 'time.%' AND topic NOT LIKE 'access.%' AND topic NOT LIKE 'node.%'"
        )
        found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def signed(service: Service, claims: dict[str, Any], *wallets: str, tenant: str = TENANT, **said: Any) -> list[str]:
    """Return an act's statements by some wallets, over one payload."""
    with remote(service, "alice.json" if tenant == TENANT else "bob.json", tenant) as asked:
        own = asked.own()
    content = payload(
        iss=own["did"], aud=own["origin"], claims=claims, now_ms=SystemClock().now_ms(), entropy=SystemEntropy()
    )
    return list(signed_by([service.wallet(one) for one in wallets], GOVERNANCE, {**content, **said}))


def alice(service: Service) -> str:
    """Return a token of the tenant's admin."""
    return service.token_of("alice.json", TENANT, Purpose.GOVERNANCE)


def adopted(service: Service) -> int:
    """Return the newest version of the tenant's policy."""
    found = service.ask("GET", "/v1/policies", token=alice(service)).json["policies"]
    return max((one["version"] for one in found), default=0)


def test_a_policy_is_put_in_force_by_the_command(service: Service) -> None:
    before = adopted(service)
    said = there(service, "policy", "adopt", POLICY, "--tenant", TENANT, "--key", "alice.json").json
    assert [one["topic"] for one in said["places"]] == ["tenant.policy_adopted.v1"]
    assert said["acknowledgements"]
    assert adopted(service) == before + 1


def test_people_are_enrolled_and_revoked_by_the_command_and_at_once(service: Service) -> None:
    service.ledger.done("key", "new", "nora.json", "--name", "nora")
    said = there(
        service, "principal", "enrol", "nora.json", "--of", TENANT, "--role", "auditor", "--key", "alice.json"
    ).json
    given = service.token_of("nora.json", TENANT)
    assert service.ask("GET", "/v1/tenants", token=given).status == 200
    there(service, "principal", "revoke", said["kid"], "--of", TENANT, "--reason", "left", "--key", "alice.json")
    assert service.ask("GET", "/v1/tenants", token=given).status == 401


def test_a_submitter_that_was_enrolled_so_may_submit(service: Service) -> None:
    file = EXAMPLES / "flood.submission.json"
    assert there(service, "submit", file, "--tenant", TENANT, "--key", "sue.json").json["denied"] is None


def test_a_scope_grants_monitors_levels_and_nodes_are_governed_by_the_command(service: Service) -> None:
    until = str(int(time.time() * 1000) + 86_400_000)
    topics = (
        "tenant.quota_granted.v1", "tenant.bandwidth_granted.v1", "tenant.monitor_appointed.v1", "node.drained.v1",
        "node.returned.v1", "levels.adopted.v1",
    )  # fmt: skip
    before = {one: service.rows(one) for one in topics}
    there(service, "quota", "grant", "--to", TENANT, "--slots", "4", "--key", ROOT_KEY)
    there(
        service,
        "token",
        "grant",
        "--to",
        TENANT,
        "--tokens",
        "600",
        "--burst",
        "60",
        "--until",
        until,
        "--key",
        ROOT_KEY,
    )
    there(service, "levels", "adopt", "Health", "Disaster", "--root-key", ROOT_KEY)
    there(service, "monitor", "appoint", "--name", "unfccc", "--tenant", TENANT, "--key", "alice.json")
    there(service, "node", "drain", "berlin-1", "--reason", "a test", "--root-key", ROOT_KEY)
    there(service, "node", "return", "berlin-1", "--reason", "a test", "--root-key", ROOT_KEY)
    assert {one: service.rows(one) - count for one, count in before.items()} == dict.fromkeys(topics, 1)


def test_a_clause_is_registered_and_deprecated_by_the_command(service: Service) -> None:
    folder = service.ledger.folder
    clause = json.loads((EXAMPLES / "flood.clause.json").read_text())
    clause["clause_id"] = "UNDRR::Disaster::Flood@2.0.0"
    clause["module"] = str(EXAMPLES / clause["module"])
    (folder / "second.clause.json").write_text(json.dumps(clause))
    there(service, "clause", "register", folder / "second.clause.json", "--tenant", TENANT, "--key", "alice.json")
    assert service.rows("clause.registered.v1") == 2
    there(
        service,
        "clause",
        "deprecate",
        clause["clause_id"],
        "--tenant",
        TENANT,
        "--reason",
        "old",
        "--key",
        "alice.json",
    )
    assert service.rows("clause.deprecated.v1") == 1


def test_an_erasure_is_ordered_and_taken_back_by_the_command(service: Service) -> None:
    there(service, "tenant", "order-erasure", "--tenant", OTHER, "--key", "bob.json")
    assert service.rows("tenant.erasure_ordered.v1") == 1
    there(service, "tenant", "withdraw-erasure", "--tenant", OTHER, "--key", "bob.json")
    assert service.rows("tenant.erasure_withdrawn.v1") == 1


def adopt(service: Service, statements: list[str], policy: Any, token: str) -> Answered:
    """Hand a policy in."""
    return service.post("/v1/policies", {"statements": statements, "policy": policy}, token)


def test_a_repeated_act_gets_its_first_answer_and_another_body_is_refused(service: Service) -> None:
    policy = json.loads(POLICY.read_text())
    digest = parse_policy(POLICY.read_bytes(), "DEU").digest()
    statements = signed(service, policy_claims(adopted(service) + 1, digest), "alice.json")
    first = adopt(service, statements, policy, alice(service))
    assert first.status == 201, first.body
    stored = entries(service)
    again = adopt(service, statements, policy, alice(service))
    assert again.status == 201
    assert {**again.json, "acknowledgements": 0} == {**first.json, "acknowledgements": 0}
    content = jws.peek(statements[0])[1] | {"version": 99}
    changed = list(signed_by([service.wallet("alice.json")], GOVERNANCE, content))
    assert adopt(service, changed, policy, alice(service)).status == 409
    assert entries(service) == stored


def test_what_is_not_as_it_must_be_is_refused_with_nothing_stored(service: Service) -> None:
    policy = json.loads(POLICY.read_text())
    digest, version = parse_policy(POLICY.read_bytes(), "DEU").digest(), adopted(service) + 1
    good, stored = policy_claims(version, digest), entries(service)
    token = alice(service)

    def refused(statements: list[str], given: Any = policy, by: str = token) -> Any:
        answer = adopt(service, statements, given, by)
        assert 400 <= answer.status < 500, answer.body
        assert answer.headers["content-type"] == "application/problem+json"
        assert entries(service) == stored
        return answer.json

    assert refused(signed(service, {**good, "version": version + 1}, "alice.json"))["status"] == 403
    assert refused(signed(service, {**good, "policy_digest": "0" * 64}, "alice.json"))["status"] == 403
    assert refused(signed(service, good, "sue.json"))["status"] == 403
    assert refused(signed(service, good, "alice.json", aud="ledger.example/t/9"))["status"] == 403
    assert refused(signed(service, good, "alice.json", iat=1, exp=2))["status"] == 403
    assert refused(signed(service, {**good, "more": 1}, "alice.json"))["status"] == 403
    other = refused(signed(service, {"act": "revoke_principal", "kid": "A" * 43, "reason": ""}, "alice.json"))
    assert other["errors"][0]["pointer"] == "#/statements/0/act"
    two = signed(service, good, "alice.json") + signed(service, good, "alice.json")
    assert refused(two)["errors"][0]["pointer"] == "#/statements/1"
    assert refused(["x"])["errors"][0]["pointer"] == "#/statements/0"
    assert refused([])["errors"][0]["pointer"] == "#/statements"
    rules = refused(signed(service, good, "alice.json"), {"rules": [{"kind": "none"}]})
    assert rules["errors"][0]["pointer"].startswith("#/policy/rules/0")
    foreign = signed(service, good, "bob.json", tenant=OTHER)
    assert refused(foreign)["status"] == 403  # another tenant's statement under our token
    bob = service.token_of("bob.json", OTHER, Purpose.GOVERNANCE)
    assert refused(signed(service, good, "alice.json"), by=bob)["status"] == 403  # ours under another's token
    adopted_now = adopt(service, signed(service, good, "alice.json"), policy, token)
    assert adopted_now.status == 201


def test_who_may_not_govern_finds_nothing(service: Service) -> None:
    from infrastructure.api.writes.governance import PATHS  # noqa: PLC0415

    stored = entries(service)
    tokens = [
        service.token_of("alice.json", TENANT, Purpose.SUBMISSION), service.token_of("rita.json", TENANT),
        service.token_of("mona.json", "root"), service.token("node.json"),
    ]  # fmt: skip
    for path in [*PATHS, "/v1/drafts"]:
        assert service.post(path, {}).status == 401
        for token in tokens:
            answer = service.post(path, {}, token)
            assert (answer.status, answer.json["detail"]) == (404, "there is nothing here"), (path, answer.body)
    assert entries(service) == stored


def test_acts_of_scopes_are_nothing_to_a_tenant_and_what_lies_elsewhere_is_nothing_to_a_scope(service: Service) -> None:
    stored = entries(service)
    for claims in (
        {"act": "adopt_levels", "domains": ["Health"]}, {"act": "drain_node", "node": "berlin-1", "reason": "x"},
        {"act": "grant_quota", "to": OTHER, "slots": None, "memory_bytes": None, "weight": 1},
        {"act": "enrol_issuer", "did": "did:web:a.example"}, {"act": "unheard_of"},
    ):  # fmt: skip
        answer = service.post("/v1/drafts", {"claims": claims}, alice(service))
        assert (answer.status, answer.json["detail"]) == (404, "there is nothing here"), claims
    root = service.token_of(ROOT_KEY, "root", Purpose.GOVERNANCE)
    for to in ("NoDAO/DEU", "0" * 8 + "-0000-7000-8000-" + "0" * 12, "nobody", ""):
        claims = {"act": "grant_quota", "to": to, "slots": None, "memory_bytes": None, "weight": 1}
        answer = service.post("/v1/drafts", {"claims": claims}, root)
        assert (answer.status, answer.json["detail"]) == (404, "there is nothing here"), to
    assert entries(service) == stored


def test_one_signature_too_few_is_refused(service: Service) -> None:
    for name in ("anna", "ben"):
        service.ledger.done("key", "new", f"{name}.json", "--name", name)
    service.ledger.done(
        "tenant", "register", "--dao", "PairDAO", "--jurisdiction", "ken", "--clause", "UNDRR::Disaster::Flood",
        "--class", "Disaster::Flood@v1", "--key", "anna.json", "--key", "ben.json", "--threshold", "2",
    )  # fmt: skip
    claims = {"act": "appoint_monitor", "name": "who", "kind": "treaty_monitor"}
    with remote(service, "anna.json", "PairDAO/KEN") as asked:
        with pytest.raises(NotAuthorisedError, match="1 of 2 signatures"):
            asked.act("/v1/monitors", claims, [service.wallet("anna.json")])
        with pytest.raises(LedgerError, match="twice"):
            asked.act("/v1/monitors", claims, [service.wallet("anna.json")] * 2)
        both = [service.wallet("anna.json"), service.wallet("ben.json")]
        assert asked.act("/v1/monitors", claims, both).acknowledgements
