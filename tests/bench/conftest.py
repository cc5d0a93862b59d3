"""The database fixtures, for this folder."""

from tests.database import conninfo, postgres

__all__ = ["conninfo", "postgres"]
