"""Signatures of logs: notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-cosignature).

Invariants:
- A log signs twice, Ed25519 (0x01) and ML-DSA-44 (0x06); both keys carry the log's name, which is its origin.
- No signed note can pass for a checkpoint of the log: a checkpoint is signed only under the signer's own origin, and a
  note that is no checkpoint never begins with that origin.
- Seeds leave this module through nothing; a signer shows its name only.
"""

import hashlib
from dataclasses import dataclass
from typing import ClassVar, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint, check_origin
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.note import Note, NoteSignature, SignatureType, VerifierKey
from infrastructure.entropy import Entropy

SEED_BYTES = 32
_TIME_BYTES = 8
_SUBTREE_LABEL = b"subtree/v1\n\0"


class TwoKeys:
    """An Ed25519 and an ML-DSA-44 key under one name. What kind of Ed25519 key it is, subclasses say."""

    ED25519: ClassVar[SignatureType]

    __slots__ = ("_ed25519", "_keys", "_mldsa44", "name")

    def __init__(self, name: str, ed25519: Ed25519PrivateKey, mldsa44: MLDSA44PrivateKey) -> None:
        self.name = name
        self._ed25519 = ed25519
        self._mldsa44 = mldsa44
        self._keys = (
            VerifierKey(name, self.ED25519, ed25519.public_key().public_bytes_raw()),
            VerifierKey(name, SignatureType.ML_DSA_44, mldsa44.public_key().public_bytes_raw()),
        )

    @classmethod
    def from_seeds(cls, name: str, ed25519_seed: bytes, mldsa44_seed: bytes) -> Self:
        """Load the keys from their raw seeds, 32 bytes each (RFC 8032 5.1.5, FIPS 204 algorithm 6).

        Raises:
            MalformedError: when a seed has another length, or the name is none.
        """
        if len(ed25519_seed) != SEED_BYTES or len(mldsa44_seed) != SEED_BYTES:
            raise MalformedError(f"the seed of a key has {SEED_BYTES} bytes")
        return cls(
            name, Ed25519PrivateKey.from_private_bytes(ed25519_seed), MLDSA44PrivateKey.from_seed_bytes(mldsa44_seed)
        )

    @classmethod
    def generate(cls, name: str, entropy: Entropy) -> Self:
        """Make new keys."""
        return cls.from_seeds(name, entropy.bytes(SEED_BYTES), entropy.bytes(SEED_BYTES))

    def verifier_keys(self) -> tuple[VerifierKey, ...]:
        """Return the public keys, Ed25519 first."""
        return self._keys

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, keys redacted)"


class LogSigner(TwoKeys):
    """Signs for one log. Its name is the log's origin and the name of both keys."""

    ED25519 = SignatureType.ED25519

    __slots__ = ()

    def sign_checkpoint(self, text: bytes, at_unix_s: int) -> bytes:
        """Return the signed note over a checkpoint's text. The caller knows that the log is append-only up to it.

        Args:
            text: three lines with a final newline.
            at_unix_s: POSIX time in seconds, stated under the ML-DSA-44 signature.

        Raises:
            MalformedError: when the text is no checkpoint of this log's origin.
        """
        checkpoint = Checkpoint.parse(text)
        if checkpoint.origin != self.name:
            raise MalformedError("the checkpoint is of another origin than this signer's")
        return self._signed(text, checkpoint, at_unix_s)

    def sign_note(self, text: bytes, at_unix_s: int) -> bytes:
        """Return the signed note over a text that is no checkpoint, such as a bundle's manifest.

        Raises:
            MalformedError: when its first line is an origin of this log [it could pass for a checkpoint of size 0].
        """
        statement = as_statement(text)
        if statement.origin == self.name:
            raise MalformedError("a note that is no checkpoint must not begin with the log's origin")
        return self._signed(text, statement, at_unix_s)

    def _signed(self, text: bytes, message: "Checkpoint | Statement", at_unix_s: int) -> bytes:
        ed25519, mldsa44 = self._keys
        time = _time(at_unix_s)
        cosignature = time + self._mldsa44.sign(subtree_message(self.name, time, message))
        return Note(
            text,
            (
                NoteSignature(self.name, ed25519.key_id, self._ed25519.sign(text)),
                NoteSignature(self.name, mldsa44.key_id, cosignature),
            ),
        ).to_bytes()


@dataclass(frozen=True, slots=True)
class Statement:
    """What an ML-DSA-44 signature says over a note that is no checkpoint: first line, size 0, hash of the text."""

    origin: str
    root: bytes
    size: int = 0


def as_statement(text: bytes) -> Statement:
    """Return what stands in for a checkpoint in the ML-DSA-44 message of any other note.

    Raises:
        MalformedError: when the first line can't be an origin.
    """
    try:
        origin = text.partition(b"\n")[0].decode()
    except UnicodeDecodeError:
        raise MalformedError("a note is not valid UTF-8") from None
    check_origin(origin)
    return Statement(origin, hashlib.sha256(text).digest())


def verify_checkpoint_signature(note: Note, key: VerifierKey, checkpoint: Checkpoint) -> int | None:
    """Check every signature of this key over the checkpoint that was parsed from the note.

    Returns:
        The POSIX time in seconds that the signature states; None for type 0x01, which states none.

    Raises:
        VerificationError: when the key has not signed, or a signature under its name and id is wrong.
    """
    return _verify(note, key, checkpoint)


def verify_note_signature(note: Note, key: VerifierKey) -> int | None:
    """Check every signature of this key over a note that is no checkpoint; else as `verify_checkpoint_signature`.

    Raises:
        VerificationError: as above.
    """
    return _verify(note, key, as_statement(note.text))


def _verify(note: Note, key: VerifierKey, message: Checkpoint | Statement) -> int | None:
    lines = [line for line in note.signatures if line.by(key)]
    if not lines:
        raise VerificationError(f"not signed by {key.fingerprint}")
    times = [_verify_line(line.signature, key, note.text, message) for line in lines]
    return times[-1]


def _verify_line(signature: bytes, key: VerifierKey, text: bytes, message: Checkpoint | Statement) -> int | None:
    time, rest = signature[:_TIME_BYTES], signature[_TIME_BYTES:]
    try:
        if key.type is SignatureType.ED25519:
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(signature, text)
            return None
        if key.type is SignatureType.ED25519_COSIGNATURE:
            header = f"cosignature/v1\ntime {_seconds(time)}\n".encode()
            Ed25519PublicKey.from_public_bytes(key.public_key).verify(rest, header + text)
        else:
            public = MLDSA44PublicKey.from_public_bytes(key.public_key)
            public.verify(rest, subtree_message(key.name, time, message))
    except (InvalidSignature, ValueError):
        raise VerificationError(f"the signature of {key.fingerprint} is wrong") from None
    return _seconds(time)


def subtree_message(name: str, time: bytes, message: Checkpoint | Statement) -> bytes:
    """Return the `cosigned_message` of tlog-cosignature for the whole tree (start 0).

    Args:
        name: the signer's key name.
        time: u64 POSIX seconds.
        message: the checkpoint, or the statement over another note, that is signed.
    """
    return b"".join(
        (
            _SUBTREE_LABEL,
            _vec8(name),
            time,
            _vec8(message.origin),
            (0).to_bytes(_TIME_BYTES),
            message.size.to_bytes(_TIME_BYTES),
            message.root,
        )
    )


def _vec8(text: str) -> bytes:
    data = text.encode()
    return len(data).to_bytes() + data


def _time(at_unix_s: int) -> bytes:
    if not 0 <= at_unix_s <= MAX_TREE_SIZE:
        raise MalformedError("a signature's time is from 0 to 2^63 - 1 seconds")
    return at_unix_s.to_bytes(_TIME_BYTES)


def _seconds(time: bytes) -> int:
    seconds = int.from_bytes(time)
    if len(time) != _TIME_BYTES or seconds > MAX_TREE_SIZE:
        raise ValueError("a time that tlog-cosignature forbids")
    return seconds
