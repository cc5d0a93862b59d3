import socket
import time
from typing import Any

import pytest

from infrastructure.witness import server as server_module
from infrastructure.witness.records import origin_hash
from infrastructure.witness.request import MAX_REQUEST_BYTES
from infrastructure.witness.server import WitnessServer


def raw(server: WitnessServer, sent: bytes, *, close: bool = True) -> bytes:
    """Send bytes as they are and return all that comes back."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(sent)
        if close:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)


def test_a_checkpoint_is_added_and_served_over_http(ask: Any, log: Any) -> None:
    reply = ask("POST", "/add-checkpoint", log.request(0, 5))
    assert (reply.status, reply.content_type) == (200, "text/plain; charset=utf-8")
    assert reply.body.startswith("\u2014 witness.example/w1 ".encode())
    served = ask("GET", f"/{origin_hash(log.origin)}/checkpoint")
    assert served.status == 200
    assert served.body.endswith(reply.body)
    conflict = ask("POST", "/add-checkpoint", log.request(0, 9))
    assert (conflict.status, conflict.content_type, conflict.body) == (409, "text/x.tlog.size", b"5\n")
    assert ask("POST", "/add-checkpoint", b"nonsense").status == 400


def test_anything_else_is_not_found_or_not_allowed(ask: Any, log: Any) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", f"/{'0' * 64}/checkpoint", 404),
        ("GET", "/../witness.key/checkpoint", 404),
        ("GET", "/checkpoint", 404),
        ("GET", "/add-checkpoint", 405),
        ("POST", "/", 404),
        ("POST", "/sign-subtree", 404),
        ("PUT", "/add-checkpoint", 501),
        ("DELETE", "/add-checkpoint", 501),
    ):
        assert ask(method, path, b"" if method != "GET" else None).status == status, (method, path)
    assert ask("GET", "/", b"a body").status == 400


def test_a_connection_serves_several_requests(server: WitnessServer, log: Any) -> None:
    def posted(body: bytes) -> bytes:
        return b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    answers = raw(server, posted(log.request(0, 5)) + posted(log.request(5, 9)) + posted(b"x"))
    assert answers.count(b"HTTP/1.1 200 ") == 2
    assert answers.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (b"", 411),
        (b"Transfer-Encoding: chunked\r\n", 411),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", 411),
        (b"Content-Length: 3\r\nContent-Length: 3\r\n", 400),
        (b"Content-Length: +3\r\n", 400),
        (b"Content-Length: 3, 3\r\n", 400),
        (b"Content-Length: -1\r\n", 400),
        (b"Content-Length: \xb2\r\n", 400),
        (b"Content-Length: 99999999999999\r\n", 400),
        (b"Content-Length: %d\r\n" % (MAX_REQUEST_BYTES + 1), 413),
    ],
)
def test_a_body_has_one_stated_and_bounded_length(server: WitnessServer, headers: bytes, status: int) -> None:
    answer = raw(server, b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n" + headers + b"\r\nabc")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n",
        b"nonsense\r\n\r\n",
        b"POST\r\n\r\n",
        b"POST /add-checkpoint HTTP/9.9\r\n\r\n",
        b"POST /add-checkpoint HTTP/x\r\n\r\n",
        b"G\x1b[31mT /\x1b HTTP/1.1\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.1\r\nA: " + b"b" * 70_000 + b"\r\n\r\n",
        b"POST /add-checkpoint HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc",
        b"\x16\x03\x01\x00\xee\x01\x00\x00\xea\x03\x03",
    ],
)
def test_nonsense_is_refused_without_telling_anything(
    server: WitnessServer, sent: bytes, capfd: pytest.CaptureFixture[str], ask: Any, log: Any
) -> None:
    answer = raw(server, sent)
    for word in (b"Python", b"python", b"Traceback", b"html", b"/root", b"/tmp", b"\x1b"):
        assert word not in answer
    assert ask("POST", "/add-checkpoint", log.request(0, 5)).status == 200
    assert capfd.readouterr() == ("", "")


def drip(connection: socket.socket) -> None:
    for _ in range(200):
        connection.sendall(b"A")
        time.sleep(0.05)


def test_a_silent_or_dripping_client_is_cut_and_others_are_served(
    server: WitnessServer, ask: Any, log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module._Handler, "timeout", 0.2)
    assert raw(server, b"POST /add-chec", close=False) == b""
    monkeypatch.setattr(server_module, "CONNECTION_S", 0.5)
    with (
        socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as dripping,
        pytest.raises(OSError, match=r"Broken pipe|reset by peer"),
    ):
        drip(dripping)
    assert ask("POST", "/add-checkpoint", log.request(0, 5)).status == 200


def test_more_connections_than_there_are_places_are_closed_and_places_come_back(
    server: WitnessServer, ask: Any, log: Any
) -> None:
    places = server_module.MAX_CONNECTIONS
    held = [socket.create_connection(("127.0.0.1", server.server_port), timeout=10) for _ in range(places)]
    try:
        for _ in range(200):
            if server._places._value == 0:
                break
            time.sleep(0.01)
        assert raw(server, b"", close=False) == b""
    finally:
        for connection in held:
            connection.close()
    for _ in range(200):
        if server._places._value == places:
            break
        time.sleep(0.01)
    assert ask("POST", "/add-checkpoint", log.request(0, 5)).status == 200


def test_an_operators_log_gets_one_escaped_line_a_request(server: WitnessServer, ask: Any, log: Any) -> None:
    lines: list[str] = []
    server.report = lines.append
    ask("POST", "/add-checkpoint", log.request(0, 5))
    raw(server, b"GET /\x1b[31m HTTP/1.1\r\n\r\n")
    assert lines[0] == "'POST' '/add-checkpoint' 200"
    assert all(line.isprintable() for line in lines)
