"""Where a ledger is asked: its URL, taken apart, and what its certificate may rest on.

Invariants:
- Beyond loopback over TLS only (1.2 or later), the server's certificate verified.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from domain.errors import MalformedError

_PORTS: Final = {"https": 443, "http": 80}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Address:
    """A server: its URL without path, host and port; `tls` where it is reached over TLS."""

    base: str
    host: str
    port: int
    tls: ssl.SSLContext | None = field(repr=False)

    @property
    def authority(self) -> str:
        """The Host header: as the URL spells it."""
        return self.base.partition("://")[2]

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, url: str, ca: Path | None = None) -> Self:
        """Take a URL apart.

        Args:
            url: https://HOST[:PORT], or http://127.0.0.1:PORT.
            ca: file of the certificates that the server's may rest on; None: the system's.

        Raises:
            MalformedError: when the URL is none of these, or the file holds no certificates.
        """
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = 0
        plain = parts.path not in {"", "/"} or parts.query or parts.fragment or parts.username is not None
        if parts.scheme not in _PORTS or plain or not parts.hostname or port == 0:
            raise MalformedError("the server is named as https://HOST, or on loopback as http://127.0.0.1:PORT")
        encrypted = parts.scheme == "https"
        if not encrypted and parts.hostname not in _LOOPBACK:
            raise MalformedError("the server is not on loopback: beyond it this speaks https only")
        tls = _trusting(ca) if encrypted else None
        return cls(url.removesuffix("/"), parts.hostname, port or _PORTS[parts.scheme], tls)


def _trusting(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise MalformedError(f"{ca} holds no certificates that can be used: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
