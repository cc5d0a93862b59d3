"""A ledger over a fresh database, with a few logs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.ledger import Ledger
from tests.append.scene import Scene, open_scene
from tests.database import conninfo, postgres

__all__ = ["conninfo", "postgres"]


@pytest.fixture
def scene(conninfo: str, tmp_path: Path) -> Iterator[Scene]:
    """Return a ledger with three tenants' logs."""
    with open_scene(conninfo, tmp_path / "keys", logs=3) as made:
        yield made


@pytest.fixture
def ledger(scene: Scene) -> Ledger:
    """Return its ledger."""
    return scene.ledger
