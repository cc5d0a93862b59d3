"""did:web identifiers: which HTTPS address a DID document has (W3C CCG did:web, "Read (Resolve)").

Invariants:
- The host is a lower-case DNS name of two labels or more whose last one is no number: an IP address in any notation
  (dotted, decimal, octal, hexadecimal, bracketed) and a bare machine name are refused before anybody asks for them.
- A port is `%3A` and a decimal without leading zeros; nothing else is percent-encoded. Path segments are of letters,
  digits, `.`, `_` and `-`, and are neither empty nor dots: no segment leads out of where it stands.
- One DID has one address, and two DIDs never share one.
"""

import re
from dataclasses import dataclass
from typing import Final

from domain.errors import MalformedError

PREFIX: Final = "did:web:"
_MAX_CHARACTERS = 512
_MAX_HOST = 253
_MAX_SEGMENTS = 16
_MAX_PORT = 65_535
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_LAST_LABEL = re.compile(r"[a-z][a-z0-9-]*")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_MIN_LABELS = 2


@dataclass(frozen=True, slots=True)
class WebDid:
    """A did:web, taken apart: host, port (None: 443) and path segments."""

    host: str
    port: int | None
    segments: tuple[str, ...]

    @property
    def did(self) -> str:
        """Return the DID."""
        return PREFIX + ":".join((self.authority.replace(":", "%3A"), *self.segments))

    @property
    def authority(self) -> str:
        """Return host and port as in a URL."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def path(self) -> str:
        """Return the document's path, without the first slash."""
        return "/".join((*(self.segments or (".well-known",)), "did.json"))

    @property
    def url(self) -> str:
        """Return where the document is."""
        return f"https://{self.authority}/{self.path}"


def parse_did_web(did: str) -> WebDid:
    """Take a did:web apart.

    Raises:
        MalformedError: when it is none, or of a host that DIDs may not have.
    """
    if not did.startswith(PREFIX) or len(did) > _MAX_CHARACTERS:
        raise MalformedError("not a did:web of sensible length")
    domain, *segments = did.removeprefix(PREFIX).split(":")
    host, separator, port = domain.partition("%3A")
    labels = host.split(".")
    if len(host) > _MAX_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise MalformedError("the host of a did:web is not a lower-case DNS name")
    if len(labels) < _MIN_LABELS or not _LAST_LABEL.fullmatch(labels[-1]):
        raise MalformedError("the host of a did:web is an IP address or not fully qualified")
    if separator and (not _PORT.fullmatch(port) or int(port) > _MAX_PORT):
        raise MalformedError("the port of a did:web is not %3A and a number up to 65535")
    if len(segments) > _MAX_SEGMENTS or not all(map(_SEGMENT.fullmatch, segments)) or {".", ".."} & set(segments):
        raise MalformedError("a path segment of a did:web is empty, dots, or holds other than letters, digits and ._-")
    return WebDid(host, int(port) if separator else None, tuple(segments))
