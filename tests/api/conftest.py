"""A served ledger that a module shares: one tenant, one clause, two nodes enrolled, none running."""

from collections.abc import Iterator

import pytest

from tests.api.service import Service, served
from tests.database import TestServer, postgres

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(postgres, tmp_path_factory.mktemp("served"), second=True) as made:
        yield made
