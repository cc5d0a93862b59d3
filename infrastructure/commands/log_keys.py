"""Rotation of the keys that sign a log's checkpoints (wire formats 2, "Key rotation")."""

from uuid import UUID

from domain.errors import RefusedError
from domain.logs.events import KeyRotated
from domain.message import Recorded
from domain.time import SECOND_MS
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.hashing import EMPTY_ROOT
from domain.transparency.key_notes import KeyNote
from infrastructure.ledger import Ledger
from infrastructure.logbook import Logbook
from infrastructure.mapper import NOT_STORED
from infrastructure.postgres.importing import importing
from infrastructure.postgres.publication import KeyNoteRow, Publications
from infrastructure.postgres.records import Log
from infrastructure.publish.logs import publish_log, signer_of_generation
from infrastructure.tlog.key_chain import sign_key_note


def rotate_log_key(ledger: Ledger, log_id: UUID) -> KeyNote:
    """Let a log's checkpoints be signed by new keys from its next entry on.

    That entry records the rotation. Its note names the tree before it, which is published first, so that what old and
    new keys sign of it is above the floor. Meanwhile the log's other writers wait for its head.

    A crash before the entry is stored leaves unused keys in the keyring, which the next rotation takes.

    Returns:
        The note of the new generation, which is in the published directory already.

    Raises:
        RefusedError: when the log has no entry yet.
        FrozenLogError: when it is frozen, or has to be.
    """
    log = ledger.log(log_id)
    publish_log(ledger, log)  # most of the work, while nobody waits
    with importing(ledger.datastore, [log_id]) as landing:
        tree = publish_log(ledger, log).checkpoint
        if tree.size == 0:
            raise RefusedError("the log has no entry yet: its first one must register it")
        generation = max((row.generation for row in Publications(ledger.datastore).key_notes(log_id)), default=0) + 1
        if len(ledger.keyring.get(log_id).signing) == generation:
            ledger.keyring.rotate_signing_keys(log_id)
        note = key_note(ledger, log, generation, tree)
        event = KeyRotated(generation=generation, from_size=tree.size, note_digest=note.digest)
        version = ledger.stream(log_id, log_id)[-1].version + 1
        recorded = Recorded(log_id, NOT_STORED, log_id, version, ledger.clock.now_ms(), event, b"")
        landing.add(log_id, [ledger.mapper.to_stored_event(recorded)])
        if generation == 1:
            first = key_note(ledger, log, 0, Checkpoint(log.origin, 0, EMPTY_ROOT))
            landing.add_key_note(log_id, signed_note(ledger, log, first))
        landing.add_key_note(log_id, signed_note(ledger, log, note))
    publish_log(ledger, log)
    return note


def signed_note(book: Logbook, log: Log, note: KeyNote) -> KeyNoteRow:
    """Return a note about a log's keys, signed by its own generation and the one before it, from the keyring."""
    generations = range(max(note.generation - 1, 0), note.generation + 1)
    signers = [signer_of_generation(book, log, generation) for generation in generations]
    signed = sign_key_note(note, signers, book.clock.now_ms() // SECOND_MS)
    return KeyNoteRow(note.generation, note.start.size, signed)


def key_note(book: Logbook, log: Log, generation: int, start: Checkpoint) -> KeyNote:
    """Return the note about a generation of a log's keys, from the keyring, not signed yet."""
    return KeyNote(generation, start, signer_of_generation(book, log, generation).verifier_keys())
