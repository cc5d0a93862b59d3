"""A request and its answer on one connection, without I/O (RFC 9112, by h11): what is sent, what is read, and bounds.

Invariants:
- An answer's head and body are bounded, and so is its time: it has to begin in time, and to go on at least so fast. A
  server that dribbles costs who asks no more than that.
- What is no HTTP, or ends before it should, is UnavailableError: repeating is safe.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

import h11

from domain.errors import MalformedError, UnavailableError
from infrastructure.exchange.answers import TooLongError
from infrastructure.exchange.steps import Call, Reply

MOST_BODY_BYTES: Final = 67_108_864
_MOST_HEAD_BYTES: Final = 65_536
_MOST_INTERIM: Final = 8
LEAST_BYTES_A_S: Final = 65_536
"""At least so fast an answer has to come, once it has begun."""
PIECE_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes for the server."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Receive:
    """Needs what the server sends next, empty at its end: within so long after the request, in all."""

    within_s: float


Wire = Generator[Send | Receive, bytes, Reply]


def connection() -> h11.Connection:
    """Return the state of a new connection."""
    return h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)


def reusable(state: h11.Connection) -> bool:
    """Tell whether a connection takes another request, and make it ready for it."""
    if state.our_state is h11.DONE and state.their_state is h11.DONE:
        state.start_next_cycle()
    return state.our_state is h11.IDLE and state.their_state is h11.IDLE


def exchange(state: h11.Connection, call: Call, authority: str, timeout_s: float) -> Wire:
    """Send a request, come to its answer.

    Args:
        state: of the connection.
        call: the request.
        authority: the Host header.
        timeout_s: how long the answer may take to begin, beyond what was asked to be waited.

    Raises:
        UnavailableError: when the answer is no HTTP, too long, or ends early.
        MalformedError: when the request can't be written.
    """
    try:
        yield Send(_request(state, call, authority))
        within_s, status, headers = timeout_s + call.wait_s, 0, {}
        body = bytearray()
        interim = 0
        while True:
            event = state.next_event()
            if event is h11.NEED_DATA:
                state.receive_data((yield Receive(within_s + len(body) / LEAST_BYTES_A_S)))
            elif isinstance(event, h11.Response):
                status = event.status_code
                headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MOST_BODY_BYTES:
                    raise TooLongError
            elif isinstance(event, h11.EndOfMessage):
                return Reply(status, bytes(body), headers)
            elif isinstance(event, h11.InformationalResponse) and interim < _MOST_INTERIM:
                interim += 1
            else:
                raise UnavailableError("the ledger's answer ended early")
    except h11.RemoteProtocolError:
        raise UnavailableError("the ledger's answer is no HTTP, or ended early") from None
    except h11.LocalProtocolError as error:
        raise MalformedError(f"this can't be asked over HTTP: {error}") from None


def _request(state: h11.Connection, call: Call, authority: str) -> bytes:
    headers = [("Host", authority), *call.headers.items()]
    if call.body or call.method == "POST":
        headers.append(("Content-Length", str(len(call.body))))
    sent = [state.send(h11.Request(method=call.method, target=call.path, headers=headers))]
    if call.body:
        sent.append(state.send(h11.Data(data=call.body)))
    sent.append(state.send(h11.EndOfMessage()))
    return b"".join(one for one in sent if one)
