"""A blocking client of a ledger: a connection for each thread, a token for all."""

import json
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from domain.errors import UnavailableError
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange import http11
from infrastructure.exchange.address import Address
from infrastructure.exchange.answers import decoded, good
from infrastructure.exchange.http11 import Send
from infrastructure.exchange.session import Session
from infrastructure.exchange.steps import Call, Pause, Reply, Talk, TokenNeeded, run
from infrastructure.keys.wallet import Purpose, Wallet

JSON = {"Content-Type": "application/json"}


class Client:
    """Speaks for one key. Safe to use from several threads.

    Args:
        url: https://HOST[:PORT], or http://127.0.0.1:PORT.
        wallet: its keys.
        clock: tells the instants of assertions.
        entropy: draws their jti.
        timeout_s: how long an answer may take to begin, beyond what was asked to be waited.
        ca: file of the certificates that the server's may rest on; None: the system's.
        purpose: which of the wallet's keys asserts who asks: a node's is that of its reports.
        tenant: about whose log it asks; none for a node.

    Raises:
        MalformedError: when the URL is none of these, or the file holds no certificates.
    """

    def __init__(
        self, url: str, wallet: Wallet, clock: Clock, entropy: Entropy, *, timeout_s: float = 20.0,
        ca: Path | None = None,
        purpose: Purpose = Purpose.REPORT,
        tenant: str = "",
    ) -> None:  # fmt: skip
        self._address = Address.parse(url, ca)
        self._timeout_s = timeout_s
        self._here = threading.local()
        self._lock = threading.Lock()
        self.session = Session(self._address.base, wallet, clock, entropy, purpose=purpose, tenant=tenant)

    def get(self, path: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """Return what is at a path. Raises as `post` does."""
        return decoded(self._authorised(Call("GET", path, wait_s=wait_s)))

    def get_bytes(self, path: str, *, accept: str = "*/*") -> bytes:
        """Return the bytes at a path, of a media type. Raises as `post` does."""
        return self._authorised(Call("GET", path, headers={"Accept": accept}))

    def post(self, path: str, members: Mapping[str, Any], *, wait_s: float = 0.0) -> dict[str, Any]:
        """Post JSON and return the answer.

        Args:
            path: of the route.
            members: the body.
            wait_s: how long the server was asked to wait.

        Raises:
            UnavailableError: when the server does not answer, answers with no JSON object, or says to try again.
            NotAuthorisedError: when it gives this key no token.
            AnsweredError: when it refuses.
        """
        return decoded(self._authorised(Call("POST", path, encoded(members), JSON, wait_s)))

    def post_signed(self, path: str, members: Mapping[str, Any]) -> dict[str, Any]:
        """Post what takes no token, because it is signed itself. Raises as `post` does."""
        return decoded(good(self._reply(Call("POST", path, encoded(members), JSON))))

    def ask_token(self) -> None:
        """Have a token, now. Raises as `post` does."""
        self._do(TokenNeeded())

    def learn_issuer(self) -> str:
        """Find out to whom assertions are addressed. Raises as `post` does."""
        with self._lock:
            run(self.session.learn_issuer(), self._do)
        return self.session.issuer

    def close(self) -> None:
        """Close this thread's connection."""
        kept: _Connection | None = getattr(self._here, "connection", None)
        if kept is not None:
            kept.close()
            self._here.connection = None

    def _authorised(self, call: Call) -> bytes:
        talk: Talk[bytes] = self.session.asked(call)
        return run(talk, self._do)

    def _do(self, step: Any) -> Any:
        if isinstance(step, Call):
            return self._reply(step)
        if isinstance(step, TokenNeeded):
            with self._lock:  # one token is asked for at a time
                return run(self.session.current(step.instead_of), self._do_for_token)
        raise TypeError(type(step).__name__)

    def _do_for_token(self, step: Any) -> Any:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        return self._reply(step)

    def _reply(self, call: Call) -> Reply:
        kept: _Connection | None = getattr(self._here, "connection", None)
        self._here.connection = None
        if kept is not None:
            with suppress(_GoneError):  # the server may have closed an idle connection just now
                return self._on(kept, call)
        try:
            return self._on(_Connection(self._address, self._timeout_s), call)
        except _GoneError:
            raise UnavailableError(f"the ledger at {self._address} does not answer") from None

    def _on(self, made: "_Connection", call: Call) -> Reply:
        try:
            reply = made.exchange(call)
        except BaseException:
            made.close()
            raise
        if made.reusable():
            self._here.connection = made
        else:
            made.close()
        return reply


class _GoneError(Exception):
    """A connection that could not be had, or was closed before an answer began."""


class _Connection:
    """One connection, opened at once.

    Raises:
        _GoneError: when there is none to be had.
        UnavailableError: when the server's certificate is not good.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._authority = address.authority
        self._name = str(address)
        self._timeout_s = timeout_s
        self._state = http11.connection()
        self._began = False
        try:
            made = socket.create_connection((address.host, address.port), timeout_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._wire = made if address.tls is None else _encrypted(address, made)
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(f"the ledger's certificate is not good: {error.verify_message}") from None
        except OSError:
            raise _GoneError from None

    def exchange(self, call: Call) -> Reply:
        """Send a request, return its answer.

        Raises:
            _GoneError: when the connection ends before an answer begins.
            UnavailableError: when it does not come in time, or is not as it should be.
        """
        began_s, self._began = time.monotonic(), False

        def do(step: Any) -> bytes:
            if isinstance(step, Send):
                self._wire.settimeout(self._timeout_s)
                self._wire.sendall(step.data)
                return b""
            left_s = began_s + step.within_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError
            self._wire.settimeout(left_s)
            found = self._wire.recv(http11.PIECE_BYTES)
            if not found and not self._began:
                raise ConnectionError
            self._began = True
            return found

        try:
            return run(http11.exchange(self._state, call, self._authority, self._timeout_s), do)
        except TimeoutError:
            raise UnavailableError(f"the ledger at {self._name} does not answer in time") from None
        except OSError:
            if self._began:
                raise UnavailableError(f"the ledger at {self._name} broke off its answer") from None
            raise _GoneError from None

    def reusable(self) -> bool:
        """Tell whether it takes another request."""
        return http11.reusable(self._state)

    def close(self) -> None:
        """Close it."""
        self._wire.close()


def _encrypted(address: Address, made: socket.socket) -> socket.socket:
    assert address.tls is not None  # noqa: S101 - asked by the caller
    try:
        return address.tls.wrap_socket(made, server_hostname=address.host)
    except BaseException:
        made.close()
        raise


def encoded(members: Mapping[str, Any]) -> bytes:
    """Return a body of JSON."""
    return json.dumps(members, separators=(",", ":")).encode()
