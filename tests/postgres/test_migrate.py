"""The schema goes forward, once, whoever starts first."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from domain.errors import RefusedError, UnavailableError
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.migrate import Migration, migrate, migrations
from tests.database import TestServer


@pytest.fixture
def empty(postgres: TestServer) -> Iterator[str]:
    with postgres.database(migrated=False) as name:
        yield postgres.conninfo(name)


def test_concurrent_first_starts_apply_every_file_once(empty: str) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert set(pool.map(migrate, [empty] * 6)) == {len(migrations())}
    with psycopg.connect(empty) as connection:
        found = connection.execute("SELECT version FROM ledger.schema_migrations ORDER BY version").fetchall()
        counters = connection.execute("SELECT count(*) FROM ledger.feed_counter").fetchone()
    assert found == [(one.version,) for one in migrations()]
    assert counters == (1,)


def test_a_newer_schema_is_refused_and_left_alone(conninfo: str) -> None:
    newer = (*migrations(), Migration(len(migrations()) + 1, "900_newer", b"CREATE TABLE ledger.newer (a integer)"))
    assert migrate(conninfo, newer) == len(newer)
    with pytest.raises(RefusedError, match="newer program"):
        migrate(conninfo)
    assert migrate(conninfo, newer) == len(newer)


def test_an_edited_file_is_noticed(conninfo: str) -> None:
    first, *others = migrations()
    with pytest.raises(RefusedError, match=first.name):
        migrate(conninfo, (Migration(1, first.name, first.text + b"\n-- edited"), *others))


def test_a_file_that_fails_leaves_the_old_schema(conninfo: str) -> None:
    broken = Migration(len(migrations()) + 1, "900_broken", b"CREATE TABLE ledger.half (a integer); SELECT 1 / 0")
    with pytest.raises(UnavailableError, match="division by zero"):
        migrate(conninfo, (*migrations(), broken))
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT to_regclass('ledger.half')").fetchone() == (None,)
    assert migrate(conninfo) == len(migrations())


def test_files_with_a_hole_in_their_numbers_are_refused(tmp_path: Path) -> None:
    for name in ("001_a.sql", "003_c.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(RefusedError):
        migrations(tmp_path)


def test_read_models_that_an_older_program_kept_in_the_clear_go_and_it_is_remembered(
    postgres: TestServer, empty: str
) -> None:
    """TRUNCATE gives the file back: nothing of the rows is left in the table's own files, sealed ones follow."""
    log_id, name = UUID(int=7), str(conninfo_to_dict(empty)["dbname"])
    migrate(empty, migrations()[:3])
    with psycopg.connect(postgres.conninfo(name, SUPERUSER), autocommit=True) as admin:
        row = (log_id, b'{"legible":"LegibleZx7q"}')
        admin.execute("INSERT INTO ledger.view_rows VALUES (%s, 'audit_trail_v1', 'workload/1', %s)", row)
        admin.execute("INSERT INTO ledger.view_positions VALUES (%s, 'audit_trail_v1', 5)", (log_id,))
        migrate(empty)
        assert admin.execute("SELECT FROM ledger.view_rows UNION ALL SELECT FROM ledger.view_positions").rowcount == 0
        admin.execute("CHECKPOINT")
        (found,) = admin.execute("SELECT pg_relation_filepath('ledger.view_rows')").fetchone() or ("",)
        assert b"LegibleZx7q" not in (postgres.server.cluster / found).read_bytes()
        rows = admin.execute("SELECT log_id, until <= now() FROM ledger.plain_read_models").fetchall()
    assert rows == [(log_id, True)]


def test_a_new_database_remembers_no_plain_read_models(conninfo: str, postgres: TestServer) -> None:
    with psycopg.connect(postgres.conninfo(str(conninfo_to_dict(conninfo)["dbname"]), SUPERUSER)) as admin:
        assert admin.execute("SELECT count(*) FROM ledger.plain_read_models").fetchone() == (0,)
