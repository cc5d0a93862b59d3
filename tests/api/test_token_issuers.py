"""Tokens of OpenID providers: who is shown by one reads what its role reads, and nothing that is refused tells why."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlencode

import pytest

from domain.access.recognising import federated_kid
from infrastructure.api.app import declared
from infrastructure.api.askers import NOT_SHOWN
from infrastructure.api.recognition import ACCESS_TOKEN, ID_TOKEN, JWT
from infrastructure.api.rights import BY_STATEMENT, EVERYBODY, RIGHTS, Role
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys.wallet import Purpose
from infrastructure.statements import dpop
from tests.api.people import OTHER
from tests.api.provider import AUDIENCE, ISSUER, Provider, admit, by_hand, exchange, mac, new_key, public, shown
from tests.api.service import Service, eventually
from tests.api.writing import written
from tests.cli.conftest import TENANT
from tests.database import TestServer

OTHER_ISSUER: Final = "https://login.example"
ROOT_KEY: Final = "data/root.key.json"


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider(keys={kind: new_key(kind, f"{kind}-1") for kind in ("EC", "OKP", "RSA")})


@pytest.fixture(scope="module")
def other() -> Provider:
    """Return a provider that only the other tenant admits."""
    return Provider(OTHER_ISSUER)


@pytest.fixture(scope="module")
def service(
    postgres: TestServer, tmp_path_factory: pytest.TempPathFactory, provider: Provider, other: Provider
) -> Iterator[Service]:
    with written(postgres, tmp_path_factory.mktemp("shown")) as made:
        admit(made, provider, "auditor=groups=ledger-auditors", "submitter=groups=ledger-submitters",
              "admin=/realm_access/roles=boss")  # fmt: skip
        admit(made, other, "auditor=groups=ledger-auditors", of=OTHER, key="bob.json")
        admit(made, provider, "operator=groups=operators", "monitor=groups=monitors", "witness=groups=witnesses",
              of="root", key=ROOT_KEY)  # fmt: skip
        yield made


@pytest.mark.parametrize("kind", ["EC", "OKP", "RSA"])
def test_a_token_of_an_admitted_issuer_reads_what_its_role_reads(
    service: Service, provider: Provider, kind: str
) -> None:
    answer = exchange(service, provider.token(kind), requested_token_type=ACCESS_TOKEN)
    assert answer.status == 200, answer.body
    said = answer.json
    assert (said["issued_token_type"], said["token_type"], said["scope"]) == (ACCESS_TOKEN, "Bearer", "auditor")
    assert 0 < said["expires_in"] <= 300
    (row,) = service.ask("GET", "/v1/tenants", token=said["access_token"]).json["tenants"]
    assert row["dao"] == "ClimateDAO"
    assert service.ask("GET", "/v1/audit/history", token=said["access_token"]).status == 200


def test_who_shows_a_token_gets_no_keys_of_all_streams(service: Service, provider: Provider) -> None:
    given = shown(service, provider.token())
    assert service.ask("GET", "/v1/audit/bundle", token=given).status == 200
    refused = service.ask("GET", "/v1/audit/bundle?keys=all", token=given)
    assert refused.status == 403


def test_the_first_rule_that_fits_gives_the_role_or_the_one_that_is_wanted(
    service: Service, provider: Provider
) -> None:
    both = provider.token(groups=["ledger-submitters", "ledger-auditors"], realm_access={"roles": ["boss"]})
    assert exchange(service, both).json["scope"] == "auditor"
    for role in ("auditor", "submitter", "admin"):
        assert exchange(service, both, scope=role).json["scope"] == role
    assert exchange(service, both, scope="resolver").status == 401
    assert exchange(service, provider.token(groups="ledger-submitters")).json["scope"] == "submitter"
    assert exchange(service, provider.token(), scope="submitter").status == 401


def test_the_token_ends_with_the_one_that_was_shown(service: Service, provider: Provider) -> None:
    now = int(time.time())
    answer = exchange(service, provider.token(exp=now + 30))
    assert 0 < answer.json["expires_in"] <= 30


def test_a_feed_ends_with_the_token_that_was_shown(service: Service, provider: Provider) -> None:
    given = shown(service, provider.token(exp=int(time.time()) + 3))
    began_s = time.monotonic()
    feed = service.ask("GET", "/v1/feed?after=0", token=given)  # read until it ends
    assert feed.status == 200
    assert time.monotonic() - began_s < 15


def test_who_takes_several_roles_in_turns_is_told_of_once_in_each(service: Service, provider: Provider) -> None:
    both, before = provider.token(sub="busy", groups=["ledger-submitters", "ledger-auditors"]), 0
    for round_ in range(3):
        for role in ("auditor", "submitter"):
            shown(service, both, scope=role)
        before = before or service.rows("access.recognised.v1")
        assert service.rows("access.recognised.v1") == before, round_


NOT_ADMITTED: Final[tuple[dict[str, Any], ...]] = (
    {"iss": OTHER_ISSUER}, {"iss": ISSUER + "/"}, {"iss": ISSUER.upper()}, {"iss": None}, {"iss": 7},
    {"iss": [ISSUER]}, {"aud": "https://other.example"}, {"aud": None}, {"aud": [AUDIENCE, "x"]},
    {"aud": [AUDIENCE, 7]},
    {"aud": AUDIENCE + "/"}, {"aud": []}, {"aud": {"a": AUDIENCE}}, {"sub": None}, {"sub": ""}, {"sub": 7},
    {"sub": "x" * 256}, {"sub": "\u00e9"}, {"groups": []}, {"groups": None}, {"groups": "LEDGER-AUDITORS"},
    {"groups": {"ledger-auditors": True}}, {"groups": [["ledger-auditors"]]}, {"groups": "people ledger-auditors"},
    {"groups": None, "realm_access/roles": ["boss"]}, {"groups": None, "realm_access": ["boss"]},
    {"groups": None, "realm_access": {"roles": {"boss": 1}}},
)  # fmt: skip


@pytest.mark.parametrize("changes", NOT_ADMITTED, ids=str)
def test_what_the_log_does_not_admit_is_refused_in_the_same_words(
    service: Service, provider: Provider, changes: dict[str, Any]
) -> None:
    refused = exchange(service, provider.token(**changes))
    assert (refused.status, refused.json["detail"]) == (401, NOT_SHOWN)


def test_whoever_signed_it_typed_it_or_named_its_key_otherwise_is_refused_in_the_same_words(
    service: Service, provider: Provider, other: Provider
) -> None:
    thief = Provider(keys={"EC": new_key("EC", "EC-1"), "RSA": new_key("RSA", "RSA-1")})
    jwk = public(provider.keys["RSA"])
    pem = provider.keys["RSA"].as_pem(private=False)
    claims = provider.claims()
    made = [
        thief.token("EC"), thief.token("RSA"), thief.token("EC", header={"jwk": public(thief.keys["EC"])}),
        provider.token(header={"kid": None}), provider.token(header={"kid": "RSA-1"}),
        provider.token(header={"kid": "nobody"}), provider.token(header={"typ": "at+jwt"}),
        provider.token(header={"typ": "logout+jwt"}), other.token(iss=ISSUER, header={"kid": "EC-1"}),
        mac(pem, {"alg": "HS256", "kid": "RSA-1", "typ": "JWT"}, claims),
        mac(jwk["n"].encode(), {"alg": "HS256", "kid": "RSA-1"}, claims),
        by_hand(json.dumps({"alg": "none", "kid": "EC-1"}), json.dumps(claims)),
        provider.token().rpartition(".")[0] + ".",
    ]  # fmt: skip
    for token in made:
        refused = exchange(service, token)
        assert (refused.status, refused.json["detail"]) == (401, NOT_SHOWN), token
    for log in (OTHER, "NoDAO/DEU", "nobody", " ", "0198c0de-0000-7000-8000-000000000001"):
        refused = exchange(service, provider.token(), log)
        assert (refused.status, refused.json["detail"]) == (401, NOT_SHOWN), log
    foreign = exchange(service, other.token())
    assert (foreign.status, foreign.json["detail"]) == (401, NOT_SHOWN)
    assert exchange(service, other.token(), OTHER).status == 200


def test_what_can_be_told_from_the_token_alone_is_told(service: Service, provider: Provider) -> None:
    now = int(time.time())
    for token, says in (
        (provider.token(exp=now - 1, iat=now - 9), "expired"), (provider.token(exp=None), "exp is missing"),
        (provider.token(iat=None), "iat is missing"), (provider.token(nbf=now + 999), "not count yet"),
        (provider.token(iat=now + 999, exp=now + 1999), "not count yet"),
        (provider.token(exp=now + 999_999), "at most 86400 s"), (provider.token(cnf={"x5t#S256": "a"}), "bound"),
        (by_hand('{"alg":"ES256","crit":["x"]}', "{}"), "critical"), ("x", "compact JWS"),
        (by_hand('{"alg":"ES256"}', '{"a":1,"a":2}'), "doubled"), ("a." + "A" * 17_000 + ".b", "compact JWS"),
    ):  # fmt: skip
        refused = exchange(service, token)
        assert refused.status == 401
        assert says in refused.json["detail"], refused.body


def test_the_form_is_taken_strictly(service: Service, provider: Provider) -> None:
    token = provider.token()
    assert exchange(service, token, kind=JWT).status == 200
    assert exchange(service, token, kind=ACCESS_TOKEN).status == 200
    for more in (
        {"kind": "urn:ietf:params:oauth:token-type:saml2"}, {"kind": ""}, {"actor_token": "x"}, {"resource": "x"},
        {"requested_token_type": ID_TOKEN}, {"assertion": token},
    ):  # fmt: skip
        refused = exchange(service, token, **more)
        assert refused.status == 401
        assert 'error="invalid_request"' in refused.headers["www-authenticate"]
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": token}).encode()
    assert service.ask("POST", "/v1/token", form, Content_Type="application/x-www-form-urlencoded").status == 401
    assert service.ask("GET", "/v1/tenants", token=token[:120]).status == 401
    assert service.ask("GET", "/v1/tenants", Authorization=f"Bearer {token}").status == 401


def test_it_reads_what_its_role_reads_and_writes_nothing(service: Service, provider: Provider) -> None:
    roles = {
        Role.AUDITOR: shown(service, provider.token(groups=["ledger-auditors"])),
        Role.SUBMITTER: shown(service, provider.token(groups=["ledger-submitters"])),
        Role.ADMIN: shown(service, provider.token(realm_access={"roles": "boss"}), scope="admin"),
        Role.OPERATOR: shown(service, provider.token(groups="operators"), "platform"),
        Role.MONITOR: shown(service, provider.token(groups="monitors"), "root"),
    }
    for role, given in roles.items():
        nowhere = service.ask("GET", "/v1/nowhere", token=given)
        for method, path in sorted(set(declared()) - EVERYBODY - BY_STATEMENT):
            if "{" in path or path in {"/v1/feed", "/v1/audit/bundle"}:
                continue
            answer = service.ask(method, path, b"{}" if method == "POST" else None, given)
            may = role in RIGHTS[method, path] and method == "GET"
            if not may:
                assert (answer.status, answer.body) == (404, nowhere.body), (role, method, path)
            else:
                assert answer.status in {200, 400} or path == "/v1/audit/checkpoint", (role, path, answer.body)


def test_revoking_the_issuer_ends_its_tokens_at_once_and_its_keys_for_ever(service: Service) -> None:
    gone = Provider("https://gone.example")
    admit(service, gone, "auditor=groups=ledger-auditors")
    given = shown(service, gone.token())
    assert service.ask("GET", "/v1/tenants", token=given).status == 200
    revoke = (
        "principal", "revoke-issuer", gone.issuer, "--of", TENANT, "--reason", "left", "--key", "alice.json",
        "--server", service.url,
    )  # fmt: skip
    service.ledger.done(*revoke)
    assert service.ask("GET", "/v1/tenants", token=given).status == 401
    assert exchange(service, gone.token()).json["detail"] == NOT_SHOWN
    service.ledger.refused(*revoke, says="no such issuer")
    again = Provider("https://gone.example", {"EC": gone.keys["EC"]})
    with pytest.raises(AssertionError, match="never admitted again"):
        admit(service, again, "auditor=groups=ledger-auditors")
    admit(service, Provider("https://gone.example"), "auditor=groups=ledger-auditors")
    assert exchange(service, gone.token()).status == 401


def test_new_keys_replace_the_old_ones_with_an_overlap_or_without(service: Service) -> None:
    rotating = Provider("https://rotating.example")
    rules = ("auditor=groups=ledger-auditors",)
    admit(service, rotating, *rules)
    old, given = rotating.token(), shown(service, rotating.token())
    rotating.keys["OKP"] = new_key("OKP", "ed-2")
    admit(service, rotating, *rules)
    assert service.ask("GET", "/v1/tenants", token=given).status == 401, "what was admitted then is no more"
    for token in (old, rotating.token("OKP")):
        given = shown(service, token)
        assert service.ask("GET", "/v1/tenants", token=given).status == 200
    del rotating.keys["EC"]
    admit(service, rotating, *rules)
    assert exchange(service, old).status == 401
    assert exchange(service, rotating.token("OKP", header={"kid": None})).status == 200, "the only key needs no name"


def test_what_is_admitted_counts_within_its_time_only(service: Service) -> None:
    for number, more in enumerate((("--from", "2099-01-01T00:00:00Z"), ("--from", "0", "--until", "5"))):
        timed = Provider(f"https://timed-{number}.example")
        admit(service, timed, "auditor=groups=ledger-auditors", more=more)
        assert exchange(service, timed.token()).json["detail"] == NOT_SHOWN
        service.ledger.done(
            "principal", "revoke-issuer", timed.issuer, "--of", TENANT, "--reason", "test", "--key", "alice.json"
        )


def test_access_tokens_of_rfc_9068_may_be_for_others_too(service: Service) -> None:
    typed = Provider("https://typed.example")
    admit(service, typed, "auditor=groups=ledger-auditors", more=("--token-type", "at+jwt"))
    token = typed.token(header={"typ": "at+jwt"}, aud=["account", AUDIENCE])
    assert exchange(service, token, kind=ACCESS_TOKEN).status == 200
    assert exchange(service, token, kind=ID_TOKEN).status == 401
    assert exchange(service, typed.token(), kind=ACCESS_TOKEN).status == 401


def test_a_token_that_is_bound_to_a_key_takes_proofs_by_that_key(service: Service, provider: Provider) -> None:
    holder, thief = service.wallet("rita.json"), service.wallet("flora.json")

    def proof(of: Any, method: str, path: str, token: str | None = None) -> str:
        key = of.key(Purpose.REPORT)
        jti = f"{time.time_ns():x}"
        return dpop.make(key, method, service.url + path, issued_s=int(time.time()), jti=jti, token=token)

    bound = provider.token(cnf={"jkt": holder.thumbprint(Purpose.REPORT)})
    assert "DPoP proof" in exchange(service, bound).json["detail"]
    assert exchange(service, bound, proof=proof(thief, "POST", "/v1/token")).status == 401
    answer = exchange(service, bound, proof=proof(holder, "POST", "/v1/token"))
    assert (answer.status, answer.json["token_type"]) == (200, "DPoP")
    given = answer.json["access_token"]

    def ask(of: Any) -> int:
        shown_by = proof(of, "GET", "/v1/tenants", given)
        return service.ask("GET", "/v1/tenants", Authorization=f"DPoP {given}", DPoP=shown_by).status

    assert (ask(holder), ask(thief)) == (200, 401)
    assert service.ask("GET", "/v1/tenants", token=given).status == 401


def test_the_log_says_who_was_shown_once_and_counts_what_they_ask(service: Service, provider: Provider) -> None:
    before = service.rows("access.recognised.v1")
    for _ in range(3):
        given = shown(service, provider.token(sub="someone-new"))
    assert service.rows("access.recognised.v1") == before + 1
    kid = federated_kid(ISSUER, "someone-new")
    auditor = service.token_of("rita.json", TENANT)
    head = service.ask("GET", "/v1/audit", token=auditor).json["size"]
    page = service.ask("GET", f"/v1/audit/history?first={head - 1}", token=auditor).json["entries"]
    (event,) = [one["event"] for one in page if one["topic"] == "access.recognised.v1"]
    assert (event["kid"], event["issuer"], event["subject"], event["role"]) == (kid, ISSUER, "someone-new", "auditor")
    assert service.ask("GET", "/v1/tenants", token=given).status == 200
    listed = service.ledger.done("principal", "list", "--of", TENANT, "--json").json
    assert ISSUER in {one["issuer"] for one in listed["token_issuers"]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rules": ("releaser=groups=x",)}, "can't show the role releaser"),
        ({"rules": ("resolver=groups=x",)}, "can't show the role resolver"),
        ({"rules": ("auditor=groups",)}, "a rule is"), ({"rules": ("auditor==x",)}, "rules"),
        ({"more": ("--jurisdiction", "deu")}, "a tenant has one jurisdiction"),
        ({"more": ("--token-type", "logout+jwt")}, "token_type"), ({"more": ("--until", "5")}, "end before it begins"),
        ({"audience": "two words"}, "audience"), ({"key": "bob.json"}, "not enrolled"),
        ({"key": "rita.json"}, "not enrolled"),
    ],
)  # fmt: skip
def test_what_can_not_be_admitted_is_refused_with_nothing_stored(
    service: Service, changes: dict[str, Any], says: str
) -> None:
    before = service.rows("tenant.token_issuer_admitted.v1")
    given = {"rules": ("auditor=groups=ledger-auditors",), **changes}
    rules = given.pop("rules")
    with pytest.raises(AssertionError, match=says):
        admit(service, Provider("https://refused.example"), *rules, **given)
    for issuer in ("http://refused.example", "https://a.example?x", "https://a.example#x", "a.example", "https://"):
        with pytest.raises(AssertionError, match="issuer is malformed"):
            admit(service, Provider(issuer), "auditor=groups=ledger-auditors")
    assert service.rows("tenant.token_issuer_admitted.v1") == before


def test_an_auditor_verifies_admissions_and_who_was_shown(service: Service, provider: Provider) -> None:
    shown(service, provider.token(sub="the-last-one"))
    eventually(lambda: service.rows("access.recognised.v1"))
    service.ledger.done("log", "publish")
    service.ledger.done("audit", "export", "--tenant", TENANT, "--out", "bundle", "--with-keys", "all")
    said = service.ledger.inside("audit", "verify", "bundle", "--json")
    assert said.code in {0, 3}, said
