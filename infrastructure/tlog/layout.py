"""Which files a bundle holds, and what its manifest says of them (wire formats 2, "A bundle").

Invariants:
- `manifest.json` is canonical JSON {"files": {path: {"sha256", "size"}}} of every file but tiles, itself and its note.
- A listed path is relative, ASCII, without `..`, hidden or empty parts, and outside tile/: it can name nothing outside
  the bundle, and no path is also a directory of another.
- `manifest.note` is no checkpoint: its first line is `ledger-bundle/v1`.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from domain.canonical import canonical, parse_canonical
from domain.errors import MalformedError
from domain.transparency.note import SignatureType, VerifierKey

CHECKPOINT = "checkpoint"
LOG_KEYS = "log.vkey"
MANIFEST = "manifest.json"
MANIFEST_NOTE = "manifest.note"
TILES = "tile"
KEY_NOTES = "keys"
RESERVED = frozenset((CHECKPOINT, LOG_KEYS, MANIFEST, MANIFEST_NOTE))

MAX_FILE_BYTES = 1 << 30
MAX_MANIFEST_BYTES = 16 << 20
MAX_LISTED_FILES = 100_000
MAX_KEYS_BYTES = 8192
"""Two verifier keys of at most 255 + 1,770 bytes with their names."""

_NOTE_HEADER = "ledger-bundle/v1"
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_MAX_PARTS = 8
_CURRENT = (SignatureType.ED25519, SignatureType.ML_DSA_44)


@dataclass(frozen=True, slots=True)
class Listed:
    """What the manifest says of one file: SHA-256 in lowercase hex, and size in bytes."""

    sha256: str
    size: int

    @classmethod
    def of(cls, data: bytes) -> "Listed":
        """Describe these bytes."""
        return cls(hashlib.sha256(data).hexdigest(), len(data))


class Paths:
    """The paths of a bundle, each checked as it comes: none is taken twice, or is a directory of another."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._directories: set[str] = set()

    def add(self, path: str) -> None:
        """Take one more path.

        Raises:
            MalformedError: when a manifest must not list it beside those before it.
        """
        parts = path.split("/")
        if len(parts) > _MAX_PARTS or not all(_PART.fullmatch(part) for part in parts):
            raise MalformedError(f"{path[:200]!a} is not a path that a bundle may hold")
        if parts[0] in (TILES, MANIFEST, MANIFEST_NOTE):
            raise MalformedError(f"{path} has no place in a manifest")
        above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        for name in (path, *above):
            if name in (self._directories if name == path else self._files):
                raise MalformedError(f"{name} is listed as a file and as a directory")
        if path in self._files:
            raise MalformedError(f"{path} is listed twice")
        if len(self._files) == MAX_LISTED_FILES:
            raise MalformedError(f"a bundle lists at most {MAX_LISTED_FILES} files beside its tiles")
        self._files.add(path)
        self._directories.update(above)


def check_paths(paths: Iterable[str]) -> None:
    """Refuse paths that a manifest must not list.

    Raises:
        MalformedError: naming the first such path.
    """
    checked = Paths()
    for path in sorted(paths):
        checked.add(path)


def print_manifest(files: Mapping[str, Listed]) -> bytes:
    """Return the bytes of `manifest.json`.

    Raises:
        MalformedError: for a path or a number of files that readers refuse.
    """
    check_paths(files)
    data = canonical({"files": {path: {"sha256": of.sha256, "size": of.size} for path, of in files.items()}})
    if len(data) > MAX_MANIFEST_BYTES:
        raise MalformedError(f"a manifest is at most {MAX_MANIFEST_BYTES} bytes: fewer files, or shorter names")
    return data


def parse_manifest(data: bytes) -> dict[str, Listed]:
    """Read what `print_manifest` wrote.

    Raises:
        MalformedError: when it is anything else.
    """
    document = parse_canonical(data)
    if not isinstance(document, dict) or list(document) != ["files"] or not isinstance(document["files"], dict):
        raise MalformedError('not a manifest: {"files": {...}} is due')
    files = {path: _parse_listed(path, of) for path, of in document["files"].items()}
    check_paths(files)
    for path in (CHECKPOINT, LOG_KEYS):
        if path not in files:
            raise MalformedError(f"the manifest does not list {path}")
    return files


def _parse_listed(path: str, value: object) -> Listed:
    if isinstance(value, dict) and list(value) == ["sha256", "size"]:
        digest, size = value["sha256"], value["size"]
        if isinstance(digest, str) and _DIGEST.fullmatch(digest) and type(size) is int and 0 <= size <= MAX_FILE_BYTES:
            return Listed(digest, size)
    raise MalformedError(f"the manifest's entry of {path[:200]!a} is malformed")


def manifest_text(origin: str, size: int, manifest: bytes) -> bytes:
    """Return the text of `manifest.note` for a log's origin, a tree size and the manifest's bytes."""
    digest = base64.b64encode(hashlib.sha256(manifest).digest()).decode()
    return f"{_NOTE_HEADER}\n{origin}\n{size}\n{digest}\n".encode()


def key_note_path(generation: int) -> str:
    """Return the path of the note about a generation of the log's keys."""
    return f"{KEY_NOTES}/{generation}.note"


def print_keys(keys: Iterable[VerifierKey]) -> bytes:
    """Return the bytes of `log.vkey`: one verifier key a line, Ed25519 first."""
    return "".join(f"{key}\n" for key in keys).encode()


def parse_keys(data: bytes, origin: str) -> tuple[VerifierKey, ...]:
    """Read `log.vkey`: the current key set of the log with this origin.

    Raises:
        MalformedError: when it is not an Ed25519 and then an ML-DSA-44 key, both named for the origin.
    """
    try:
        keys = tuple(VerifierKey.parse(line) for line in data.decode().removesuffix("\n").split("\n"))
    except UnicodeDecodeError:
        raise MalformedError("not valid UTF-8") from None
    if tuple(key.type for key in keys) != _CURRENT or any(key.name != origin for key in keys):
        raise MalformedError("not an Ed25519 and an ML-DSA-44 key that carry the checkpoint's origin as their name")
    if print_keys(keys) != data:
        raise MalformedError("not one key a line")
    return keys
