"""The embedded server: shared, adopted, restarted, never in the way of another one."""

import os
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import psycopg
import pytest

from domain.errors import RefusedError, UnavailableError
from infrastructure.postgres import embedded, postmaster
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import embedded_conninfo, open_database
from infrastructure.postgres.embedded import EmbeddedServer
from tests.database import kill_server

ROOT = Path(__file__).resolve().parents[2]


def answers(server: EmbeddedServer) -> bool:
    with psycopg.connect(embedded_conninfo(server, dbname="postgres", user=SUPERUSER)) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def alive(pid: int | None) -> bool:
    return pid is not None and Path(f"/proc/{pid}").exists() and "postgres" in Path(f"/proc/{pid}/cmdline").read_text()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a cluster, at a path with a space, quotes and more than a hundred bytes."""
    path = tmp_path_factory.mktemp('it\'s "my" data, long') / ("x" * 120)
    with EmbeddedServer(path):
        return path


def test_durability_is_real_and_nobody_else_gets_in(made: Path) -> None:
    with EmbeddedServer(made) as server:
        with psycopg.connect(embedded_conninfo(server, dbname="postgres", user=SUPERUSER)) as connection:
            names = (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "data_checksums",
                "server_encoding",
                "listen_addresses",
            )
            found = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
            locale = connection.execute("SELECT datcollate FROM pg_database WHERE datname = 'template1'").fetchone()
        assert found == [("on",), ("on",), ("on",), ("on",), ("UTF8",), ("",)]
        assert locale == ("C",)
        outermost = server.socket_dir if server.socket_dir.name != "s" else server.socket_dir.parent
        assert outermost.stat().st_mode & 0o777 == 0o700
        assert outermost.stat().st_uid == os.geteuid()
        assert len(os.fsencode(server.socket_dir)) < 86
        assert (made / "postgres").stat().st_mode & 0o777 == 0o700


def test_the_last_of_several_users_stops_the_server_and_cleans_up(made: Path) -> None:
    first, second = EmbeddedServer(made), EmbeddedServer(made)
    first.start()
    second.start()
    pid, socket_dir = first.pid, first.socket_dir
    assert second.pid == pid
    first.close()
    assert answers(second)
    second.close()
    second.close()
    assert not alive(pid)
    assert second.pid is None
    assert not socket_dir.exists()
    assert socket_dir.name != "s" or not socket_dir.parent.exists()


USER = """
import os, sys
from pathlib import Path
from infrastructure.postgres.embedded import EmbeddedServer
server = EmbeddedServer(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
sys.stdin.readline()
if sys.argv[2] == "die":
    os.kill(os.getpid(), 9)
server.close()
"""


def user(path: Path, end: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(path), end],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def first_line(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


def test_a_killed_owners_server_is_adopted_and_then_stopped(made: Path) -> None:
    owner = user(made, "die")
    pid = first_line(owner)
    owner.communicate("\n")
    assert owner.returncode == -signal.SIGKILL
    assert alive(pid)
    with EmbeddedServer(made) as server:
        assert server.pid == pid
        assert answers(server)
    assert not alive(pid)


def test_processes_that_start_at_once_share_one_server(tmp_path: Path) -> None:
    users = [user(tmp_path, "close") for _ in range(3)]  # the first start of all: one makes the cluster
    pids = {first_line(one) for one in users}
    assert len(pids) == 1
    for one in users:
        assert alive(*pids)
        one.communicate("\n")
        assert one.returncode == 0
    assert not alive(*pids)


def test_a_killed_server_is_started_again_for_its_user_and_for_the_next(made: Path) -> None:
    with EmbeddedServer(made) as server:
        first, socket_dir = server.pid, server.socket_dir
        kill_server(server)
        server.ensure_running()
        assert server.pid not in (first, None)
        assert server.socket_dir == socket_dir  # connection strings stay good
        assert answers(server)
        kill_server(server)
        with EmbeddedServer(made) as other:
            assert answers(other)


def test_a_stale_file_that_names_a_living_stranger_is_seen_through(made: Path) -> None:
    with EmbeddedServer(made) as server:
        text = (server.cluster / "postmaster.pid").read_text()
    stale = text.replace(text.split()[0], str(os.getpid()), 1)
    (server.cluster / "postmaster.pid").write_text(stale)
    with EmbeddedServer(made) as again:
        assert answers(again)


def test_a_server_whose_socket_was_cleaned_away_is_replaced(made: Path) -> None:
    owner = user(made, "die")
    pid = first_line(owner)
    owner.communicate("\n")
    found = postmaster.read_postmaster(made / "postgres" / "cluster")
    assert found is not None
    for path in found.socket_dir.iterdir():
        path.unlink()
    with EmbeddedServer(made) as server:
        assert server.pid != pid
        assert answers(server)
    assert not alive(pid)


def test_a_strangers_directory_in_the_way_of_the_socket_is_not_entered(made: Path) -> None:
    with EmbeddedServer(made) as server:
        expected = server.socket_dir if server.socket_dir.name != "s" else server.socket_dir.parent
    expected.mkdir(mode=0o755)  # open to others: not private, so not trusted
    expected.chmod(0o755)
    try:
        with EmbeddedServer(made) as server:
            assert not server.socket_dir.is_relative_to(expected)
            assert answers(server)
    finally:
        expected.rmdir()


def test_a_start_that_fails_tells_the_servers_words_and_what_to_do(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path) as server:
        configuration = server.cluster / "postgresql.conf"
    with configuration.open("a") as file:
        file.write("no_such_setting = 1\n")
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(dir="/tmp") as short:
        patch.setattr(tempfile, "tempdir", short)
        patch.setattr(embedded, "START_LIMIT_S", 0.3)
        with pytest.raises(UnavailableError) as caught:
            EmbeddedServer(tmp_path).start()
    assert "no_such_setting" in str(caught.value)
    assert "LEDGER_DATABASE_URL" in str(caught.value)


def test_a_cluster_that_was_being_made_when_we_were_killed_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgres" / "new.half").mkdir(parents=True)
    with EmbeddedServer(tmp_path) as server:
        assert answers(server)
    assert not (tmp_path / "postgres" / "new.half").exists()


def test_two_directories_run_two_servers(made: Path, tmp_path: Path) -> None:
    with EmbeddedServer(made) as one, EmbeddedServer(tmp_path) as two:
        assert one.pid != two.pid
        assert one.socket_dir != two.socket_dir
        assert answers(one)
        assert answers(two)


def test_opening_the_database_is_deaf_to_pg_variables_and_gives_an_ordinary_role(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGHOST": "nowhere.invalid",
        "PGPORT": "1",
        "PGOPTIONS": "-c bogus=1",
        "PGSSLMODE": "require",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with open_database(tmp_path, {}) as database, psycopg.connect(database.conninfo) as connection:
                row = connection.execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
                assert row.fetchone() == ("ledger", False)


def test_the_setting_that_makes_readers_lose_events_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
        open_database(tmp_path, {"POSTGRES_ENABLE_DB_FUNCTIONS": "n"})
