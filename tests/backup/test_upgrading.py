"""Releases: the schema goes forward, loudly; nothing else is at work meanwhile; older programs are told."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest import mock

import psycopg
import pytest

from domain.errors import RefusedError
from infrastructure.backup import restoring, saving, upgrading
from infrastructure.backup.saving import save_keyring
from infrastructure.postgres import connect
from infrastructure.postgres import migrate as migrating
from infrastructure.postgres.connect import embedded_conninfo
from infrastructure.postgres.embedded import EmbeddedServer
from infrastructure.postgres.migrate import Migration, migrations
from tests.cli.conftest import Installation
from tests.database import TestServer, postgres

__all__ = ["postgres"]

NEXT = Migration(
    len(migrations()) + 1,
    f"{len(migrations()) + 1:03}_next",
    b"CREATE TABLE ledger.next (at bigint); GRANT SELECT ON ledger.next TO ledger_cell",
)
NEWER = (*migrations(), NEXT)
MODULES = (upgrading, migrating, restoring, saving)


class newer_program:  # noqa: N801 - reads as a sentence
    """While in the block this program is the next release."""

    def __enter__(self) -> None:
        self._patches = [mock.patch.object(module, "migrations", return_value=NEWER) for module in MODULES]
        for one in self._patches:
            one.start()

    def __exit__(self, *_: object) -> None:
        for one in self._patches:
            one.stop()


@pytest.fixture
def ledger(postgres: TestServer, tmp_path: Path) -> Iterator[Installation]:
    with postgres.database() as name:
        made = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        made.done("init")
        yield made


def test_migrate_says_from_and_to_and_check_changes_nothing(ledger: Installation) -> None:
    now = len(migrations())
    said = ledger.done("migrate", "--json").json
    assert said == {"from": now, "to": now, "migrations": [], "checked_only": False}
    with newer_program():
        for _ in range(2):
            ended = ledger.inside("migrate", "--check", "--json")
            assert ended.code == 3
            assert ended.json == {"from": now, "to": now + 1, "migrations": [NEXT.name], "checked_only": True}
        assert ledger.done("migrate").out == f"schema {now} is now {now + 1}: {NEXT.name}\n"
        assert ledger.done("migrate", "--check").out == f"schema {now + 1}: nothing to do\n"


def test_an_old_program_on_the_new_schema_says_so_and_touches_nothing(ledger: Installation) -> None:
    with newer_program():
        ledger.done("migrate")
    says = f"the database has schema {len(NEWER)}, this program knows {len(migrations())}: use the newer program"
    for command in (
        ("queue",),
        ("migrate",),
        ("migrate", "--check"),
        ("backup", "--to", "x"),
        ("serve", "--port", "0"),
    ):
        ledger.refused(*command, says=says)
    assert not (ledger.folder / "x").exists()


def test_an_empty_database_is_looked_at_only(postgres: TestServer, tmp_path: Path) -> None:
    with postgres.database(migrated=False) as name:
        made = Installation(tmp_path, {"LEDGER_DATABASE_URL": postgres.conninfo(name)})
        ended = made.inside("migrate", "--check", "--json")
        assert (ended.code, ended.json["from"]) == (3, 0)
        with psycopg.connect(postgres.conninfo(name)) as connection:
            assert connection.execute("SELECT to_regnamespace('ledger')").fetchone() == (None,)
        made.refused("backup", "--to", "x", says="there is no ledger")


def test_an_embedded_directory_is_upgraded_alone_with_a_backup_before_it(tmp_path: Path) -> None:
    made = Installation(tmp_path, {})
    assert made.inside("upgrade").code == 64
    made.refused("upgrade", "--backup", "b", says="there is no ledger")
    with EmbeddedServer(made.data) as server:
        made.done("init")
        owner = embedded_conninfo(server, dbname="ledger", user="ledger")
        with newer_program():
            made.refused("upgrade", "--backup", "b", says="something is at work")
        assert not (tmp_path / "b").exists()
    with newer_program():
        said = made.done("upgrade", "--backup", tmp_path / "b", "--json").json
        assert said == {
            "from": len(migrations()), "to": len(NEWER), "migrations": [NEXT.name], "backup": str(tmp_path / "b")
        }  # fmt: skip
        assert (tmp_path / "b").stat().st_mode & 0o777 == 0o600
        assert made.done("upgrade", "--backup", tmp_path / "c", "--json").json["backup"] is None
        with EmbeddedServer(made.data), psycopg.connect(owner) as connection:
            assert connection.execute("SELECT count(*) FROM ledger.next").fetchone() == (0,)
    made.refused("queue", says="use the newer program")
    keyring = tmp_path / "k"
    save_keyring(made.data, keyring, at=datetime.now(UTC), unsealed=True)
    back = Installation(tmp_path / "back", {})  # the way back: the old program, the backup of before
    back.folder.mkdir()
    back.done("restore", "--from", tmp_path / "b", "--keys", keyring)
    assert back.inside("log", "thaw", "--all").code == 3, "nothing but the backup says that it is the newest"
    forth = Installation(tmp_path / "forth", {})
    forth.folder.mkdir()
    with newer_program():
        said = forth.done("restore", "--from", tmp_path / "b", "--keys", keyring, "--json").json
        assert said["schema"] == {"from": len(migrations()), "to": len(NEWER)}
        assert forth.inside("log", "thaw", "--all").code == 3
        forth.done("backup", "--to", tmp_path / "newer")
    old = Installation(tmp_path / "old", {})
    old.folder.mkdir()
    old.refused("restore", "--from", tmp_path / "newer", "--keys", keyring, says="use the newer program")
    assert not list(old.folder.iterdir())


def test_a_cluster_of_another_postgresql_is_named_at_once(tmp_path: Path) -> None:
    made = Installation(tmp_path, {})
    made.done("init")
    version = made.data / "postgres/cluster/PG_VERSION"
    version.write_text("17\n")
    for command in (("queue",), ("upgrade", "--without-backup"), ("backup", "--to", "x")):
        made.refused(*command, says="was made by PostgreSQL 17, this program brings")
    with pytest.raises(RefusedError), connect.reach_database(made.data, {}):
        pass
