"""The feed never skips, though commits are delayed on purpose; a plain sequence read in the same way does."""

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from domain.errors import VerificationError
from infrastructure.postgres import recorder as recorder_module
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.feed import Feed
from infrastructure.postgres.recorder import LedgerRecorder
from tests.postgres.sample import event, make_logs

WRITERS = 4
COMMITS = 12


def read_beside_writers(read_after: Callable[[int], Sequence[int]], write: Callable[[int], None]) -> list[int]:
    """Run the writers; meanwhile read on from the last position seen, as every tailing reader does."""
    seen: list[int] = []

    def read_on() -> int:
        fresh = read_after(seen[-1] if seen else 0)
        seen.extend(fresh)
        return len(fresh)

    with ThreadPoolExecutor(WRITERS) as pool:
        writing = [pool.submit(write, number) for number in range(WRITERS)]
        while not all(one.done() for one in writing):
            read_on()
    for one in writing:
        one.result()
    while read_on():
        pass
    return seen


def test_a_reader_of_the_feed_misses_nothing_while_commits_are_delayed(
    datastore: LedgerDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = LedgerRecorder(datastore)
    log_ids = make_logs(recorder, WRITERS)
    # between the counter and the commit, where a sequence would let a later number commit first
    monkeypatch.setitem(recorder_module._APPEND, "notify", b"SELECT pg_sleep(random() * 0.02)")

    def write(number: int) -> None:
        for _ in range(COMMITS):
            recorder.append([event(log_ids[number])])

    feed = Feed(datastore)
    seen = read_beside_writers(lambda after: [row.position for row in feed.read_feed(after)], write)
    assert seen == list(range(1, WRITERS * COMMITS + 1))


def test_the_same_reader_skips_on_a_plain_sequence(conninfo: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as admin:
        admin.execute("CREATE TABLE ledger.plain (id bigserial PRIMARY KEY, writer integer)")
        reader = psycopg.connect(conninfo, autocommit=True)
        lost: set[int] = set()

        def write(number: int) -> None:
            with psycopg.connect(conninfo) as connection:
                for _ in range(COMMITS):
                    connection.execute("INSERT INTO ledger.plain (writer) VALUES (%s)", (number,))
                    time.sleep(random.random() * 0.02)
                    connection.commit()

        def read_after(last: int) -> list[int]:
            return [row[0] for row in reader.execute("SELECT id FROM ledger.plain WHERE id > %s ORDER BY id", (last,))]

        for _ in range(5):  # one round loses some nearly always
            seen = read_beside_writers(read_after, write)
            lost |= {row[0] for row in admin.execute("SELECT id FROM ledger.plain")} - set(seen)
            if lost:
                break
            admin.execute("TRUNCATE ledger.plain RESTART IDENTITY")
        reader.close()
    assert lost, "a sequence lost nothing: then the test above proves nothing"


def test_one_slow_commit_holds_later_ones_back_instead_of_being_overtaken(datastore: LedgerDatastore) -> None:
    recorder, feed = LedgerRecorder(datastore), Feed(datastore)
    slow, quick = make_logs(recorder, 2)
    with datastore.appends.get_connection() as connection, connection.transaction():
        connection.execute("UPDATE ledger.feed_counter SET last_position = last_position + 1, last_notification_id = 1")
        connection.execute("INSERT INTO ledger.feed VALUES (1, %s, 0, 1, 1)", (slow,))
        later = threading.Thread(target=recorder.append, args=([event(quick)],))
        later.start()
        time.sleep(0.2)
        assert feed.read_feed() == []
        assert recorder.head(quick).size == 0
    later.join()
    assert [(row.position, row.log_id) for row in feed.read_feed()] == [(1, slow), (2, quick)]


def test_a_missing_position_is_an_error_and_is_never_skipped(datastore: LedgerDatastore, conninfo: str) -> None:
    recorder = LedgerRecorder(datastore)
    (log_id,) = make_logs(recorder, 1)
    with psycopg.connect(conninfo) as vandal:
        vandal.execute("INSERT INTO ledger.feed VALUES (2, %s, 0, 1, 1)", (log_id,))
    with pytest.raises(VerificationError, match="position 1"):
        Feed(datastore).read_feed()
