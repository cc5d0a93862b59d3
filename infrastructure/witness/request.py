"""The body of an add-checkpoint request (c2sp.org/tlog-witness, add-checkpoint).

Invariants:
- `AddCheckpoint.parse` accepts exactly what `to_bytes` prints.
- The root of a size-0 checkpoint is not judged here: the witness answers a wrong one with 422, not 400.
- Nothing here checks a signature or a proof.
"""

import base64
from dataclasses import dataclass

from domain.errors import MalformedError
from domain.transparency.checkpoint import check_origin, parse_decimal
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.note import Note, decode_base64, parse_note

MAX_PROOF_LINES = 63
MAX_REQUEST_BYTES = 256 << 10
"""Enough for 63 hashes and some 70 ML-DSA-44 signatures; a witness must take at least 16 signatures."""

_OLD = "old "
_CHECKPOINT_LINES = 3


@dataclass(frozen=True, slots=True)
class Submitted:
    """The first three lines of the submitted checkpoint; size and root may disagree."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class AddCheckpoint:
    """A tree size that the witness is thought to know, the consistency proof from there, and the signed checkpoint.

    Raises:
        MalformedError: when a part is out of its bounds.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: Note

    def __post_init__(self) -> None:
        if not 0 <= self.old_size <= MAX_TREE_SIZE:
            raise MalformedError(f"old size {self.old_size} is out of range")
        if len(self.proof) > MAX_PROOF_LINES or any(len(digest) != HASH_BYTES for digest in self.proof):
            raise MalformedError(f"a consistency proof has at most {MAX_PROOF_LINES} hashes of {HASH_BYTES} bytes")

    @classmethod
    def parse(cls, body: bytes) -> "AddCheckpoint":
        """Read a request body.

        Raises:
            MalformedError: for any other form, or one out of bounds.
        """
        if len(body) > MAX_REQUEST_BYTES:
            raise MalformedError(f"a request has at most {MAX_REQUEST_BYTES} bytes")
        head, separator, note = body.partition(b"\n\n")
        lines = head.split(b"\n")
        if not separator or len(lines) > MAX_PROOF_LINES + 1:
            raise MalformedError(
                f"a request is an old size, up to {MAX_PROOF_LINES} hashes, an empty line, a checkpoint"
            )
        try:
            first, *hashes = (line.decode("ascii") for line in lines)
        except UnicodeDecodeError:
            raise MalformedError("a request's own lines are ASCII") from None
        if not first.startswith(_OLD):
            raise MalformedError("a request begins with `old` and a size")
        size = parse_decimal(first.removeprefix(_OLD))
        return cls(size, tuple(decode_base64(line) for line in hashes), parse_note(note))

    def to_bytes(self) -> bytes:
        """Return the request body."""
        lines = [f"{_OLD}{self.old_size}", *(base64.b64encode(digest).decode() for digest in self.proof)]
        return "\n".join(lines).encode() + b"\n\n" + self.note.to_bytes()

    def submitted(self) -> Submitted:
        """Return what the checkpoint's first three lines say; extension lines are ignored.

        Raises:
            MalformedError: when the note is no checkpoint (tlog-checkpoint, Note text).
        """
        lines = self.note.text[:-1].decode().split("\n")
        if len(lines) < _CHECKPOINT_LINES or "" in lines:
            raise MalformedError("a checkpoint has at least three lines and no empty one")
        check_origin(lines[0])
        root = decode_base64(lines[2])
        if len(root) != HASH_BYTES:
            raise MalformedError(f"a root has {HASH_BYTES} bytes")
        return Submitted(lines[0], parse_decimal(lines[1]), root)
