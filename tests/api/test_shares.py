"""What one stranger, or one token's holder, can take of a served ledger: a share, also behind a proxy."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from http import HTTPStatus
from urllib.parse import urlencode

import pytest

from infrastructure.api.gate import MOST_REQUESTS
from infrastructure.api.limits import SHARES
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.blocking import Client
from infrastructure.exchange.session import GRANT_TYPE
from tests.api.service import Service, eventually, served
from tests.database import TestServer

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
SHARE = MOST_REQUESTS // SHARES


@pytest.fixture(scope="module")
def proxied(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    options = ("--trusted-proxy", "127.0.0.1", "--trusted-proxy", "10.0.0.0/8")
    with served(postgres, tmp_path_factory.mktemp("proxied"), second=True, options=options) as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def tokens(proxied: Service) -> tuple[str, str]:
    """Tokens of two nodes, given out before anything is used up."""
    return proxied.token("node.json"), proxied.token("two.json")


def statuses(service: Service, count: int, said: str, body: str = "") -> list[int]:
    """Ask for tokens, so often, as a proxy passes it on; return the answers' statuses."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)
    found = []
    with contextlib.closing(connection):
        for _ in range(count):
            connection.request("POST", "/v1/token", body, {**FORM, "X-Forwarded-For": said})
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
    return found


def test_behind_a_trusted_proxy_a_stranger_uses_up_its_own_bucket_only(proxied: Service) -> None:
    assert 429 in statuses(proxied, 600, "198.51.100.1")
    assert statuses(proxied, 1, "198.51.100.2") == [401]
    assert statuses(proxied, 1, "198.51.100.3, 10.0.0.9") == [401]
    assert 429 in statuses(proxied, 60, "198.51.100.77, 198.51.100.1, 10.0.0.9"), "who it says it is does not help it"


def test_where_no_proxy_is_trusted_no_word_of_a_client_counts(service: Service) -> None:
    found = [status for number in range(600) for status in statuses(service, 1, f"198.51.100.{number % 250}")]
    assert 429 in found


def test_one_key_has_one_bucket_for_tokens_from_wherever_it_asks(proxied: Service) -> None:
    client = Client(proxied.url, proxied.wallet("two.json"), SystemClock(), SystemEntropy())
    with contextlib.closing(client):
        client.learn_issuer()
        found = []
        for number in range(120):
            form = urlencode({"grant_type": GRANT_TYPE, "assertion": client.session.assertion()})
            found += statuses(proxied, 1, f"203.0.113.{number}", form)
    assert (found[0], 429 in found, set(found) - {200, 429}) == (200, True, set())
    other = Client(proxied.url, proxied.wallet("node.json"), SystemClock(), SystemEntropy())
    assert proxied.unbound(other), "another key has its own"


def test_one_tokens_holder_can_not_take_all_places_of_requests(proxied: Service, tokens: tuple[str, str]) -> None:
    token, others = tokens
    body = b'{"wait_ms":12000}'
    head = f"POST /v1/assignments HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
    poll = f"{head}Authorization: Bearer {token}\r\n\r\n".encode() + body
    with contextlib.ExitStack() as held:

        def ask(count: int) -> None:
            for _ in range(count):
                wire = held.enter_context(socket.create_connection(("127.0.0.1", proxied.port), timeout=30))
                wire.sendall(poll)

        def full() -> bool:
            ask(SHARE // 8)  # on a slow machine the first have ended when the last are there
            return proxied.post("/v1/assignments", {}, token).status == HTTPStatus.SERVICE_UNAVAILABLE

        ask(SHARE)
        eventually(full)
        own = proxied.post("/v1/assignments", {}, token)
        assert (own.status, own.headers["retry-after"]) == (503, "1")
        assert proxied.ask("GET", "/v1/nodes", token=proxied.token("node.json")).status == 503, "its further tokens too"
        assert proxied.post("/v1/assignments", {}, others).status == 200
        eventually(lambda: 401 in statuses(proxied, 1, "198.51.100.9"))
    eventually(lambda: proxied.post("/v1/assignments", {}, token).status == 200)
