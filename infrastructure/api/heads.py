"""Connections whose requests have to begin in time, and of which there are so many: what uvicorn leaves unbounded.

Invariants:
- A head is whatever comes between the end of one request's body and the end of the next one's fields, empty lines
  included, whether or not the requests before it were answered. From the connection's begin, and from the first byte of
  each further one, it is complete within HEAD_S. What still comes of a body after its answer counts as one too.
- Of a head no more is kept than MAX_HEAD_BYTES and one read; one that is longer is never served (431).
- What is refused here is a problem of our words (RFC 9457), as everything else that is refused.
- While this side does not read, because requests wait for their turn, a head's time does not run out.
- Connections have places, and an address a share of them; beyond these they are told so and closed.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infrastructure.api.limits import Places
from infrastructure.api.peers import Peers, counted

HEAD_S: Final = 10.0
MAX_HEAD_BYTES: Final = 65_536
MOST_PIPELINED: Final = 64
"""Requests that wait for their turn on one connection."""
_FIELD_BYTES: Final = 4


def _closing(status: HTTPStatus, detail: str, fields: bytes = b"") -> bytes:
    """Return an answer of our words after which the connection is closed (RFC 9457)."""
    said = json.dumps(
        {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    ).encode()
    return (
        b"HTTP/1.1 %d %b\r\nContent-Type: application/problem+json\r\n%bCache-Control: no-store\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
        % (status.value, status.phrase.encode(), fields, len(said), said)
    )


_FULL: Final = _closing(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections", b"Retry-After: 1\r\n")
_NO_REQUEST: Final = _closing(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
_TOO_LONG: Final = _closing(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the request's head is longer than {MAX_HEAD_BYTES} bytes"
)


class TooLongError(Exception):
    """A head is longer than its bound: the parser stops at it."""


class PunctualProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with bounds on heads and on connections.

    Args:
        places: of connections.
        peers: tells which of them come from trusted proxies: these have no share, but all places.
    """

    def __init__(self, places: Places, peers: Peers, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._places = places
        self._peers = peers
        self._name: str | None = None
        self._due: asyncio.TimerHandle | None = None
        self._in_head = True
        self._read_bytes = 0
        self._parsed_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Take a place and begin to wait for the first head; without one, say so and close."""
        super().connection_made(transport)
        peer = self.client[0] if self.client else ""
        name = counted(peer)
        if self._places.enter(name, whole=self._peers.trusts(peer)):
            self._name = name
            self._wait()
        else:
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting, and give the place back."""
        self._done()
        if self._name is not None:
            self._places.leave(self._name)
            self._name = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; those of a head are counted."""
        if self.transport.is_closing():
            return
        if self._in_head or self._answered():
            self._wait()
            self._read_bytes += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if max(self._read_bytes, self._parsed_bytes) > MAX_HEAD_BYTES:
            if self._in_head:
                self._refuse(_TOO_LONG)
            else:
                self.transport.close()  # a body that was answered already: an answer now would be the next request's
        elif len(self.pipeline) > MOST_PIPELINED:
            self.transport.close()

    def on_message_begin(self) -> None:
        """Begin to wait for a head's end."""
        super().on_message_begin()
        self._wait()

    def on_url(self, url: bytes) -> None:
        """Count what is kept of a head."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count what is kept of a head."""
        self._count(len(name) + len(value) + _FIELD_BYTES)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Stop waiting: the rest is bounded by the gate."""
        self._done()
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Know that what comes next is a head. Trailers were no part of it."""
        self._in_head = True
        self._read_bytes = self._parsed_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words are not ours
        """Answer what is no request."""
        self._refuse(_TOO_LONG if self._parsed_bytes > MAX_HEAD_BYTES else _NO_REQUEST)

    def _refuse(self, answer: bytes) -> None:
        """Answer and close, unless the answer would be taken for that of a request before it: then close."""
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()

    def _answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _count(self, more: int) -> None:
        self._parsed_bytes += more
        if self._parsed_bytes > MAX_HEAD_BYTES:
            raise TooLongError

    def _wait(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(HEAD_S, self._over)

    def _done(self) -> None:
        self._read_bytes = self._parsed_bytes = 0
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _over(self) -> None:
        self._due = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._wait()  # it is this side that does not read: requests before it wait for their turn
        else:
            self.transport.close()
