"""What answers instead of a ledger: too much, too slowly, nonsense, nothing. Both clients end it in time and say so."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from domain.errors import LedgerError, MalformedError, UnavailableError
from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.exchange import http11
from infrastructure.exchange.asynchronous import AsyncClient
from infrastructure.exchange.blocking import Client
from infrastructure.keys import wallet as wallets
from infrastructure.keys.wallet import Wallet

TIMEOUT_S = 0.5
REALM = b'HTTP/1.1 401 no\r\nWWW-Authenticate: Bearer realm="https://ledger.example"\r\nContent-Length: 2\r\n\r\n{}'
TOKEN = b'{"access_token":"t","token_type":"DPoP","expires_in":300}'


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)


class Wire:
    """A server that gives tokens, and answers everything else as it is told to, byte for byte."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self.opened: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for one in self.opened:
            one.close()
        self._thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                wire, _ = self._listening.accept()
                self.opened.append(wire)
                threading.Thread(target=self._talk, args=(wire,), daemon=True).start()

    def _talk(self, wire: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while head := self._head(wire):
                if not head.startswith(b"POST /v1/token"):
                    self._serve(wire)
                elif b"dpop:" in head.lower():
                    wire.sendall(answer(TOKEN))
                else:
                    wire.sendall(REALM)

    def _head(self, wire: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = wire.recv(65_536)
            if not piece:
                return b""
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        wanted = next((int(one.split(b":")[1]) for one in head.lower().split(b"\r\n") if b"content-length" in one), 0)
        while len(body) < wanted:
            body += wire.recv(65_536)
        return head


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "w.json", "alice", SystemEntropy())


@pytest.fixture(params=["blocking", "asynchronous"])
def ask(request: pytest.FixtureRequest, wallet: Wallet) -> Callable[..., Any]:
    """Return what asks so many times, with the one client or the other; the last answer counts."""

    def blocking(url: str, times: int = 1) -> Any:
        with closing(Client(url, wallet, SystemClock(), SystemEntropy(), timeout_s=TIMEOUT_S)) as client:
            return [client.get("/x") for _ in range(times)]

    async def gathered(url: str, times: int) -> Any:
        client = AsyncClient(url, wallet, SystemClock(), SystemEntropy(), timeout_s=TIMEOUT_S)
        try:
            return await asyncio.gather(*(client.get("/x") for _ in range(times)))
        finally:
            await client.close()

    def asynchronous(url: str, times: int = 1) -> Any:
        return asyncio.run(gathered(url, times))

    return blocking if request.param == "blocking" else asynchronous


def dribble(pieces: Iterable[bytes]) -> Callable[[socket.socket], None]:
    def serve(wire: socket.socket) -> None:
        for piece in pieces:
            wire.sendall(piece)
            time.sleep(0.05)

    return serve


def endless(first: bytes = b"") -> Iterator[bytes]:
    yield first
    while True:
        yield b"x"


def test_a_good_answer_is_given_and_connections_are_kept(ask: Callable[..., Any]) -> None:
    with closing(Wire(lambda wire: wire.sendall(answer(b'{"good":1}')))) as server:
        assert ask(server.url, 5) == [{"good": 1}] * 5
        assert len(server.opened) <= 6


@pytest.mark.parametrize(
    "serve",
    [
        lambda _: time.sleep(3),
        dribble(endless()),
        dribble(endless(b"HTTP/1.1 200 OK\r\nX-More: ")),
        dribble(endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")),
    ],
    ids=["silent", "no HTTP", "head", "body"],
)  # fmt: skip
def test_an_answer_that_does_not_come_in_time_is_given_up(
    ask: Callable[..., Any], serve: Callable[[socket.socket], None]
) -> None:
    with closing(Wire(serve)) as server:
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            ask(server.url)
        assert time.monotonic() - began < 20 * TIMEOUT_S


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n\r\n", b"\x16\x03\x01\x00" * 100, b"HTTP/1.1 99999 OK\r\n\r\n",
        b"HTTP/1.1 100 Go on\r\n\r\n" * 99,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", answer(b"[" * 100_000), answer(b"7"),
        answer(b"{}", "503 Later"), answer(b"{}", "301 Elsewhere"), b"",
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_refused(ask: Callable[..., Any], data: bytes) -> None:
    def serve(wire: socket.socket) -> None:
        wire.sendall(data)
        wire.shutdown(socket.SHUT_WR)

    with closing(Wire(serve)) as server, pytest.raises((UnavailableError, Exception)) as caught:
        ask(server.url)
    assert isinstance(caught.value, LedgerError) or type(caught.value).__name__ == "AnsweredError"


def test_an_answer_that_is_too_long_is_refused(ask: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http11, "MOST_BODY_BYTES", 10_000)

    def serve(wire: socket.socket) -> None:
        wire.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"3E8\r\n" + b"x" * 1000 + b"\r\n")
        for _ in range(100):
            wire.sendall(b"3E8\r\n" + b"x" * 1000 + b"\r\n")

    with closing(Wire(serve)) as server, pytest.raises(UnavailableError, match="too long"):
        ask(server.url)


def test_nobody_there_and_no_ledger_are_told(ask: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(UnavailableError, match="does not answer"):
        ask(f"http://127.0.0.1:{port}")


def test_a_connection_that_was_closed_meanwhile_is_opened_again(ask: Callable[..., Any]) -> None:
    def serve(wire: socket.socket) -> None:
        wire.sendall(answer(b"{}"))
        wire.shutdown(socket.SHUT_RDWR)

    with closing(Wire(serve)) as server:
        assert ask(server.url, 3) == [{}, {}, {}]


def test_a_path_that_cannot_be_asked_is_refused(wallet: Wallet, tmp_path: Path) -> None:
    with (
        closing(Wire(lambda wire: wire.sendall(answer(b"{}")))) as server,
        closing(Client(server.url, wallet, SystemClock(), SystemEntropy(), timeout_s=TIMEOUT_S)) as client,
        pytest.raises(MalformedError),
    ):
        client.get("/x\r\nX-More: 1")
