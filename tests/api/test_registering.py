"""Tenants, scopes and standing offers over HTTP: by the command line as in a data directory; refusals store nothing."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.canonical import canonical
from domain.errors import VerificationError
from domain.hashing import sha256_hex
from domain.statements import ENDORSEMENT, GOVERNANCE
from domain.tenants.decisions import acceptance_claims, endorsement_claims
from domain.tenants.events import TenantRegistered
from domain.tenants.state import evolve
from infrastructure.api.drafted import MOST_OPEN
from infrastructure.client.granting import Wanted
from infrastructure.client.registering import Admins, _require_meant
from infrastructure.client.signing import signed_by
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.keys.wallet import Purpose
from infrastructure.statements.payload import payload
from tests.api.service import Service
from tests.api.writing import written
from tests.cli.conftest import EXAMPLES, TENANT, Ended
from tests.database import TestServer

ROOT_KEY = "data/root.key.json"
FAMILY = ("--clause", "UNDRR::Disaster::Flood", "--class", "Disaster::Flood@v1")


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("registered")) as made:
        yield made


def there(service: Service, *arguments: str | Path, code: int = 0) -> Ended:
    """Run a command at the server."""
    ended = service.ledger.inside(*arguments, "--server", service.url, "--json")
    assert ended.code == code, ended
    return ended


def new(service: Service, name: str, *more: str) -> str:
    """Make a wallet."""
    service.ledger.done("key", "new", f"{name}.json", "--name", name, *more)
    return f"{name}.json"


def root(service: Service) -> str:
    """Return a token of the root scope's admin."""
    return service.token_of(ROOT_KEY, "root", Purpose.GOVERNANCE)


def test_a_tenant_is_registered_by_the_command_and_works(service: Service) -> None:
    key = new(service, "carla")
    said = there(
        service, "tenant", "register", "--dao", "WaterDAO", "--jurisdiction", "ken", *FAMILY, "--key", key,
        "--root-key", ROOT_KEY,
    ).json  # fmt: skip
    assert [one["topic"] for one in said["places"]] == [
        "tenant.registered.v1", "tenant.endorsed.v1", "tenant.principal_enrolled.v1",
    ]  # fmt: skip
    (listed,) = [one for one in service.ledger.inside("tenant", "list", "--json").json["tenants"] if
                 one["tenant"] == said["tenant"]]  # fmt: skip
    assert (listed["origin"], listed["dao"], said["jurisdiction"]) == (said["origin"], "WaterDAO", "KEN")
    file = EXAMPLES / "flood.submission.json"
    assert there(service, "submit", file, "--tenant", "WaterDAO/KEN", "--key", key).json["denied"] is None
    again = (
        "tenant", "register", "--dao", "WaterDAO", "--jurisdiction", "ken", *FAMILY, "--key", key, "--root-key",
        ROOT_KEY, "--server", service.url,
    )  # fmt: skip
    service.ledger.refused(*again, says="registered in KEN already")


def test_a_tenant_with_its_own_custody_and_two_admins_is_registered(service: Service) -> None:
    keys = [new(service, "dora", "--custody"), new(service, "emil")]
    said = there(
        service, "tenant", "register", "--dao", "OwnDAO", "--jurisdiction", "fra", *FAMILY, "--key", keys[0],
        "--key", keys[1], "--threshold", "2", "--custody", "tenant", "--root-key", ROOT_KEY,
    ).json  # fmt: skip
    assert said["custody"] == "tenant"
    assert len(said["places"]) == 4, "the releaser's key too"


def test_a_scope_is_registered_and_registers_a_tenant_below_it(service: Service) -> None:
    union, alma = new(service, "union"), new(service, "alma")
    said = there(
        service, "scope", "register", "--name", "NileBasin", "--kind", "treaty", "--key", union, "--parent-key",
        ROOT_KEY,
    ).json  # fmt: skip
    assert said["places"][0]["topic"] == "scope.registered.v2"
    below = there(
        service, "tenant", "register", "--dao", "RiverDAO", "--jurisdiction", "ken", *FAMILY, "--key", alma,
        "--scope", "NileBasin", "--scope-key", union,
    ).json  # fmt: skip
    listed = service.ledger.inside("scope", "list", "--json").json["scopes"]
    assert said["origin"] in {one["origin"] for one in listed}
    assert below["tenant"]
    refused = (
        "tenant", "register", "--dao", "SeaDAO", "--jurisdiction", "ken", *FAMILY, "--key", alma, "--scope",
        "NileBasin", "--scope-key", ROOT_KEY, "--server", service.url,
    )  # fmt: skip
    service.ledger.refused(*refused, says="not enrolled")


def test_an_offer_stands_and_is_withdrawn_by_the_command(service: Service) -> None:
    keeper, until = new(service, "keeper"), str(int(time.time() * 1000) + 86_400_000)
    stand = ("offer", "stand", "--pool", "reserve", "--operator", "Keeper", "--key", keeper, "--until", until)
    said = there(service, *stand, "--slots", "3", "--root-key", ROOT_KEY).json
    assert [one["topic"] for one in said["places"]] == ["pool.offer_stood.v1"]
    ended = ("offer", "withdraw", "--pool", "reserve", "--operator", "Keeper")
    there(service, *ended, "--key", keeper, "--root-key", ROOT_KEY)
    there(service, *stand, "--root-key", ROOT_KEY)
    there(service, *ended, "--root-key", ROOT_KEY)
    service.ledger.refused(*ended, "--root-key", ROOT_KEY, "--server", service.url, says="no offer")
    assert service.rows("pool.offer_withdrawn.v1") == 2


def asked(service: Service, name: str, dao: str, **changes: Any) -> dict[str, Any]:
    """Return what asks for a tenant's draft."""
    wallet, scope = service.wallet(name), service.wallet(ROOT_KEY)
    members = Admins([wallet], 1).members()
    wanted = Wanted(("UNDRR::Disaster::Flood",), ("Disaster::Flood@v1",))
    credential = wanted.credential(
        SystemClock().now_ms(), scope, did=members["did"], dao=dao, jurisdiction="DEU"
    )  # fmt: skip
    return {"dao": dao, "jurisdiction": "DEU", **members, "credential": credential, "custody": None, **changes}


def signed(service: Service, name: str, drafted: TenantRegistered, credential: dict[str, Any]) -> dict[str, Any]:
    """Return what registers a tenant, signed by all who have to."""
    wallet, above = service.wallet(name), service.wallet(ROOT_KEY)

    def said(claims: dict[str, Any], typ: str, by: Any) -> list[str]:
        content = payload(
            iss=drafted.did, aud=drafted.origin, claims=claims, now_ms=SystemClock().now_ms(), entropy=SystemEntropy()
        )
        return list(signed_by([by], typ, content))

    endorsement = endorsement_claims(evolve(drafted, None), sha256_hex(canonical(credential)))
    return {
        "registration": drafted.payload(), "acceptances": said(acceptance_claims(drafted), GOVERNANCE, wallet),
        "credential": credential, "endorsements": said(endorsement, ENDORSEMENT, above), "enrolments": [],
    }  # fmt: skip


def test_the_same_question_gets_the_same_draft_and_the_same_statements_their_first_answer(service: Service) -> None:
    key = new(service, "frida")
    body = asked(service, key, "SameDAO")
    token = root(service)
    first = service.post("/v1/tenants/drafts", body, token)
    assert first.status == 200, first.body
    assert service.post("/v1/tenants/drafts", body, token).json == first.json
    drafted = TenantRegistered.model_validate_json(canonical(first.json["registration"]))
    whole = signed(service, key, drafted, body["credential"])
    done = service.post("/v1/tenants", whole, token)
    assert done.status == 201, done.body
    repeated = service.post("/v1/tenants", whole, token)
    assert repeated.status == 201
    assert {**repeated.json, "acknowledgements": 0} == {**done.json, "acknowledgements": 0}
    assert service.post("/v1/tenants/drafts", body, token).status == 409


def test_what_is_not_as_it_must_be_registers_nothing(service: Service) -> None:
    key = new(service, "greta")
    token, before = root(service), service.rows("tenant.registered.v1")
    body = asked(service, key, "GretaDAO")
    logs = len(service.ask("GET", "/v1/tenants", token=service.token_of("otto.json", "platform")).json["tenants"])
    for changes, status in (
        ({"credential": {}}, 403), ({"dao": "OtherDAO"}, 403), ({"jurisdiction": "FRA"}, 403), ({"dao": "a b"}, 400),
        ({"jurisdiction": "XXX"}, 400), ({"threshold": 2}, 422), ({"threshold": 0}, 400), ({"admins": []}, 400),
        ({"admins": body["admins"] * 2}, 422), ({"more": 1}, 400), ({"did": "x"}, 400),
        ({"custody": {"release_key": "00", "output_key": "00"}}, 400),
    ):  # fmt: skip
        answer = service.post("/v1/tenants/drafts", {**body, **changes}, token)
        assert answer.status in {status, 403}, (changes, answer.body)
    drafted = TenantRegistered.model_validate_json(
        canonical(service.post("/v1/tenants/drafts", body, token).json["registration"])
    )
    after = len(service.ask("GET", "/v1/tenants", token=service.token_of("otto.json", "platform")).json["tenants"])
    assert after == logs + 1, "a log is made for a draft that can be registered only"
    good = signed(service, key, drafted, body["credential"])
    other = service.ask("GET", "/v1/tenants", token=service.token_of("alice.json", TENANT, Purpose.GOVERNANCE))
    foreign = other.json["tenants"][0]["registration"]
    for changes, statuses in (
        ({"acceptances": []}, {400}), ({"acceptances": good["endorsements"]}, {403}), ({"endorsements": ["x"]}, {400}),
        ({"endorsements": good["acceptances"]}, {403}), ({"credential": {**body["credential"], "x": 1}}, {403}),
        ({"registration": {**good["registration"], "threshold": 2}}, {403}),
        ({"registration": {**good["registration"], "tenant_id": "x"}}, {400}),
        ({"registration": {**good["registration"], "tenant_id": foreign["tenant_id"]}}, {403}),
        ({"registration": {**good["registration"], "tenant_id": "0198c0de-0000-7000-8000-00000000000d"}}, {403}),
        ({"registration": {**good["registration"], "parent": foreign["origin"]}}, {404}),
        ({"registration": {**good["registration"], "release_key": "zz"}}, {403}),
        ({"registration": {**good["registration"], "dao": 7}}, {400}), ({"enrolments": [{}]}, {400}),
    ):  # fmt: skip
        answer = service.post("/v1/tenants", {**good, **changes}, token)
        assert answer.status in statuses, (changes, answer.body)
    assert service.rows("tenant.registered.v1") == before
    assert service.post("/v1/tenants", good, token).status == 201


def test_tenants_find_nothing_here_and_scopes_nothing_above_them(service: Service) -> None:
    alice = service.token_of("alice.json", TENANT, Purpose.GOVERNANCE)
    key = new(service, "hilda")
    for path, body in (
        ("/v1/tenants/drafts", asked(service, key, "HildaDAO")),
        ("/v1/scopes/drafts", {"name": "X", "kind": "treaty", **Admins([service.wallet(key)], 1).members(),
                               "issuers": []}),
    ):  # fmt: skip
        answer = service.post(path, body, alice)
        assert (answer.status, answer.json["detail"]) == (404, "there is nothing here")
    claims = {"act": "stand_offer", "pool": "p", "operator": "o", "slots": None, "memory_bytes": None, "until_ms": 1}
    assert service.post("/v1/drafts", {"claims": claims}, alice).status == 404


def test_drafts_that_nobody_registers_are_bounded(service: Service) -> None:
    key, top = new(service, "ingo"), new(service, "top")
    there(service, "scope", "register", "--name", "Bounded", "--kind", "treaty", "--key", top, "--parent-key", ROOT_KEY)
    token = service.token_of(top, "Bounded", Purpose.GOVERNANCE)
    members = Admins([service.wallet(key)], 1).members()
    statuses = [
        service.post(
            "/v1/scopes/drafts", {"name": f"Below{number}", "kind": "treaty", **members, "issuers": []}, token
        ).status
        for number in range(MOST_OPEN + 1)
    ]
    assert statuses == [200] * MOST_OPEN + [422]


def test_a_draft_that_says_something_else_is_not_signed() -> None:
    own = "ledger.example/t/5"
    meant = {"dao": "ADAO", "parent": own, "threshold": 1}
    good = {**meant, "origin": "ledger.example/t/7", "slot": 7}
    _require_meant(good, meant, own)
    for changes in (
        {"dao": "BDAO"}, {"parent": "ledger.example/t/6"}, {"threshold": True}, {"origin": own, "slot": 5},
        {"origin": "evil.example/t/7"}, {"origin": "ledger.example/t/8"}, {"dao": None},
    ):  # fmt: skip
        with pytest.raises(VerificationError):
            _require_meant({**good, **changes}, meant, own)
