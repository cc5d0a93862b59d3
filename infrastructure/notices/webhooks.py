"""Where recipients of notices are told: their webhooks, and one signed POST to them.

Invariants:
- The body is one statement (compact JWS) by the tenant's attestation key: execution, kind, recipient, instant; nothing
  else of the tenant. It is the same at every try.
- Only an answer of the 2xx kind shows that it arrived. Redirects are not followed; an exchange ends by a deadline.
- Addresses are the operator's: a file in the data directory, its owner's alone, since a URL may hold a secret. For the
  same reason each is sealed under the cell's secret: the file goes into the backup that holds no key.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from domain.errors import MalformedError, UnknownError
from infrastructure.keys.addresses import open_address, seal_address
from infrastructure.keys.at_rest import AtRest
from infrastructure.keys.private_files import (
    finish_replacement,
    locked,
    make_private_directory,
    read_replaced,
    replace_private,
    write_private,
)
from infrastructure.posting.exchange import DEFAULT_TIMEOUT_S, post
from infrastructure.posting.targets import Target

_FILE = "webhooks.json"
_LOCK = "webhooks.lock"
_SEALED = "sealed:"
"""Stands before a sealed URL; one in the clear begins with its scheme."""
_PLACE = "webhook of notices"


class Webhook:
    """One recipient's address.

    Args:
        url: http or https.
        timeout_s: bound of one request from its start to the last byte of its answer, in seconds.

    Raises:
        MalformedError: when the URL can't be a webhook's.
    """

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        self._target = Target.parse(url)
        self._timeout_s = timeout_s

    def post(self, token: str) -> None:
        """Hand a statement over.

        Raises:
            UnavailableError: when it was not taken; the text says why and holds nothing of the URL but its host.
        """
        post(self._target, token.encode(), {"Content-Type": "application/jwt"}, timeout_s=self._timeout_s)


class Addresses:
    """The webhooks of one data directory: `webhooks.json`, recipients with their sealed URLs.

    Args:
        directory: where the file is.
        at_rest: seals (`cell_addresses`).
    """

    def __init__(self, directory: Path, at_rest: AtRest) -> None:
        self._directory = directory
        self._at_rest = at_rest

    def read(self) -> dict[str, str]:
        """Return the URLs by recipient; none where there is no file. What an older release left open is sealed first.

        Raises:
            LedgerError: when the file is not of its form, was changed, or others can read it.
        """
        known = _kept(self._directory)
        if any(not sealed.startswith(_SEALED) for sealed in known.values()):
            with locked(self._directory / _LOCK):
                known = _kept(self._directory)
                self._keep({name: self._opened(name, sealed) for name, sealed in known.items()})
        return {name: self._opened(name, sealed) for name, sealed in known.items()}

    def set(self, recipient: str, url: str | None) -> Mapping[str, str]:
        """Let a recipient be told at a URL; None: no more. Returns all that are known now.

        Raises:
            MalformedError: when the URL can't be a webhook's.
            UnknownError: when there is none to be taken away.
        """
        if url is not None:
            Webhook(url)
        make_private_directory(self._directory)
        with locked(self._directory / _LOCK):
            known = {name: self._opened(name, sealed) for name, sealed in _kept(self._directory).items()}
            if url is None and recipient not in known:
                raise UnknownError(f"no webhook is set for {recipient[:64]!a}")
            known = {name: there for name, there in known.items() if name != recipient}
            if url is not None:
                known[recipient] = url
            self._keep(known)
        return known

    def _opened(self, recipient: str, sealed: str) -> str:
        if not sealed.startswith(_SEALED):
            return sealed
        return open_address(self._at_rest, (_PLACE, recipient), sealed.removeprefix(_SEALED))

    def _keep(self, known: Mapping[str, str]) -> None:
        sealed = {
            name: _SEALED + seal_address(self._at_rest, (_PLACE, name), url) for name, url in sorted(known.items())
        }
        if lie_open(self._directory):
            replace_private(self._directory / _FILE, json.dumps(sealed).encode())  # nothing of the old bytes stays
        else:
            finish_replacement(self._directory / _FILE)
            write_private(self._directory / _FILE, json.dumps(sealed).encode())


def lie_open(directory: Path) -> bool:
    """Tell whether URLs lie in the clear, as an older release kept them. Raises as `Addresses.read` does."""
    return any(not sealed.startswith(_SEALED) for sealed in _kept(directory).values())


def _kept(directory: Path) -> dict[str, str]:
    try:
        content = json.loads(read_replaced(directory / _FILE))
    except UnknownError:
        return {}
    except ValueError:
        raise MalformedError(f"{directory / _FILE} is not JSON") from None
    if not isinstance(content, dict) or not all(isinstance(sealed, str) for sealed in content.values()):
        raise MalformedError(f"{directory / _FILE} is not an object of URLs by recipient")
    return content
