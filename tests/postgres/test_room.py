"""Room: bounded, in order of asking, for threads and for tasks."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import UnavailableError
from infrastructure.postgres.room import Room


def test_who_finds_no_room_is_told_to_try_again_and_holds_nothing() -> None:
    room = Room(4, patience_s=0.01)
    room.take(3)
    with pytest.raises(UnavailableError, match="try again"):
        room.take(2)
    room.take(1)
    room.give_back(4)
    room.take(4)


def test_more_than_there_is_goes_in_alone() -> None:
    room = Room(4, patience_s=0.01)
    room.take(9)
    with pytest.raises(UnavailableError):
        room.take(1)
    room.give_back(9)
    room.take(4)


def test_a_small_one_does_not_overtake_a_large_one_that_waits() -> None:
    async def scene() -> None:
        room = Room(4, patience_s=10)
        await room.take_async(3)
        order: list[str] = []

        async def ask(name: str, events: int) -> None:
            await room.take_async(events)
            order.append(name)

        large = asyncio.create_task(ask("large", 4))
        await asyncio.sleep(0)
        small = asyncio.create_task(ask("small", 1))
        await asyncio.sleep(0)
        assert order == []
        room.give_back(3)
        await large
        room.give_back(4)
        await small
        assert order == ["large", "small"]

    asyncio.run(scene())


def test_one_that_gives_up_lets_in_who_fits_behind_it() -> None:
    async def scene() -> None:
        room = Room(4, patience_s=0.02)
        await room.take_async(3)
        large = asyncio.create_task(room.take_async(4))
        await asyncio.sleep(0)
        small = asyncio.create_task(room.take_async(1))
        with pytest.raises(UnavailableError):
            await large
        await small

    asyncio.run(scene())


def test_a_cancelled_task_holds_nothing_whether_it_was_granted_room_or_not() -> None:
    async def scene() -> None:
        room = Room(4, patience_s=10)
        await room.take_async(4)
        granted, waiting = (asyncio.create_task(room.take_async(2)), asyncio.create_task(room.take_async(3)))
        await asyncio.sleep(0)
        room.give_back(4)  # grants the first, which has not run yet
        granted.cancel()
        waiting.cancel()
        await asyncio.gather(granted, waiting, return_exceptions=True)
        await asyncio.wait_for(room.take_async(4), 5)

    asyncio.run(scene())


def test_threads_wait_for_their_turn() -> None:
    room = Room(1, patience_s=20)
    inside = 0

    def work(_: int) -> int:
        nonlocal inside
        room.take(1)
        inside += 1
        found = inside
        inside -= 1
        room.give_back(1)
        return found

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(200))) == {1}


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.integers(1, 8))
def test_all_get_in_in_order_and_never_more_than_fits(wanted: list[int], most: int) -> None:
    async def scene() -> list[int]:
        room, out, order = Room(most, patience_s=20), 0, []

        async def one(number: int, events: int) -> None:
            nonlocal out
            await room.take_async(events)
            out += min(events, most)
            assert out <= most
            order.append(number)
            await asyncio.sleep(0)
            out -= min(events, most)
            room.give_back(events)

        await asyncio.gather(*(one(number, events) for number, events in enumerate(wanted)))
        return order

    assert asyncio.run(scene()) == list(range(len(wanted)))
