"""An asynchronous client of a ledger: as many connections as there are requests at once, one token for all."""

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, cast

from domain.errors import UnavailableError
from infrastructure.clock import Clock
from infrastructure.entropy import Entropy
from infrastructure.exchange import http11
from infrastructure.exchange.address import Address
from infrastructure.exchange.answers import decoded
from infrastructure.exchange.blocking import JSON, encoded
from infrastructure.exchange.http11 import Send, Wire
from infrastructure.exchange.session import Session
from infrastructure.exchange.steps import Call, Pause, Reply, TokenNeeded, run_async
from infrastructure.keys.wallet import Purpose, Wallet

MOST_KEPT: Final = 8
"""Idle connections that are kept."""


class AsyncClient:
    """Speaks for one key, from the tasks of one event loop. Arguments and errors as for `blocking.Client`."""

    def __init__(
        self, url: str, wallet: Wallet, clock: Clock, entropy: Entropy, *, timeout_s: float = 20.0,
        ca: Path | None = None,
        purpose: Purpose = Purpose.REPORT,
        tenant: str = "",
    ) -> None:  # fmt: skip
        self._address = Address.parse(url, ca)
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []
        self._lock = asyncio.Lock()
        self.session = Session(self._address.base, wallet, clock, entropy, purpose=purpose, tenant=tenant)

    async def get(self, path: str, *, wait_s: float = 0.0) -> dict[str, Any]:
        """Return what is at a path. Raises as `post` does."""
        return decoded(await self._authorised(Call("GET", path, wait_s=wait_s)))

    async def get_bytes(self, path: str, *, accept: str = "*/*") -> bytes:
        """Return the bytes at a path, of a media type. Raises as `post` does."""
        return await self._authorised(Call("GET", path, headers={"Accept": accept}))

    async def post(self, path: str, members: Mapping[str, Any], *, wait_s: float = 0.0) -> dict[str, Any]:
        """Post JSON and return the answer. Arguments and errors as for `blocking.Client.post`."""
        return decoded(await self._authorised(Call("POST", path, encoded(members), JSON, wait_s)))

    async def ask_token(self) -> None:
        """Have a token, now. Raises as `post` does."""
        await self._do(TokenNeeded())

    async def close(self) -> None:
        """Close what is idle."""
        idle, self._idle = self._idle, []
        for one in idle:
            await one.close()

    async def _authorised(self, call: Call) -> bytes:
        return await run_async(self.session.asked(call), self._do)

    async def _do(self, step: Any) -> Any:
        if isinstance(step, Call):
            return await self._reply(step)
        if isinstance(step, TokenNeeded):
            async with self._lock:  # one token is asked for at a time
                return await run_async(self.session.current(step.instead_of), self._do_for_token)
        raise TypeError(type(step).__name__)

    async def _do_for_token(self, step: Any) -> Any:
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        return await self._reply(step)

    async def _reply(self, call: Call) -> Reply:
        if self._idle:
            with suppress(_GoneError):  # the server may have closed an idle connection just now
                return await self._on(self._idle.pop(), call)
        try:
            return await self._on(_Connection(self._address, self._timeout_s), call)
        except _GoneError:
            raise UnavailableError(f"the ledger at {self._address} does not answer") from None

    async def _on(self, made: "_Connection", call: Call) -> Reply:
        try:
            reply = await made.exchange(call)
        except BaseException:
            made.abort()
            raise
        if made.reusable() and len(self._idle) < MOST_KEPT:
            self._idle.append(made)
        else:
            await made.close()
        return reply


class _GoneError(Exception):
    """A connection that could not be had, or was closed before an answer began."""


class _Connection:
    """One connection, opened with its first request."""

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._state = http11.connection()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._began = False

    async def exchange(self, call: Call) -> Reply:
        """Send a request, return its answer.

        Raises:
            _GoneError: when there is no connection, or it ends before an answer begins.
            UnavailableError: when the answer does not come in time, or is not as it should be; or the certificate.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.wait_for(self._opened(), self._timeout_s)
        except ssl.SSLCertVerificationError as error:
            raise UnavailableError(f"the ledger's certificate is not good: {error.verify_message}") from None
        except OSError:  # TimeoutError is one
            raise _GoneError from None
        began_s, self._began = time.monotonic(), False
        reader, writer = self._streams

        async def do(step: Any) -> bytes:
            if isinstance(step, Send):
                writer.write(step.data)
                await asyncio.wait_for(writer.drain(), self._timeout_s)
                return b""
            left_s = began_s + step.within_s - time.monotonic()
            found = await asyncio.wait_for(reader.read(http11.PIECE_BYTES), max(0.0, left_s))
            if not found and not self._began:
                raise ConnectionError
            self._began = True
            return found

        try:
            wire: Wire = http11.exchange(self._state, call, self._address.authority, self._timeout_s)
            return await run_async(cast("Any", wire), do)
        except TimeoutError:
            raise UnavailableError(f"the ledger at {self._address} does not answer in time") from None
        except OSError:
            if self._began:
                raise UnavailableError(f"the ledger at {self._address} broke off its answer") from None
            raise _GoneError from None

    def reusable(self) -> bool:
        """Tell whether it takes another request."""
        return http11.reusable(self._state)

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError, TimeoutError):
                await asyncio.wait_for(self._streams[1].wait_closed(), self._timeout_s)

    def abort(self) -> None:
        """Close it at once."""
        if self._streams is not None:
            self._streams[1].transport.abort()

    async def _opened(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._address
        named = address.host if address.tls is not None else None
        return await asyncio.open_connection(address.host, address.port, ssl=address.tls, server_hostname=named)
