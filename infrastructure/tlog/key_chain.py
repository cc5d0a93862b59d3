"""The chain of a log's keys: from generation 0 on, each signed in by the one before (wire formats 2, "Key rotation").

Invariants:
- A note counts only with every signature: of both keys before it and both keys of its own, in this order.
- Sizes grow along the chain, and the chain ends with the keys that sign now.
- A key that is trusted from outside authenticates the generations after its own. It says nothing of those before.
- Two notes of one generation that differ, each signed by the keys before it, prove that a log was forked.
"""

from collections.abc import Sequence
from pathlib import Path

from domain.errors import VerificationError
from domain.transparency.checkpoint import Checkpoint
from domain.transparency.key_notes import KeyNote
from domain.transparency.note import MAX_NOTE_BYTES, Note, VerifierKey, parse_note
from infrastructure.tlog.files import exists, read_file
from infrastructure.tlog.layout import key_note_path
from infrastructure.tlog.signing import LogSigner, verify_note_signature
from infrastructure.tlog.tree import TileTree
from infrastructure.tlog.verdict import naming

MAX_GENERATIONS = 1000

Chain = tuple[KeyNote, ...]
"""One note for each generation, from 0 on; empty for a log whose keys were never rotated."""


def sign_key_note(note: KeyNote, signers: Sequence[LogSigner], at_unix_s: int) -> bytes:
    """Return a note about keys, signed by the generation before (but for generation 0) and by its own."""
    text = note.to_text()
    parts = [parse_note(signer.sign_note(text, at_unix_s)) for signer in signers]
    return Note(text, tuple(line for part in parts for line in part.signatures)).to_bytes()


def read_chain(root: Path, checkpoint: Checkpoint, keys: tuple[VerifierKey, ...]) -> Chain:
    """Read and verify the chain that lies in a log's directory.

    Args:
        root: the directory.
        checkpoint: what it says of itself.
        keys: the keys that sign it, Ed25519 first.

    Raises:
        VerificationError: naming the note that is missing or wrong.
    """
    notes: list[bytes] = []
    while exists(root, key_note_path(len(notes))):
        if len(notes) == MAX_GENERATIONS:
            raise VerificationError(f"more than {MAX_GENERATIONS} generations of keys")
        notes.append(read_file(root, key_note_path(len(notes)), MAX_NOTE_BYTES))
    chain: list[KeyNote] = []
    for generation, data in enumerate(notes):
        with naming(key_note_path(generation)):
            chain.append(_next(chain, data, checkpoint.origin))
    if chain and chain[-1].keys != keys:
        raise VerificationError(f"{key_note_path(len(chain) - 1)}: the chain does not end with the keys that sign")
    if len(chain) == 1:
        raise VerificationError(f"{key_note_path(0)}: a chain has at least two generations")
    if chain and chain[-1].start.size >= checkpoint.size:
        raise VerificationError(f"{key_note_path(len(chain) - 1)}: these keys don't sign a tree of this size yet")
    return tuple(chain)


def check_roots(root: Path, size: int, chain: Chain) -> None:
    """Check that each note names a tree that this one extends. The tiles must have been verified.

    Raises:
        VerificationError: naming the note.
    """
    tree = TileTree(root, size)
    for note in chain:
        if tree.checkpoint(note.start.origin, note.start.size) != note.start:
            raise VerificationError(f"{key_note_path(note.generation)}: its root is not the tree's at that size")


def generation_of(chain: Chain, key: VerifierKey) -> int | None:
    """Return the generation that a key belongs to, or None."""
    return next((note.generation for note in chain if key in note.keys), None)


def proves_fork(one: bytes, other: bytes, keys_before: Sequence[VerifierKey]) -> bool:
    """Tell whether two notes for one generation prove that the holder of the keys before them forked the log.

    Args:
        one: a signed note.
        other: another one.
        keys_before: the keys of the generation before, which the asker trusts.

    Raises:
        MalformedError: when one of them is no note about keys.
        VerificationError: when a key before has not signed one of them: then it proves nothing against it.
    """
    notes = [parse_note(data) for data in (one, other)]
    first, second = (KeyNote.parse(note.text) for note in notes)
    for note in notes:
        for key in keys_before:
            verify_note_signature(note, key)
    same = (first.start.origin, first.generation) == (second.start.origin, second.generation)
    return same and first != second


def _next(chain: Sequence[KeyNote], data: bytes, origin: str) -> KeyNote:
    signed = parse_note(data)
    note = KeyNote.parse(signed.text)
    if note.start.origin != origin or note.generation != len(chain):
        raise VerificationError("it is another log's, or another generation's")
    if chain and note.start.size <= chain[-1].start.size:
        raise VerificationError("it starts before the generation before it")
    keys = (*(chain[-1].keys if chain else ()), *note.keys)
    if len(signed.signatures) != len(keys) or len(set(keys)) != len(keys):
        raise VerificationError("it is signed by all keys of its own and the generation before, and by nobody else")
    for line, key in zip(signed.signatures, keys, strict=True):
        if not line.by(key):
            raise VerificationError(f"signature stripped, or not in its place: none by {key.fingerprint}")
        verify_note_signature(signed, key)
    return note
