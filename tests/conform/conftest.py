"""The cells of tests/commands, for the tests of deciding again."""

from tests.commands.conftest import cell, make_cell
from tests.database import postgres

__all__ = ["cell", "make_cell", "postgres"]
