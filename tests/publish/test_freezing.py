"""Frozen logs take nothing, whoever asks and whenever it was asked; the others go on."""

import threading
from collections.abc import Iterator

import psycopg
import pytest

from domain.errors import LedgerError
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.records import FrozenLogError
from infrastructure.publish.freezing import check_floors, freeze_log, lost
from infrastructure.publish.logs import publish_log
from infrastructure.publish.places import tiles_of
from tests.commands.cell import Cell, founded
from tests.database import TestServer, postgres

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
