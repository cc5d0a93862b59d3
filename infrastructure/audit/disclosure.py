"""keys.json: the stream keys that go with a bundle. Disclosure is by K_s, stream by stream, and is itself an event.

Format (JCS): {"format": "ledger-keys/v1", "origin": ..., "streams": [{"stream": uuid, "generation": n, "tag": hex,
"key": hex}, ...]} in the order of (stream, generation). The tag is carried because it can't be computed without K.

Invariants:
- One spelling: what is read is exactly what `keys_document` prints. It is read row by row and never held as JSON
  values, so memory is a small multiple of the file [a foreign file of millions of rows].
- A stream has one key in each generation, and a tag stands for one stream.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError, VerificationError
from infrastructure.closing import Closing
from infrastructure.keys.stream_keys import MAX_GENERATION, StreamKey
from infrastructure.tlog.files import open_file

KEYS = "keys.json"
FORMAT = "ledger-keys/v1"
MAX_KEYS_BYTES = 64 * 1024 * 1024
"""Room for about 340,000 streams."""

_HEAD = re.compile(rb'\{"format":"%s","origin":"([!#-\[\]-~]{1,255})","streams":\[' % FORMAT.encode())
_ROW = re.compile(
    rb'\{"generation":(0|[1-9][0-9]{0,9}),"key":"([0-9a-f]{64})",'
    rb'"stream":"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})","tag":"([0-9a-f]{32})"\}'
)
_TAIL = b"]}"
_MAX_HEAD_BYTES = 512
MAX_ROW_BYTES = 256
"""Longer than any row with the comma before it."""

_CHUNK_BYTES = 1 << 20
_ROWS = 1000
TWICE = f"{KEYS}: its rows are not in order, or a stream or tag stands there twice"


def keys_document(origin: str, keys: Iterable[StreamKey]) -> bytes:
    """Return the bytes of keys.json."""
    return b"".join(keys_pieces(origin, sorted(keys, key=order_of)))


def keys_pieces(origin: str, keys: Iterable[StreamKey]) -> Iterator[bytes]:
    """Yield the bytes of keys.json in pieces, of keys that come by stream and generation."""
    rows = map(_printed, keys)
    yield canonical({"format": FORMAT, "origin": origin, "streams": []}).removesuffix(_TAIL)
    between = b""
    while piece := b",".join(islice(rows, _ROWS)):
        yield between + piece
        between = b","
    yield _TAIL


def _printed(key: StreamKey) -> bytes:
    return canonical(
        {"stream": str(key.stream_id), "generation": key.generation, "tag": key.tag.hex(), "key": key.secret.hex()}
    )


def read_keys(directory: Path) -> tuple[str, Mapping[bytes, StreamKey]]:
    """Read a bundle's keys.json: the origin, and the keys by tag. Exactly what `keys_document` prints is taken.

    Raises:
        VerificationError: when it is missing or larger than MAX_KEYS_BYTES.
        MalformedError: when it is not of its format.
    """
    with KeysFile(directory, MAX_KEYS_BYTES) as file:
        keys: dict[bytes, StreamKey] = {}
        for _, key in file.rows():
            if key.tag in keys:
                raise MalformedError(TWICE)
            keys[key.tag] = key
        return file.origin, keys


class KeysFile(Closing):
    """A bundle's keys.json, read row by row. Close it.

    Raises:
        VerificationError: when it is missing or larger than `limit` bytes.
        MalformedError: when it does not begin as its format says.
    """

    def __init__(self, directory: Path, limit: int) -> None:
        self._descriptor = open_file(directory, KEYS, limit)
        head = _HEAD.match(os.pread(self._descriptor, _MAX_HEAD_BYTES, 0))
        if head is None:
            os.close(self._descriptor)
            raise MalformedError(f"{KEYS} is not of the format {FORMAT}")
        self.origin = head.group(1).decode("ascii")
        self._first = head.end()

    def rows(self) -> Iterator[tuple[int, StreamKey]]:
        """Yield each row's place in the file and its key, by stream and generation. Raises as `matches` does."""
        for place, row in self.matches():
            yield place, _key(row)

    def matches(self) -> Iterator[tuple[int, re.Match[bytes]]]:
        """Yield each row's place in the file, and the row: its generation, secret, stream and tag as they are written.

        Raises:
            MalformedError: where the file does not go on exactly as it must.
        """
        place, last, data, at = self._first, (b"", -1), b"", 0
        while True:
            if len(data) - at <= MAX_ROW_BYTES:
                place, at, data = place + at, 0, os.pread(self._descriptor, _CHUNK_BYTES, place + at)
            if data[at:] == _TAIL:
                return
            comma = 0 if last[1] < 0 else 1
            row = _ROW.match(data, at + comma)
            if row is None or int(row[1]) > MAX_GENERATION or data[at : at + comma] != b","[:comma]:
                raise MalformedError(f"{KEYS} is not of the format {FORMAT} (at byte {place + at})")
            order = row[3], int(row[1])
            if order <= last:
                raise MalformedError(TWICE)
            yield place + at + comma, row
            last, at = order, row.end()

    def row(self, place: int) -> StreamKey:
        """Return the key of the row at a place.

        Raises:
            VerificationError: when no row is there any more.
        """
        row = _ROW.match(os.pread(self._descriptor, MAX_ROW_BYTES, place))
        if row is None or int(row[1]) > MAX_GENERATION:
            raise VerificationError(f"{KEYS}: it was changed while it was read")
        return _key(row)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._descriptor)


def order_of(key: StreamKey) -> tuple[str, int]:
    """Return what rows are ordered by."""
    return str(key.stream_id), key.generation


def _key(row: re.Match[bytes]) -> StreamKey:
    generation, secret, stream, tag = row.groups()
    return StreamKey(
        UUID(stream.decode()), int(generation), bytes.fromhex(tag.decode()), bytes.fromhex(secret.decode())
    )
