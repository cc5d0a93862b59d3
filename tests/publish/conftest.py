"""Data directories of this folder's tests."""

from pathlib import Path

import pytest

from tests.publish.trees import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)
