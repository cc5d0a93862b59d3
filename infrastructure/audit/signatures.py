"""Signatures that somebody else in this audit has verified already.

Invariants:
- A signature counts as verified only for exactly this key, these bytes and this signature.
- Whether the key is the right one, enrolled, in time and for this purpose, is not decided here: only the arithmetic is
  done elsewhere, in processes that do nothing else. What they did not verify is verified here.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any

from domain.cacs.events import CacIssued
from domain.errors import LedgerError
from infrastructure.credentials.data_integrity import signed_parts
from infrastructure.keys import ed25519
from infrastructure.keys.did_key import public_key
from infrastructure.keys.thumbprint import thumbprint
from infrastructure.statements import jws

Parts = tuple[bytes, bytes, bytes]
"""Public key, signature, message."""

_TOKENS = ("submission", "evidence", "certificate", "report", "statement")
_TOKEN_LISTS = ("statements", "acceptances")


class Signatures:
    """Verifies signatures, but for those in `verified`."""

    def __init__(self) -> None:
        self.verified: frozenset[bytes] = frozenset()

    def verify(self, public: bytes, signature: bytes, message: bytes) -> None:
        """Check a signature. Raises as `infrastructure.keys.ed25519.verify` does."""
        if not self.verified or _name(public, signature, message) not in self.verified:
            ed25519.verify(public, signature, message)


def verified_in(topic: str, event: Mapping[str, Any], keys: Mapping[str, bytes]) -> Iterator[bytes]:
    """Verify what is signed inside an event as far as the event itself, or `keys` by thumbprint, tell the key.

    Yields:
        A name for each signature that holds, for `Signatures.verified`. What does not hold, or is not of its form, is
        left to whoever judges it.
    """
    for parts in _signed(topic, event, keys):
        try:
            ed25519.verify(*parts)
        except LedgerError:
            continue
        yield _name(*parts)


def _signed(topic: str, event: Mapping[str, Any], keys: Mapping[str, bytes]) -> Iterator[Parts]:
    for token in _tokens(event):
        try:
            statement = jws.parse(token)
            public = keys.get(statement.kid) or public_key(statement.payload["iss"])
            if thumbprint(public) == statement.kid:
                yield public, statement.signature, statement.signing_input
        except LedgerError:
            continue
    if topic == CacIssued.TOPIC:
        try:
            yield signed_parts(event["document"])
        except (LedgerError, LookupError, TypeError, ValueError, AttributeError):
            return


def _tokens(event: Mapping[str, Any]) -> Iterable[str]:
    for name in _TOKENS:
        if type(event.get(name)) is str:
            yield event[name]
    for name in _TOKEN_LISTS:
        if type(event.get(name)) is list:
            yield from (token for token in event[name] if type(token) is str)


def _name(public: bytes, signature: bytes, message: bytes) -> bytes:
    return sha256(public + signature + message).digest()
