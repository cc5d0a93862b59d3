"""Where recipients of notices are told: their webhooks, and one signed POST to them.

Invariants:
- The body is one statement (compact JWS) by the tenant's attestation key: execution, kind, recipient, instant; nothing
  else of the tenant. It is the same at every try.
- Only an answer of the 2xx kind shows that it arrived. Redirects are not followed; an exchange ends by a deadline.
- Addresses are the operator's: a file in the data directory, its owner's alone, since a URL may hold a secret.
"""

import http.client
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from domain.errors import MalformedError, UnavailableError, UnknownError
from infrastructure.cutoff import Cutoff
from infrastructure.keys.private_files import locked, make_private_directory, read_private, write_private

DEFAULT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 << 10

_FILE = "webhooks.json"
_LOCK = "webhooks.lock"
_PRINTABLE = re.compile(r"[!-~]{1,2000}", re.ASCII)
_GOOD = range(200, 300)


class Webhook:
    """One recipient's address.

    Args:
        url: http or https.
        timeout_s: bound of one request from its start to the last byte of its answer, in seconds.

    Raises:
        MalformedError: when the URL can't be a webhook's.
    """

    def __init__(self, url: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise MalformedError("a webhook's URL is malformed") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or not _PRINTABLE.fullmatch(url):
            raise MalformedError("a webhook's URL begins with http:// or https:// and a host")
        if parts.username is not None or parts.fragment:
            raise MalformedError("a webhook's URL has no user and no fragment")
        self._secure = parts.scheme == "https"
        self._host = parts.hostname
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s

    def post(self, token: str) -> None:
        """Hand a statement over.

        Raises:
            UnavailableError: when it was not taken; the text says why and holds nothing of the URL but its host.
        """
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        with Cutoff(self._timeout_s) as cutoff:
            try:
                connection.connect()
                cutoff.cuts(connection.sock)
                connection.request("POST", self._path, token.encode(), {"Content-Type": "application/jwt"})
                response = connection.getresponse()
                response.read(MAX_ANSWER_BYTES)
                status = response.status
            except (OSError, http.client.HTTPException) as error:
                why = "too slow" if cutoff.passed or isinstance(error, TimeoutError) else type(error).__name__
                raise UnavailableError(f"{self._host} does not answer: {why}") from None
            finally:
                connection.close()
        if cutoff.passed:
            raise UnavailableError(f"{self._host} does not answer: too slow")
        if status not in _GOOD:
            raise UnavailableError(f"{self._host} answered {status}")


def read_webhooks(directory: Path) -> dict[str, str]:
    """Return the URLs by recipient; none where there is no file.

    Raises:
        LedgerError: when the file is not of its form, or others can read it.
    """
    try:
        content = json.loads(read_private(directory / _FILE))
    except UnknownError:
        return {}
    except ValueError:
        raise MalformedError(f"{directory / _FILE} is not JSON") from None
    if not isinstance(content, dict) or not all(isinstance(url, str) for url in content.values()):
        raise MalformedError(f"{directory / _FILE} is not an object of URLs by recipient")
    return content


def set_webhook(directory: Path, recipient: str, url: str | None) -> Mapping[str, str]:
    """Let a recipient be told at a URL; None: no more. Returns all that are known now.

    Raises:
        MalformedError: when the URL can't be a webhook's.
        UnknownError: when there is none to be taken away.
    """
    if url is not None:
        Webhook(url)
    make_private_directory(directory)
    with locked(directory / _LOCK):
        known = read_webhooks(directory)
        if url is None and recipient not in known:
            raise UnknownError(f"no webhook is set for {recipient[:64]!a}")
        known = {name: there for name, there in known.items() if name != recipient}
        if url is not None:
            known[recipient] = url
        write_private(directory / _FILE, json.dumps(dict(sorted(known.items()))).encode())
    return known
