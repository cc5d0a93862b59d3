"""Which logs are to be thawed, and from where."""

from collections.abc import Sequence
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
from infrastructure.tlog.layout import CHECKPOINT


def frozen_logs(book: Logbook, source: Path | None = None) -> list[Log]:
    """Freeze what has to be frozen, and return all frozen logs, by slot.

    Logs that the database does not have any more are made again, empty: slot and origin are their floor's, the id is
    that whose keys open the first entry of their copy, or have signed it.

    Raises:
        RefusedError: when the keyring lacks the keys of such a log.
        VerificationError: when its copy is missing or damaged.
    """
    for name in freeze_lost(book):
        floor = floors_of(book).named(name)
        if floor is None:
            continue
        copy = copy_of(book, Log(UUID(int=0), int(name), floor.origin), source)
        if copy is None:
            continue
        log_id = identify(book, floor, copy[0])
        freeze_log(book, book.recorder.create_log(log_id, int(name), floor.origin), "the database did not have it")
    return [head.log for head in Publications(book.datastore).log_heads() if head.frozen is not None]


def copies_of(book: Logbook, logs: Sequence[Log], source: Path | None) -> list[tuple[UUID, TileDirectory, bool]]:
    """Return the copies of these logs, as `thaw` takes them; those are left out that have none, or whose keys are lost.

    Destroyed data keys are not lost ones: what signs for such a log is there, and its entries come back sealed.

    Raises:
        RefusedError: when none is left.
    """
    found = [(log.log_id, copy_of(book, log, source)) for log in logs if _has_keys(book, log)]
    copies = [(log_id, *copy) for log_id, copy in found if copy is not None]
    if logs and not copies:
        raise RefusedError(
            "there is no copy of a frozen log whose keys are in the keyring: nothing can be brought back"
        )
    return copies


def copy_of(book: Logbook, log: Log, source: Path | None) -> tuple[TileDirectory, bool] | None:
    """Return a log's copy, and whether it is our own directory; None where the source has none.

    Args:
        book: the ledger.
        log: which; its id doesn't matter.
        source: a directory like `published`, or that of one log; None for our own.

    Raises:
        VerificationError: when a copy's checkpoint is damaged.
    """
    if source is None:
        return tiles_of(book, log), True
    tiles = TileDirectory(source if exists(source, CHECKPOINT) else source / "t" / str(log.slot))
    checkpoint = tiles.checkpoint()
    return (tiles, False) if checkpoint is not None and checkpoint.origin == log.origin else None


def _has_keys(book: Logbook, log: Log) -> bool:
    try:
        book.keyring.get(log.log_id)
    except UnknownError:
        return False
    return True
