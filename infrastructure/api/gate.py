"""What every request passes before a route sees it: room, rate, token, size and time.

Invariants:
- Without a good token nothing is answered but what is public; nobody learns what exists by asking for it.
- A body is read to its bound, within its time, and whole before the route begins; a stated length beyond the bound is
  refused unread. So a route never waits for a client.
- What there is no room for is told so at once (503 with Retry-After); nothing of it was taken in. Of the room for
  requests and bodies one principal, or one address of strangers, has a share.
- Whatever goes wrong inside is a problem of our words; a fault of the program is named by its kind only.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.errors import LedgerError, NotAuthorisedError
from infrastructure.api.access import Access, ProofError
from infrastructure.api.askers import Principal
from infrastructure.api.asking import asked, token
from infrastructure.api.limits import Allowed, Places, Rate
from infrastructure.api.metrics import Requests
from infrastructure.api.peers import Peers
from infrastructure.api.problems import ProblemError, busy, problem_of, too_often, unauthorised
from infrastructure.api.rights import EVERYBODY

PUBLIC: Final = frozenset(path for _, path in EVERYBODY)
"""Answered to everybody; they tell nothing of content."""
_FREE: Final = frozenset({"/healthz", "/readyz"})
"""Answered however often they are asked."""
MAX_BODY_BYTES: Final = 16_777_216
MAX_STRANGER_BODY_BYTES: Final = 131_072
MAX_EVIDENCE_BODY_BYTES: Final = 2_097_152
BY_STATEMENT: Final = {
    ("POST", "/v1/token"): MAX_STRANGER_BODY_BYTES,
    ("POST", "/v1/nodes"): MAX_STRANGER_BODY_BYTES,
    ("POST", "/v1/nodes/challenges"): MAX_STRANGER_BODY_BYTES,
    ("POST", "/v1/nodes/evidence"): MAX_EVIDENCE_BODY_BYTES,
}
"""Authenticated by what is signed in them, not by a token, with their largest body. What they refuse is 401 as well."""
MAX_BUFFERED_BYTES: Final = 134_217_728
"""Of all bodies that are being read or worked on."""
BODY_S: Final = 15.0
"""Within which a body has to arrive."""
MOST_REQUESTS: Final = 1024
"""Under way at once, those that wait for assignments included."""

_LENGTH: Final = re.compile(r"[0-9]{1,12}")
_BURST, _STRANGER_BURST = 2, 10
"""So many times what is allowed in a second may come at once."""
_GLANCE: Final = 0.05
"""What a request without a good token costs of that: no signature is verified for it."""

Shortcut = Callable[[Scope, Principal], ASGIApp | None]
AccessSource = Callable[[], Access | None]
Tell = Callable[[str], None]
Answered = Callable[[Principal, str, str, int], None]
"""Is told the principal, method and path of a request, and the status of its answer."""


class Gate:
    """The outermost layer of the application.

    Args:
        app: the routes.
        access: gives who knows tokens; None until this process is ready.
        tell: is told of faults of the program, by kind.
        peers: tells strangers apart.
        answered: is told who asked what, once that was answered.
        made: counts requests.
        allowed: how many requests a second are taken.
        shortcut: gives answers that are in memory; None where the routes have to be asked.
    """

    def __init__(
        self, app: ASGIApp, access: AccessSource, tell: Tell, peers: Peers, answered: Answered, made: Requests,
        allowed: Allowed, shortcut: Shortcut,
    ) -> None:  # fmt: skip
        self._app = app
        self._shortcut = shortcut
        self._peers = peers
        self._access = access
        self._answered = answered
        self._requests_made = made
        self._tell = tell
        self._rate = Rate(allowed.of_one_per_s, allowed.of_one_per_s * _BURST)
        self._strangers = Rate(allowed.of_strangers_per_s, allowed.of_strangers_per_s * _STRANGER_BURST)
        self._requests = Places(MOST_REQUESTS)
        self._buffered = Places(MAX_BUFFERED_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return
        began, at_s = _Began(send), time.monotonic()
        try:
            await self._serve(scope, receive, began)
        except ProblemError as problem:
            await began.answer(problem, scope, receive)
        except LedgerError as error:
            await began.answer(problem_of(error), scope, receive)
        except Exception as error:  # noqa: BLE001 - the last border
            self._tell(f"a fault of the program ({type(error).__name__}) at {scope['method']} request")
            await began.answer(ProblemError(HTTPStatus.INTERNAL_SERVER_ERROR, "a fault of the program"), scope, receive)
        finally:
            self._requests_made.count(scope["path"], began.status, time.monotonic() - at_s)

    async def _serve(self, scope: Scope, receive: Receive, began: "_Began") -> None:
        path, method, send = scope["path"], scope["method"], began
        if path in PUBLIC:
            if path not in _FREE:
                self._limit(self._strangers, self._peers.client(scope), time.monotonic())
            await self._app(scope, receive, send)
            return
        access = self._access()
        if access is None:
            raise busy("not ready yet: try again")
        now_s, client = time.monotonic(), self._peers.client(scope)
        if (method, path) in BY_STATEMENT:
            self._limit(self._strangers, client, now_s)
            with self._under_way(client):
                await self._with_body(scope, receive, send, BY_STATEMENT[method, path], client)
            return
        with self._under_way(client):
            principal = await self._principal(scope, access, now_s, client)
        scope.setdefault("state", {})["principal"] = principal
        self._limit(self._rate, principal.share, now_s)
        try:
            with self._under_way(principal.share):
                at_hand = self._shortcut(scope, principal)
                if at_hand is not None:
                    await at_hand(scope, receive, send)
                    return
                await self._with_body(scope, receive, send, MAX_BODY_BYTES, principal.share)
        finally:
            if not scope["state"].get("unrecorded"):
                self._answered(principal, method, path, began.status)

    async def _principal(self, scope: Scope, access: Access, now_s: float, client: str) -> Principal:
        given = token(scope)
        strange = given is None or not access.knows(given)
        if strange:  # before it is looked up in the database, where other processes' tokens are
            self._limit(self._strangers, client, now_s, cost=_GLANCE)
        try:
            if given is not None:
                return await access.principal(given, asked(scope))
        except NotAuthorisedError as error:
            if not strange:
                self._limit(self._strangers, client, now_s, cost=_GLANCE)
            word = "invalid_dpop_proof" if isinstance(error, ProofError) else "invalid_token"
            raise unauthorised(access.issuer, str(error), error=word) from None
        raise unauthorised(access.issuer, "this takes a token: POST an assertion to /v1/token")

    @contextlib.contextmanager
    def _under_way(self, name: str) -> Iterator[None]:
        """Hold one of the places of requests."""
        if not self._requests.enter(name):
            raise busy("too many requests are under way: try again")
        try:
            yield
        finally:
            self._requests.leave(name)

    def _limit(self, rate: Rate, name: str, now_s: float, cost: float = 1.0) -> None:
        after_s = rate.take(name, now_s, cost)
        if after_s:
            raise too_often(after_s)

    def _reserve(self, name: str, count: int) -> int:
        """Take so many bytes of what may be held at once; return how many."""
        if not self._buffered.enter(name, count):
            raise busy("too much is being read: try again")
        return count

    async def _with_body(self, scope: Scope, receive: Receive, send: Send, most: int, name: str) -> None:
        """Read the body whole, then let the route have it."""
        lengths = [value.decode("latin-1") for name, value in scope["headers"] if name == b"content-length"]
        if len(lengths) > 1 or (lengths and not _LENGTH.fullmatch(lengths[0])):
            raise ProblemError(HTTPStatus.BAD_REQUEST, "a request states its length once, in decimal")
        if lengths and int(lengths[0]) > most:
            raise _too_large(most)
        held = self._reserve(name, int(lengths[0]) if lengths else 0)
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_S):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return
                    part = message.get("body", b"")
                    body += part
                    if len(body) > most:
                        raise _too_large(most)
                    held += self._reserve(name, max(0, len(body) - held))
                    if not message.get("more_body", False):
                        break
            await self._app(scope, _replayed(bytes(body), receive), send)
        except TimeoutError:
            raise ProblemError(
                HTTPStatus.REQUEST_TIMEOUT, "the body did not come in time", headers={"Connection": "close"}
            ) from None
        finally:
            self._buffered.leave(name, held)


class _Began:
    """Passes an answer on, and remembers that it began: then nothing else can be answered any more."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = False
        self.status = HTTPStatus.SERVICE_UNAVAILABLE.value  # where nothing is answered by a route

    async def __call__(self, message: Message) -> None:
        self._begun = True
        self.status = message.get("status", self.status)
        await self._send(message)

    async def answer(self, problem: ProblemError, scope: Scope, receive: Receive) -> None:
        """Answer with a problem, if nothing was answered yet and somebody is still there."""
        if not self._begun:
            self.status = problem.status.value
            with contextlib.suppress(OSError):
                await problem.response()(scope, receive, self._send)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Return what gives a body that was read already, and after it what the client does."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def _too_large(most: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {most} bytes", headers={"Connection": "close"}
    )
