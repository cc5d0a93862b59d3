"""Where both sides play: one fresh PostgreSQL, a database for each.

Invariants:
- The ledger is opened as the program opens it, on the embedded server; the peer gets another database there, and the
  same interpreter.
- Nothing is left behind: the server is stopped and its directory removed.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from infrastructure.clock import SystemClock
from infrastructure.entropy import SystemEntropy
from infrastructure.ids import SystemIds
from infrastructure.ledger import Ledger, open_ledger
from infrastructure.pauses import shorten_pauses
from infrastructure.postgres.cluster import SUPERUSER
from infrastructure.postgres.connect import embedded_conninfo
from infrastructure.postgres.embedded import EmbeddedServer
from scripts.bench.machine import describe_database

_STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Stage:
    """An open, empty ledger, and the connection string of an empty database beside it."""

    ledger: Ledger
    stock_conninfo: str = field(repr=False)


@contextmanager
def open_stage(directory: Path | None) -> Iterator[tuple[Stage, dict[str, Any]]]:
    """Start a server below a directory (None: the temporary one); give the stage and the server's description.

    Raises:
        UnavailableError: when the server can't be started.
    """
    with tempfile.TemporaryDirectory(prefix="enclave-ledger-bench-", dir=directory) as made:
        data_dir = Path(made)
        with EmbeddedServer(data_dir) as server:
            with psycopg.connect(
                embedded_conninfo(server, dbname="postgres", user=SUPERUSER), autocommit=True
            ) as administration:
                administration.execute(f"CREATE DATABASE {_STOCK}")
                described = describe_database(administration, data_dir)
            clock, ids, entropy = SystemClock(), SystemIds(), SystemEntropy()
            with open_ledger(data_dir, {}, clock=clock, ids=ids, entropy=entropy) as ledger:
                shorten_pauses()
                yield Stage(ledger, embedded_conninfo(server, dbname=_STOCK, user=SUPERUSER)), described
