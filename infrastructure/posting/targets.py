"""Where a webhook is, and to which machines it may lead.

Invariants:
- A URL is http or https, with a host, without user and fragment, in printable ASCII. Of it only the host is ever said.
- A guarded target is looked up at each try, and only addresses that were checked are connected to, so a name that leads
  elsewhere a moment later leads nowhere. All of a name's addresses must be public, or in networks that the operator
  allows; plain http goes to those networks only.
"""

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from domain.errors import MalformedError, RefusedError, UnavailableError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARACTERS: Final = 2000
_PRINTABLE: Final = re.compile(rf"[!-~]{{1,{MAX_URL_CHARACTERS}}}", re.ASCII)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's URL, taken apart.

    Attributes:
        url: whole; it may hold a secret, so it stands in no text.
        secure: https.
        host: as it is looked up, and named in the TLS handshake.
        port: where to connect.
        path: with its query.
    """

    url: str = field(repr=False)
    secure: bool
    host: str
    port: int
    path: str = field(repr=False)

    @classmethod
    def parse(cls, url: str) -> "Target":
        """Take a URL apart.

        Raises:
            MalformedError: when it can't be a webhook's.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise MalformedError("a webhook's URL is malformed") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not _PRINTABLE.fullmatch(url):
            raise MalformedError("a webhook's URL begins with http:// or https:// and a host")
        if "@" in parts.netloc or "#" in url or "\\" in url:
            raise MalformedError("a webhook's URL has no user and no fragment")
        secure = parts.scheme == "https"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return cls(url, secure, parts.hostname, port or (443 if secure else 80), path)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read networks separated by commas or spaces.

    Raises:
        MalformedError: when one is none.
    """
    try:
        return tuple(ipaddress.ip_network(one) for one in text.replace(",", " ").split())
    except ValueError:
        raise MalformedError("networks of webhooks are CIDR blocks, e.g. 10.1.0.0/16, separated by commas") from None


def addresses(target: Target, allowed: Sequence[Network]) -> list[str]:
    """Return the addresses that a guarded target may be connected at.

    Raises:
        UnavailableError: when its name leads nowhere at the moment.
        RefusedError: when it leads to where no webhook may.
    """
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UnavailableError(f"{target.host} is not found") from None
    hosts = list(dict.fromkeys(str(address[0]) for *_, address in found))
    inside = [any(ip in network for network in allowed) for ip in map(_address, hosts)]
    public = [_public(ip) for ip in map(_address, hosts)]
    if not hosts or not all(one or other for one, other in zip(inside, public, strict=True)):
        raise RefusedError(f"{target.host} lies in a network to which no webhook leads")
    if not target.secure and not all(inside):
        raise RefusedError(f"{target.host} is not in an allowed network: https is needed")
    return hosts


def _address(text: str) -> _Address:
    return ipaddress.ip_address(text.partition("%")[0])


def _public(ip: _Address) -> bool:
    """Tell whether an address is of the public internet, also where it wraps another one."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return _public(inner)
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
