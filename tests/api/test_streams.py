"""Answers that go on: slow and gone clients, the end of the process, and places that come back."""

import asyncio
import http.client
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from infrastructure.api.reads import streams
from infrastructure.api.reads.streams import Streamed
from infrastructure.api.state import MOST_FEEDS
from tests.api.people import service, token
from tests.api.service import Service, eventually

__all__ = ["service"]


class Pieces:
    """An endless answer that knows whether it was closed."""

    def __init__(self) -> None:
        self.closed = self.ended = 0

    async def given(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            self.closed += 1

    def end(self) -> None:
        self.ended += 1

    def answer(self) -> Streamed:
        return Streamed(self.given(), self.end, "text/plain", {})


async def never() -> Any:
    await asyncio.Event().wait()


def test_who_takes_nothing_is_dropped_and_its_place_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SLOW_S", 0.05)
    pieces, sent = Pieces(), []

    async def send(message: Any) -> None:
        sent.append(message["type"])
        if len(sent) > 3:
            await asyncio.Event().wait()

    asyncio.run(asyncio.wait_for(pieces.answer()({}, never, send), 5))
    assert (pieces.closed, pieces.ended, len(sent)) == (1, 1, 4)


def test_who_is_gone_is_let_go() -> None:
    pieces = Pieces()

    async def receive() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(0.001)

    asyncio.run(asyncio.wait_for(pieces.answer()({}, receive, send), 5))
    assert (pieces.closed, pieces.ended) == (1, 1)


def test_an_answer_that_never_began_gives_its_place_back() -> None:
    pieces = Pieces()

    async def send(_: Any) -> None:
        raise OSError

    asyncio.run(asyncio.wait_for(pieces.answer()({}, never, send), 5))
    assert pieces.ended == 1


@contextmanager
def opened(service: Service, given: str) -> Iterator[http.client.HTTPResponse]:
    """Open a feed and leave it open."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    try:
        connection.request("GET", "/v1/feed", headers={"Authorization": f"Bearer {given}"})
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


def status(service: Service, given: str) -> int:
    """Return how a feed is answered."""
    with opened(service, given) as response:
        return response.status


def test_feeds_have_places_of_which_a_log_has_a_share(service: Service) -> None:
    given, other = token(service, "rita"), token(service, "flora")
    with ExitStack() as stack:
        found = [stack.enter_context(opened(service, given)) for _ in range(MOST_FEEDS // 4)]
        assert {one.status for one in found} == {200}
        with opened(service, given) as beyond:
            assert (beyond.status, beyond.headers["retry-after"]) == (503, "1")
        assert status(service, other) == 200
    eventually(lambda: status(service, given) == 200)


def test_open_feeds_hold_up_no_end(service: Service) -> None:
    with opened(service, token(service, "rita")) as feed:
        while not feed.readline().startswith(b"event: tenant.registered.v1"):
            pass
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 10
        feed.read()
    service.start()
