"""base64url without padding (RFC 7515 2), strict.

Invariants:
- Every byte string has one spelling: padding, other symbols, white space and stray trailing bits refuse.
"""

import binascii

from domain.errors import MalformedError

_TO_STANDARD = bytes.maketrans(b"-_+/=", b"+/!!!")
"""base64url to base64; what is no symbol of base64url becomes what is none of base64."""

_FROM_STANDARD = bytes.maketrans(b"+/", b"-_")

_LAST = {2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}
"""Which symbols may come last where two or three are left over: their unused bits are zero."""


def encode(data: bytes) -> str:
    """Return the one spelling of some bytes."""
    return binascii.b2a_base64(data, newline=False).translate(_FROM_STANDARD, b"=").decode("ascii")


def decode(text: str) -> bytes:
    """Return the bytes of a base64url string.

    Raises:
        MalformedError: when it is not the one spelling of any bytes.
    """
    unpadded = len(text) % 4
    try:
        symbols = text.encode("ascii").translate(_TO_STANDARD)
        data = binascii.a2b_base64(symbols + b"=" * (-len(text) % 4), strict_mode=True)
    except ValueError:
        raise MalformedError("not base64url without padding") from None
    if unpadded and text[-1] not in _LAST[unpadded]:
        raise MalformedError("base64url with stray trailing bits")
    return data
