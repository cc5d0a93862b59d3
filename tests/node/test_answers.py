"""What answers a node may be no ledger, or none today: whatever it says, the node goes on."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.errors import UnavailableError
from domain.policies.facts import NodeFacts
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange.answers import AnsweredError
from infrastructure.exchange.blocking import Client
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet
from infrastructure.node import agent as agents
from infrastructure.node.agent import Agent, Ended
from infrastructure.node.journal import Journal
from infrastructure.node.wire import SentRelease, SentStanding, read_answers, read_sent

NONSENSE = [
    b"", b"x", b"<html>welcome</html>", b"[]", b"null", b"7", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000,
    b"9" * 10_000,
]  # fmt: skip
WRONG = [b"{}", b'{"answers":7}', b'{"assignments":[{}]}', b'{"nodes":[7],"executions":{}}', b'{"accepted":"yes"}']
TOKEN = {"access_token": "t", "token_type": "DPoP", "expires_in": 300}
FACTS = NodeFacts(node="berlin-1", operator="o", country="DEU", vendor="none", memory_bytes=1 << 20, slots=1)
NODE = {
    "node": "berlin-1", "facts": FACTS.model_dump(mode="json"), "standing": "ready", "platform": "ledger.example/t/0",
    "telemetry": {"seq": 0, "prev": "0" * 64},
}  # fmt: skip

Answers = Callable[[str, str], tuple[int, bytes]]


class Stranger:
    """Something on a free port that answers whatever it is told to."""

    def __init__(self, answers: Answers) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", "0")))
                asked.append(f"{self.command} {self.path}")
                if self.path == "/v1/token" and "dpop" not in self.headers:
                    status, body = 401, b"{}"
                else:
                    status, body = answers(self.command, self.path)
                self.send_response(status)
                if status == 401:
                    self.send_header("WWW-Authenticate", 'Bearer realm="https://ledger.example"')
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET  # noqa: N815 - the server's own names

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "w.json", "berlin-1", SystemEntropy())


@pytest.fixture
def said() -> dict[str, tuple[int, bytes]]:
    return {"/v1/token": (200, json.dumps(TOKEN).encode())}


@pytest.fixture
def client(wallet: Wallet, said: dict[str, tuple[int, bytes]]) -> Iterator[Client]:
    with closing(Stranger(lambda _, path: said[path])) as stranger:
        made = Client(stranger.url, wallet, SystemClock(), SystemEntropy(), timeout_s=5)
        with closing(made):
            yield made


@pytest.mark.parametrize("body", NONSENSE)
def test_an_answer_that_is_no_object_is_as_none(
    client: Client, said: dict[str, tuple[int, bytes]], body: bytes
) -> None:
    said["/x"] = (200, body)
    with pytest.raises(UnavailableError, match="no JSON object"):
        client.get("/x")
    with pytest.raises(UnavailableError, match="no JSON object"):
        client.post("/x", {})
    with pytest.raises(UnavailableError, match="no JSON object"):
        client.post_signed("/x", {})
    said["/x"] = (400, body)
    with pytest.raises(AnsweredError, match="no reason was given") as caught:
        client.get("/x")
    assert (caught.value.status, caught.value.problem) == (400, False)
    said["/x"] = (400, b'{"detail":"so it is"}')
    with pytest.raises(AnsweredError, match="so it is") as caught:
        client.get("/x")
    assert caught.value.problem


@pytest.mark.parametrize(
    "change",
    [
        {"access_token": 7}, {"access_token": "a\r\nX-More: b"}, {"access_token": ""}, {"access_token": "ü"},
        {"token_type": None}, {"token_type": "Bearer"}, {"expires_in": "300"}, {"expires_in": 10**12},
        {"expires_in": -1},
    ],
)  # fmt: skip
def test_a_token_that_is_none_is_not_used(
    client: Client, said: dict[str, tuple[int, bytes]], change: dict[str, Any]
) -> None:
    said["/x"], said["/v1/token"] = (200, b"{}"), (200, json.dumps({**TOKEN, **change}).encode())
    with pytest.raises(UnavailableError):
        client.get("/x")
    for body in [*NONSENSE, *WRONG]:
        said["/v1/token"] = (200, body)
        with pytest.raises(UnavailableError):
            client.get("/x")
    said["/v1/token"] = (200, json.dumps(TOKEN).encode())
    assert client.get("/x") == {}


@pytest.mark.parametrize(
    "members",
    [
        {}, {"answers": {}}, {"answers": []}, {"answers": [{"status": 200}] * 3}, {"answers": [7, 7]},
        {"answers": [{"status": "200"}] * 2}, {"answers": [{"status": 200, "accepted": 1}] * 2},
        {"answers": [{"status": 10**30}] * 2}, {"answers": [{}] * 2},
    ],
)  # fmt: skip
def test_answers_to_reports_are_as_many_as_the_reports_and_of_their_form(members: dict[str, Any]) -> None:
    with pytest.raises(UnavailableError):
        read_answers(members, 2)
    one = {"status": 200, "accepted": True, "more": {}}
    assert read_answers({"answers": [one, one]}, 2) == [one, one]


@pytest.mark.parametrize(
    "change",
    [{"inputs": ["*"]}, {"inputs": "x"}, {"inputs": [7]}, {"cac": []}, {"output_key": "0"}, {"output_key": None}],
)
def test_a_release_that_is_none_is_refused(change: dict[str, Any]) -> None:
    release = {"inputs": ["AA=="], "cac": {}, "output_key": "00"}
    assert read_sent(SentRelease, release).sealed_inputs == (b"\0",)
    standing = {
        "execution": "exec-0x" + "0" * 32, "origin": "o", "status": "released", "over": False, "reports": 1,
        "last_report": "0" * 64, "until_ms": 1,
    }  # fmt: skip
    assert read_sent(SentStanding, {**standing, "release": release}).release
    with pytest.raises(UnavailableError):
        read_sent(SentRelease, {**release, **change})
    with pytest.raises(UnavailableError):
        read_sent(SentStanding, {**standing, "release": {**release, **change}})


def test_no_thread_of_a_node_ends_over_an_answer(
    wallet: Wallet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every route of a node's answers nonsense in turns; it goes on asking each, and ends when it is told to."""
    monkeypatch.setattr(agents, "INTERVAL_MS", 10)
    monkeypatch.setattr(agents, "_LONGEST_PAUSE_S", 0.05)
    bodies, turn = [*NONSENSE, *WRONG], {"at": 0}

    def answers(method: str, path: str) -> tuple[int, bytes]:
        if path == "/v1/token":
            return 200, json.dumps(TOKEN).encode()
        turn["at"] += 1
        if turn["at"] % 3 and (method, path) == ("GET", "/v1/nodes"):
            return 200, json.dumps({"nodes": [NODE]}).encode()
        if turn["at"] % 3 and (method, path) == ("GET", "/v1/assignments"):
            return 200, b'{"executions":[]}'
        return 200, bodies[turn["at"] % len(bodies)]

    with closing(Stranger(answers)) as stranger, Journal(tmp_path / "n") as journal:
        client = Client(stranger.url, wallet, SystemClock(), SystemEntropy(), timeout_s=5)
        agent = Agent(
            client, wallet, journal, clock=SystemClock(), entropy=SystemEntropy(), slots=1, tell=lambda _: None
        )
        ended: list[Ended] = []
        node = threading.Thread(target=lambda: ended.append(agent.run()))
        node.start()
        wanted = {"POST /v1/assignments": 3 * len(bodies), "POST /v1/reports": 3 * len(bodies)}
        end = time.monotonic() + 30
        while any(stranger.asked.count(one) < count for one, count in wanted.items()):
            assert node.is_alive(), "the node ended"
            assert time.monotonic() < end, stranger.asked[-20:]
            time.sleep(0.05)
        agent.stop()
        node.join(20)
        assert [one.executed for one in ended] == [0]
