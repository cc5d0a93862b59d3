"""Recovery keys: offline, one holder each, for nothing but revoking generations of a log's keys (wire formats 2).

Invariants:
- A key is one private file (0600): canonical JSON of its holder's name and its Ed25519 seed. It shows its name only.
- It signs notes that parse as a revocation, and nothing else.
"""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from domain.transparency.key_notes import RevokedNote
from domain.transparency.note import Note, NoteSignature, SignatureType, VerifierKey
from infrastructure.entropy import Entropy
from infrastructure.keys import ed25519
from infrastructure.keys.private_files import read_private, write_private

_FORMAT = "ledger-recovery/v1"


class RecoveryKey:
    """A holder's recovery key."""

    __slots__ = ("_key", "verifier_key")

    def __init__(self, name: str, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.verifier_key = VerifierKey(name, SignatureType.ED25519, ed25519.public_bytes(key))

    def sign(self, text: bytes) -> NoteSignature:
        """Sign a revocation's text (c2sp.org/signed-note, Ed25519).

        Raises:
            MalformedError: when it is none.
        """
        RevokedNote.parse(text)
        return NoteSignature(self.verifier_key.name, self.verifier_key.key_id, self._key.sign(text))

    def add_to(self, note: Note) -> Note:
        """Return a revocation with this holder's signature; the same holder's again changes nothing."""
        others = tuple(line for line in note.signatures if not line.by(self.verifier_key))
        return Note(note.text, (*others, self.sign(note.text)))

    def __repr__(self) -> str:
        return f"RecoveryKey({self.verifier_key.name!r})"


def create_recovery_key(path: Path, name: str, entropy: Entropy) -> RecoveryKey:
    """Draw a new recovery key and write its file.

    Raises:
        RefusedError: when the file exists already, or can't be written.
        MalformedError: when the name is no key name.
    """
    seed = entropy.bytes(ed25519.KEY_BYTES)
    made = RecoveryKey(name, ed25519.private_key(seed))
    write_private(path, canonical({"format": _FORMAT, "name": name, "seed": seed.hex()}), new=True)
    return made


def load_recovery_key(path: Path) -> RecoveryKey:
    """Read a recovery key's file.

    Raises:
        UnknownError: when there is none.
        RefusedError: when others may read it.
        MalformedError: when it holds no recovery key.
    """
    try:
        content = parse_canonical(read_private(path))
        known, name, seed = content["format"] == _FORMAT, content["name"], bytes.fromhex(content["seed"])
        key = RecoveryKey(name, ed25519.private_key(seed))
    except (MalformedError, KeyError, ValueError, TypeError, AttributeError):
        raise MalformedError(f"{path} holds no recovery key") from None
    if not known:
        raise MalformedError(f"{path} is of a format that this version doesn't know")
    return key
