"""A real database for this folder."""

from tests.database import conninfo, datastore, postgres, recorder

__all__ = ["conninfo", "datastore", "postgres", "recorder"]
