r"""Seals addresses at which others are told (webhooks' URLs): a URL may hold a secret, and where it lies is backed up.

Invariants:
- Sealed = base64url of what `AtRest` makes of the URL, for one place: a text of one place opens at no other.
- The URL is filled up with spaces, which none holds, to a multiple of 64 bytes: its exact length is not told.
- A tenant's addresses are sealed with its own log's keys (`Ledger.at_rest(log_id)`), so they end with it; the cell's
  own with HMAC(cell secret, "ledger address key v1\0").
"""

import hashlib
import hmac
import re
from typing import Final

from domain.canonical import canonical
from domain.errors import MalformedError, VerificationError
from infrastructure.entropy import Entropy
from infrastructure.keys import base64url
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.port import KeyringPort
from infrastructure.keys.stream_keys import DataKey

MAX_URL_BYTES: Final = 2000

_KEY: Final = b"ledger address key v1\0"
_CONTEXT: Final = b"ledger address v1\0"
_FILL: Final = 64
_URL: Final = re.compile(rf"[!-~]{{1,{MAX_URL_BYTES}}}", re.ASCII)
_MOST_SEALED: Final = 4096


def seal_address(at_rest: AtRest, place: tuple[str, ...], url: str) -> str:
    """Return a URL sealed for one place.

    Args:
        at_rest: of the log whose address it is (`Ledger.at_rest`), or of the cell (`cell_addresses`).
        place: names what the address belongs to, with the kind of thing first.
        url: 1 to 2000 printable ASCII characters.

    Raises:
        MalformedError: when it is none.
    """
    if not _URL.fullmatch(url):
        raise MalformedError(f"an address is 1 to {MAX_URL_BYTES} printable ASCII characters without spaces")
    filled = url.ljust(-(-len(url) // _FILL) * _FILL).encode("ascii")
    return base64url.encode(at_rest.seal(_context(place), filled))


def open_address(at_rest: AtRest, place: tuple[str, ...], sealed: str) -> str:
    """Return the URL that was sealed for this place.

    Raises:
        MalformedError: when the text is not of its form.
        VerificationError: when it was sealed for another place or with other keys, or was changed.
    """
    if len(sealed) > _MOST_SEALED:
        raise MalformedError(f"a sealed address is longer than {_MOST_SEALED} characters")
    url = at_rest.open(_context(place), base64url.decode(sealed)).decode("ascii", "replace").rstrip(" ")
    if not _URL.fullmatch(url):
        raise VerificationError("what was sealed is no address")
    return url


def cell_addresses(keyring: KeyringPort, entropy: Entropy) -> AtRest:
    """Return what seals the addresses that belong to no tenant: the operator's own."""
    key = hmac.digest(keyring.platform_secrets().cell, _KEY, hashlib.sha256)
    return AtRest([DataKey(0, key)], entropy)


def _context(place: tuple[str, ...]) -> bytes:
    return _CONTEXT + canonical(list(place))
