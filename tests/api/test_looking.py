"""Looks that requests share: each begins after who shares it came."""

import asyncio
import threading
import time

import pytest

from domain.errors import NotAuthorisedError
from infrastructure.api.looking import SharedLooks


class Looked:
    """Counts looks, each of which lasts a while, and tells what held when it began."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.at_once = self.most = 0
        self.revoked = False
        self._lock = threading.Lock()

    def __call__(self, _: str) -> None:
        with self._lock:
            self.began.append(time.monotonic())
            self.at_once += 1
            self.most = max(self.most, self.at_once)
            revoked = self.revoked
        time.sleep(0.02)
        with self._lock:
            self.at_once -= 1
        if revoked:
            raise NotAuthorisedError("not any more")


def test_many_share_few_looks_and_each_began_after_they_came() -> None:
    looked = Looked()

    async def run() -> None:
        looks = SharedLooks(looked)

        async def one(number: int) -> None:
            await asyncio.sleep(number * 0.001)
            came = time.monotonic()
            before = len(looked.began)
            await looks.look("a")
            assert any(began >= came for began in looked.began[max(0, before - 1) :])

        await asyncio.gather(*(one(number) for number in range(100)))

    asyncio.run(run())
    assert looked.most == 1
    assert len(looked.began) < 20


def test_a_revocation_counts_for_whoever_comes_after_it_and_for_all_who_share() -> None:
    looked = Looked()

    async def run() -> None:
        looks = SharedLooks(looked)
        first = asyncio.ensure_future(looks.look("a"))
        await asyncio.sleep(0.005)
        looked.revoked = True
        told = await asyncio.gather(*(looks.look("a") for _ in range(5)), return_exceptions=True)
        await first
        assert all(isinstance(one, NotAuthorisedError) for one in told)
        with pytest.raises(NotAuthorisedError):
            await looks.look("a")

    asyncio.run(run())


def test_who_goes_away_takes_the_look_from_nobody() -> None:
    looked = Looked()

    async def run() -> None:
        looks = SharedLooks(looked)
        leaves, stays = asyncio.ensure_future(looks.look("a")), asyncio.ensure_future(looks.look("a"))
        await asyncio.sleep(0)
        leaves.cancel()
        await stays
        await looks.look("a")

    asyncio.run(run())
    assert len(looked.began) == 2
