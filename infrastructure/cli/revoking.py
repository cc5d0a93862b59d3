"""Revocations of a log's keys, written and signed by the holders of its recovery keys; needs no ledger."""

from pathlib import Path

from domain.transparency.checkpoint import Checkpoint
from domain.transparency.key_notes import RevokedNote
from domain.transparency.note import MAX_NOTE_BYTES, Note, decode_base64, parse_note
from infrastructure.cli.output import result
from infrastructure.client.files import read_bounded, write_new
from infrastructure.client.recovery import create_recovery_key, load_recovery_key
from infrastructure.entropy import SystemEntropy
from infrastructure.publish.files import replace_file


def new_key(file: Path, name: str, *, as_json: bool) -> None:
    """Make a recovery key, and show it as auditors take it."""
    vkey = str(create_recovery_key(file, name, SystemEntropy()).verifier_key)
    result({"file": str(file), "recovery_key": vkey}, as_json=as_json, lines=[vkey])


def new(
    file: Path, origin: str, generation: int, last_good_round: int, size: int, root: str, key: Path, *, as_json: bool
) -> None:
    """Write a revocation with its first signature."""
    text = RevokedNote(generation, last_good_round, Checkpoint(origin, size, decode_base64(root))).to_text()
    signed = Note(text, (load_recovery_key(key).sign(text),))
    write_new(file, signed.to_bytes())
    _say(file, signed, as_json=as_json)


def sign(file: Path, key: Path, *, as_json: bool) -> None:
    """Add a signature to a revocation."""
    signed = load_recovery_key(key).add_to(parse_note(read_bounded(file, MAX_NOTE_BYTES)))
    replace_file(file, signed.to_bytes())
    _say(file, signed, as_json=as_json)


def _say(file: Path, note: Note, *, as_json: bool) -> None:
    revoked = RevokedNote.parse(note.text)
    holders = [line.name for line in note.signatures]
    members = {
        "file": str(file),
        "origin": revoked.last_good.origin,
        "generation": revoked.generation,
        "last_good_round": revoked.last_good_round,
        "signed_by": holders,
    }
    lines = [f"{file}: generation {revoked.generation} of {revoked.last_good.origin}, signed by {', '.join(holders)}"]
    result(members, as_json=as_json, lines=lines)
