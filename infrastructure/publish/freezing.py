"""Holds every log against its floor when a ledger is opened; freezes those whose database has another history.

Invariants:
- A log is frozen in two places: in its head's row, which refuses every append, and beside its floor, which a restored
  database does not take back. Either is enough to refuse.
- What is quick is exact: a floor that this database was found to hold, and which is still the floor, it still holds,
  for its entries are never changed. Anything else is proved from tiles and leaf hashes.
- Nothing is frozen for what was read while somebody published: head, floor and checkpoint that contradict each other
  are read again under the lock of who signs. Between head and floor a log may have grown, and been signed.
- A log that was published and is missing in the database stops everything: its slot must not be given again.
"""

from collections.abc import Iterator

from domain.errors import RefusedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import LogHead, Publications
from infrastructure.postgres.records import Log
from infrastructure.publish.floors import ANCHORS
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publishing import ADVICE, contradiction, disagreement

_PAGE = 65_536


def check_floors(book: Logbook) -> None:
    """Freeze the logs whose database does not hold what may have been signed of them.

    Raises:
        RefusedError: when the database lacks a log that was published.
    """
    missing = freeze_lost(book)
    if missing:
        raise RefusedError(
            f"the database does not have the logs of slots {', '.join(missing[:8])}, which were published: run "
            "`enclave-ledger log thaw --all`, or use the database that belongs to this data directory"
        )


def freeze_lost(book: Logbook) -> list[str]:
    """Freeze the logs whose database lost something; return the names of floors whose logs it does not have at all."""
    names = [name for name in floors_of(book).names() if name != ANCHORS]  # before the heads: a log comes first
    heads = {str(head.log.slot): head for head in Publications(book.datastore).log_heads()}
    for head in heads.values():
        if head.frozen is None and _reason(book, head) is not None:
            _look_again(book, head.log)
    return [name for name in names if name not in heads]


def freeze_log(book: Logbook, log: Log, reason: str) -> None:
    """Freeze a log for every process, durably; the first reason stays."""
    floors_of(book).freeze(log.origin, reason)
    Publications(book.datastore).freeze(log.log_id, f"{log.origin} is frozen: {reason}")


def _look_again(book: Logbook, log: Log) -> None:
    """Freeze a log if it must be, with head, floor and checkpoint read while nobody signs for it."""
    with floors_of(book).signing(log.origin):
        head = Publications(book.datastore).log_head(log.log_id)
        reason = None if head.frozen else _reason(book, head)
        if reason is not None:
            freeze_log(book, log, reason)


def _reason(book: Logbook, head: LogHead) -> str | None:
    """Return why a log must be frozen, or None; remember where it was found to be in order."""
    floors, tiles = floors_of(book), tiles_of(book, head.log)
    marked = floors.frozen(head.log.origin)
    if marked is not None:
        return marked
    try:
        floor = floors.read(head.log.origin)
        if floor is not None and floor == head.floor:
            return None
        if floor is None and head.floor is not None:
            return f"its floor is missing, though size {head.floor.size} was published; {ADVICE}"
        reason = disagreement(floor, head.tree, tiles.checkpoint())
    except VerificationError as error:
        return f"{error}; {ADVICE}"
    if reason is not None or floor is None:
        return reason
    reason = lost(book, head, floor)
    if reason is None:
        Publications(book.datastore).found(head.log.log_id, floor)
    return reason


def lost(book: Logbook, head: LogHead, floor: Checkpoint) -> str | None:
    """Return the words for a database, as long as the floor or longer, that does not hold the floor's tree; or None.

    The published tiles give the floor's frontier: extended by the database's leaf hashes it must give the head's root.
    Where tiles are missing, the database's leaf hashes are hashed from the first one on.
    """
    try:
        frontier = tiles_of(book, head.log).tree(floor.size).frontier()
        if frontier.root() == floor.root and _extended(book, head.log, frontier, head.frontier.size) == head.frontier:
            return None
    except VerificationError:
        pass
    found = _extended(book, head.log, Frontier.empty(), floor.size)
    tree = Checkpoint(floor.origin, found.size, found.root())
    return None if tree == floor else contradiction(floor, tree)


def _extended(book: Logbook, log: Log, frontier: Frontier, size: int) -> Frontier:
    for hashes in _leaf_hashes(book, log, frontier.size, size):
        frontier = frontier.extend(hashes)
    return frontier


def _leaf_hashes(book: Logbook, log: Log, first: int, last: int) -> Iterator[list[bytes]]:
    for start in range(first, last, _PAGE):
        yield book.recorder.leaf_hashes(log.log_id, start, min(_PAGE, last - start))
