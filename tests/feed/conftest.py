"""A ledger over a fresh database, for this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.feed.subscriptions import Subscriptions
from infrastructure.ids import SystemIds
from infrastructure.ledger import Ledger, open_ledger
from tests.database import conninfo, datastore, postgres, recorder

__all__ = ["conninfo", "datastore", "postgres", "recorder"]


def opened(folder: Path, conninfo: str) -> Ledger:
    """Open a ledger as the program does."""
    environ = {"LEDGER_DATABASE_URL": conninfo}
    return open_ledger(folder, environ, clock=SystemClock(), ids=SystemIds(), entropy=SystemEntropy())


@pytest.fixture
def ledger(tmp_path: Path, conninfo: str) -> Iterator[Ledger]:
    """A ledger without logs."""
    with opened(tmp_path / "data", conninfo) as made:
        yield made


@pytest.fixture
def feeds(ledger: Ledger) -> Iterator[Subscriptions]:
    """The subscriptions of this process."""
    with Subscriptions(ledger) as made:
        yield made
