"""The anchor log: a round's entry, and the opening of one slot of it (wire formats 3).

Invariants:
- A round commits to exactly one value per slot, at the place that the log's origin fixes: two checkpoints of one log
  can't both be in one round [a split view, one checkpoint for each auditor].
- Parsers accept exactly what the printers print. An opening's path has exactly log2 S hashes.
- The blind is part of the opening, so a commitment binds without the slot's key; with it, the blind is checked too.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from functools import lru_cache

from domain.errors import MalformedError, VerificationError
from domain.transparency.checkpoint import Checkpoint, parse_decimal
from domain.transparency.frontier import MAX_TREE_SIZE
from domain.transparency.hashing import HASH_BYTES, leaf_hash, node_hash
from domain.transparency.note import decode_base64

MIN_SLOTS = 64
"""Fewest slots of a round. Readers take another bound as an argument for the published vector alone, whose S is 8."""

MAX_SLOTS = 1 << 32
MAX_TEXT_BYTES = 512
"""Bound of a committed text; a checkpoint has at most 322 bytes."""

_ENTRY_HEADER = "ledger-anchor/v1"
_ENTRY_LINES = 6
_SLOT_KEY = b"ledger slot key v1\0"
_BLIND = b"ledger anchor blind v1\0"
_COMMITMENT = b"ledger anchor v1\0"
_U64_BYTES = 8
_FIXED_BYTES = 2 * _U64_BYTES + 2 * HASH_BYTES + 1
_LOG_ORIGIN = re.compile(r"(.+)/t/(0|[1-9][0-9]{0,9})", re.ASCII)

_sha256 = hashlib.sha256


def anchor_origin(log_origin: str) -> str:
    """Return the origin of the anchor log that covers the log with this origin.

    Raises:
        MalformedError: when it is not `<host>/t/<slot>`.
    """
    return f"{_place(log_origin)[0]}/anchors"


def slot_of(log_origin: str) -> int:
    """Return the slot that a log's origin fixes.

    Raises:
        MalformedError: when it is not `<host>/t/<slot>`.
    """
    return _place(log_origin)[1]


def slot_key(anchor_secret: bytes, slot: int) -> bytes:
    """Return `k_slot` (32 bytes): what the log's owner and its auditors get of the anchor secret (32 bytes)."""
    return hmac.digest(anchor_secret, _SLOT_KEY + slot.to_bytes(_U64_BYTES), "sha256")


def blind(key: bytes, round_index: int) -> bytes:
    """Return the blind (32 bytes) of the slot with this key in a round."""
    return hmac.digest(key, blind_message(round_index), "sha256")


def blind_message(round_index: int) -> bytes:
    """Return what every slot's key authenticates to give its blind in a round."""
    return _BLIND + round_index.to_bytes(_U64_BYTES)


def commitment(blinding: bytes, text: bytes) -> bytes:
    """Return `d[slot]` (32 bytes) for a blind and a checkpoint's text, or the empty one."""
    return _sha256(_COMMITMENT + blinding + text).digest()


@dataclass(frozen=True, slots=True)
class AnchorEntry:
    """One entry of the anchor log; its leaf index is the round.

    `slots` is S; both roots have 32 bytes. The trace root is the empty tree's until traces exist (wire formats 8).

    Raises:
        MalformedError: when a part is out of its bounds.
    """

    round_index: int
    slots: int
    slot_root: bytes
    trace_root: bytes

    def __post_init__(self) -> None:
        if not 0 <= self.round_index < MAX_TREE_SIZE:
            raise MalformedError(f"round {self.round_index} is out of range")
        check_slots(self.slots, minimum=1)
        if len(self.slot_root) != HASH_BYTES or len(self.trace_root) != HASH_BYTES:
            raise MalformedError(f"a root has {HASH_BYTES} bytes")

    @classmethod
    def parse(cls, data: bytes, *, minimum_slots: int = MIN_SLOTS) -> "AnchorEntry":
        """Read an entry.

        Raises:
            MalformedError: for any other form, or fewer slots than the minimum.
        """
        try:
            lines = data.decode("ascii").split("\n")
        except UnicodeDecodeError:
            raise MalformedError("an anchor entry is ASCII") from None
        if len(lines) != _ENTRY_LINES or lines[0] != _ENTRY_HEADER or lines[-1]:
            raise MalformedError(f"an anchor entry is {_ENTRY_HEADER}, four more lines and a final newline")
        entry = cls(parse_decimal(lines[1]), parse_decimal(lines[2]), decode_base64(lines[3]), decode_base64(lines[4]))
        check_slots(entry.slots, minimum=minimum_slots)
        return entry

    def to_bytes(self) -> bytes:
        """Return the entry as the anchor log holds it."""
        roots = (base64.b64encode(root).decode() for root in (self.slot_root, self.trace_root))
        return "\n".join((_ENTRY_HEADER, str(self.round_index), str(self.slots), *roots, "")).encode()

    def leaf_hash(self) -> bytes:
        """Return the hash (32 bytes) of the entry as a leaf of the anchor log."""
        return leaf_hash(self.to_bytes())


@dataclass(frozen=True, slots=True)
class Opening:
    """What shows one slot of one round: S, the slot, its blind, the entry's trace root, the path, the text.

    The round is the index of the tlog-proof that carries it. Whether the text is a checkpoint of the right log is for
    the verifier to check.

    Raises:
        MalformedError: when a part is out of its bounds, or the path has not log2 S hashes.
    """

    slots: int
    slot: int
    blinding: bytes
    trace_root: bytes
    path: tuple[bytes, ...]
    text: bytes

    def __post_init__(self) -> None:
        check_slots(self.slots, minimum=1)
        if not 0 <= self.slot < self.slots:
            raise MalformedError(f"slot {self.slot} is not among {self.slots}")
        if len(self.path) != self.slots.bit_length() - 1:
            raise MalformedError(f"a path of {len(self.path)} hashes does not fit {self.slots} slots")
        if any(len(digest) != HASH_BYTES for digest in (self.blinding, self.trace_root, *self.path)):
            raise MalformedError(f"a blind, root or hash of an opening is not {HASH_BYTES} bytes")
        if len(self.text) > MAX_TEXT_BYTES:
            raise MalformedError(f"an opening's text has at most {MAX_TEXT_BYTES} bytes")

    @classmethod
    def parse(cls, extra: bytes) -> "Opening":
        """Read the extra data of a tlog-proof.

        Raises:
            MalformedError: for any other form.
        """
        if len(extra) < _FIXED_BYTES:
            raise MalformedError("an opening is shorter than its fixed part")
        end = _FIXED_BYTES + extra[_FIXED_BYTES - 1] * HASH_BYTES
        if len(extra) < end:
            raise MalformedError("an opening is shorter than its path")
        blinding_at = 2 * _U64_BYTES
        trace_at = blinding_at + HASH_BYTES
        return cls(
            int.from_bytes(extra[:_U64_BYTES]),
            int.from_bytes(extra[_U64_BYTES:blinding_at]),
            extra[blinding_at:trace_at],
            extra[trace_at : trace_at + HASH_BYTES],
            tuple(extra[at : at + HASH_BYTES] for at in range(_FIXED_BYTES, end, HASH_BYTES)),
            extra[end:],
        )

    def to_extra(self) -> bytes:
        """Return the bytes that a tlog-proof carries as extra data."""
        numbers = self.slots.to_bytes(_U64_BYTES) + self.slot.to_bytes(_U64_BYTES)
        return b"".join((numbers, self.blinding, self.trace_root, bytes((len(self.path),)), *self.path, self.text))

    def entry(self, round_index: int) -> AnchorEntry:
        """Return the entry that the round must hold if this opening is one of its slots."""
        node = leaf_hash(commitment(self.blinding, self.text))
        for height, sibling in enumerate(self.path):
            node = node_hash(sibling, node) if self.slot >> height & 1 else node_hash(node, sibling)
        return AnchorEntry(round_index, self.slots, node, self.trace_root)

    def checkpoint(self, origin: str) -> Checkpoint | None:
        """Return the committed checkpoint, or None if the log had published none.

        Raises:
            VerificationError: when the slot is not this origin's, or holds anything but its checkpoint.
        """
        if self.slot != slot_of(origin):
            raise VerificationError(f"the opening is of slot {self.slot}, not of {origin!a}")
        if not self.text:
            return None
        try:
            checkpoint = parse_checkpoint(self.text)
        except MalformedError as error:
            raise VerificationError(f"the slot of {origin!a} holds no checkpoint: {error}") from None
        if checkpoint.origin != origin:
            raise VerificationError(f"the slot of {origin!a} holds a checkpoint of {checkpoint.origin!a}")
        return checkpoint


def check_slots(slots: int, *, minimum: int = MIN_SLOTS) -> None:
    """Refuse a number of slots that is no power of two between the minimum and 2^32.

    Raises:
        MalformedError: naming the bounds.
    """
    if not minimum <= slots <= MAX_SLOTS or slots & (slots - 1):
        raise MalformedError(f"a round has a power of two of slots, from {minimum} to {MAX_SLOTS}, not {slots}")


@lru_cache(maxsize=256)
def parse_checkpoint(text: bytes) -> Checkpoint:
    """Read a checkpoint as `Checkpoint.parse` does; an audit meets the same texts again and again.

    Raises:
        MalformedError: for any other form.
    """
    return Checkpoint.parse(text)


def _place(origin: str) -> tuple[str, int]:
    found = _LOG_ORIGIN.fullmatch(origin)
    if found is None or int(found.group(2)) >= MAX_SLOTS:
        raise MalformedError(f"{origin[:80]!a} is not <host>/t/<slot>")
    return found.group(1), int(found.group(2))
