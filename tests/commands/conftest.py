"""Cells for the tests of commands: one that a module shares, and fresh ones where a test changes the whole cell."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.commands.cell import NOW, Cell, MakeCell, founded
from tests.database import TestServer, postgres

__all__ = ["postgres"]


@pytest.fixture(scope="module")
def cell(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    """A founded cell that the tests of a module share. Each registers tenants of its own."""
    with postgres.database() as name:
        made = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name))
        yield made
        made.close()


@pytest.fixture
def make_cell(postgres: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeCell]:
    """Makes founded cells of this test's own; they are closed at its end."""
    with ExitStack() as stack:

        def make(seed: int = 1, at_ms: int = NOW) -> Cell:
            name = stack.enter_context(postgres.database())
            made = founded(tmp_path_factory.mktemp("cell"), postgres.conninfo(name), seed=seed, at_ms=at_ms)
            stack.callback(made.close)
            return made

        yield make
