"""What the keep's tests share: one engine, the modules under test, keeps that are closed."""

from collections.abc import Iterator

import pytest

from infrastructure.runtime.engine import ClauseEngine
from infrastructure.runtime.keep import Keep
from tests.runtime.scenario import ORIGIN


@pytest.fixture(scope="session")
def engine() -> Iterator[ClauseEngine]:
    """Return an engine in this process."""
    engine = ClauseEngine()
    yield engine
    engine.close()


@pytest.fixture
def keep() -> Iterator[Keep]:
    """Return a keep with its own worker process."""
    with Keep(ORIGIN) as keep:
        yield keep
