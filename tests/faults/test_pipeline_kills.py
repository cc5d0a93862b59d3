"""kill -9 of every part and of PostgreSQL at every step, under load: nothing acknowledged is lost, nothing is doubled.

The short form kills at points drawn from the table; the long one (`make soak`) at every point of the table, each part
and PostgreSQL under it, and prints how often each was killed at. LEDGER_KILLS_SEED draws the kills of an earlier run
again; moments differ.
"""

import os
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infrastructure.anchors.keys import anchor_signer
from infrastructure.clock import SystemClock
from infrastructure.ledger import Ledger
from infrastructure.witness.serve import witness_server
from tests.database import TestServer, running_server
from tests.faults.holding import assert_all_holds
from tests.faults.pipeline import Pipeline, make_place, pipeline
from tests.faults.steps import PARTS, POINTS, Point, Victim
from tests.faults.work import Place

Kill = tuple[Point, Victim] | str
"""A kill at a point, or of a part (or `postgres`) at any moment."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestServer]:
    with running_server(tmp_path / "server") as made:
        yield made


def every_kill() -> list[Kill]:
    """Return each point with each victim, and each part and the server at any moment."""
    return [(point, victim) for point in POINTS for victim in Victim] + [*PARTS, "postgres"]


def drawn_kills(kills: int, moments: random.Random) -> list[Kill]:
    """Draw so many: none twice before each was drawn."""
    known, drawn = every_kill(), list[Kill]()
    while len(drawn) < kills:
        drawn += moments.sample(known, k=min(len(known), kills - len(drawn)))
    return drawn


@contextmanager
def served_again(ledger: Ledger, place: Place) -> Iterator[None]:
    """Serve the pipeline's witness, with the memory that it was killed with."""
    keys = anchor_signer(ledger).verifier_keys()
    with witness_server(place.path("witness"), log_keys=keys, clock=SystemClock(), port=place.port) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield
        finally:
            serving.shutdown()
            thread.join()


def carry_out(running: Pipeline, kills: list[Kill], moments: random.Random) -> Counter[str]:
    """Kill, again and again; return how often each was."""
    counted: Counter[str] = Counter()
    for kill in kills:
        if isinstance(kill, str):
            time.sleep(moments.random() * 0.2)  # any moment
            if kill == "postgres":
                running.kill_server()
            else:
                running.kill(kill)
            counted[f"{kill}: any moment"] += 1
        else:
            point, victim = kill
            running.kill_at(point, victim)
            counted[f"{point}{' (PostgreSQL)' if victim is Victim.POSTGRES else ''}"] += 1
    return counted


@pytest.mark.parametrize("kills", [12, pytest.param(250, marks=pytest.mark.slow)])
def test_whatever_is_killed_nothing_is_lost_or_doubled_and_everything_verifies(
    server: TestServer, tmp_path: Path, kills: int
) -> None:
    seed = int(os.environ.get("LEDGER_KILLS_SEED") or random.randrange(2**32))
    sys.stdout.write(f"seed {seed}\n")
    moments = random.Random(seed)
    drawn = drawn_kills(kills, moments)
    with server.database() as name:
        cell, place = make_place(tmp_path, server.conninfo(name))
        try:
            with pipeline(place, server.server) as running:
                counted = carry_out(running, drawn, moments)
                running.stop()
            cell.ledger.datastore.check()  # our own connections were killed as well
            cell.clock.advance_to(SystemClock().now_ms())
            with served_again(cell.ledger, place):
                found = assert_all_holds(cell.ledger, place)
        finally:
            cell.close()
    assert counted.total() == kills
    sys.stdout.write(f"{kills} kills; {found}\n")
    sys.stdout.writelines(f"{times:4} {what}\n" for what, times in sorted(counted.items()))
