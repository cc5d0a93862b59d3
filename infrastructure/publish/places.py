"""Where a data directory keeps what is published of each log, and the floors.

published/t/<slot>/   published/anchors/      open to readers
floors/<slot>         floors/anchors          the operator's own; keep them apart from backups of the database
"""

from pathlib import Path

from domain.errors import RefusedError
from infrastructure.logbook import Logbook
from infrastructure.postgres.records import Log
from infrastructure.publish.floors import ANCHORS, Floors, floor_name
from infrastructure.publish.tile_directory import TileDirectory


def published_path(data_dir: Path, origin: str) -> Path:
    """Return the published directory of an origin: of a log, or of the anchor log."""
    name = floor_name(origin)
    return data_dir / "published" / (name if name == ANCHORS else f"t/{name}")


def tiles_of(book: Logbook, log: Log) -> TileDirectory:
    """Return the published directory of a log. Raises as `floors_of` does."""
    return TileDirectory(published_path(_data_dir(book), log.origin))


def floors_of(book: Logbook) -> Floors:
    """Return the floors.

    Raises:
        RefusedError: when the ledger was opened without a data directory.
    """
    return Floors(_data_dir(book) / "floors")


def _data_dir(book: Logbook) -> Path:
    if book.data_dir is None:
        raise RefusedError("this ledger was opened without a data directory: nothing can be published")
    return book.data_dir
