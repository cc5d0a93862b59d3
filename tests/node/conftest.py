"""A served ledger with one node enrolled, that a module shares."""

from collections.abc import Iterator

import pytest

from tests.api.service import Service, served
from tests.database import TestServer, postgres

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def service(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with served(postgres, tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(autouse=True)
def no_node_stays(service: Service) -> Iterator[None]:
    """Kill the nodes that a test left, so that they don't work for the next one."""
    yield
    service.kill_nodes()
