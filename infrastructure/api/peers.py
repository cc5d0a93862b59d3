"""From which address a request comes, also where proxies stand before this process.

Invariants:
- X-Forwarded-For and Forwarded (RFC 7239) count only where the peer itself is a proxy that this was told to trust; then
  each is read from the right, past further trusted proxies, and the first other address is the client's. What stands
  left of that anybody may have written.
- Where both stand there and name different clients, the proxy itself is the client: it keeps one of them only, and the
  other is a stranger's word.
- Where an entry is no address, whoever passed it on is the client: strangers then share what is that proxy's.
- One holder of IPv6 has at least a /64: it counts as one.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from starlette.types import Scope

from domain.errors import MalformedError

MOST_PROXIES: Final = 64
_MOST_HOPS: Final = 16
_MOST_CHARACTERS: Final = 2_048
"""Of Forwarded: 16 elements are shorter."""
_V6_PREFIX: Final = 64
_BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\](?::[0-9]{1,5})?")
_WITH_PORT: Final = re.compile(r"([0-9.]{7,15}):[0-9]{1,5}")

_WORD: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE: Final = rf'(?:{_WORD}|"(?:[\t !#-\[\]-~]|\\[\t -~])*")'
_PAIR: Final = re.compile(rf"({_WORD})=({_VALUE})")
_ELEMENT: Final = re.compile(rf"[ \t]*({_WORD}={_VALUE}(?:[\t ]*;[\t ]*{_WORD}={_VALUE})*)[ \t]*(?:,|$)")
"""One element of Forwarded with the comma behind it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Read addresses and CIDR blocks of trusted proxies.

    Raises:
        MalformedError: when one is neither, has bits beyond its prefix, or would trust everybody; or at too many.
    """
    if len(texts) > MOST_PROXIES:
        raise MalformedError(f"at most {MOST_PROXIES} trusted proxies can be named")
    found: list[Network] = []
    for text in texts:
        try:
            one = ipaddress.ip_network(text)
        except ValueError:
            raise MalformedError(
                f"a trusted proxy is ADDRESS or ADDRESS/PREFIX without bits beyond its prefix: {text[:64]!a}"
            ) from None
        if one.prefixlen == 0:
            raise MalformedError("everybody can't be a trusted proxy: anybody could name any address as its own")
        found.append(one)
    return tuple(found)


class Peers:
    """Tells requests' clients apart by their addresses.

    Args:
        proxies: addresses and CIDR blocks of the proxies that are trusted.

    Raises:
        MalformedError: when one is none.
    """

    def __init__(self, proxies: Sequence[str] = ()) -> None:
        self._proxies = networks(proxies)

    def trusts(self, peer: str) -> bool:
        """Tell whether a peer is a trusted proxy."""
        address = _address(peer)
        return address is not None and self._trusted(address)

    def client(self, scope: Scope) -> str:
        """Return in whose name a request counts: its client's address, an IPv6 one's /64."""
        peer = scope["client"][0] if scope.get("client") else ""
        hop = _address(peer)
        if hop is None or not self._trusted(hop):
            return counted(peer)
        found = {str(self._walked(hop, hops)) for hops in (_x_forwarded_for(scope), _forwarded(scope)) if hops}
        return counted(found.pop() if len(found) == 1 else peer)

    def _walked(self, hop: Address, hops: list[Address | None]) -> Address:
        """Return the first address from the right that is no trusted proxy's; as far as there are addresses."""
        for before in reversed(hops[-_MOST_HOPS:]):
            if before is None:
                break
            hop = before
            if not self._trusted(hop):
                break
        return hop

    def _trusted(self, address: Address) -> bool:
        return any(address.version == one.version and address in one for one in self._proxies)


def counted(peer: str) -> str:
    """Return the name under which an address counts."""
    address = _address(peer)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(address), _V6_PREFIX), strict=False))
    return peer if address is None else str(address)


def _x_forwarded_for(scope: Scope) -> list[Address | None]:
    said = _fields(scope, b"x-forwarded-for")
    return (
        [_address(text.strip(" \t")) for text in said.rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]] if said is not None else []
    )


def _forwarded(scope: Scope) -> list[Address | None]:
    """Return who the elements of Forwarded (RFC 7239 4) were for; None for one that names no address.

    What is not of that grammar, or names somebody twice in an element, names nobody: where it is wrong can't be told
    apart from where a stranger's own words end.
    """
    said = _fields(scope, b"forwarded")
    if said is None:
        return []
    if len(said) > _MOST_CHARACTERS:
        return [None]
    hops: list[Address | None] = []
    at = 0
    while True:
        element = _ELEMENT.match(said, at)
        if element is None:
            return [None]
        pairs = [(name.lower(), value) for name, value in _PAIR.findall(element[1])]
        if len({name for name, _ in pairs}) != len(pairs):
            return [None]
        hops.append(_node(dict(pairs).get("for", "")))
        at = element.end()
        if at == len(said):
            return hops if not said.endswith(",") else [None]


def _node(value: str) -> Address | None:
    """Return a node's address (RFC 7239 6): an IPv6 one stands in brackets, and what has a colon in quotes."""
    quoted = value.startswith('"')
    name = value[1:-1] if quoted else value
    if "\\" in name or (":" in name and not (quoted and (name.startswith("[") or _WITH_PORT.fullmatch(name)))):
        return None
    return _address(name)


def _fields(scope: Scope, wanted: bytes) -> str | None:
    found = [value.decode("latin-1") for name, value in scope["headers"] if name == wanted]
    return ",".join(found) if found else None


def _address(text: str) -> Address | None:
    """Return an address, with or without a port, None where it is none. One of IPv4 in IPv6's clothes is IPv4's."""
    match = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    try:
        found = ipaddress.ip_address(match[1] if match else text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
