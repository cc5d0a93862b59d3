"""Cursors: where a page ended, opaque to clients.

Invariants:
- A cursor holds a place in the asker's own log or of what everybody may know: nothing secret, nothing cell-wide.
- Exactly what `print_cursor` gave is read again, by the kind of page that gave it; everything else is refused.
"""

import re
from typing import Final

from domain.errors import MalformedError
from infrastructure.keys import base64url

MAX_CURSOR_CHARACTERS: Final = 512
_PLACE: Final = re.compile(r"[\x21-\x7e]{1,256}")
_KIND: Final = re.compile(r"[a-z]{1,16}")


def print_cursor(kind: str, place: str) -> str:
    """Return the cursor of a place.

    Args:
        kind: of the pages that it goes on with.
        place: 1 to 256 printable ASCII characters.

    Raises:
        MalformedError: when either is none.
    """
    if not _KIND.fullmatch(kind) or not _PLACE.fullmatch(place):
        raise MalformedError("no cursor names this place")
    return base64url.encode(f"{kind} {place}".encode("ascii"))


def read_cursor(kind: str, cursor: str) -> str:
    """Return the place of a cursor.

    Raises:
        MalformedError: when it is none of pages of this kind.
    """
    try:
        if len(cursor) <= MAX_CURSOR_CHARACTERS and cursor.isascii():
            found, _, place = base64url.decode(cursor).decode("ascii").partition(" ")
            if found == kind and print_cursor(kind, place) == cursor:
                return place
    except (MalformedError, UnicodeDecodeError):
        pass
    raise MalformedError("the cursor is none that this gave: begin again without one")


def read_index(kind: str, cursor: str) -> int:
    """Return the number that a cursor's place is. Raises as `read_cursor` does."""
    place = read_cursor(kind, cursor)
    if not re.fullmatch(r"0|[1-9][0-9]{0,17}", place):
        raise MalformedError("the cursor is none that this gave: begin again without one")
    return int(place)
