"""What of the anchor log lies in the data directory, beside the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.errors import RefusedError
from infrastructure.anchors.journal import Journal
from infrastructure.keys.private_files import locked, make_private_directory
from infrastructure.logbook import Logbook
from infrastructure.publish.places import published_path
from infrastructure.publish.tile_directory import TileDirectory

_FOLDER = "anchors"


def data_dir_of(book: Logbook) -> Path:
    """Return the data directory.

    Raises:
        RefusedError: when the ledger was opened without one.
    """
    if book.data_dir is None:
        raise RefusedError("this ledger was opened without a data directory: nothing can be anchored")
    return book.data_dir


def anchor_tiles(book: Logbook, origin: str) -> TileDirectory:
    """Return the published directory of the anchor log. Raises as `data_dir_of` does."""
    return TileDirectory(published_path(data_dir_of(book), origin))


def journal_of(book: Logbook) -> Journal:
    """Return the journal of the rounds. Raises as `data_dir_of` does."""
    return Journal(data_dir_of(book) / _FOLDER)


@contextmanager
def anchors_locked(book: Logbook) -> Iterator[None]:
    """Hold the right to make and publish rounds in a data directory; waits for other processes and threads."""
    folder = data_dir_of(book) / _FOLDER
    make_private_directory(folder)
    with locked(folder / "lock"):
        yield
