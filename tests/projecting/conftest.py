"""A ledger over a fresh database, for this folder."""

from tests.database import conninfo, postgres
from tests.feed.conftest import feeds, ledger

__all__ = ["conninfo", "feeds", "ledger", "postgres"]
