"""keys.json: the stream keys that go with a bundle. Disclosure is by K_s, stream by stream, and is itself an event.

Format (JCS): {"format": "ledger-keys/v1", "origin": ..., "streams": [{"stream": uuid, "generation": n, "tag": hex,
"key": hex}, ...]} in the order of (stream, generation). The tag is carried because it can't be computed without K.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from uuid import UUID

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from infrastructure.keys.stream_keys import StreamKey
from infrastructure.tlog.files import read_file

KEYS = "keys.json"
FORMAT = "ledger-keys/v1"
_MAX_BYTES = 512 * 1024 * 1024


def keys_document(origin: str, keys: Iterable[StreamKey]) -> bytes:
    """Return the bytes of keys.json."""
    rows = [
        {"stream": str(key.stream_id), "generation": key.generation, "tag": key.tag.hex(), "key": key.secret.hex()}
        for key in sorted(keys, key=lambda key: (str(key.stream_id), key.generation))
    ]
    return canonical({"format": FORMAT, "origin": origin, "streams": rows})


def read_keys(directory: Path) -> tuple[str, Mapping[bytes, StreamKey]]:
    """Read a bundle's keys.json: the origin, and the keys by tag.

    Raises:
        MalformedError: when it is missing or not of its format.
    """
    document = parse_canonical(read_file(directory, KEYS, _MAX_BYTES))
    try:
        if set(document) != {"format", "origin", "streams"} or document["format"] != FORMAT:
            raise MalformedError(f"{KEYS} is not of the format {FORMAT}")
        keys = [
            StreamKey(UUID(row["stream"]), row["generation"], bytes.fromhex(row["tag"]), bytes.fromhex(row["key"]))
            for row in document["streams"]
        ]
        return str(document["origin"]), {key.tag: key for key in keys}
    except (KeyError, TypeError, ValueError, AttributeError):
        raise MalformedError(f"{KEYS} is not of the format {FORMAT}") from None
