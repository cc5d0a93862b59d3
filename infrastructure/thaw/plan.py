"""Which logs are to be thawed, and from where."""

from pathlib import Path
from uuid import UUID

from domain.errors import RefusedError, UnknownError
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import Publications
from infrastructure.postgres.records import Log
from infrastructure.publish.freezing import freeze_log, freeze_lost
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.thaw.copies import identify
from infrastructure.tlog.files import exists
from infrastructure.tlog.layout import CHECKPOINT, TILES


def frozen_logs(book: Logbook, source: Path | None = None) -> list[Log]:
    """Freeze what has to be frozen, and return all frozen logs, by slot.

    Logs that the database does not have any more are made again, empty: slot and origin are their floor's, the id is
    that whose keys open the first entry of their copy.

    Raises:
        RefusedError: when the keyring lacks the keys of such a log.
        VerificationError: when its copy is missing or damaged.
    """
    for name in freeze_lost(book):
        floor = floors_of(book).named(name)
        if floor is None:
            continue
        log = Log(UUID(int=0), int(name), floor.origin)
        log_id = identify(book, floor.origin, copy_of(book, log, source)[0])
        freeze_log(book, book.recorder.create_log(log_id, log.slot, log.origin), "the database did not have it")
    return [head.log for head in Publications(book.datastore).log_heads() if head.frozen is not None]


def copies_of(book: Logbook, logs: list[Log], source: Path | None) -> list[tuple[UUID, TileDirectory, bool]]:
    """Return the copy of each log that can be opened: its id, the copy, and whether it is our own directory.

    Raises:
        RefusedError: when the keys of the only log are gone: then nothing can bring its entries back into the database.
    """
    found = [(log.log_id, *copy_of(book, log, source)) for log in logs if _has_keys(book, log)]
    if logs and not found:
        raise RefusedError(
            "the keys of this log are not in the keyring: its entries can't be opened, so it stays frozen"
        )
    return found


def copy_of(book: Logbook, log: Log, source: Path | None) -> tuple[TileDirectory, bool]:
    """Return a log's copy below a directory, or that directory itself if it is one log's; and whether it is our own."""
    if source is None:
        return tiles_of(book, log), True
    if exists(source, CHECKPOINT) or exists(source, TILES):
        return TileDirectory(source), False
    return TileDirectory(source / "t" / str(log.slot)), False


def _has_keys(book: Logbook, log: Log) -> bool:
    try:
        return bool(book.keyring.get(log.log_id).data_keys)
    except UnknownError:
        return False
