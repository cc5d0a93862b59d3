"""Proofs that an entry is in a log, offline verifiable (c2sp.org/tlog-proof@v1).

Invariants:
- `TlogProof.parse` accepts exactly what `to_bytes` prints: one header, at most one extra line and never an empty one,
  the shortest decimal, canonical base64, one hash a line, then the log's checkpoint verbatim.
- Everything is bounded: extra data by 64 KiB, the path by 63 hashes, the checkpoint by the limits of a note.
- Nothing here checks a signature, and the extra data is authenticated by nobody: it is input to the leaf's hash.
"""

import base64
from dataclasses import dataclass
from functools import lru_cache

from domain.errors import MalformedError
from domain.transparency.checkpoint import Checkpoint, parse_decimal
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import HASH_BYTES
from domain.transparency.note import MAX_NOTE_BYTES, Note, decode_base64, parse_note
from domain.transparency.proofs import verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
MAX_PATH = 63
"""Longest inclusion proof that a tree of at most 2^63 - 1 leaves has."""

MAX_EXTRA_BYTES = 1 << 16
MAX_PROOF_BYTES = MAX_NOTE_BYTES + 2 * MAX_EXTRA_BYTES

_EXTRA, _INDEX = "extra ", "index "


@dataclass(frozen=True, slots=True)
class TlogProof:
    """An entry's zero-based index, its inclusion proof, the note of the log's checkpoint, and extra data.

    `path` has 32-byte hashes, the leaf's sibling first; `extra` is None where the line is left out.

    Raises:
        MalformedError: when a part is out of its bounds.
    """

    index: int
    path: tuple[bytes, ...]
    note: Note
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_TREE_SIZE:
            raise MalformedError(f"leaf index {self.index} is out of range")
        if len(self.path) > MAX_PATH or any(len(digest) != HASH_BYTES for digest in self.path):
            raise MalformedError(f"an inclusion proof has at most {MAX_PATH} hashes of {HASH_BYTES} bytes")
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA_BYTES:
            raise MalformedError(f"extra data has 1 to {MAX_EXTRA_BYTES} bytes, or no line")

    @classmethod
    def parse(cls, data: bytes) -> "TlogProof":
        """Read a proof (tlog-proof, Format).

        Raises:
            MalformedError: for any other form, or one out of bounds.
        """
        if len(data) > MAX_PROOF_BYTES:
            raise MalformedError(f"a proof of {len(data)} bytes is over the limit of {MAX_PROOF_BYTES}")
        head, separator, note = data.partition(b"\n\n")
        if not separator:
            raise MalformedError("a proof is its lines, an empty line and a checkpoint")
        lines = _lines(head)
        if lines.pop(0) != HEADER:
            raise MalformedError(f"a proof begins with the line {HEADER}")
        extra = decode_base64(lines.pop(0).removeprefix(_EXTRA)) if lines and lines[0].startswith(_EXTRA) else None
        if not lines or not lines[0].startswith(_INDEX):
            raise MalformedError("a proof has an index line after its header and extra line")
        index = parse_decimal(lines.pop(0).removeprefix(_INDEX))
        return cls(index, tuple(decode_base64(line) for line in lines), _note(note), extra)

    def to_bytes(self) -> bytes:
        """Return the proof as it is written down (file extension `.tlog-proof`)."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(_EXTRA + base64.b64encode(self.extra).decode())
        lines.append(f"{_INDEX}{self.index}")
        lines += [base64.b64encode(digest).decode() for digest in self.path]
        return "\n".join(lines).encode() + b"\n\n" + self.note.to_bytes()

    def checkpoint(self) -> Checkpoint:
        """Return what the note says of its log; extension lines are ignored, and no signature is checked.

        Raises:
            MalformedError: when the note is no checkpoint.
        """
        return Checkpoint.parse_extended(self.note.text)

    def verify(self, leaf_hash: bytes) -> Checkpoint:
        """Check the inclusion proof alone (tlog-proof, Verifying, step 4) and return the checkpoint.

        Steps 2 and 3, the signatures, are the caller's.

        Raises:
            MalformedError: when the note is no checkpoint.
            VerificationError: when the leaf hash (32 bytes) is not at the index of the checkpoint's tree.
        """
        checkpoint = self.checkpoint()
        verify_inclusion(leaf_hash, self.index, checkpoint.size, self.path, checkpoint.root)
        return checkpoint


@lru_cache(maxsize=4)
def _note(data: bytes) -> Note:
    """Read a checkpoint's note; the proofs of one run rest on one."""
    return parse_note(data)


def _lines(head: bytes) -> list[str]:
    try:
        return head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise MalformedError("a proof's own lines are ASCII") from None
