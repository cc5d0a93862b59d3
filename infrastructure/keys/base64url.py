"""base64url without padding (RFC 7515 2), strict.

Invariants:
- Every byte string has one spelling: padding, other symbols, white space and stray trailing bits refuse.
"""

import base64
import re

from domain.errors import MalformedError

_SYMBOLS = re.compile(r"[A-Za-z0-9_-]*")


def encode(data: bytes) -> str:
    """Return the one spelling of some bytes."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes of a base64url string.

    Raises:
        MalformedError: when it is not the one spelling of any bytes.
    """
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        data = None
    if data is not None and encode(data) == text:
        return data
    if _SYMBOLS.fullmatch(text) is None or len(text) % 4 == 1:
        raise MalformedError("not base64url without padding")
    raise MalformedError("base64url with stray trailing bits")
