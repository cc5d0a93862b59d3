"""A cell that anchors, for the tests of a module or of one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.anchoring.stage import Stage, staged
from tests.database import TestServer, conninfo, datastore, postgres

__all__ = ["conninfo", "datastore", "postgres"]


@pytest.fixture
def stage(conninfo: str, tmp_path: Path) -> Iterator[Stage]:
    """A cell of this test's own with one tenant, and nothing published."""
    with staged(tmp_path, conninfo) as found:
        yield found


@pytest.fixture(scope="module")
def shared(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A cell that a module's tests read, with two tenants."""
    with postgres.database() as name, staged(tmp_path_factory.mktemp("cell"), postgres.conninfo(name), tenants=2) as it:
        yield it
