"""kill -9 between any two steps of a turn, and two processes at once: one history, dense rounds, one root a size."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.anchors.cosigned import WitnessRecords
from infrastructure.publish.places import floors_of
from tests.anchoring.stage import ROUND_MS, Stage, policy_of
from tests.anchoring.zygote import POINTS

ROOT = Path(__file__).resolve().parents[2]

Run = Callable[[str], int]


@contextmanager
def processes(stage: Stage) -> Iterator[Run]:
    """Give a function that makes a turn in a process of its own, which dies at a point; it returns how it ended."""
    signed = stage.cell.folder / "signed"
    zygote = subprocess.Popen(
        [sys.executable, "-m", "tests.anchoring.zygote"], cwd=ROOT, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    asking, answers = zygote.stdin, zygote.stdout
    assert asking is not None
    assert answers is not None

    def run(point: str) -> int:
        stage.cell.clock.advance_to(stage.cell.clock.now_ms() + ROUND_MS)
        asked = {
            "point": point, "at_ms": stage.cell.clock.now_ms(), "data": str(stage.data),
            "conninfo": stage.cell.environ["LEDGER_DATABASE_URL"], "signed": str(signed),
        }  # fmt: skip
        asking.write(json.dumps(asked) + "\n")
        asking.flush()
        return int(answers.readline())

    try:
        yield run
    finally:
        asking.close()
        assert zygote.wait(60) == 0
        answers.close()


def assert_one_history(stage: Stage) -> None:
    """Check what was stored, published, signed and cosigned, and that an auditor finds one history."""
    frontier, size = Frontier.empty(), stage.rounds.frontier().size
    for place, stored in enumerate(stage.rounds.read(0, size)):
        frontier = frontier.append(leaf_hash(stored.entry))
        assert (stored.index, stored.parsed.round_index, stored.frontier) == (place, place, frontier)
    published = stage.anchors.checkpoint()
    assert published == Checkpoint("ledger.example/anchors", size, frontier.root())
    assert floors_of(stage.ledger).read(published.origin) == published
    assert stage.anchors.tree(size).checkpoint(published.origin) == published
    roots: dict[tuple[str, int], set[bytes]] = {}
    for line in (stage.cell.folder / "signed").read_text().splitlines():
        text = Checkpoint.parse(json.loads(line).encode())
        roots.setdefault((text.origin, text.size), set()).add(text.root)
    assert all(len(found) == 1 for found in roots.values()), "nothing was signed twice with two roots"
    assert not WitnessRecords(stage.ledger.datastore).disputes()
    verdict, anchored = stage.verify(stage.export())
    assert verdict.trust == "verified", verdict
    assert anchored is not None
    assert anchored.history == (f"one history in rounds 0..{size - 1}" if size > 1 else "only round 0 checked")


def killed_at(stage: Stage, points: list[str]) -> None:
    with ExitStack() as stack:
        stage.policy = policy_of([stage.witness("w1.example")])
        (stage.data / "witnesses.policy").write_bytes(stage.policy.to_bytes())
        run = stack.enter_context(processes(stage))
        assert run("nowhere") == 0
        for point in points:
            stage.grow()
            size = stage.rounds.frontier().size
            assert run(point) == -signal.SIGKILL, point
            assert stage.rounds.frontier().size - size in (0, 1), point
            if random.random() < 0.5:
                assert run("nowhere") == 0, point
                assert_one_history(stage)
        assert run("nowhere") == 0
        assert_one_history(stage)


def test_a_publisher_killed_between_any_two_steps_goes_on_with_one_history(stage: Stage) -> None:
    killed_at(stage, [point for point in POINTS if point != "after a tile"])


@pytest.mark.slow
def test_a_publisher_killed_again_and_again_anywhere_goes_on_with_one_history(stage: Stage) -> None:
    killed_at(stage, random.choices(POINTS, k=100))


def test_what_a_killed_publisher_left_open_is_published_before_the_next_round_is_due(stage: Stage) -> None:
    stage.policy = policy_of([stage.witness("w1.example")])
    (stage.data / "witnesses.policy").write_bytes(stage.policy.to_bytes())
    with processes(stage) as run:
        assert run("after round") == -signal.SIGKILL
    assert stage.anchors.checkpoint() is None
    turn = stage.publisher().turn(every_ms=ROUND_MS)
    assert (turn.made, turn.published.size, turn.cosigned_by) == (None, 1, ("w1.example",))
    assert_one_history(stage)


def test_two_processes_keep_one_cadence_together(stage: Stage) -> None:
    stage.policy = policy_of([stage.witness("w1.example")])
    (stage.data / "witnesses.policy").write_bytes(stage.policy.to_bytes())
    environ = {**os.environ, **stage.cell.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "infrastructure.cli", "anchor", "run", "--data-dir", str(stage.data), "--json"]
    both = [
        subprocess.Popen([*command, "--once"], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    ended = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], ended
    assert sorted(json.loads(out)["round"] for out, _ in ended) == [0, 1, 2]
    (stage.cell.folder / "signed").write_text("")
    stage.cell.clock.advance_to(stage.rounds.newest().at_ms)  # type: ignore[union-attr]
    assert stage.publisher().turn(every_ms=10 * ROUND_MS).made is None, (
        "no round before it is due, whoever made the last"
    )
    assert_one_history(stage)
