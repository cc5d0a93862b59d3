"""One cell for all rows of the catalogue; each tampers with a copy."""

from collections.abc import Iterator

import pytest

from tests.database import TestServer, conninfo, datastore, postgres
from tests.tampering.scene import Scene, scene_of

__all__ = ["conninfo", "datastore", "postgres"]


@pytest.fixture(scope="module")
def scene(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The cell and its first tenant's bundles."""
    with postgres.database() as name, scene_of(tmp_path_factory.mktemp("cell"), postgres.conninfo(name)) as made:
        yield made
