"""Carries a witness over HTTP, on the standard library (c2sp.org/tlog-witness, HTTP Interface).

Invariants:
- Everything a stranger sends is bounded: the body, the headers, a connection's time, how many there are at once.
- A body has a stated length; chunked bodies and doubled lengths refuse [request smuggling].
- An answer tells nothing of this machine: no version, no path, no traceback.
"""

import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from infrastructure.witness.request import MAX_REQUEST_BYTES
from infrastructure.witness.witness import BAD_REQUEST, NOT_FOUND, UNAVAILABLE, Answer, Witness

MAX_CONNECTIONS = 64
IDLE_S = 10.0
"""How long a connection may be silent."""

CONNECTION_S = 60.0
"""How long a connection may last [one that sends a byte now and then]. Clients connect anew."""

_ADD_CHECKPOINT, _CHECKPOINT = "/add-checkpoint", "/checkpoint"
_TOO_LARGE, _METHOD, _LENGTH_REQUIRED = 413, 405, 411
_DIGITS = 7

Report = Callable[[str], None]
"""Takes one line for an operator's log: method, path and status, nothing else."""


class WitnessServer(ThreadingHTTPServer):
    """Serves one witness; `serve_forever` and `shutdown` as in the standard library.

    Args:
        witness: what answers.
        host: address to listen on; a loopback one unless the operator says otherwise.
        port: 0 for a free one; `server_port` tells which.
        report: gets one line a request.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = MAX_CONNECTIONS

    def __init__(
        self, witness: Witness, *, host: str = "127.0.0.1", port: int = 0, report: Report = lambda _: None
    ) -> None:
        self.witness = witness
        self.report = report
        self._places = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server for our own name."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection if there is a place for it, else close it."""
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._places.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and free its place."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, *_: Any) -> None:
        """Report that a connection ended badly, without a traceback."""
        self.report("connection ended early")


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "witness"
    sys_version = ""
    timeout = IDLE_S
    server: WitnessServer

    def setup(self) -> None:
        super().setup()
        self._watchdog = threading.Timer(CONNECTION_S, self._cut)
        self._watchdog.daemon = True
        self._watchdog.start()

    def finish(self) -> None:
        self._watchdog.cancel()
        super().finish()

    def do_POST(self) -> None:
        if self.path != _ADD_CHECKPOINT:
            self._end(Answer(NOT_FOUND, b"there is nothing here\n"))
            return
        length = self._length()
        if isinstance(length, Answer):
            self._end(length)
            return
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True
            return
        self._answer(self.server.witness.add_checkpoint(body))

    def do_GET(self) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self._end(Answer(BAD_REQUEST, b"a GET has no body\n"))
        elif self.path == _ADD_CHECKPOINT:
            self._end(Answer(_METHOD, b"use POST\n"), ("Allow", "POST"))
        elif self.path.endswith(_CHECKPOINT):
            digest = self.path.removeprefix("/").removesuffix(_CHECKPOINT)
            self._answer(self.server.witness.checkpoint(digest))
        else:
            self._answer(Answer(NOT_FOUND, b"there is nothing here\n"))

    def send_error(self, code: int, *_: Any, **__: Any) -> None:
        """Answer what the standard library refuses, in plain text and without echoing the request."""
        self._end(Answer(code, b"not a request that is served here\n"))

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Write nothing: `_answer` reports."""

    def _length(self) -> int | Answer:
        """Return the body's stated length, or the answer that refuses it."""
        stated = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers or not stated:
            return Answer(_LENGTH_REQUIRED, b"a request states its length\n")
        if len(stated) > 1 or not (stated[0].isascii() and stated[0].isdecimal()) or len(stated[0]) > _DIGITS:
            return Answer(BAD_REQUEST, b"a request states its length once, in decimal\n")
        length = int(stated[0])
        return length if length <= MAX_REQUEST_BYTES else Answer(_TOO_LARGE, b"the request is too large\n")

    def _end(self, answer: Answer, *headers: tuple[str, str]) -> None:
        """Answer and close: what is left of the request is not read."""
        self.close_connection = True
        self._answer(answer, ("Connection", "close"), *headers)

    def _answer(self, answer: Answer, *headers: tuple[str, str]) -> None:
        self.send_response(answer.status)
        for name, value in (("Content-Type", answer.content_type), *headers):
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        if answer.status == UNAVAILABLE:
            self.send_header("Retry-After", "5")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        path = getattr(self, "path", "")  # a request line that can't be read has none
        command = self.command or ""
        self.server.report(f"{command[:10]!a} {path[:100]!a} {answer.status}")

    def _cut(self) -> None:
        try:
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended by itself
