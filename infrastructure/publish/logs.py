"""Publishes the logs of a ledger: from the database into their published directories.

Invariants:
- Before the tiles that need them: sealed payloads, and the notes about keys.
- A tree is signed by the generation of keys that is in force at its size, and by no other.
- What freezes a log while it is published freezes it for every process.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from uuid import UUID

from domain.errors import UnknownError
from domain.time import SECOND_MS
from infrastructure.logbook import Logbook
from infrastructure.postgres.publication import KeyNoteRow, LogHead, Publications
from infrastructure.postgres.records import FrozenLogError, Log
from infrastructure.publish.freezing import freeze_log
from infrastructure.publish.places import floors_of, tiles_of
from infrastructure.publish.publishing import Published, publish_tree
from infrastructure.publish.tile_directory import TileDirectory
from infrastructure.tlog.layout import key_note_path
from infrastructure.tlog.signing import LogSigner

_PAGE = 1000


class LedgerTree:
    """A log of the ledger, as its database has it when it is first asked: a `TreeSource`."""

    def __init__(self, book: Logbook, log: Log) -> None:
        self._book = book
        self._log = log

    @cached_property
    def head(self) -> LogHead:
        """The log's head.

        Raises:
            FrozenLogError: when the log is frozen.
        """
        head = Publications(self._book.datastore).log_head(self._log.log_id)
        if head.frozen is not None:
            raise FrozenLogError(head.frozen)
        return head

    @property
    def origin(self) -> str:
        """Return the log's origin."""
        return self._log.origin

    def size(self) -> int:
        """Return how many entries it has."""
        return self.head.frontier.size

    def root(self) -> bytes:
        """Return the root of their tree."""
        return self.head.frontier.root()

    def entries(self, first: int, last: int) -> Iterator[bytes]:
        """Yield entries, a page at a time."""
        for start in range(first, last, _PAGE):
            for stored in self._book.recorder.entries(self._log.log_id, start, min(_PAGE, last - start)):
                yield stored.entry


def publish_log(book: Logbook, log: Log) -> Published:
    """Publish a log at its present size. Raises as `publish_tree` does."""
    publications, floors, tree = Publications(book.datastore), floors_of(book), LedgerTree(book, log)

    def attach(tiles: TileDirectory) -> None:
        tiles.put(key_files(book, log.log_id, tree.size()))
        while payloads := publications.unpublished_payloads(log.log_id):
            tiles.put_payloads(payloads.values())
            publications.payloads_published(log.log_id, list(payloads))

    try:
        published = publish_tree(
            tree,
            lambda size: log_signer(book, log.log_id, size),
            tiles_of(book, log),
            floors,
            at_unix_s=book.clock.now_ms() // SECOND_MS,
            attach=attach,
        )
    except FrozenLogError:
        reason = floors.frozen(log.origin)
        if reason is not None:
            freeze_log(book, log, reason)
        raise
    if tree.head.floor != published.checkpoint:
        publications.found(log.log_id, published.checkpoint)
    return published


def log_signer(book: Logbook, log_id: UUID, size: int | None = None) -> LogSigner:
    """Return the signer of a log at a size; at its present one where none is named."""
    at = book.head(log_id).size if size is None else size
    notes = Publications(book.datastore).key_notes(log_id)
    return signer_of_generation(book, book.log(log_id), generation_at(notes, at))


def key_files(book: Logbook, log_id: UUID, size: int) -> dict[str, bytes]:
    """Return the notes about a log's keys that its tree of a size rests on, by path: what goes with every bundle."""
    notes = Publications(book.datastore).key_notes(log_id)
    return {key_note_path(note.generation): note.note for note in notes if note.from_size < size}


def signer_of_generation(book: Logbook, log: Log, generation: int) -> LogSigner:
    """Return the signer of one generation of a log's keys.

    Raises:
        UnknownError: when the keyring does not hold it.
    """
    keys = book.keyring.get(log.log_id)
    if generation >= len(keys.signing):
        raise UnknownError(f"the keyring lacks generation {generation} of the keys of {log.origin}: restore it")
    return LogSigner(log.origin, keys.ed25519_key(generation), keys.mldsa44_key(generation))


def generation_at(notes: Sequence[KeyNoteRow], size: int) -> int:
    """Return the generation of keys that signs a tree of a size, given the log's notes."""
    return max((note.generation for note in notes if note.from_size < size), default=0)
