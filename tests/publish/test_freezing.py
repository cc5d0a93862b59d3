"""Frozen logs take nothing, whoever asks and whenever it was asked; the others go on."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from domain.errors import LedgerError, RefusedError
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.publication import LogHead, Publications
from infrastructure.postgres.records import FrozenLogError, Log
from infrastructure.publish.floors import Floors
from infrastructure.publish.freezing import check_floors, freeze_log, lost
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import floors_of, tiles_of
from tests.commands.cell import Cell, founded
from tests.database import TestServer, postgres
from tests.publish.restoring import Machine, machine

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def opened(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, str]]:
    with postgres.database() as name:
        made = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        yield made, postgres.conninfo(name, SUPERUSER)
        made.close()


def waits_for_a_lock(connection: psycopg.Connection) -> bool:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return connection.execute(query).fetchone() != (0,)


def test_an_append_that_waits_for_the_head_while_it_is_frozen_is_refused(opened: tuple[Cell, str]) -> None:
    cell, superuser = opened
    member = cell.join()
    size = cell.ledger.head(member.log_id).size
    refused: list[LedgerError] = []

    def append() -> None:
        try:
            member.adopt()
        except LedgerError as error:
            refused.append(error)

    with psycopg.connect(superuser) as freezing, psycopg.connect(superuser, autocommit=True) as watching:
        freezing.execute("UPDATE ledger.log_heads SET frozen = 'found out' WHERE tenant_id = %s", (member.log_id,))
        thread = threading.Thread(target=append)
        thread.start()
        while not waits_for_a_lock(watching):
            assert thread.is_alive()
        freezing.commit()
        thread.join()
    assert [type(error) for error in refused] == [FrozenLogError]
    assert cell.ledger.head(member.log_id).size == size


def test_a_frozen_log_holds_up_no_other_in_one_group(opened: tuple[Cell, str]) -> None:
    cell, _ = opened
    frozen, free = cell.join(), cell.join()
    freeze_log(cell.ledger, cell.ledger.log(frozen.log_id), "a test says so")
    refused: list[LedgerError] = []

    def append() -> None:
        try:
            frozen.adopt()
        except LedgerError as error:
            refused.append(error)

    threads = [threading.Thread(target=append) for _ in range(4)] + [threading.Thread(target=free.adopt)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(error) for error in refused] == [FrozenLogError] * 4
    assert free.tenant.policy_version == 1


def test_a_log_that_went_on_is_proved_from_tiles_and_without_them_from_its_leaf_hashes(
    opened: tuple[Cell, str],
) -> None:
    cell, superuser = opened
    member = cell.join()
    log = cell.ledger.log(member.log_id)
    floor = publish_log(cell.ledger, log).checkpoint
    for _ in range(3):
        member.adopt()
    publications = Publications(cell.ledger.datastore)
    for damaged in (False, True):
        if damaged:
            for tile in tiles_of(cell.ledger, log).path.glob("tile/0/*.p/*"):
                tile.unlink()
        with psycopg.connect(superuser) as connection:  # as after a crash between floor and database
            connection.execute("DELETE FROM ledger.publications WHERE log_id = %s", (member.log_id,))
        assert lost(cell.ledger, publications.log_head(member.log_id), floor) is None
        check_floors(cell.ledger)
        assert publications.log_head(member.log_id).floor == floor
        assert publications.log_head(member.log_id).frozen is None
    assert publish_log(cell.ledger, log).checkpoint.size == floor.size + 3


def meanwhile(monkeypatch: pytest.MonkeyPatch, reader: type, name: str, act: Callable[[], object]) -> None:
    """Let something happen once, just after a method of a reader has read."""
    read, left = getattr(reader, name), [act]

    def slow(self: object, *arguments: Any) -> Any:
        found = read(self, *arguments)
        while left:
            left.pop()()
        return found

    monkeypatch.setattr(reader, name, slow)


@pytest.mark.parametrize(("reader", "name"), [(Publications, "log_heads"), (Floors, "read"), (Floors, "frozen")])
def test_a_log_that_grows_and_is_published_while_it_is_looked_at_is_not_frozen(
    opened: tuple[Cell, str], monkeypatch: pytest.MonkeyPatch, reader: type, name: str
) -> None:
    cell, _ = opened
    member = cell.join()
    log = cell.ledger.log(member.log_id)
    publish_log(cell.ledger, log)

    def grow() -> None:
        member.adopt()
        publish_log(cell.ledger, log)

    meanwhile(monkeypatch, reader, name, grow)
    check_floors(cell.ledger)
    assert floors_of(cell.ledger).frozen(log.origin) is None
    grow()


def test_a_log_that_is_made_and_published_while_the_others_are_looked_at_is_not_missing(
    opened: tuple[Cell, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, _ = opened
    made: list[Log] = []

    def join() -> None:
        made.append(cell.ledger.log(cell.join().log_id))
        publish_log(cell.ledger, made[0])

    meanwhile(monkeypatch, Publications, "log_heads", join)
    check_floors(cell.ledger)
    assert floors_of(cell.ledger).read(made[0].origin) is not None


def test_looking_again_and_again_beside_a_publisher_freezes_nothing(opened: tuple[Cell, str]) -> None:
    cell, _ = opened
    members = [cell.join() for _ in range(3)]
    failed: list[LedgerError] = []
    ended = threading.Event()

    def grow() -> None:
        try:
            for _ in range(12):
                for member in members:
                    member.adopt()
                    publish_log(cell.ledger, cell.ledger.log(member.log_id))
        except LedgerError as error:
            failed.append(error)
        finally:
            ended.set()

    thread = threading.Thread(target=grow)
    thread.start()
    while not ended.is_set():
        check_floors(cell.ledger)
    thread.join()
    assert failed == []


def test_what_was_really_lost_is_frozen_under_the_lock_of_who_signs(opened: tuple[Cell, str]) -> None:
    cell, superuser = opened
    member = cell.join()
    log = cell.ledger.log(member.log_id)
    floors = floors_of(cell.ledger)
    publish_log(cell.ledger, log)
    with psycopg.connect(superuser) as connection:
        connection.execute("DELETE FROM ledger.publications WHERE log_id = %s", (log.log_id,))
    floors.path(log.origin).write_text(f"{log.origin}\n99\n{'A' * 43}=\n")
    checking = threading.Thread(target=check_floors, args=(cell.ledger,))
    with floors.signing(log.origin):
        checking.start()
        checking.join(0.2)
        assert checking.is_alive()
        assert floors.frozen(log.origin) is None
    checking.join()
    assert "may have been signed" in (floors.frozen(log.origin) or "")
    with pytest.raises(FrozenLogError):
        member.adopt()


@pytest.fixture
def exchanged(postgres: TestServer, tmp_path: Path) -> Iterator[tuple[Machine, Callable[[str], None]]]:
    """A machine, and what puts another database in the place of its own, under the open ledger."""
    with machine(postgres, tmp_path) as made:

        def exchange(copy: str) -> None:
            with psycopg.connect(postgres.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
                for old, new in ((made.name, f"{made.name}_away"), (copy, made.name)):
                    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
                    admin.execute(end, (old,))
                    admin.execute(SQL("ALTER DATABASE {} RENAME TO {}").format(Identifier(old), Identifier(new)))

        yield made, exchange


def test_a_database_that_is_exchanged_under_an_open_ledger_takes_no_append(
    exchanged: tuple[Machine, Callable[[str], None]],
) -> None:
    made, exchange = exchanged
    member, other = made.cell.join("Alpha"), made.cell.join("Beta")
    made.publish()
    old = made.backup()
    member.adopt()
    made.publish()
    size = made.cell.ledger.head(member.log_id).size
    exchange(old)
    assert made.cell.ledger.head(member.log_id).size == size - 1
    with pytest.raises(FrozenLogError, match="may have been signed"):
        member.adopt()
    assert made.cell.ledger.head(member.log_id).size == size - 1
    other.adopt()


def test_a_database_that_lacks_a_log_takes_nothing_at_all_from_an_open_ledger(
    exchanged: tuple[Machine, Callable[[str], None]],
) -> None:
    made, exchange = exchanged
    member = made.cell.join("Alpha")
    old = made.backup()
    made.cell.join("Beta")
    made.publish()
    exchange(old)
    for _ in range(2):
        with pytest.raises(RefusedError, match="log thaw --all"):
            member.adopt()


def test_the_floors_are_held_against_the_database_once_for_each_connection(
    exchanged: tuple[Machine, Callable[[str], None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = exchanged
    looked: list[Publications] = []
    member = made.cell.join("Alpha")
    real = Publications.log_heads

    def noted(self: Publications) -> list[LogHead]:
        looked.append(self)
        return real(self)

    monkeypatch.setattr(Publications, "log_heads", noted)
    member.adopt()
    assert looked == []
    with psycopg.connect(made.server.conninfo("postgres", SUPERUSER), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (made.name,))
    for _ in range(8):  # the pool lends its connections in turn
        member.adopt()
    assert 1 <= len(looked) < 4
