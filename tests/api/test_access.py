"""Who gets in: nobody without a token, and with one to its own only."""

import time
from typing import Any
from urllib.parse import urlencode

import pytest

from domain.errors import RefusedError
from infrastructure.api.serve import listen
from infrastructure.exchange.session import GRANT_TYPE
from infrastructure.keys.wallet import Purpose, Wallet
from infrastructure.statements import jws
from tests.api.service import Answered, Service

ISSUER = "https://ledger.example"
EXECUTION = "exec-0x" + "0" * 32
ROUTES = [
    ("POST", "/v1/nodes/challenges"), ("POST", "/v1/nodes/evidence"),
    ("GET", "/v1/nodes"), ("POST", "/v1/nodes"), ("GET", "/v1/nodes/berlin-1"), ("GET", "/v1/assignments"),
    ("POST", "/v1/assignments"), ("GET", f"/v1/assignments/{EXECUTION}"),
    ("GET", f"/v1/assignments/{EXECUTION}/module"),
    ("POST", "/v1/reports"), ("GET", "/v1/reports"), ("POST", "/v1/token"), ("GET", "/v1/token"), ("GET", "/"),
    ("GET", "/docs"), ("GET", "/v1"), ("GET", "/v1/tenants"), ("DELETE", "/v1/nodes"),
    ("OPTIONS", "/v1/nodes"), ("HEAD", "/v1/nodes"), ("GET", "/healthz/"), ("GET", "//healthz"),
]  # fmt: skip


def claims(wallet: Wallet, **changes: Any) -> dict[str, Any]:
    """Return the payload of a good assertion, changed."""
    now = int(time.time())
    did = wallet.did(Purpose.REPORT)
    jti = SERIAL.hex()
    good = {"iss": did, "sub": did, "aud": ISSUER, "jti": jti, "iat": now, "exp": now + 60}
    return {**good, **changes}


class _Serial:
    """Numbers that were never given out."""

    def __init__(self) -> None:
        self._next = time.time_ns()

    def hex(self) -> str:
        self._next += 1
        return f"{self._next:032x}"


SERIAL = _Serial()


def ask_token(service: Service, assertion: str, **changes: str) -> Answered:
    """Ask for a token."""
    form = urlencode({"grant_type": GRANT_TYPE, "assertion": assertion, **changes}).encode()
    return service.ask("POST", "/v1/token", form, Content_Type="application/x-www-form-urlencoded")


@pytest.fixture
def wallet(service: Service) -> Wallet:
    return service.wallet("node.json")


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic eDp5", "Bearer", "bearer " + "A" * 43])
def test_everything_without_a_good_token_is_401_also_what_does_not_exist(
    service: Service, method: str, path: str, authorization: str | None
) -> None:
    given = {} if authorization is None else {"Authorization": authorization}
    answer = service.ask(method, path, b"{}" if method == "POST" else None, **given)
    assert answer.status == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith(f'Bearer realm="{ISSUER}"')
    if method != "HEAD":
        problem = answer.json
        assert problem["status"] == 401
        assert {"type", "title", "detail"} <= problem.keys()


def test_health_and_readiness_are_public_and_tell_nothing(service: Service) -> None:
    assert service.ask("GET", "/healthz").body == b"ok\n"
    assert service.ask("GET", "/readyz").body == b"ready\n"
    assert "server" not in service.ask("GET", "/healthz").headers


def test_an_assertion_gives_a_token_once(service: Service, wallet: Wallet) -> None:
    assertion = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    given = ask_token(service, assertion)
    assert given.status == 200
    token = given.json["access_token"]
    assert given.json["expires_in"] <= 300
    assert len(token) == 43
    assert service.ask("GET", "/v1/nodes", token=token).json["nodes"][0]["node"] == "berlin-1"
    again = ask_token(service, assertion)
    assert again.status == 401
    assert "used before" in again.json["detail"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"aud": "https://other.example"}, "audience"),
        ({"aud": "ledger.example/t/0"}, "audience"),
        ({"iat": int(time.time()) - 7200, "exp": int(time.time()) - 7140}, "expired"),
        ({"iat": int(time.time()) + 7200, "exp": int(time.time()) + 7260}, "future"),
        ({"iat": int(time.time()) - 3600, "exp": int(time.time()) - 3599 + 58}, "expired"),
        ({"iss": "did:key:z6Mkother", "sub": "did:key:z6Mkother"}, "did:key"),
    ],
)
def test_an_assertion_for_another_at_another_time_or_in_another_name_is_refused(
    service: Service, wallet: Wallet, changes: dict[str, Any], says: str
) -> None:
    assertion = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet, **changes))
    answer = ask_token(service, assertion)
    assert answer.status == 401
    assert says in answer.json["detail"]


def test_another_type_another_key_or_another_grant_gives_no_token(service: Service, wallet: Wallet) -> None:
    report = {name: value for name, value in claims(wallet).items() if name != "sub"}
    assert ask_token(service, jws.sign(jws.REPORT, wallet.key(Purpose.REPORT), report)).status == 401
    stranger = service.wallet("alice.json")
    assert ask_token(service, jws.sign(jws.ASSERTION, stranger.key(Purpose.REPORT), claims(stranger))).status == 401
    good = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    assert ask_token(service, good, grant_type="client_credentials").status == 401
    assert ask_token(service, good[:-4] + "AAAA").status == 401
    assert service.ask("POST", "/v1/token", good.encode()).status == 401


def test_with_a_token_what_does_not_exist_is_404_and_a_wrong_method_405(service: Service) -> None:
    token = service.token("node.json")
    for path in ("/", "/v1/tenants", "/v1/nodes/", "/docs"):
        answer = service.ask("GET", path, token=token)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/problem+json")
    wrong = service.ask("DELETE", "/v1/nodes", token=token)
    assert wrong.status == 405
    assert wrong.json["title"] == "Method Not Allowed"


def test_a_node_sees_itself_only(service: Service) -> None:
    token = service.token("node.json")
    own, other = service.ask("GET", "/v1/nodes/berlin-1", token=token), service.ask(
        "GET", "/v1/nodes/berlin-2", token=token
    )  # fmt: skip
    none = service.ask("GET", "/v1/nodes/nowhere", token=token)
    assert own.json["facts"]["operator"] == "Nordrechner"
    assert (other.status, other.body) == (none.status, none.body) == (404, none.body)


def test_assertions_may_not_be_replayed_after_a_restart(service: Service, wallet: Wallet) -> None:
    assertion = jws.sign(jws.ASSERTION, wallet.key(Purpose.REPORT), claims(wallet))
    assert ask_token(service, assertion).status == 200
    token = service.token("node.json")
    assert service.stop() == 0
    service.start()
    assert "older than this process" in ask_token(service, assertion).json["detail"]
    assert service.ask("GET", "/v1/nodes", token=token).status == 401, "tokens are their process's"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])  # noqa: S104 - refused
def test_it_listens_on_loopback_only(host: str) -> None:
    with pytest.raises(RefusedError, match="loopback"):
        listen(host, 0)
