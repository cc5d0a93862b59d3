"""Asynchronous subscribers: a thousand of them on one hub, and tasks that are cancelled."""

import asyncio
from uuid import UUID

import psycopg
import pytest

from domain.errors import VerificationError
from infrastructure.feed.asynchronous import AsyncSubscription
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger
from infrastructure.postgres.records import StoredEntry
from tests.database import as_role
from tests.postgres.sample import event, make_logs

SUBSCRIBERS = 1000
LOGS = 10


def add(ledger: Ledger, log_id: UUID, count: int = 1) -> None:
    """Append so many entries."""
    ledger.recorder.append([event(log_id) for _ in range(count)])


async def taken(subscription: AsyncSubscription[StoredEntry], count: int) -> list[int]:
    """Return the leaf indices of the next items."""
    return [(await anext(subscription)).leaf_index for _ in range(count)]


def test_a_thousand_subscribers_share_one_hub_and_a_few_connections(
    ledger: Ledger, feeds: Subscriptions, conninfo: str
) -> None:
    log_ids = make_logs(ledger.recorder, LOGS)
    for log_id in log_ids:
        add(ledger, log_id, 2)

    async def follow(number: int) -> list[int]:
        async with feeds.subscribe_async(feeds.sources.entries(log_ids[number % LOGS])) as subscription:
            return await taken(subscription, 4)

    async def all_of_them() -> tuple[list[list[int]], int]:
        tasks = [asyncio.create_task(follow(number)) for number in range(SUBSCRIBERS)]
        for log_id in log_ids:
            await asyncio.to_thread(add, ledger, log_id)
        with psycopg.connect(as_role(conninfo)) as admin:
            row = admin.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'ledger'").fetchone()
        assert row is not None
        for log_id in log_ids:
            await asyncio.to_thread(add, ledger, log_id)
        return await asyncio.gather(*tasks), row[0]

    found, connections = asyncio.run(all_of_them())
    assert found == [[0, 1, 2, 3]] * SUBSCRIBERS
    assert connections <= 10


def test_a_cancelled_wait_loses_nothing_and_doubles_nothing(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)

    async def impatient() -> list[int]:
        found: list[int] = []
        async with feeds.subscribe_async(feeds.sources.entries(log_id)) as subscription:
            number = 0
            while len(found) < 20:
                if number % 2:
                    await asyncio.to_thread(add, ledger, log_id)
                number += 1
                try:
                    item = await asyncio.wait_for(anext(subscription), 0.001 * (number % 4))
                except TimeoutError:
                    continue
                found.append(item.leaf_index)
                assert subscription.position == item.leaf_index
        return found

    assert asyncio.run(impatient()) == list(range(20))


def test_it_ends_where_nothing_follows_when_closed_and_with_the_hub(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    add(ledger, log_id, 3)

    async def ends() -> None:
        source = feeds.sources.entries(log_id)
        assert [one.leaf_index async for one in feeds.subscribe_async(source, after=0, follow=False)] == [1, 2]
        for end in ("itself", "the hub"):
            subscription = feeds.subscribe_async(source)
            assert await taken(subscription, 3) == [0, 1, 2]
            waiting = asyncio.create_task(anext(subscription, None))
            await asyncio.sleep(0)
            if end == "itself":
                await subscription.close()
            else:
                await asyncio.to_thread(feeds.close)
            assert await asyncio.wait_for(waiting, 10) is None

    asyncio.run(ends())


def test_a_cursor_beyond_the_end_is_refused_here_too(ledger: Ledger, feeds: Subscriptions) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)

    async def beyond() -> None:
        with pytest.raises(VerificationError):
            await anext(feeds.subscribe_async(feeds.sources.entries(log_id), after=5))

    asyncio.run(beyond())
