"""Finds disclosed stream keys in keys.json without holding them: files of millions of rows, several processes.

Invariants:
- The file is read once from end to end, as strictly as `read_keys` reads it. What is kept of a row is its tag and its
  place; the key itself is read again when an entry of its stream comes, and must be the row of that tag still.
- The index lies in a file that processes map: they share its pages. It holds no key.
"""

import hashlib
import mmap
from array import array
from bisect import bisect_left
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from domain.errors import MalformedError, VerificationError
from infrastructure.audit.disclosure import KEYS, TWICE, KeysFile, order_of
from infrastructure.closing import Closing
from infrastructure.keys.stream_keys import MAX_GENERATION, TAG_BYTES, StreamKey
from infrastructure.tlog.layout import MAX_FILE_BYTES

_PLACE_BYTES = 8
_ENTRY_BYTES = TAG_BYTES + _PLACE_BYTES
_PREFIX_BYTES = 2
_CACHED = 65_536


class KeyIndex(Closing):
    """Disclosed keys by tag.

    Args:
        directory: the bundle, whose keys.json was indexed.
        index: the file that `build_index` wrote.
    """

    def __init__(self, directory: Path, index: Path) -> None:
        self._file = KeysFile(directory, MAX_FILE_BYTES)
        self._count = index.stat().st_size // _ENTRY_BYTES
        self._index: mmap.mmap | bytes = b""
        if self._count:
            with index.open("rb") as file:
                self._index = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

        self._firsts = self._first_of_each_prefix()

    def _first_of_each_prefix(self) -> "array[int]":
        """Return where the tags of each 16-bit prefix begin: tags are HMACs, so few are left to search."""
        firsts = array("Q", [0])
        for at in range(self._count):
            prefix = int.from_bytes(self._index[at * _ENTRY_BYTES : at * _ENTRY_BYTES + _PREFIX_BYTES])
            while len(firsts) <= prefix:
                firsts.append(at)
        while len(firsts) <= 1 << 8 * _PREFIX_BYTES:
            firsts.append(self._count)
        return firsts

    def get(self, tag: bytes) -> StreamKey | None:
        """Return the key with a tag, or None.

        Raises:
            VerificationError: when the file was changed since it was indexed.
        """
        bucket = int.from_bytes(tag[:_PREFIX_BYTES])
        first, end = self._firsts[bucket], self._firsts[bucket + 1]
        at = bisect_left(range(first, end), tag, key=self._tag) + first
        if at == end or self._tag(at) != tag:
            return None
        key = self._file.row(int.from_bytes(self._index[at * _ENTRY_BYTES + TAG_BYTES : (at + 1) * _ENTRY_BYTES]))
        if key.tag != tag:
            raise VerificationError(f"{KEYS}: it was changed while it was read")
        return key

    def _tag(self, at: int) -> bytes:
        return self._index[at * _ENTRY_BYTES : at * _ENTRY_BYTES + TAG_BYTES]

    def close(self) -> None:
        """Let the files go."""
        self._file.close()
        if isinstance(self._index, mmap.mmap):
            self._index.close()


class Disclosure(NamedTuple):
    """What a keys.json discloses: H(JCS of its streams) in hex; how many generations, from 0 on, it has of each."""

    streams_digest: str
    generations: int


class DisclosedStreams(Closing):
    """Which streams were disclosed, and with the keys of which generations.

    Args:
        directory: the bundle.
        places: of the rows of its keys.json, as `build_index` returns them.
    """

    def __init__(self, directory: Path, places: "array[int]") -> None:
        self._file = KeysFile(directory, MAX_FILE_BYTES)
        self._places = places
        self.generations = lru_cache(_CACHED)(self._generations)

    @cached_property
    def disclosure(self) -> Disclosure:
        """Return what the file discloses, as an event of it would say."""
        digest, whole, separator = hashlib.sha256(b"["), MAX_GENERATION + 1, b""
        for stream, rows in groupby(self._file.matches(), key=lambda found: found[1][3]):
            digest.update(separator + b'"' + stream + b'"')
            separator, count = b",", 0
            for _, row in rows:
                count += int(row[1]) == count
            whole = min(whole, count)
        digest.update(b"]")
        return Disclosure(digest.hexdigest(), whole)

    def _generations(self, stream: UUID) -> frozenset[int]:
        """Return the generations of a stream's keys; none where it was not disclosed."""
        found: set[int] = set()
        first = bisect_left(self._places, (str(stream), 0), key=lambda place: order_of(self._file.row(place)))
        for at in range(first, len(self._places)):
            key = self._file.row(self._places[at])
            if key.stream_id != stream:
                break
            found.add(key.generation)
        return frozenset(found)

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def build_index(directory: Path, index: Path) -> tuple[str, "array[int]"]:
    """Read a bundle's keys.json, and write the index of its tags.

    Returns:
        The origin, and the places of the rows.

    Raises:
        VerificationError: when the file is missing or too large.
        MalformedError: when it is not of its format.
    """
    places, entries = array("Q"), []
    file = KeysFile(directory, MAX_FILE_BYTES)
    try:
        for place, row in file.matches():
            places.append(place)
            entries.append(bytes.fromhex(row[4].decode()) + place.to_bytes(_PLACE_BYTES))
    finally:
        file.close()
    entries.sort()
    if any(entries[at - 1][:TAG_BYTES] == entries[at][:TAG_BYTES] for at in range(1, len(entries))):
        raise MalformedError(TWICE)
    with index.open("wb") as out:
        out.writelines(entries)
    return file.origin, places
