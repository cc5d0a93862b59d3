"""Readers and the server are killed while several processes write; nobody misses an entry or gets one twice."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import psycopg
import pytest

from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ledger import Ledger
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from tests.database import TestServer, kill_server, running_server
from tests.feed.conftest import opened
from tests.postgres.sample import event, make_logs

ROOT = Path(__file__).resolve().parents[2]

# Appends batches of one to five entries until its standard input ends; prints how many are stored.
WRITER = """
import random, sys, threading
from uuid import UUID
from eventsourcing.persistence import IntegrityError
from domain.errors import UnavailableError
from infrastructure.postgres.datastore import LedgerDatastore
from infrastructure.postgres.recorder import LedgerRecorder
from tests.postgres.sample import event

conninfo, log_ids = sys.argv[1], [UUID(one) for one in sys.argv[2:]]
ended = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
with LedgerDatastore(conninfo) as datastore:
    recorder, count = LedgerRecorder(datastore), 0
    while not ended.is_set():
        batch = [event(random.choice(log_ids)) for _ in range(random.randint(1, 5))]
        while True:
            try:
                recorder.append(batch)
                break
            except UnavailableError:
                continue
            except IntegrityError:
                break  # an attempt of ours was stored after all, though nobody said so
        count += len(batch)
print(count)
"""

# Follows all logs (or one) from after a cursor, and prints the cursor of each item: a reader's work and its bookmark.
READER = """
import sys
from pathlib import Path
from uuid import UUID
from infrastructure.feed.subscriptions import Subscriptions
from tests.feed.conftest import opened

folder, conninfo, log_id, after = sys.argv[1:]
with opened(Path(folder), conninfo) as ledger, Subscriptions(ledger) as feeds:
    source = feeds.sources.entries(UUID(log_id)) if log_id != "all" else feeds.sources.all_entries()
    subscription = feeds.subscribe(source, after=int(after))
    for entry in subscription:
        print(subscription.position, entry.leaf_hash.hex(), flush=True)
"""


def start(code: str, *arguments: str) -> "subprocess.Popen[str]":
    """Start a process of ours."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], text=True, cwd=ROOT,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


class KilledReader:
    """A reader in a process that is killed at random places, and goes on from its own bookmark."""

    def __init__(self, folder: Path, conninfo: str, source: str, begin: int) -> None:
        self._arguments = (str(folder), conninfo, source)
        self._random = random.Random(source)
        self._begin = begin
        self._finishing = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self.lines: list[tuple[int, str]] = []
        self.kills = 0
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    @property
    def position(self) -> int:
        """The bookmark."""
        return self.lines[-1][0] if self.lines else self._begin

    def finish(self, last: int, timeout_s: float = 60) -> None:
        """Read up to a cursor, then end."""
        deadline = time.monotonic() + timeout_s
        while self.position < last:
            assert time.monotonic() < deadline, (self.position, last)
            time.sleep(0.02)
        self._finishing.set()
        assert self._process is not None
        self._process.kill()
        self._thread.join()

    def _read(self) -> None:
        while not self._finishing.is_set():
            with start(READER, *self._arguments, str(self.position)) as self._process:
                assert self._process.stdout is not None
                for line in itertools.islice(self._process.stdout, self._random.randint(1, 400)):
                    if line.endswith("\n"):
                        cursor, digest = line.split()
                        self.lines.append((int(cursor), digest))
                self._process.kill()  # what it printed and we did not read is not ours: the bookmark is what we have
                self.kills += 1


@pytest.mark.parametrize("seconds", [6, pytest.param(120, marks=pytest.mark.slow)])
def test_killed_readers_and_a_killed_server_lose_nothing_and_double_nothing(tmp_path: Path, seconds: int) -> None:
    with (
        running_server(tmp_path / "server") as postgres,
        postgres.database() as name,
        LedgerDatastore(postgres.conninfo(name)) as datastore,
    ):
        conninfo = postgres.conninfo(name)
        recorder = LedgerRecorder(datastore)
        log_ids = make_logs(recorder, 4)
        with opened(tmp_path / "data", conninfo):
            pass  # makes the keyring, which readers share
        writers = [start(WRITER, conninfo, *map(str, log_ids)) for _ in range(2)]
        readers = {source: KilledReader(tmp_path / "data", conninfo, source, -1) for source in map(str, log_ids[:1])}
        readers["all"] = KilledReader(tmp_path / "data", conninfo, "all", 0)
        with opened(tmp_path / "data", conninfo) as ledger, Subscriptions(ledger) as feeds:
            steady: list[str] = []
            subscription = feeds.subscribe(feeds.sources.all_entries())
            thread = threading.Thread(target=lambda: steady.extend(one.leaf_hash.hex() for one in subscription))
            thread.start()
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(seconds / 3)
                kill_server(postgres.server)
                postgres.server.ensure_running()
            promised = sum(int(writer.communicate(timeout=60)[0]) for writer in writers)
            stored = [
                (one.notification_id, one.leaf_hash.hex())
                for one in feeds.subscribe(feeds.sources.all_entries(), follow=False)
            ]
            assert len(stored) == promised
            assert [number for number, _ in stored] == list(range(1, promised + 1))
            readers["all"].finish(promised)
            assert readers["all"].lines == stored
            one_log = [
                (one.leaf_index, one.leaf_hash.hex())
                for one in feeds.subscribe(feeds.sources.entries(log_ids[0]), follow=False)
            ]
            readers[str(log_ids[0])].finish(len(one_log) - 1)
            assert readers[str(log_ids[0])].lines == one_log
            assert min(reader.kills for reader in readers.values()) > 1
            while len(steady) < promised:
                assert thread.is_alive()
                time.sleep(0.05)
            subscription.close()
            thread.join()
            assert steady == [digest for _, digest in stored]


def test_a_stalled_reader_holds_neither_connections_nor_transactions(
    postgres: TestServer, ledger: Ledger, feeds: Subscriptions, conninfo: str
) -> None:
    (log_id,) = make_logs(ledger.recorder, 1)
    ledger.recorder.append([event(log_id) for _ in range(600)])
    stalled = [feeds.subscribe(feeds.sources.entries(log_id)) for _ in range(50)]
    for subscription in stalled:
        next(subscription)  # it has begun, and reads no further
    with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
        rows = admin.execute(
            "SELECT state, xact_start FROM pg_stat_activity WHERE datname = %s AND usename = 'ledger'",
            (psycopg.conninfo.conninfo_to_dict(conninfo)["dbname"],),
        ).fetchall()
    assert len(rows) <= 12
    assert {row for row in rows if row[1] is not None} == set()
    ledger.recorder.append([event(log_id)])
    for subscription in stalled:
        assert [one.leaf_index for one in itertools.islice(subscription, 600)] == list(range(1, 601))
