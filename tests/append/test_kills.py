"""kill -9 of PostgreSQL and of writers at random moments under load: nothing acknowledged is lost or doubled."""

import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.append.oracle import acknowledged, assert_nothing_lost_or_doubled
from tests.append.scene import Scene, open_scene
from tests.append.starting import start
from tests.database import TestServer, kill_server, running_server

_NEVER_S = 3600.0
_WRITERS = 2


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    with running_server(tmp_path) as made:
        yield made


@pytest.mark.parametrize("kills", [6, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_servers_and_writers_lose_and_double_nothing(server: TestServer, tmp_path: Path, kills: int) -> None:
    with server.database() as name, open_scene(server.conninfo(name), tmp_path / "keys", logs=3) as scene:
        _kill_under_load(server, scene, server.conninfo(name), tmp_path, kills)


def _kill_under_load(server: TestServer, scene: Scene, conninfo: str, folder: Path, kills: int) -> None:
    moments = random.Random(kills)
    outs: list[Path] = []

    def writer() -> "subprocess.Popen[bytes]":
        outs.append(folder / f"{len(outs)}.acks")
        return start(conninfo, folder / "keys", outs[-1], scene.logs, callers=8, seconds=_NEVER_S)

    writers = [writer() for _ in range(_WRITERS)]
    try:
        for number in range(kills):
            known = _lines(outs)
            _wait_for_progress(outs, known)
            time.sleep(moments.random() * 0.3)  # any moment between two commits, or within one
            if number % 2:
                kill_server(server.server)
                server.server.ensure_running()
            else:
                victim = moments.randrange(_WRITERS)
                os.kill(writers[victim].pid, signal.SIGKILL)
                writers[victim].wait()
                writers[victim] = writer()
        _wait_for_progress(outs, _lines(outs))
    finally:
        for one in writers:
            one.kill()
            one.wait()
    scene.ledger.datastore.check()  # our own connections were killed as well
    known_events = acknowledged(outs)
    assert assert_nothing_lost_or_doubled(scene, known_events) >= len(known_events) > kills


def _lines(outs: list[Path]) -> int:
    return sum(out.stat().st_size for out in outs)


def _wait_for_progress(outs: list[Path], known: int) -> None:
    """Wait until somebody was answered again: after each kill the ledger goes on."""
    end = time.monotonic() + 60
    while _lines(outs) <= known:
        assert time.monotonic() < end, "nobody is answered any more"
        time.sleep(0.01)
