"""Cells for the tests of releasers, as those of commands have them."""

from tests.commands.conftest import cell, make_cell
from tests.database import postgres

__all__ = ["cell", "make_cell", "postgres"]
