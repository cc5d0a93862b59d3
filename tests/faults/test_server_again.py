"""A server that was killed is started again, whatever still answers on its socket."""

import socket
from pathlib import Path

import psycopg

from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.postmaster import PORT
from tests.database import kill_server, running_server


def test_what_is_left_listening_is_not_taken_for_the_server(tmp_path: Path) -> None:
    """A killed server's session may hold its socket for a moment: connections are taken, and nobody ever answers."""
    with running_server(tmp_path) as postgres:
        kill_server(postgres.server)
        path = postgres.server.socket_dir / f".s.PGSQL.{PORT}"
        path.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left:
            left.bind(str(path))
            left.listen()
            postgres.server.ensure_running()
            with psycopg.connect(postgres.conninfo("postgres", SUPERUSER)) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
