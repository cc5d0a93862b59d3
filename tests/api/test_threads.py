"""Nobody holds up everybody's reads: shares of threads, large bodies apart from the loop, archives with an end."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest
from starlette.requests import Request

from domain.errors import MalformedError, NotAuthorisedError
from infrastructure.api import bodies
from infrastructure.api.askers import Principal
from infrastructure.api.bodies import AT_ONCE_BYTES, Body, read_body
from infrastructure.api.reads import bundle, work
from infrastructure.api.reads.answers import READS, apart
from infrastructure.api.reads.streams import CutError, Streamed
from infrastructure.api.rights import Role
from infrastructure.api.state import Parts, Serving
from infrastructure.api.threads import Threads

LOGS = tuple(UUID(int=number) for number in (1, 2))


def request_of(log: UUID, serving: Any = None, body: bytes = b"") -> Request:
    """Return a request of a log's principal, as the gate passes it on."""
    who = Principal("kid", "did", Role.ADMIN, log_id=log)
    app = SimpleNamespace(state=SimpleNamespace(serving=serving))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [], "app": app, "state": {"principal": who}}

    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    return Request(scope, receive)


async def started(threads: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert await asyncio.to_thread(threads.acquire, timeout=30)


def test_one_log_that_asks_for_much_leaves_threads_to_others() -> None:
    running, over = threading.Semaphore(0), threading.Event()

    def held() -> None:
        running.release()
        assert over.wait(30)

    async def run() -> None:
        first = [asyncio.ensure_future(apart(request_of(LOGS[0]), held)) for _ in range(20)]
        await started(running, 4)
        assert await asyncio.wait_for(apart(request_of(LOGS[1]), lambda: "other"), 30) == "other"
        assert not running.acquire(blocking=False), "no more of its own than its share"
        over.set()
        await asyncio.gather(*first)

    asyncio.run(run())
    assert READS._names == {}, "nothing is kept of who is done"


def test_who_goes_away_while_it_waits_takes_no_thread() -> None:
    threads, over, done = Threads(1, 1), threading.Event(), list[str]()

    async def run() -> None:
        first = asyncio.ensure_future(threads.run("a", lambda: over.wait(30)))
        await asyncio.sleep(0.01)
        gone = asyncio.ensure_future(threads.run("a", lambda: done.append("gone")))
        await asyncio.sleep(0.01)
        gone.cancel()
        over.set()
        await first
        await threads.run("a", lambda: done.append("later"))

    asyncio.run(run())
    assert done == ["later"]
    assert threads._names == {}


def test_the_past_is_folded_in_threads_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    running, over, most = threading.Semaphore(0), threading.Event(), list[int]()

    def folded(*_: object) -> Callable[..., None]:
        running.release()
        most.append(1)
        assert over.wait(30)
        return lambda *_: None

    monkeypatch.setattr(work, "read_then", folded)
    monkeypatch.setattr(work, "explain_in", lambda *_, **__: {"why": "so"})
    log = SimpleNamespace(origin="ledger.example/t/1", size=1)
    ledger = SimpleNamespace(log=lambda _: log, head=lambda _: log)
    serving = Serving(parts=cast("Parts", SimpleNamespace(ledger=ledger)))
    name, query = f"wl-0x{'0' * 32}", work.WhyQuery(at=1)

    async def run() -> None:
        asked = [asyncio.ensure_future(work.why(request_of(LOGS[0], serving), name, query)) for _ in range(12)]
        await started(running, 1)
        for log in LOGS:
            assert await asyncio.wait_for(apart(request_of(log), lambda: "read"), 30) == "read"
        assert len(most) == 1, "one log folds one past at a time"
        other = asyncio.ensure_future(work.why(request_of(LOGS[1], serving), name, query))
        await started(running, 1)
        over.set()
        await asyncio.gather(*asked, other)

    asyncio.run(run())


class Text(Body):
    text: str


def test_a_large_body_is_read_apart_from_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[str] = []
    read = bodies.parse_body

    def parsed(data: bytes, kind: type[Text]) -> Text:
        on.append(threading.current_thread().name)
        return read(data, kind)

    monkeypatch.setattr(bodies, "parse_body", parsed)
    for length in (1, AT_ONCE_BYTES):
        body = b'{"text":"%b"}' % (b"x" * length)
        assert len(asyncio.run(read_body(request_of(LOGS[0], body=body), Text)).text) == length
    main = threading.main_thread().name
    assert (on[0], on[1] == main) == (main, False)
    with pytest.raises(MalformedError):
        asyncio.run(read_body(request_of(LOGS[0], body=b"[" * (AT_ONCE_BYTES + 1)), Text))


class Looks:
    """Knows who may have what; after so many looks nobody may."""

    def __init__(self, good: int) -> None:
        self.left = good

    def require_in_force(self, _: Principal) -> None:
        self.left -= 1
        if self.left < 0:
            raise NotAuthorisedError("withdrawn")


def sent(tmp_path: Path, good: int) -> tuple[list[Any], int]:
    """Send an archive; return the pieces that went out and how often it was looked up who asks."""
    for number in range(8):
        (tmp_path / f"{number}").write_bytes(b"x" * 1000)
    looks, pieces = Looks(good), list[Any]()
    parts = cast("Parts", SimpleNamespace(access=looks))
    request = request_of(LOGS[0], Serving(parts=parts))

    async def send(message: Any) -> None:
        pieces.append(message)

    async def never() -> Any:
        await asyncio.Event().wait()

    given = bundle._pieces(request, parts, request.state.principal, tmp_path)
    asyncio.run(asyncio.wait_for(Streamed(given, lambda: None, "application/x-tar", {})({}, never, send), 30))
    return pieces, good - looks.left


def test_an_archive_breaks_off_when_the_key_is_withdrawn_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle, "LOOK_EVERY", 4)
    whole, looked = sent(tmp_path, 1000)
    assert looked > 4
    assert (whole[-1]["body"], whole[-1]["more_body"]) == (b"", False)
    cut, _ = sent(tmp_path, 2)
    assert len(cut) == 1 + 2 * 4, "the head, and what was between two looks"
    assert all(one.get("more_body", True) for one in cut), "it never ends: the connection is closed"


def test_an_archive_has_an_end_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LEAST_S", -1.0)
    cut, _ = sent(tmp_path, 1000)
    assert [one["type"] for one in cut] == ["http.response.start"]
    assert issubclass(CutError, TimeoutError)
