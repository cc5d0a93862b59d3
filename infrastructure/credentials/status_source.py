"""Where status lists come from: a port, and the adapters that read files. Nothing here trusts what it reads.

Invariants:
- Reads are bounded: in number and size. What can't be read is unavailable, and unavailable denies.
- A stamp tells whether what was found is still what lies there, so a caller may keep what it verified for a while. A
  list that newly comes to lie elsewhere shows once the caller looks again.
"""

import os
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, Protocol

from domain.errors import MalformedError, UnavailableError
from infrastructure.credentials.data_integrity import parse_document
from infrastructure.credentials.status_list import MAX_LIST_BYTES

_MAX_FILES: Final = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """What may be the list of a URL, newest or not, verified or not.

    Attributes:
        candidates: the lists.
        named: whether they say the URL themselves.
        places: where they were found, for `stamp`.
        stamp: of these places, from before anything was read there.
    """

    candidates: tuple[bytes, ...]
    named: bool
    places: tuple[Path, ...]
    stamp: Hashable


class StatusSource(Protocol):
    """Brings status lists."""

    def stamp(self, places: tuple[Path, ...]) -> Hashable:
        """Return a value that differs once what lies at some places may have changed."""
        ...

    def find(self, list_url: str) -> Found:
        """Return the lists of a URL.

        Raises:
            UnavailableError: when there is none, or it can't be had.
        """
        ...


class StatusFiles:
    """Reads the lists in a directory (its *.json and those one folder below, by their `id`), or the one in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self, places: tuple[Path, ...]) -> Hashable:
        """Return sizes, inodes and times of files and folders; of what is gone, nothing."""
        return tuple(map(_stamp, places))

    def find(self, list_url: str) -> Found:
        """Return the lists whose `id` is a URL; of a single file also one that has no `id`."""
        alone, named = self._path.is_file(), True
        candidates: list[bytes] = []
        before: dict[Path, Hashable] = {}
        stamps = {self._path: _stamp(self._path)}
        for path in self._files():
            for place in (path.parent, path):
                before.setdefault(place, _stamp(place))
            data = _content(path)
            said = list_url if alone else None  # whoever named this very file is told what is wrong with it
            with suppress(MalformedError):
                said = parse_document(data, limit=MAX_LIST_BYTES).get("id")
            if said == list_url or (alone and said is None):
                candidates.append(data)
                named = said is not None
                stamps |= {place: before[place] for place in (path.parent, path)}
        if not candidates:
            raise UnavailableError("its status list is not there")
        return Found(tuple(candidates), named, tuple(stamps), tuple(stamps.values()))

    def _files(self) -> Sequence[Path]:
        if self._path.is_file():
            return (self._path,)
        return sorted(islice(chain.from_iterable(map(self._path.glob, ("*.json", "*/*.json"))), _MAX_FILES))


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_LIST_BYTES + 1)
    except OSError:
        raise UnavailableError("a status list cannot be read") from None


def _stamp(place: Path) -> Hashable:
    try:
        stat = os.stat(place)  # noqa: PTH116 - asked at each check, and half as long as Path.stat
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns, stat.st_ino
