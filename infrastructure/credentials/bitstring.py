"""The bitstring of a status list: multibase base64url of GZIP (Bitstring Status List 1.0, sections 3.3 and 3.4).

Invariants:
- Entry 0 is the left-most bit. An expanded bitstring has at least 131,072 bits (herd privacy) and at most 2^24.
- Expansion stops at its bound whatever the compressed bytes promise; one GZIP member, whole, and nothing after it.
- Encoding is a function of the bits alone: no name, no time of making.
"""

import gzip
import zlib
from typing import Final

from domain.errors import MalformedError
from infrastructure.keys import base64url

MIN_ENTRIES: Final = 131_072
MAX_BYTES: Final = 2_097_152
"""Greatest length of an expanded bitstring: 2^24 bits."""

_MULTIBASE_BASE64URL = "u"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


def encode_bits(bits: bytes) -> str:
    """Return `encodedList` of a bitstring."""
    return _MULTIBASE_BASE64URL + base64url.encode(gzip.compress(bits, mtime=0))


def expand_bits(text: object) -> bytes:
    """Return the bitstring of an `encodedList`.

    Raises:
        MalformedError: when it is not multibase base64url of one GZIP member, or expands beyond MAX_BYTES.
    """
    if not isinstance(text, str) or not text.startswith(_MULTIBASE_BASE64URL):
        raise MalformedError("an encodedList is not multibase base64url (u...)")
    data = base64url.decode(text[1:])
    expander = zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        bits = expander.decompress(data, MAX_BYTES + 1)
    except zlib.error:
        raise MalformedError("an encodedList is not GZIP") from None
    if len(bits) > MAX_BYTES:
        raise MalformedError(f"an encodedList expands to more than {MAX_BYTES} bytes")
    if not expander.eof or expander.unused_data or expander.unconsumed_tail:
        raise MalformedError("an encodedList is cut off, or something follows it")
    return bits


def read_status(bits: bytes, index: int, size: int = 1) -> int:
    """Return the status of an entry: `size` bits from bit `index * size` on, the left-most first.

    Raises:
        MalformedError: when the list has fewer than MIN_ENTRIES entries, or none of that index.
    """
    length = len(bits) * 8
    if length // size < MIN_ENTRIES:
        raise MalformedError(f"a status list has fewer than {MIN_ENTRIES} entries")
    start, end = index * size, (index + 1) * size
    if index < 0 or end > length:
        raise MalformedError("a status list has no entry of that index")
    first, last = start // 8, (end + 7) // 8
    return int.from_bytes(bits[first:last]) >> (last * 8 - end) & ((1 << size) - 1)


def with_status(bits: bytes, index: int, *, on: bool) -> bytes:
    """Return a bitstring of one-bit entries with one entry set or cleared. Raises as `read_status` does."""
    read_status(bits, index)
    changed = bytearray(bits)
    mask = 0x80 >> index % 8
    changed[index // 8] = changed[index // 8] | mask if on else changed[index // 8] & ~mask
    return bytes(changed)
