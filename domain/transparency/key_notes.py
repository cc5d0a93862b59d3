"""Texts of the notes about a log's own keys (wire formats 2, "Key rotation").

`ledger-log-key/v1` names the keys of a generation and from which tree size they sign; the keys of the generation before
and the new ones sign it. Generation 0 has such a note too, signed by itself, so that a chain has a beginning.
`ledger-log-revoked/v1` takes a generation out of force: recovery keys sign it.

Invariants:
- Parsers accept exactly what the printers print. No note is a checkpoint: its first line is its format.
- Generation 0 starts at size 0, and only it does: a rotation is itself an entry of the log, after its first one.
- Nothing here verifies a signature.
"""

import base64
import hashlib
from dataclasses import dataclass

from domain.errors import MalformedError
from domain.transparency.checkpoint import Checkpoint, parse_decimal
from domain.transparency.note import SignatureType, VerifierKey, check_text, decode_base64

KEY_HEADER = "ledger-log-key/v1"
REVOKED_HEADER = "ledger-log-revoked/v1"

_KEY_LINES = 7
_REVOKED_LINES = 6
_TYPES = (SignatureType.ED25519, SignatureType.ML_DSA_44)


@dataclass(frozen=True, slots=True)
class KeyNote:
    """The keys of a generation: in force for trees larger than `start`, whose tree they carry on.

    `start` is the log's checkpoint at "from size"; `keys` are Ed25519 and ML-DSA-44, both named for the origin.

    Raises:
        MalformedError: when the parts don't fit each other.
    """

    generation: int
    start: Checkpoint
    keys: tuple[VerifierKey, ...]

    def __post_init__(self) -> None:
        if (self.generation == 0) != (self.start.size == 0):
            raise MalformedError("generation 0 of a log's keys, and no other, is in force from size 0")
        if tuple(key.type for key in self.keys) != _TYPES or any(key.name != self.start.origin for key in self.keys):
            raise MalformedError("a generation is an Ed25519 and an ML-DSA-44 key, named for the log's origin")

    @classmethod
    def parse(cls, text: bytes) -> "KeyNote":
        """Read a note's text.

        Raises:
            MalformedError: for any other form.
        """
        _, origin, generation, size, root, *keys = _lines(text, KEY_HEADER, _KEY_LINES)
        start = Checkpoint(origin, parse_decimal(size), decode_base64(root))
        return cls(parse_decimal(generation), start, tuple(VerifierKey.parse(key) for key in keys))

    def to_text(self) -> bytes:
        """Return the note's text."""
        start, root = self.start, base64.b64encode(self.start.root).decode()
        lines = (KEY_HEADER, start.origin, str(self.generation), str(start.size), root, *map(str, self.keys))
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def digest(self) -> str:
        """Return H(text) in lowercase hex: what the log's own entry says of it."""
        return hashlib.sha256(self.to_text()).hexdigest()


@dataclass(frozen=True, slots=True)
class RevokedNote:
    """A generation counts no more, but for what was anchored by a round; `last_good` is the last good tree."""

    generation: int
    last_good_round: int
    last_good: Checkpoint

    @classmethod
    def parse(cls, text: bytes) -> "RevokedNote":
        """Read a note's text.

        Raises:
            MalformedError: for any other form.
        """
        _, origin, generation, last_round, size, root = _lines(text, REVOKED_HEADER, _REVOKED_LINES)
        last_good = Checkpoint(origin, parse_decimal(size), decode_base64(root))
        return cls(parse_decimal(generation), parse_decimal(last_round), last_good)

    def to_text(self) -> bytes:
        """Return the note's text."""
        good, root = self.last_good, base64.b64encode(self.last_good.root).decode()
        lines = (REVOKED_HEADER, good.origin, str(self.generation), str(self.last_good_round), str(good.size), root)
        return "".join(f"{line}\n" for line in lines).encode()

    def admits(self, anchored_round: int | None) -> bool:
        """Tell whether a checkpoint of the revoked generation still counts.

        Args:
            anchored_round: the first round of the anchor log that commits to it; None where none is known.
        """
        return anchored_round is not None and anchored_round <= self.last_good_round


def _lines(text: bytes, header: str, count: int) -> list[str]:
    check_text(text)
    lines = text[:-1].decode().split("\n")
    if lines[0] != header or len(lines) != count:
        raise MalformedError(f"not a note of {count} lines that begins with {header}")
    return lines
