"""The sealed entry's outside: COSE_Encrypt0 (RFC 9052 5.2) of exactly one shape (wire format, section 1).

Invariants:
- Entry = tag 16, `[protected, {}, ciphertext]`; protected = `{1: 3, 3: 50, 4: kid, 5: IV, 15: {1: origin},
  16: "application/ledger-entry+cose"}` (A256GCM; RFC 9597 CWT claims; RFC 9596 typ). Nothing else is in the clear.
- Parsing decodes, prints again and compares: one content has one spelling [`cbor2` takes duplicate keys, long forms and
  trailing bytes]. What looks exactly as an entry is printed needs no decoder: a property holds the two ways equal.
- An entry is at most 65,535 bytes; a payload, which has the same shape, at most MAX_PAYLOAD_BYTES.
"""

import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import cbor2

from domain.errors import MalformedError
from infrastructure.keys.stream_keys import KID_BYTES, TAG_BYTES, key_id

MAX_ENTRY_BYTES = 65_535
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
IV_BYTES = 12
GCM_TAG_BYTES = 16
MAX_ORIGIN_BYTES = 255
ENTRY_TYPE = "application/ledger-entry+cose"

_A256GCM = 3
_JSON = 50
GENERATION_BYTES = 4
HEAD_BYTES = {b"\x58": 2, b"\x59": 3, b"\x5a": 5}
"""Length of a byte string's head by its first byte; 1 for the short ones."""

_HEADER_KEYS = [1, 3, 4, 5, 15, 16]
_BEFORE_KID = b"\xa6\x01\x03\x03\x18\x32\x04\x58" + bytes([KID_BYTES])
_BEFORE_IV = b"\x05" + bytes([0x40 | IV_BYTES])
_AAD_CONTEXT = b"\x83\x68Encrypt0"
_TYPE = b"\x10" + cbor2.dumps(ENTRY_TYPE)
_MESSAGE = b"\xd0\x83"
NO_MAP = b"\xa0"
NO_BYTES = b"\x40"


class ParsedEntry(NamedTuple):
    """An entry taken apart: u32 generation, tag (16), commitment (32), IV (12), origin, ciphertext with GCM tag."""

    generation: int
    tag: bytes
    commitment: bytes
    iv: bytes
    origin: str
    ciphertext: bytes

    @property
    def header(self) -> "EntryHeader":
        """What surrounds the ciphertext, for every IV."""
        return EntryHeader.of(key_id(self.generation, self.tag, self.commitment), self.origin)


@dataclass(frozen=True, slots=True)
class EntryHeader:
    """The bytes of one stream's entries that never change, cut where the IV goes. Cached by sealers."""

    before_iv: bytes
    after_iv: bytes
    aad_before_iv: bytes

    @classmethod
    def of(cls, kid: bytes, origin: str) -> "EntryHeader":
        """Print the protected header once, with a gap for the IV."""
        before = _BEFORE_KID + kid + _BEFORE_IV
        after = _after_iv(origin)
        wrapped = byte_string_head(len(before) + IV_BYTES + len(after)) + before
        return cls(_MESSAGE + wrapped, after, _AAD_CONTEXT + wrapped)

    def with_kid(self, kid: bytes) -> "EntryHeader":
        """Return the header of another stream of the same log: only its `kid` differs."""
        before = self.before_iv[: -len(_BEFORE_IV) - KID_BYTES] + kid + _BEFORE_IV
        return EntryHeader(before, self.after_iv, _AAD_CONTEXT + before[len(_MESSAGE) :])

    def additional_data(self, iv: bytes) -> bytes:
        """Return the Enc_structure `["Encrypt0", protected, h'']` (RFC 9052 5.3)."""
        return self.aad_before_iv + iv + self.after_iv + NO_BYTES

    def wrap(self, iv: bytes, ciphertext: bytes) -> bytes:
        """Return the entry's bytes."""
        return self.before_iv + iv + self.after_iv + NO_MAP + byte_string_head(len(ciphertext)) + ciphertext


def additional_data(entry: bytes, parsed: ParsedEntry) -> bytes:
    """Return the Enc_structure of an entry that `parse_entry` took apart: its protected header is a slice of it."""
    length = len(parsed.ciphertext)
    end = len(entry) - length - len(byte_string_head(length)) - len(NO_MAP)
    return _AAD_CONTEXT + entry[len(_MESSAGE) : end] + NO_BYTES


@lru_cache(maxsize=4096)
def _after_iv(origin: str) -> bytes:
    """Return what follows the IV: the same for all entries of a log."""
    return b"\x0f\xa1\x01" + cbor2.dumps(origin) + _TYPE


def check_origin(origin: str) -> str:
    """Return an origin that may stand in entries and notes.

    Raises:
        MalformedError: when it is not 1 to 255 printable ASCII characters without space and plus.
    """
    if not 0 < len(origin) <= MAX_ORIGIN_BYTES or not origin.isascii() or not origin.isprintable():
        raise MalformedError(f"an origin is 1 to {MAX_ORIGIN_BYTES} printable ASCII characters")
    if " " in origin or "+" in origin:
        raise MalformedError("an origin holds no space and no plus")
    return origin


def parse_entry(data: bytes, *, max_bytes: int = MAX_ENTRY_BYTES) -> ParsedEntry:
    """Take an entry apart.

    Raises:
        MalformedError: when it is not exactly of the one shape, or too long.
    """
    if len(data) > max_bytes:
        raise MalformedError(f"an entry is {len(data)} bytes, more than {max_bytes}")
    return _as_printed(data) or _decoded(data)


def laid_out_for(data: bytes, origin: str) -> bool:
    """Tell whether bytes are laid out exactly as an entry of this log is printed: `parse_entry` then takes them.

    It is quick, and where it says no, `parse_entry` has the verdict.
    """
    start, middle, after_iv = _layout(origin)
    middle_at = len(start) + KID_BYTES
    after_at = middle_at + len(middle) + IV_BYTES
    head_at = after_at + len(after_iv)
    length = len(data) - head_at - HEAD_BYTES.get(data[head_at : head_at + 1], 1)
    return (
        length >= GCM_TAG_BYTES
        and len(data) <= MAX_ENTRY_BYTES
        and data.startswith(start)
        and data.startswith(middle, middle_at)
        and data.startswith(after_iv + byte_string_head(length), after_at)
    )


@lru_cache(maxsize=64)
def _layout(origin: str) -> tuple[bytes, bytes, bytes]:
    """Return what stands before the kid, between kid and IV, and between IV and ciphertext in every entry of a log."""
    header = EntryHeader.of(bytes(KID_BYTES), check_origin(origin))
    start, middle = header.before_iv.split(bytes(KID_BYTES))
    return start, middle, header.after_iv + NO_MAP


@lru_cache(maxsize=1024)
def _printed(head: bytes) -> re.Pattern[bytes] | None:
    """Return what an entry with this head of its protected header looks like up to its ciphertext; None for no entry.

    The groups are generation, tag, commitment, IV, origin, and the ciphertext's head.
    """
    for origin_bytes in range(1, MAX_ORIGIN_BYTES + 1):
        header = EntryHeader.of(bytes(KID_BYTES), "\0" * origin_bytes)
        if header.before_iv[2:].startswith(head):
            before, after = header.before_iv.split(bytes(KID_BYTES)), header.after_iv.split(bytes(origin_bytes))
            kid = b"(.{4})(.{%d})(.{%d})" % (TAG_BYTES, KID_BYTES - 4 - TAG_BYTES)
            fixed = [re.escape(part) for part in (*before, *after, NO_MAP)]
            parts = (fixed[0], kid, fixed[1], b"(.{%d})" % IV_BYTES, fixed[2], b"(.{%d})" % origin_bytes, *fixed[3:])
            return re.compile(b"".join(parts) + rb"([\x50-\x57]|\x58.|\x59..|\x5a....)", re.DOTALL)
    return None


@lru_cache(maxsize=1024)
def _origin(data: bytes) -> str | None:
    try:
        return check_origin(data.decode("ascii"))
    except (UnicodeDecodeError, MalformedError):
        return None


def _as_printed(data: bytes) -> ParsedEntry | None:
    """Take apart what is laid out exactly as `EntryHeader.wrap` prints it; None leaves the verdict to the decoder."""
    layout = _printed(data[2:4] if data[2:3] == b"\x58" else data[2:5])
    found = None if layout is None else layout.match(data)
    if found is None:
        return None
    generation, tag, commitment, iv, origin_bytes, head = found.groups()
    origin, ciphertext = _origin(origin_bytes), data[found.end() :]
    if origin is None or head != byte_string_head(len(ciphertext)):
        return None
    return ParsedEntry(int.from_bytes(generation), tag, commitment, iv, origin, ciphertext)


def _decoded(data: bytes) -> ParsedEntry:
    """Take an entry apart by decoding it, printing it again and comparing. Raises as `parse_entry` does."""
    message = _decode(data)
    if not isinstance(message, cbor2.CBORTag) or message.tag != 16 or not isinstance(message.value, list | tuple):  # noqa: PLR2004 - COSE_Encrypt0
        raise MalformedError("an entry is not a COSE_Encrypt0 message")
    match message.value:
        case [bytes() as protected, unprotected, bytes() as ciphertext] if unprotected == {}:
            entry = _from_header(_decode(protected), ciphertext)
        case _:
            raise MalformedError("an entry is not [protected, {}, ciphertext]")
    if entry.header.wrap(entry.iv, entry.ciphertext) != data:
        raise MalformedError("an entry is not in its one encoding")
    return entry


def _from_header(header: object, ciphertext: bytes) -> ParsedEntry:
    if not isinstance(header, dict) or list(header) != _HEADER_KEYS:
        raise MalformedError("an entry's header is not exactly the labels 1, 3, 4, 5, 15, 16")
    kid, iv, claims = header[4], header[5], header[15]
    if (header[1], header[3], header[16]) != (_A256GCM, _JSON, ENTRY_TYPE):
        raise MalformedError("an entry has another algorithm, content format or type")
    if not isinstance(kid, bytes) or len(kid) != KID_BYTES or not isinstance(iv, bytes) or len(iv) != IV_BYTES:
        raise MalformedError(f"an entry's kid is not {KID_BYTES} bytes, or its IV not {IV_BYTES}")
    if not isinstance(claims, dict) or list(claims) != [1] or not isinstance(claims[1], str):
        raise MalformedError("an entry's claims are not exactly its origin")
    if len(ciphertext) < GCM_TAG_BYTES:
        raise MalformedError("an entry's ciphertext is shorter than its authentication tag")
    (generation,) = struct.unpack_from(">I", kid)
    tag, commitment = kid[4 : 4 + TAG_BYTES], kid[4 + TAG_BYTES :]
    return ParsedEntry(generation, tag, commitment, iv, check_origin(claims[1]), ciphertext)


def _decode(data: bytes) -> object:
    try:
        decoded: object = cbor2.loads(data)
    except (cbor2.CBORError, ValueError, TypeError, OverflowError, RecursionError):
        raise MalformedError("an entry is not CBOR") from None
    return decoded


def byte_string_head(length: int) -> bytes:
    """Return the shortest CBOR head of a byte string (RFC 8949 3)."""
    if length < 24:  # noqa: PLR2004 - fits into the initial byte
        return bytes([0x40 | length])
    if length <= 0xFF:  # noqa: PLR2004 - one length byte
        return bytes([0x58, length])
    if length <= 0xFFFF:  # noqa: PLR2004 - two length bytes
        return b"\x59" + length.to_bytes(2)
    return b"\x5a" + length.to_bytes(4)
