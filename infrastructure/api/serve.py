"""One process that serves: the API on uvicorn, and the roles beside it.

Invariants:
- Beyond loopback it answers over TLS only, its own or that of a proxy before it whose URL it is told, and each token is
  bound to its holder's key (DPoP, RFC 9449). Without the role `api` there is nothing but health and numbers to answer.
- Which address a client has, a proxy's word tells only if this was told to trust it.
- /healthz answers as soon as it listens, /readyz once the ledger is open and followed up to now.
- TERM ends it within 10 s in any state: no new connection, waits for assignments are answered, what is being stored is
  finished; what can't be finished in time, because the database does not answer, say, is cut off (`asked_to_end`).
"""

import asyncio
import ipaddress
import os
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

import uvicorn
import uvloop

from domain.errors import MalformedError, RefusedError, UnavailableError
from infrastructure.api.access import Access, issuer_of
from infrastructure.api.accesses import Accesses
from infrastructure.api.app import make_app
from infrastructure.api.company import Company
from infrastructure.api.exports import Exports
from infrastructure.api.heads import PunctualProtocol
from infrastructure.api.limits import Allowed, connections
from infrastructure.api.metrics import Metrics
from infrastructure.api.peers import Peers, networks
from infrastructure.api.proofs import Proofs
from infrastructure.api.requests import Requests
from infrastructure.api.roles import API, ROLES, Roles
from infrastructure.api.state import Parts, Serving
from infrastructure.cell import LiveCell
from infrastructure.commands.loading import load_genesis
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger
from infrastructure.log_lines import Log
from infrastructure.subscriptions.delivering import allowed_networks

_GRACE_S: Final = 4
_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 1024
_LOOK_S: Final = 0.05
_HANDSHAKE_S: Final = 10.0

Tell = Callable[[str], None]
Opened = Callable[[], AbstractContextManager[Ledger]]


@dataclass(frozen=True, slots=True)
class Outside:
    """How this is reached from elsewhere: by TLS of its own (files of certificate chain and key), or through a proxy.

    `url` is the one by which clients know it, https://ledger.example; on loopback it may be left out.
    `proxies`: addresses and CIDR blocks of those whose X-Forwarded-For tells who asks.
    """

    certificate: Path | None = None
    key: Path | None = None
    url: str | None = None
    proxies: tuple[str, ...] = ()

    def require_whole(self) -> None:
        """Raise unless it hangs together.

        Raises:
            MalformedError: when a certificate comes without its key, the URL is none of TLS, or a proxy no address.
        """
        networks(self.proxies)
        if (self.certificate is None) != (self.key is None):
            raise MalformedError("TLS takes both: --tls-cert and --tls-key")
        if self.url is None:
            return
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.hostname or parts.path or parts.query or parts.fragment:
            raise MalformedError("--url is https://HOST or https://HOST:PORT, without a path")

    def bases(self, host: str, port: int) -> frozenset[str]:
        """Return the URLs, without path, by which this is known."""
        scheme = "https" if self.certificate is not None else "http"
        names = {host, "localhost", "127.0.0.1"} if is_loopback(host) else {host}
        own = {f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}" for name in names}
        return frozenset(own if self.url is None else {*own, self.url})


INSIDE: Final = Outside()
"""Loopback only, without TLS."""


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen(host: str, port: int, outside: Outside = INSIDE, *, public: bool = False) -> socket.socket:
    """Return a listening socket.

    Args:
        host: the address.
        port: 0 for a free one.
        outside: how it is reached from elsewhere.
        public: nothing but health and numbers is answered here: a process without the role `api`.

    Raises:
        RefusedError: for anything but a loopback address, unless the https URL is told by which it is known.
        UnavailableError: when the address can't be had.
    """
    outside.require_whole()
    if not (is_loopback(host) or public) and outside.url is None:
        raise RefusedError(
            f"{host[:80]!a} is not a loopback address: beyond it nodes come over TLS only. Give --url with the https "
            "URL by which they know this ledger, and --tls-cert with --tls-key unless a proxy before it ends TLS"
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(_BACKLOG)
    except (OSError, OverflowError) as error:
        made.close()
        raise UnavailableError(f"cannot listen on {host} port {port}: {error}") from None
    return made


def serve(
    bound: socket.socket,
    opened: Opened,
    *,
    ready: Callable[[str], None],
    tell: Tell,
    outside: Outside = INSIDE,
    roles: frozenset[str] = frozenset(),
    log: Log | None = None,
    asked_to_end: Callable[..., object] = lambda **_: None,
    allowed: Allowed | None = None,
) -> None:
    """Serve until TERM or an interrupt.

    Args:
        bound: where it listens.
        opened: opens the ledger; used on a thread of its own while the API answers already.
        ready: is told the issuer once requests are served.
        tell: is told what goes wrong.
        outside: how it is reached from elsewhere.
        roles: of ROLES, where other processes have the others, or the same. None: this process is alone, and has all.
        log: takes a line for each request.
        asked_to_end: is told, on any thread, that this was told to end, or has to (`failed=True`).
        allowed: how many requests a second are taken; None: the defaults.

    Raises:
        LedgerError: when the ledger can't be opened, or certificate and key can't be used.
    """
    host, port = bound.getsockname()[:2]
    proofs = Proofs(outside.bases(host, port), needed=outside.url is not None or not is_loopback(host))
    serves, mine = Serving(), roles or frozenset(ROLES)
    failed: list[BaseException] = []
    server = _Server(serves, bound, tell, outside, log, asked_to_end, allowed)

    def lost(why: UnavailableError) -> None:
        failed.append(why)
        asked_to_end(failed=True)
        server.end()

    def run() -> None:
        try:
            with opened() as ledger, ExitStack() as stack:
                if serves.stopping.is_set():
                    return
                if API in mine:
                    stack.enter_context(Company(ledger, proofs, alone=not roles, lost=lost, stopping=serves.stopping))
                cell = LiveCell(ledger) if {API, "decider"} & mine else None
                if cell is not None and not cell.catch_up(serves.stopping):
                    return
                serves.metrics = Metrics(ledger, cell, serves.requests)
                with Roles(ledger, cell, tell, mine, allowed_networks(os.environ)):
                    if cell is not None and API in mine:
                        serves.parts = _parts(stack, serves, ledger, cell, proofs, tell, alone=not roles)
                    serves.works = True
                    ready(issuer_of(load_genesis(ledger).host))
                    serves.stopping.wait()
                    server.drained.wait()
        except BaseException as error:  # noqa: BLE001 - raised again below, on the thread that was called
            failed.append(error)
            server.end()

    worker = threading.Thread(target=run, name="ledger-roles")
    worker.start()
    try:
        server.run_until_ended()
    finally:
        serves.stopping.set()
        server.drained.set()
        worker.join()
    if failed:
        raise failed[0]


def _parts(
    stack: ExitStack, serves: Serving, ledger: Ledger, cell: LiveCell, proofs: Proofs, tell: Tell, *, alone: bool
) -> Parts:
    """Return what requests are answered with; it is closed with the stack."""
    accesses = stack.enter_context(Accesses(ledger, tell))
    feeds = stack.enter_context(Subscriptions(ledger))
    access = Access(ledger, cell, proofs)
    while ledger.clock.now_ms() < access.from_ms and not serves.stopping.wait(_LOOK_S):
        pass  # an assertion of this very second might have been used before
    exports = None if ledger.data_dir is None else stack.enter_context(Exports(ledger.data_dir, alone=alone))
    return Parts(ledger, cell, access, accesses, feeds, exports=exports)


class _Loop(uvloop.Loop):
    """uvloop's, where a TLS handshake has to come in time as a head has: until then it has no place of its own."""

    async def create_server(self, *args: Any, **options: Any) -> Any:
        """Listen."""
        if options.get("ssl") is not None:
            options["ssl_handshake_timeout"] = _HANDSHAKE_S
        return await super().create_server(*args, **options)


class _Server(uvicorn.Server):
    """uvicorn with signals of our own: who waits for an assignment is answered first."""

    def __init__(
        self, serves: Serving, bound: socket.socket, tell: Tell, outside: Outside, log: Log | None,
        asked_to_end: Callable[..., object], allowed: Allowed | None,
    ) -> None:  # fmt: skip
        peers = Peers(outside.proxies)
        protocol: Any = partial(PunctualProtocol, connections(), peers)
        config = uvicorn.Config(
            Requests(make_app(serves, tell, peers, allowed), log), log_config=None, access_log=False,
            server_header=False, proxy_headers=False, lifespan="off", http=protocol, ws="none",
            timeout_keep_alive=_KEEP_ALIVE_S, backlog=_BACKLOG, timeout_graceful_shutdown=_GRACE_S,
            ssl_certfile=outside.certificate, ssl_keyfile=outside.key,
        )  # fmt: skip
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise RefusedError(f"certificate or key can't be used for TLS: {error}") from None
        if config.ssl is not None:
            config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2
        super().__init__(config)
        self._serves = serves
        self._asked_to_end = asked_to_end
        self._bound = bound
        self._loop: asyncio.AbstractEventLoop | None = None
        self.drained = threading.Event()

    def end(self) -> None:
        """End soon. For any thread."""
        self._serves.stopping.set()
        self.should_exit = True
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._serves.ended.set)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's own shape
        """Take a signal."""
        self._asked_to_end()
        self.end()

    def run_until_ended(self) -> None:
        """Answer requests until `end` or a signal."""
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._answer())

    async def _answer(self) -> None:
        self._loop = asyncio.get_running_loop()
        if not self._serves.stopping.is_set():
            await self.serve(sockets=[self._bound])
