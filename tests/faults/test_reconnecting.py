"""A server that comes back is found soon, however long it was away."""

from contextlib import ExitStack
from typing import NoReturn

import psycopg
import psycopg_pool.pool
import pytest
from psycopg_pool.pool import AddConnection, ShrinkPool

from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.datastore import LedgerDatastore
from tests.database import TestServer


def test_a_server_that_is_away_is_asked_every_second(
    datastore: LedgerDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pool in (datastore.pool, datastore.appends.pool, datastore.tenants.pool):
        pool.open()
        delays: list[float] = []
        monkeypatch.setattr(pool._sched, "enter", lambda delay, _, kept=delays: kept.append(delay))
        for delay in (0.5, 1, 64):
            pool.schedule_task(AddConnection(pool), delay)
        pool.schedule_task(ShrinkPool(pool), 600)
        assert delays == [0.5, 1, 1, 600]


def test_many_lost_connections_are_passed_over_without_a_pause(
    postgres: TestServer, datastore: LedgerDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(seconds: float) -> NoReturn:
        raise AssertionError(f"it waits for {seconds} s")

    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(datastore.get_connection())
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'ledger'")
    monkeypatch.setattr(psycopg_pool.pool, "sleep", lambda seconds: seconds and wait(seconds))
    with datastore.get_connection() as connection:
        assert connection.execute("SELECT 1 AS one").fetchall() == [{"one": 1}]
