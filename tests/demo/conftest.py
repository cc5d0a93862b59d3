"""Three small demos that the tests look at: two of one seed, one of another."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest

from infrastructure.demo.display import PlainDisplay
from infrastructure.demo.run import DemoResult, run_demo

SCALE = 0.1


@dataclass(frozen=True)
class Played:
    """A demo that was played: its result, its directory, what it said."""

    result: DemoResult
    top: Path
    words: str
    summary: str


def play(top: Path, seed: int, *, scale: float = SCALE) -> Played:
    """Play a demo, a small one if not told otherwise."""
    words = io.StringIO()
    found = run_demo(top, seed=seed, environ={}, display=PlainDisplay(words), scale=scale)
    return Played(found.members, top, words.getvalue(), "\n".join(found.summary))


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return the demo of seed 1."""
    return play(tmp_path_factory.mktemp("a demo") / "new", 1)


@pytest.fixture(scope="session")
def played_again(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return another demo of seed 1."""
    return play(tmp_path_factory.mktemp("again"), 1)


@pytest.fixture(scope="session")
def played_otherwise(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """Return the demo of seed 2."""
    return play(tmp_path_factory.mktemp("otherwise"), 2)
