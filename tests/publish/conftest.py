"""Data directories of this folder's tests."""

from pathlib import Path

import pytest

from tests.commands.conftest import cell
from tests.database import postgres
from tests.publish.trees import Place

__all__ = ["cell", "postgres"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
