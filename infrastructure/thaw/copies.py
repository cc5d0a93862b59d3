"""Copies of logs to restore from: the own published directory, a mirror of it, or a bundle.

Invariants:
- A copy is believed as far as its tree is signed: it must hold the floor's tree, that of its own checkpoint where our
  keys have signed it, and the database's. Everything up to the larger of the first two comes back.
- Beyond that, the own directory may hold entries that were written and not signed yet: those that open with the log's
  keys and follow in their streams come back too, for they were stored, and perhaps acknowledged.
"""

from dataclasses import dataclass
from uuid import UUID

from domain.errors import LedgerError, RefusedError, VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.frontier import Frontier
from domain.transparency.hashing import leaf_hash
from infrastructure.keys.sealing import Sealer
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import LogHead
from infrastructure.postgres.records import Log
from infrastructure.publish.floors import described, floor_name
from infrastructure.publish.freezing import lost
from infrastructure.publish.logs import signer_of_generation
from infrastructure.publish.places import floors_of
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.signing import verify_checkpoint_signature


@dataclass(frozen=True, slots=True)
class Copy:
    """What comes back of one log.

    Attributes:
        log: which.
        tiles: the copy.
        head: the log's head in the database.
        signed: the largest tree that is known to be signed; None where nothing ever was.
        target: the frontier that the log has afterwards.
    """

    log: Log
    tiles: TileDirectory
    head: Frontier
    signed: Checkpoint | None
    target: Frontier

    @property
    def missing(self) -> int:
        """Return how many entries are to come back."""
        return self.target.size - self.head.size


def examine(book: Logbook, head: LogHead, tiles: TileDirectory, *, own: bool) -> Copy:
    """Find out what a log's database lacks, and whether a copy gives it.

    Args:
        book: the ledger.
        head: the log.
        tiles: the copy.
        own: it is our own published directory.

    Raises:
        RefusedError: when database and copy have two histories, or the copy ends before what was signed.
        VerificationError: when the copy is damaged.
    """
    candidates = (floors_of(book).read(head.log.origin), signed_checkpoint(book, head.log, tiles), head.floor)
    known = [one for one in candidates if one is not None]
    signed = max(known, key=lambda one: one.size, default=None)
    if signed is None or head.frontier.size >= signed.size:
        _check_database(book, head, known)
        return Copy(head.log, tiles, head.frontier, signed, head.frontier)
    _check_copy(head, tiles, [*known, head.tree], signed.size)
    target = _extended(tiles, head.frontier, signed.size)
    if target.root() != signed.root:
        raise VerificationError(f"{tiles.path}: its entries do not give {described(signed)}")
    if own:
        target = _extended(tiles, target, _reach(book, head.log, tiles, signed.size))
    return Copy(head.log, tiles, head.frontier, signed, target)


def signed_checkpoint(book: Logbook, log: Log, tiles: TileDirectory) -> Checkpoint | None:
    """Return a copy's checkpoint if both keys of a generation of ours have signed it, else None."""
    note, checkpoint = tiles.note(), tiles.checkpoint()
    if note is None or checkpoint is None or checkpoint.origin != log.origin:
        return None
    for generation in range(len(book.keyring.get(log.log_id).signing)):
        try:
            for key in signer_of_generation(book, log, generation).verifier_keys():
                verify_checkpoint_signature(note, key, checkpoint)
        except VerificationError:
            continue
        return checkpoint
    return None


def identify(book: Logbook, floor: Checkpoint, tiles: TileDirectory) -> UUID:
    """Return the id of a log that the database does not have: whose keys open its first entry.

    A log whose data keys were destroyed is the one whose keys have signed the copy's checkpoint: those stay.

    Raises:
        RefusedError: when the keyring has no such keys, or the log never had an entry.
    """
    if floor.size == 0:
        raise RefusedError(f"{floor.origin} never had an entry, and the database lost it: remove its floor")
    entry, slot = tiles.tree(floor.size).entry(0), int(floor_name(floor.origin))
    for log_id in book.keyring.log_ids():
        keys = book.keyring.get(log_id)
        if keys.erased:
            if signed_checkpoint(book, Log(log_id, slot, floor.origin), tiles) is not None:
                return log_id
            continue
        if not keys.data_keys:
            continue
        try:
            first = Sealer(floor.origin, keys.data_keys[0], book.entropy).read(entry)
        except LedgerError:
            continue
        if first.stream_id == log_id:  # a log begins with its own stream
            return log_id
    raise RefusedError(
        f"the keyring has no keys that open {floor.origin}, nor any that were destroyed and have signed its copy: "
        "restore the keyring first"
    )


def _check_copy(head: LogHead, tiles: TileDirectory, trees: list[Checkpoint], size: int) -> None:
    """Check that a copy holds these trees."""
    tree = tiles.tree(size)
    for known in trees:
        found = tree.checkpoint(head.log.origin, known.size)
        if found != known:
            whose = "the database has" if known == head.tree else "signed is"
            raise RefusedError(
                f"{head.log.origin}: {whose} {described(known)}, the copy in {tiles.path} has {described(found)}: "
                "these are two histories. Take another copy, or an older backup of the database"
            )


def _check_database(book: Logbook, head: LogHead, trees: list[Checkpoint]) -> None:
    """Check that the database, which is longer than what was signed, holds it."""
    for known in trees:
        reason = lost(book, head, known)
        if reason is not None:
            raise RefusedError(
                f"{head.log.origin}: {reason}. The database went on without what it had lost: restore a backup from "
                "before that, start nothing that appends, and thaw again"
            )


def _extended(tiles: TileDirectory, frontier: Frontier, size: int) -> Frontier:
    return frontier.extend(map(leaf_hash, tiles.tree(size).entries(frontier.size)))


def _reach(book: Logbook, log: Log, tiles: TileDirectory, size: int) -> int:
    """Return the size up to which our own directory holds entries of ours, signed or not."""
    reach = tiles.reach(size)
    for index in range(size, reach):
        try:
            book.read_entry(log.log_id, tiles.tree(reach).entry(index))
        except LedgerError:
            return index
    return reach
