"""keys.json: the stream keys that go with a bundle. Disclosure is by K_s, stream by stream, and is itself an event.

Format (JCS): {"format": "ledger-keys/v1", "origin": ..., "streams": [{"stream": uuid, "generation": n, "tag": hex,
"key": hex}, ...]} in the order of (stream, generation). The tag is carried because it can't be computed without K.

Invariants:
- One spelling: what is read is exactly what `keys_document` prints. It is read row by row and never held as JSON
  values, so memory is a small multiple of the file [a foreign file of millions of rows].
- A stream has one key in each generation, and a tag stands for one stream.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical
from domain.errors import MalformedError
from infrastructure.keys.stream_keys import MAX_GENERATION, StreamKey
from infrastructure.tlog.files import read_file

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


def keys_document(origin: str, keys: Iterable[StreamKey]) -> bytes:
    """Return the bytes of keys.json."""
    rows = [
        canonical(
            {"stream": str(key.stream_id), "generation": key.generation, "tag": key.tag.hex(), "key": key.secret.hex()}
        )
        for key in sorted(keys, key=_order)
    ]
    head = canonical({"format": FORMAT, "origin": origin, "streams": []})
    return head.removesuffix(_TAIL) + b",".join(rows) + _TAIL


def read_keys(directory: Path) -> tuple[str, Mapping[bytes, StreamKey]]:
    """Read a bundle's keys.json: the origin, and the keys by tag. Exactly what `keys_document` prints is taken.

    Raises:
        VerificationError: when it is missing or larger than MAX_KEYS_BYTES.
        MalformedError: when it is not of its format.
    """
    data = read_file(directory, KEYS, MAX_KEYS_BYTES)
    head = _HEAD.match(data)
    if head is None:
        raise MalformedError(f"{KEYS} is not of the format {FORMAT}")
    keys: dict[bytes, StreamKey] = {}
    last = ("", -1)
    for key in _rows(data, head.end()):
        if _order(key) <= last or key.tag in keys:
            raise MalformedError(f"{KEYS}: its rows are not in order, or a stream or tag stands there twice")
        last, keys[key.tag] = _order(key), key
    return head.group(1).decode("ascii"), keys


def _order(key: StreamKey) -> tuple[str, int]:
    return str(key.stream_id), key.generation


def _rows(data: bytes, position: int) -> Iterator[StreamKey]:
    """Yield the rows from a position on, where the file goes on exactly as it must."""
    first = True
    while data[position : position + len(_TAIL) + 1] != _TAIL:
        if not first and data[position : position + 1] != b",":
            raise MalformedError(f"{KEYS} is not of the format {FORMAT} (at byte {position})")
        row = _ROW.match(data, position if first else position + 1)
        if row is None or int(row.group(1)) > MAX_GENERATION:
            raise MalformedError(f"{KEYS} is not of the format {FORMAT} (at byte {position})")
        generation, secret, stream, tag = row.groups()
        yield StreamKey(
            UUID(stream.decode()), int(generation), bytes.fromhex(tag.decode()), bytes.fromhex(secret.decode())
        )
        first, position = False, row.end()
