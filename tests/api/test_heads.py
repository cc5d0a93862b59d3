"""Heads on real connections: each is counted and timed, whatever is under way before it. Connections are counted."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Self

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from infrastructure.api import heads
from infrastructure.api.heads import PunctualProtocol
from infrastructure.api.limits import Places
from infrastructure.api.peers import Peers

GET = b"GET /now HTTP/1.1\r\nHost: x\r\n\r\n"
WAIT = b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /now HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
HEAD_S = 1.0
LONG_S = 60.0


class Waiting:
    """An application that answers at once, but for /wait, which it answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        self.asked.append(scope["path"])
        if scope["path"] == "/wait":
            await asyncio.to_thread(self.go.wait, 20)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


class Served:
    """A server of it on a free port of this machine, with so many places for connections."""

    def __init__(self, most: int = 1_000, share: int = 1_000, trusted: tuple[str, ...] = ()) -> None:
        self.app = Waiting()
        self.places = Places(most, share)
        protocol = partial(PunctualProtocol, self.places, Peers(trusted))
        config = uvicorn.Config(
            self.app, log_config=None, lifespan="off", ws="none", http=protocol,  # type: ignore[arg-type]  # it makes one
            timeout_graceful_shutdown=1,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.bound = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=lambda: asyncio.run(self.server.serve([self.bound])))

    def connect(self) -> socket.socket:
        return socket.create_connection(self.bound.getsockname(), timeout=LONG_S)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.app.go.set()
        self.server.should_exit = True
        self.thread.join(20)
        self.bound.close()


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_S", HEAD_S)


@pytest.fixture
def served() -> Iterator[Served]:
    with Served() as made:
        yield made


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def answered(wire: socket.socket) -> bool:
    """Read an answer to its end; tell whether it is one."""
    answer = b""
    while not answer.endswith(b"ok"):
        part = wire.recv(4096)
        if not part:
            return False
        answer += part
    return True


def over(wire: socket.socket) -> bool:
    """Tell whether the other side closes, having answered or not."""
    try:
        while wire.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def drip(wire: socket.socket, data: bytes, piece: int, pause_s: float) -> bool:
    """Send in pieces until it is refused; tell whether it was."""
    try:
        for at in range(0, len(data), piece):
            wire.sendall(data[at : at + piece])
            time.sleep(pause_s)
    except OSError:
        return True
    return False


def test_a_pipelined_head_is_timed_while_the_request_before_it_waits(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(WAIT)
        until(lambda: served.app.asked)
        began_s = time.monotonic()
        wire.sendall(b"GET /now HTTP/1.1\r\nX-Slow: ")
        assert over(wire)
        assert HEAD_S * 0.8 < time.monotonic() - began_s < LONG_S
    assert served.app.asked == ["/wait"]


def test_a_pipelined_head_is_counted_while_the_request_before_it_waits(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "HEAD_S", LONG_S)
    with served.connect() as wire:
        wire.sendall(WAIT + b"GET /now HTTP/1.1\r\nX-Long: ")
        until(lambda: served.app.asked)
        began_s = time.monotonic()
        drip(wire, b"x" * (4 * heads.MAX_HEAD_BYTES), heads.MAX_HEAD_BYTES, 0.01)
        assert over(wire)
        assert time.monotonic() - began_s < LONG_S / 2, "it is over for its length, before its time is"


@pytest.mark.parametrize("before", [b"", GET, WAIT])
def test_empty_lines_before_a_head_are_part_of_it(served: Served, before: bytes) -> None:
    with served.connect() as wire:
        wire.sendall(before)
        began_s = time.monotonic()
        assert drip(wire, b"\r\n" * 400, 2, 0.01)
        assert time.monotonic() - began_s < LONG_S


@pytest.mark.parametrize("before", [b"", WAIT])
def test_a_head_that_comes_whole_is_bounded_as_well(served: Served, before: bytes) -> None:
    fields = b"".join(b"X-%05d: %s\r\n" % (number, b"x" * 1000) for number in range(80))
    with served.connect() as wire, contextlib.suppress(OSError):
        wire.sendall(before + b"GET /long HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n")
        served.app.go.set()
        assert over(wire)
    assert "/long" not in served.app.asked


def test_what_still_comes_of_a_body_after_its_answer_is_bounded(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(POST)
        assert answered(wire)
        assert drip(wire, b"1\r\nx\r\n" * 200, 6, 0.02)


def test_a_body_may_take_longer_than_a_head(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(b"POST /wait HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert not drip(wire, b"1\r\nx\r\n" * 30, 6, HEAD_S / 15)
        wire.sendall(b"0\r\n\r\n")
        served.app.go.set()
        assert answered(wire)
        time.sleep(HEAD_S * 1.5)
        wire.sendall(GET)
        assert answered(wire), "an idle connection is kept"


def test_pipelined_requests_are_answered_in_their_order_however_long_the_first_takes(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(WAIT + GET + GET + b"GET /la")
        time.sleep(HEAD_S * 2)
        served.app.go.set()
        wire.sendall(b"st HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: len(served.app.asked) == 4)
        assert served.app.asked == ["/wait", "/now", "/now", "/last"]


def test_no_more_than_so_many_requests_wait_on_one_connection(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(WAIT + GET * (heads.MOST_PIPELINED + 1))
        assert over(wire)
    assert served.app.asked in (["/wait"], [])


def test_garbage_behind_a_request_is_not_taken_for_its_answer(served: Served) -> None:
    with served.connect() as wire:
        wire.sendall(WAIT)
        until(lambda: served.app.asked)
        wire.sendall(b"\x00garbage\r\n\r\n")
        assert wire.recv(4096) == b""


def test_connections_beyond_the_bound_are_told_so_and_closed() -> None:
    with Served(most=3) as served, contextlib.ExitStack() as held:
        kept = [held.enter_context(served.connect()) for _ in range(3)]
        until(lambda: served.places.taken == 3)
        with served.connect() as refused:
            answer = b""
            while part := refused.recv(4096):
                answer += part
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nretry-after: 1\r\n" in answer.lower()
        kept[0].sendall(GET)
        assert answered(kept[0]), "who is in stays in"
        kept[1].close()
        until(lambda: served.places.taken == 2)
        with served.connect() as again:
            again.sendall(GET)
            assert answered(again)


@pytest.mark.parametrize(("trusted", "said"), [((), b"HTTP/1.1 503 "), (("127.0.0.0/8",), b"HTTP/1.1 200 ")])
def test_one_address_has_a_share_of_the_connections_and_a_trusted_proxy_all(
    trusted: tuple[str, ...], said: bytes
) -> None:
    with Served(most=4, share=2, trusted=trusted) as served, served.connect(), served.connect():
        until(lambda: served.places.taken == 2)
        with served.connect() as third:
            with contextlib.suppress(OSError):
                third.sendall(GET)
            assert third.recv(4096).startswith(said)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x00\x01\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"GET /%b HTTP/1.1\r\n\r\n" % (b"a" * (heads.MAX_HEAD_BYTES + 1)), 431),
        (b"GET / HTTP/1.1\r\nX: %b" % (b"a" * (heads.MAX_HEAD_BYTES + 1)), 431),
    ],
)
def test_what_is_no_request_is_a_problem_in_our_words(served: Served, sent: bytes, status: int) -> None:
    with served.connect() as wire:
        with contextlib.suppress(OSError):
            wire.sendall(sent)
        answer = b""
        with contextlib.suppress(OSError):
            while part := wire.recv(65_536):
                answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in head
    assert json.loads(body)["status"] == status
    assert served.app.asked == []
