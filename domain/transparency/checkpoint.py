"""Checkpoints: the text by which a log states its size and root (c2sp.org/tlog-checkpoint).

Invariants:
- `Checkpoint.parse` accepts exactly what `to_text` prints: three lines, decimal without leading zero, canonical
  base64, no extension lines.
- The root of size 0 is the root of the empty tree.
"""

import base64
import re
from dataclasses import dataclass

from domain.errors import MalformedError
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import EMPTY_ROOT, HASH_BYTES
from domain.transparency.note import MAX_NAME_BYTES, check_text, decode_base64

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_LINES = 3


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's origin, tree size (a count) and 32-byte root.

    Raises:
        MalformedError: when a part is out of its bounds, or size 0 has another root than the empty tree's.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        check_origin(self.origin)
        if not 0 <= self.size <= MAX_TREE_SIZE:
            raise MalformedError(f"tree size {self.size} is out of range")
        if len(self.root) != HASH_BYTES:
            raise MalformedError(f"a root has {HASH_BYTES} bytes")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise MalformedError("a tree of size 0 has the root of the empty tree")

    @classmethod
    def parse(cls, text: bytes) -> "Checkpoint":
        """Read a note text of exactly three lines.

        Raises:
            MalformedError: for any other form, extension lines included.
        """
        lines = _lines(text)
        if len(lines) != _LINES:
            raise MalformedError("a checkpoint has exactly three lines")
        return cls(lines[0], parse_decimal(lines[1]), decode_base64(lines[2]))

    @classmethod
    def parse_extended(cls, text: bytes) -> "Checkpoint":
        """Read the checkpoint of a log that is not ours: extension lines may follow, and are ignored.

        Raises:
            MalformedError: for any other form.
        """
        lines = _lines(text)
        if len(lines) < _LINES or "" in lines:
            raise MalformedError("a checkpoint has at least three lines and no empty one")
        return cls(lines[0], parse_decimal(lines[1]), decode_base64(lines[2]))

    def to_text(self) -> bytes:
        """Return the note text, three lines with a final newline."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


def check_origin(origin: str) -> None:
    """Refuse an origin that is empty, over 255 bytes or unprintable.

    Raises:
        MalformedError: naming which. The bound is that of the ML-DSA-44 message; unprintables could deceive a reader.
    """
    try:
        length = len(origin.encode())
    except UnicodeEncodeError:
        raise MalformedError("an origin is not valid Unicode") from None
    if not 1 <= length <= MAX_NAME_BYTES or not origin.isprintable():
        raise MalformedError(f"an origin has 1 to {MAX_NAME_BYTES} printable bytes")


def parse_decimal(text: str) -> int:
    """Read an ASCII decimal below 2^63 that has no sign, underscore or leading zero.

    Raises:
        MalformedError: for anything else.
    """
    if not _DECIMAL.fullmatch(text) or int(text) > MAX_TREE_SIZE:
        raise MalformedError("not a decimal number below 2^63 in its shortest form")
    return int(text)


def _lines(text: bytes) -> list[str]:
    check_text(text)
    return text[:-1].decode().split("\n")
